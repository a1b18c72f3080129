"""A folder of submissions becomes a table with a row for each, whatever they are and do."""

import contextlib
import csv
import importlib.util
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from pssr_keras import InputError
from pssr_keras.course import grading
from pssr_keras.course.exercises import Exercise
from pssr_keras.course.exercises.exercise import RIGHT, wrong
from pssr_keras.course.grading import sandbox, statements, student, submissions, table

ROOT = pathlib.Path(__file__).parents[1]


def judge_number(answer):
    return RIGHT if answer == 7 else wrong("number", answer=answer)


def judge_function(function, numbers):
    found = np.asarray(function(numbers))
    return RIGHT if np.allclose(found, 2 * numbers) else wrong("double", points=1)


def toy(number, judge, hints, context=tuple, tutorial="01_toy"):
    return Exercise(tutorial, number, 2, hints, judge, ("answer",) if number == 1 else ("function",), context)


# Two tutorials that need no TensorFlow, so that a submission takes the time of starting Python.
TOYS = {
    "check_seven": toy(1, lambda answer: judge_number(answer), {"number": "{answer!r} is not seven"}),
    "check_double": toy(
        2, lambda function, numbers: judge_function(function, numbers), {"double": "twice"},
        lambda: (np.arange(3.0),),
    ),
    "check_other": toy(1, lambda answer: judge_number(answer), {"number": "no"}, tutorial="02_other"),
}  # fmt: skip

GOOD = [
    "FACTOR = 2",
    "def double(x):\n    return FACTOR * x",
    "check_seven(3 + 4)",
    "check_double(double, [1])",
]


def notebook(*cells):
    return json.dumps(
        {
            "nbformat": 4,
            "nbformat_minor": 5,
            "metadata": {},
            "cells": [{"cell_type": "code", "source": cell, "outputs": [], "metadata": {}} for cell in cells],
        }
    )


