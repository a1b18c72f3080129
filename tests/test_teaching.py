"""What a lecturer gets agrees with what students get: solutions, points, hints, times."""

import importlib.util
import pathlib
import re

import nbformat
import pytest

from pssr_keras.course import exercises
from pssr_keras.course.exercises import EXERCISES
from pssr_keras.course.grading import statements, student

ROOT = pathlib.Path(__file__).parents[1]
TUTORIALS = ROOT / "tutorials"
TEACHING = TUTORIALS / "teaching"
NAMES = sorted({exercise.tutorial for exercise in EXERCISES.values()})

specification = importlib.util.spec_from_file_location("solutions", ROOT / "scripts" / "solutions.py")
script = importlib.util.module_from_spec(specification)
specification.loader.exec_module(script)
SOLUTIONS = script.read_solutions()


def read(path):
    return nbformat.read(path, as_version=4)


def code_of(notebook):
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def answers_of(notebook, only=None):
    """{check: the answers that a notebook hands in}, without running what no answer needs."""
    checks = {name: list(exercise.answers) for name, exercise in EXERCISES.items()}
    if only is not None:
        checks = {name: checks[name] for name in only}
    everything, errors = statements.parse(code_of(notebook), checks)
    found = {}
    errors += student.run(
        statements.needed(everything), lambda check, *answers, **named: found.update({check: answers})
    )
    assert errors == []
    return found


@pytest.mark.parametrize("name", NAMES)
def test_solutions_are_made_from_the_tutorial_and_the_source(name):
    made, committed = script.solved(name, SOLUTIONS[name]), read(TEACHING / "solutions" / f"{name}.ipynb")
    assert [(c.cell_type, c.source) for c in made.cells] == [
        (c.cell_type, c.source) for c in committed.cells
    ], "run scripts/solutions.py"


@pytest.mark.parametrize("name", NAMES)
def test_solutions_were_executed_and_are_right(name):
    path = TEACHING / "solutions" / f"{name}.ipynb"
    assert path.stat().st_size <= 2**20
    cells = [cell for cell in read(path).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [
        output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"
    ]
    for check in set(SOLUTIONS[name]) & EXERCISES.keys():
        (cell,) = (cell for cell in cells if f"{check}(" in cell.source)
        assert cell.outputs[-1].text == "right\n"


@pytest.mark.parametrize("name", NAMES)
def test_solutions_get_all_points(name):
    found = answers_of(read(TEACHING / "solutions" / f"{name}.ipynb"), SHORT.get(name))
    assert found.keys() == set(SHORT.get(name, SOLUTIONS[name])) & EXERCISES.keys()
    for check, answers in found.items():
        exercise = EXERCISES[check]
        verdict = exercise.grade(*answers, *exercise.context())
        assert verdict == exercises.Verdict(exercise.points, exercise.points, "right")


SHORT = {"06_bpda": ["check_ceiling"]}  # its other answer takes half a minute: a slow test


@pytest.mark.slow
def test_the_long_solution_gets_all_points():
    found = answers_of(read(TEACHING / "solutions" / "06_bpda.ipynb"), ["check_random_threshold"])
    exercise = EXERCISES["check_random_threshold"]
    verdict = exercise.grade(*found["check_random_threshold"], *exercise.context())
    assert (verdict.points, verdict.message) == (4, "right")


@pytest.mark.parametrize("name", NAMES)
def test_an_unsolved_notebook_hands_in_nothing(name):
    found = answers_of(read(TUTORIALS / f"{name}.ipynb"))
    assert found
    assert all(answer is None for answers in found.values() for answer in answers)


@pytest.mark.parametrize("name", NAMES)
def test_each_exercise_has_a_solution_that_its_folded_answer_quotes(name):
    mine = [check for check, exercise in EXERCISES.items() if exercise.tutorial == name]
    assert set(SOLUTIONS[name]) == {*mine, "3"}
    cells = read(TUTORIALS / f"{name}.ipynb").cells
    for check in mine:
        (place,) = (n for n, c in enumerate(cells) if c.cell_type == "code" and f"{check}(" in c.source)
        folded = cells[place + 1].source
        assert folded.startswith("<details><summary>Answer")
        code = script.code_of(SOLUTIONS[name][check])
        answer = code.rpartition("\n")[0].strip() or code  # the last line hands it in
        assert answer in folded, f"the folded answer to {check} does not quote its solution"


def test_handouts_have_the_exercises_and_no_answers(tmp_path):
    for name in NAMES:
        assert script.main(["--handout", str(tmp_path / "handout"), "--tutorial", name]) == 0
        text = "\n".join(cell.source for cell in read(tmp_path / "handout" / f"{name}.ipynb").cells)
        assert "details" not in text
        assert all(f"\n**{number}. " in text for number in (1, 2, 3))
        assert code_of(read(tmp_path / "handout" / f"{name}.ipynb")) == code_of(
            read(TUTORIALS / f"{name}.ipynb")
        )
    assert script.main(["--handout", str(tmp_path / "handout")]) == 2
    assert script.main(["--tutorial", "07_more"]) == 2


def test_contexts_are_those_of_the_notebooks():
    """Grading makes the images anew that a notebook hands to a check: their numbers agree."""
    for name, number in {"01_findings": 350, "02_pixel_surgery": 300, "06_bpda": 100}.items():
        text = "\n".join(code_of(read(TUTORIALS / f"{name}.ipynb")))
        assert re.search(rf"^N(, EPS)? = {number}\b", text, re.MULTILINE)
        (exercise,) = (e for e in EXERCISES.values() if e.tutorial == name and e.context is not tuple)
        assert max(len(part) for part in exercise.context() if hasattr(part, "shape")) == number
    assert "check_interval(answer, 196, 200)" in code_of(read(TUTORIALS / "04_robustness.ipynb"))[-2]


def rows_of(text, heading):
    """The cells of the table below a heading, without its first two lines."""
    (part,) = re.findall(rf"^#+ {heading}$(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL)
    lines = [line for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def test_the_list_of_mistakes_is_that_of_the_hints():
    rows = rows_of((TEACHING / "mistakes.md").read_text(), "What students get wrong")
    listed = {(row[0], row[1].strip("`").replace("\\|", "|").replace("``", "`")) for row in rows}
    expected = {
        (f"{exercise.tutorial[:2]}.{exercise.number}", hint)
        for exercise in EXERCISES.values()
        for hint in exercise.hints.values()
    }
    assert listed == expected
    assert all(len(row) == 3 and len(row[2].split()) >= 6 for row in rows)


def test_points_are_those_of_the_exercises():
    rows = rows_of((TEACHING / "README.md").read_text(), "Grading")
    rows = [row for row in rows if row[0][:2].isdigit()]
    expected = [
        [f"{exercise.tutorial[:2]}.{exercise.number}", f"`{check}`", str(exercise.points)]
        for check, exercise in sorted(EXERCISES.items(), key=lambda item: (item[1].tutorial, item[1].number))
    ]
    assert rows == expected
    total = sum(exercise.points for exercise in EXERCISES.values())
    assert f"{total} points" in (TEACHING / "README.md").read_text()


def test_plans_add_up():
    text = (TEACHING / "plans.md").read_text()
    for heading in re.findall(r"^## (One session.*|Session \d.*)$", text, re.MULTILINE):
        rows = rows_of(text, re.escape(heading))
        assert sum(int(row[0]) for row in rows) == 90, heading
    assert len(re.findall(r"^## Session", text, re.MULTILINE)) == 6


def test_points_of_the_exam_add_up_and_every_question_is_answered():
    text = (TEACHING / "exam.md").read_text()
    points = [int(number) for number in re.findall(r"^\*\*\d+\.\*\* \((\d+) points?\)", text, re.MULTILINE)]
    answered = [int(number) for number in re.findall(r"^<summary>.*\((\d+) points?\)", text, re.MULTILINE)]
    assert points == answered
    assert f"{sum(points)} points" in text.split("\n## ")[0]


@pytest.mark.parametrize("path", sorted(TEACHING.glob("*.md")), ids=lambda path: path.stem)
def test_links_of_teaching_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
        assert target.startswith("https://") or (TEACHING / target).exists(), target