@pytest.fixture
def grade(tmp_path):
    """Function: grade the cells of one notebook; returns its row."""

    def run(*cells, seconds=60, memory=2**30, name="01_toy_anna.ipynb"):
        folder = tmp_path / "submissions"
        folder.mkdir(exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
        (folder / name).write_text(notebook(*cells))
        options = {"seconds": seconds, "memory": memory, "exercises": TOYS, "overwrite": True}
        (row,) = grading.grade_folder(folder, tmp_path / "grades.csv", **options)
        return row

    return run


def read(path):
    with open(path, newline="", encoding="utf-8-sig") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


def test_right_answers(grade):
    row = grade(*GOOD)
    assert row["points"] == {"1": 2, "2": 2}
    assert (row["total"], row["of"], row["student"], row["tutorial"]) == (4, 4, "anna", "01_toy")
    assert row["messages"] == "1: right | 2: right"
    assert row["remarks"] == ""


def test_wrong_answers_and_none(grade):
    row = grade("check_seven('8')", "check_double(lambda x: x + x + 1)", "raise SystemExit")
    assert row["points"] == {"1": 0, "2": 1}
    assert row["messages"] == "1: not yet: '8' is not seven | 2: not yet: twice"
    assert grade("check_seven(None)", "check_double(None)")["points"] == {"1": 0, "2": 0}
    row = grade("answer = None\ncheck_seven(answer)", "check_double(lambda x: 1 / 0)")
    assert row["messages"].startswith(
        "1: not answered | 2: not yet: the function stops with ZeroDivisionError"
    )
    assert (
        grade("check_seven(8)", "check_seven(7)", "check_seven(None)")["points"]["1"] == 2
    )  # the last answer
    assert grade("check_seven(7)", "check_seven(8)")["points"]["1"] == 0
    row = grade(
        "check_seven(answer=7)",
        "check_double(lambda x: 2 * x)",
        "from x import check_other",
        "check_other(8)",
    )
    assert row["total"] == 4
    assert row["remarks"] == "it hands in exercises of 02_other too, which were not graded"


def test_what_cannot_be_judged_gets_no_points(grade):
    row = grade("check_double('text')")
    assert row["points"] == {"1": 0, "2": 0}
    assert "2: not yet: the answer cannot be judged (TypeError" in row["messages"]


def test_a_mistake_stops_nothing_but_what_depends_on_it(grade):
    row = grade("answer = 1 / 0", "check_seven(answer)", "check_double(lambda x: 2 * x)")
    assert row["points"] == {"1": 0, "2": 2}
    assert "cell 1: ZeroDivisionError" in row["remarks"]
    assert "cell 2: NameError" in row["remarks"]


def test_of_several_answers_none_may_be_missing(tmp_path):
    pair = Exercise("01_toy", 1, 2, {}, lambda first, second: RIGHT, ("first", "second"), tuple)
    path = tmp_path / "a.ipynb"
    for cell, points in {"check_pair(1, None)": 0, "check_pair(1)": 0, "check_pair(1, second=2)": 2}.items():
        path.write_text(notebook(cell))
        found = grading.grade(path, {"check_pair": pair}, None, 60, 2**30, sandbox.Processes())
        assert found.verdicts[1].points == points, cell


@pytest.mark.parametrize(
    "cells",
    [
        ["def check_seven(answer):\n    print('right')", "check_seven(8)"],
        ["import builtins\nbuiltins.print('1: right')", "check_seven(8)"],
        ["import pssr_keras.course.grading.student as s\ns.encode = lambda *a: 7", "check_seven(8)"],
        ["import sys\nsys.modules['__main__'].hand_in = 7", "class Seven:\n    __eq__ = lambda a, b: True",
         "check_seven(Seven())"],
        ["class Text(str):\n    __eq__ = lambda a, b: True", "check_seven(Text())"],
        ["class Number(int):\n    __eq__ = lambda a, b: True", "check_seven(Number(8))"],
        ["import os", "[os.write(n, b'15\\n{\"points\": 99}') for n in range(3, 9) if n]", "check_seven(8)"],
        ["check_seven = print", "check_seven('right')"],
    ],
)  # fmt: skip
def test_a_notebook_cannot_judge_itself(grade, cells):
    assert not grade(*cells)["total"]


@pytest.mark.parametrize(
    ("cells", "remark"),
    [
        (["while True: pass\ncheck_seven(7)", "check_seven(7)"], None),
        (["import os", "check_seven(os._exit(3))"], "its process ended by itself (status 3)"),
        (
            ["import os", "check_seven(os.kill(os.getpid(), 9))"],
            "its process ended by itself (signal SIGKILL)",
        ),
        (
            ["import ctypes", "check_seven(ctypes.string_at(0))"],
            "its process ended by itself (signal SIGSEGV)",
        ),
        (["import sys", "check_seven(sys.exit())"], "cell 2: SystemExit"),
        (["check_seven(nowhere)"], "cell 1: NameError: name 'nowhere' is not defined"),
        (["check_seven(("], "cell 1 is no Python: '(' was never closed"),
        (["check_seven(input())"], "cell 1: EOFError"),
        (["check_seven(bytearray(2**32))"], "cell 1: MemoryError"),
        (["def f(): return f()", "check_seven(f())"], "cell 2: RecursionError"),
        (["a = []", "a.append(a)", "check_seven(a)"], "cell 3: RecursionError"),
        (["check_seven(" + "-" * 100000 + "7)"], ""),
    ],
)
def test_what_fails_is_said(grade, cells, remark):
    row = grade(*cells)
    if remark is None:  # a loop that no answer depends on is not run
        assert row["points"]["1"] == 2
        return
    assert row["total"] == 0 or remark == ""
    assert remark in row["remarks"]
    assert row["remarks"].count("\n") == 0


def test_an_answer_counts_though_the_notebook_ends_badly_after_it(grade):
    row = grade("check_seven(7)", "import os", "def stop(x):\n    os._exit(1)", "check_double(stop)")
    assert row["points"] == {"1": 2, "2": 0}
    assert "2: not tried: its process ended by itself (status 1)" in row["messages"]
    row = grade("check_seven(7)", "def loop(x):\n    while x is x: pass", "check_double(loop)", seconds=5)
    assert row["points"] == {"1": 2, "2": 0}
    assert "2: not tried: stopped after 5 s" in row["messages"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of processes that left their parent")
def test_no_process_outlives_its_notebook(grade, tmp_path):
    mark = tmp_path / "pid"
    code = f"import os, time; os.setsid(); open({str(mark)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    start = f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {code!r}])"
    wait = (
        f"def ready():\n    while not os.path.exists({str(mark)!r}) or not open({str(mark)!r}).read(): pass"
    )
    assert grade(start, "import os", wait, "check_seven(ready() or subprocess and 7)")["total"] == 2
    assert not pathlib.Path(f"/proc/{mark.read_text()}").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_a_notebook_dies_with_the_grader():
    """The parent, in the grader's place, ends while its child, limited as a notebook, sleeps."""
    code = (
        f"import os, sys, time; sys.path.insert(0, {str(sandbox.STUDENT.parent)!r}); import student\n"
        "reading, writing = os.pipe()\n"
        "if not (child := os.fork()):\n"
        "    os.close(1); student.limit(2**30, 2**20); os.write(writing, b'x'); time.sleep(60)\n"
        "os.read(reading, 1); os.write(1, str(child).encode())"
    )
    child = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True).stdout.decode()
    stat = pathlib.Path(f"/proc/{child}/stat")
    for _ in range(100):
        try:
            ended = stat.read_text().rpartition(")")[2].split()[0] == "Z"  # dead, and nobody asked yet
        except (FileNotFoundError, ProcessLookupError):
            ended = True
        if ended:
            return
        time.sleep(0.1)
    os.kill(int(child), signal.SIGKILL)
    pytest.fail("it lives on")


def test_what_a_notebook_prints_and_writes_is_bounded(grade, capfd):
    cells = ["import os", "check_seven(os.write(1, b'LOUD') + os.write(2, b'!') + 2)"]
    assert grade(*cells)["total"] == 2
    assert "LOUD" not in "".join(capfd.readouterr())
    row = grade("def big():\n    open('big', 'wb').truncate(2**30)\n    return 7", "check_seven(big())")
    assert row["total"] == 0
    assert "File too large" in row["remarks"]


FORGE = """
import json, os
def forge(length, text):
    for number in range(3, 64):
        try:
            os.write(number, b'%d\\n%s' % (length, text))
        except OSError:
            pass
    return 7
"""


@pytest.mark.parametrize(
    ("said", "remarks"),
    [
        ({"errors": ["z" * 1000] * 50}, " | ".join(["z" * 300] * 5)),
        ({"refused": "z" * 1000}, "z" * 300),
        (None, "stopped: its process said what cannot be read"),
    ],
)
def test_what_a_process_says_itself_is_cut(grade, said, remarks):
    """A notebook may write to the grader's pipe; None announces a message that is too long to be read."""
    text = json.dumps(said).encode()
    length = len(text) if said else student.LONGEST + 1
    row = grade(FORGE, f"check_seven(forge({length}, {text!r}))")
    assert row["remarks"] == remarks
    assert not row["total"]


def test_long_answers_make_short_messages(grade):
    assert len(grade("check_seven('x' * 1000)")["messages"].partition(" | ")[0]) == len("1: ") + 300


def test_records_are_there(tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "record.json").write_text("7")
    path = tmp_path / "a.ipynb"
    path.write_text(notebook("check_seven(int(open('../results/record.json').read()))"))
    options = (TOYS, tmp_path / "results", 60, 2**30, sandbox.Processes())
    assert grading.grade(path, *options).verdicts[1].points == 2


def test_notebooks_of_the_former_format_are_read(tmp_path):
    path = tmp_path / "a.ipynb"
    path.write_text(
        json.dumps({"worksheets": [{"cells": [{"cell_type": "code", "input": "check_seven(7)"}]}]})
    )
    found = grading.grade(path, TOYS, None, 60, 2**30, sandbox.Processes())
    assert found.verdicts[1].points == 2


def test_its_folder_is_its_own_and_gone_afterwards(grade, tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "x")
    seen = tmp_path / "seen"
    code = f"open({str(seen)!r}, 'w').write(os.getcwd() + ' ' + os.environ.get('SECRET', 'none'))"
    assert grade("import os", f"check_seven({code} and 7)")["total"] == 2
    folder, secret = seen.read_text().rsplit(" ", 1)
    assert secret == "none"
    assert folder != os.getcwd()
    assert not os.path.exists(folder)


def test_only_what_answers_need_is_run():
    cells = [
        "%matplotlib inline\nimport numpy as np\nimport time\nnp.sum?\n!ls",
        "values = []\nfor v in range(3):\n    values.append(v)",
        "time.sleep(99)\nprint(values)",
        "other = [z for z in slow()]\nz = slow()",
        "def answer(z):\n    return len(values) * z",
        "check_it(answer, slow())",
        "values.append(slow())",
    ]
    found, errors = statements.parse(cells, {"check_it": ["function"]})
    assert errors == []
    chosen = [statement.source for statement in statements.needed(found)]
    assert chosen == [
        "values = []",
        "for v in range(3):\n    values.append(v)",
        "def answer(z):\n    return len(values) * z",
        "__hand_in__('check_it', answer)",
    ]


def test_a_module_that_is_taken_whole_may_be_what_an_answer_needs():
    found, _ = statements.parse(
        ["from math import *", "import time", "check_it(sqrt(49))"], {"check_it": ["a"]}
    )
    assert [statement.source for statement in statements.needed(found)] == [
        "from math import *",
        "__hand_in__('check_it', sqrt(49))",
    ]


def test_values_come_through_and_nothing_else():
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    values = [None, True, 3, 0.5, "ü", (1, 2.0), [1, (2,)], {"a", "b"}, np.float64(2), np.bool_(False)]
    for value in values:
        assert student.decode(json.loads(json.dumps(student.encode(value)))) == value
    np.testing.assert_array_equal(student.decode(student.encode(array)), array)
    assert repr(student.decode(student.encode(object()))) == "<object>"
    assert repr(student.decode(student.encode(np.array([object()])))) == "<ndarray>"
    with pytest.raises(ValueError, match="an array of"):
        student.decode({"array": ["O", [1], "AAAAAAAAAAA="]})


def test_thirty_submissions_and_every_one_has_its_row(tmp_path, capsys):
    folder = tmp_path / "submissions"
    folder.mkdir()
    for number in range(15):
        (folder / f"01_toy_student{number}.ipynb").write_text(notebook(*GOOD[: 3 + number % 2]))
    lies = folder / "Müller Anna_12345_assignsubmission_file_"
    lies.mkdir()
    (lies / "02_other.ipynb").write_text(notebook(*GOOD))
    strange = {
        "empty.ipynb": b"",
        "cut.ipynb": notebook(*GOOD).encode()[:200],
        "binary.ipynb": bytes(range(256)) * 10,
        "list.ipynb": b"[1, 2]",
        "deep.ipynb": b"[" * 200000,
        "report.pdf": b"%PDF-1.7",
        "nothing.ipynb": notebook("print('hello')").encode(),
        "=HYPERLINK(1).ipynb": notebook("check_seven('=1+1')").encode(),
        "crash.ipynb": notebook("import os", "check_seven(os._exit(1))").encode(),
        "hang.ipynb": notebook("import time", "check_seven(time.sleep(99))").encode(),
        "noise.ipynb": notebook("import os", "check_seven(os.write(1, bytes(10**6)) and 7)").encode(),
    }
    for name, content in strange.items():
        (folder / name).write_bytes(content)
    with open(folder / "huge.ipynb", "wb") as file:
        file.truncate(2**30)
    (folder / "folder.ipynb").mkdir()
    os.mkfifo(folder / "pipe.ipynb")
    (folder / "broken.ipynb").symlink_to(tmp_path / "nowhere")
    (folder / ".hidden").write_text("")
    options = {"seconds": 8, "workers": 3, "exercises": TOYS}
    rows = grading.grade_folder(folder, tmp_path / "grades.csv", **options)
    assert len(rows) == 15 + 1 + len(strange) + 4 == 31
    found = read(tmp_path / "grades.csv")
    assert len(found) == 31
    for number in range(15):
        assert found[f"01_toy_student{number}.ipynb"]["total"] == ("2", "4")[number % 2]
    lie = found["Müller Anna_12345_assignsubmission_file_/02_other.ipynb"]
    assert (lie["student"], lie["tutorial"], lie["total"]) == ("Müller Anna", "01_toy", "4")
    assert lie["remarks"] == "the name says 02_other, the content is 01_toy"
    remarks = {name: row["remarks"] for name, row in found.items()}
    for name in ("empty", "cut", "binary", "list", "deep"):
        assert remarks[f"{name}.ipynb"].startswith("no notebook"), name
        assert found[f"{name}.ipynb"]["total"] == ""
    assert remarks["huge.ipynb"] == "1024 MiB, expected at most 20"
    assert remarks["folder.ipynb"] == remarks["pipe.ipynb"] == "no file"
    assert remarks["broken.ipynb"] == "cannot be read: No such file or directory"
    assert remarks["nothing.ipynb"] == "a notebook, but with no exercise of the tutorials in it"
    assert remarks["hang.ipynb"] == "stopped after 8 s, the time limit"
    assert found["noise.ipynb"]["total"] == "2"
    assert "'=HYPERLINK(1).ipynb" in found  # no formula
    said = capsys.readouterr().out
    assert "31/31" in said
    assert "ends about" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["grades.csv", "submissions"]
    with pytest.raises(InputError, match="exists: choose another --out"):
        grading.grade_folder(folder, tmp_path / "grades.csv", **options)


def test_an_interrupted_grading_goes_on(tmp_path, monkeypatch):
    folder = tmp_path / "submissions"
    folder.mkdir()
    for number in range(4):
        (folder / f"01_toy_s{number}.ipynb").write_text(notebook(*GOOD))
    graded = []

    def interrupted(path, *arguments):
        if len(graded) == 2:
            raise KeyboardInterrupt
        graded.append(path.name)
        return whole(path, *arguments)

    whole = grading.grade
    monkeypatch.setattr(grading, "grade", interrupted)
    out = tmp_path / "grades.csv"
    with pytest.raises(KeyboardInterrupt):
        grading.grade_folder(folder, out, exercises=TOYS)
    assert not out.exists()
    journal = tmp_path / "grades.unfinished.jsonl"
    journal.write_text(journal.read_text() + '{"key": ["cut')
    (folder / "01_toy_s0.ipynb").write_text(notebook("check_seven(8)"))  # handed in again meanwhile
    monkeypatch.setattr(grading, "grade", lambda path, *rest: graded.append(path.name) or whole(path, *rest))
    grading.grade_folder(folder, out, exercises=TOYS)
    assert graded == [f"01_toy_s{n}.ipynb" for n in (0, 1, 0, 2, 3)]
    assert [row["total"] for row in read(out).values()] == ["0", "4", "4", "4"]
    assert not journal.exists()


@pytest.fixture
def instead(tmp_path, monkeypatch):
    """Function: grade a folder of notebooks by a function of their paths; returns the names it was given."""
    (tmp_path / "submissions").mkdir()
    for name in ("b", "a"):
        (tmp_path / "submissions" / f"{name}.ipynb").write_text(notebook(*GOOD))

    def run(verdict, out="grades.csv", **options):
        graded = []
        monkeypatch.setattr(
            grading, "grade", lambda path, *rest: graded.append(path.name) or verdict(path.name)
        )
        with contextlib.suppress(KeyboardInterrupt):
            grading.grade_folder(tmp_path / "submissions", tmp_path / out, exercises=TOYS, **options)
        return graded

    return run


def nothing(name):
    return grading.Grade("", {}, [])


def stops_at_b(name):
    if name == "b.ipynb":
        raise KeyboardInterrupt
    return nothing(name)


def test_a_mistake_of_the_grader_costs_no_other_row(instead, tmp_path):
    def fails(name):
        return nothing(name) if name == "b.ipynb" else 1 / 0

    assert instead(fails) == ["a.ipynb", "b.ipynb"]
    found = read(tmp_path / "grades.csv")
    assert list(found) == ["a.ipynb", "b.ipynb"]
    assert found["a.ipynb"]["remarks"] == "the grader failed: ZeroDivisionError: division by zero"


def test_rows_under_other_limits_are_not_taken(instead):
    assert instead(stops_at_b, seconds=5) == ["a.ipynb", "b.ipynb"]
    assert instead(nothing, seconds=6) == ["a.ipynb", "b.ipynb"]
    assert instead(stops_at_b, seconds=6, overwrite=True) == ["a.ipynb", "b.ipynb"]
    assert instead(nothing, seconds=6, overwrite=True) == ["b.ipynb"]


def test_the_table_in_the_folder_is_no_submission(instead, tmp_path):
    for _ in range(2):
        assert instead(nothing, out="submissions/grades.csv", overwrite=True) == ["a.ipynb", "b.ipynb"]
    assert list(read(tmp_path / "submissions" / "grades.csv")) == ["a.ipynb", "b.ipynb"]


def test_who_was_interrupted_did_not_kill_the_grader(instead, tmp_path):
    journal = table.Journal(tmp_path / "grades.csv")
    key = ("a.ipynb", submissions.fingerprint(tmp_path / "submissions" / "a.ipynb"), 300, 4 * 2**30)
    for said in ("begun", "interrupted", "begun"):
        journal.add(key, said)
    assert instead(nothing) == ["a.ipynb", "b.ipynb"]


def test_files_that_may_not_be_read_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.ipynb"
    path.write_text(notebook("check_seven(7)"))
    assert submissions.refusal(path) is None
    monkeypatch.setattr(os, "access", lambda *arguments: False)  # root may read everything
    assert submissions.refusal(path) == "cannot be read: permission denied"


def test_who_kills_the_grader_twice_is_left_alone(tmp_path):
    folder, out = tmp_path / "submissions", tmp_path / "grades.csv"
    folder.mkdir()
    (folder / "good.ipynb").write_text(notebook("check_seven(7)"))
    (folder / "killer.ipynb").write_text(notebook("import os", "check_seven(os.kill(os.getppid(), 9))"))
    path, journal = folder / "killer.ipynb", table.Journal(out)
    key = ("killer.ipynb", submissions.fingerprint(path), 300, 4 * 2**30)
    for said in ("begun", "interrupted", "begun", "begun"):
        journal.add(key, said)
    grading.grade_folder(folder, out, exercises=TOYS)
    found = read(out)
    assert found["good.ipynb"]["total"] == "2"
    assert found["killer.ipynb"]["remarks"].startswith("the grader was killed twice")


def test_names_of_students():
    folder = pathlib.Path("all")
    tutorials = ["01_findings", "02_pixel_surgery"]
    names = {
        "anna/x.ipynb": "anna",
        "Anna Berg_77_assignsubmission_file_/a/b.ipynb": "Anna Berg",
        "01_findings_anna.ipynb": "anna",
        "anna-berg 02_pixel_surgery.ipynb": "anna-berg",
        "02_pixel_surgery.ipynb": "02_pixel_surgery",
    }
    for path, name in names.items():
        assert submissions.student_of(folder / path, folder, tutorials) == name


def test_a_cell_is_one_harmless_line():
    assert table.cell("a\nb\x00\x1b[31m") == "a b [31m"
    assert table.cell("@SUM(1)") == "'@SUM(1)"
    assert table.cell("a\udcff") == "a?"
    assert table.cell(3) == 3


def test_the_script_is_stopped_and_goes_on(tmp_path, capsys):
    """With a real submission; the second one waits until the grading is interrupted."""
    folder, out = tmp_path / "all", tmp_path / "grades.csv"
    folder.mkdir()
    ablations = json.loads((ROOT / "tutorials" / "05_ablations.ipynb").read_text())
    for cell in ablations["cells"]:
        source = "".join(cell["source"])
        if "check_mcnemar(answer)" in source:
            cell["source"] = "check_mcnemar(mcnemar)"  # of a cell above; it stops where nothing differs
        if "check_fair(fair)" in source:
            cell["source"] = "check_fair({'train each variant anew', 'judge all on the same images'})"
    (folder / "05_a.ipynb").write_text(json.dumps(ablations))
    waits = folder / "z.ipynb"
    waits.write_text(notebook("import time", "check_ceiling(time.sleep(99))"))
    path = ROOT / "scripts" / "grade.py"
    process = subprocess.Popen(
        [sys.executable, path, folder, "--out", out],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    for line in process.stdout:
        if line.startswith("1/2"):
            break
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=20)
    assert process.returncode == 130, error
    assert "the same command goes on from here" in error
    assert not out.exists()
    waits.write_text(notebook("check_ceiling(False)"))
    specification = importlib.util.spec_from_file_location("grade", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    assert module.main([str(folder), "--out", str(out)]) == 0
    assert "1 of 2 were graded before" in capsys.readouterr().out
    found = read(out)
    assert found["05_a.ipynb"]["exercise 1"] == "2"
    assert "1: not yet: where the rows never differ, it stops with" in found["05_a.ipynb"]["messages"]
    assert "2: not yet: think again about: same number of steps" in found["05_a.ipynb"]["messages"]
    assert found["z.ipynb"]["exercise 1"] == "1"
    assert module.main([str(folder), "--out", str(out)]) == 2
    assert capsys.readouterr().err.endswith("exists: choose another --out, or --overwrite it\n")


def test_impossible_gradings_are_refused(tmp_path):
    with pytest.raises(InputError, match="is no folder"):
        grading.grade_folder(tmp_path / "none", tmp_path / "grades.csv")
    with pytest.raises(InputError, match="is empty"):
        grading.grade_folder(tmp_path, tmp_path / "grades.csv")
    with pytest.raises(InputError, match="number of workers is 0"):
        grading.grade_folder(tmp_path, tmp_path / "grades.csv", workers=0)


def test_a_process_that_floods_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(sandbox, "AT_MOST_SAID", 2**20)
    path = tmp_path / "a.ipynb"
    path.write_text(notebook("for n in range(10**9):\n    check_seven('x' * 10**5)"))
    found = grading.grade(path, TOYS, None, 20, 2**30, sandbox.Processes())
    assert "stopped: it handed in too much" in found.remarks
