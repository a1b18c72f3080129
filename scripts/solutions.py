#!/usr/bin/env python
"""Make the notebooks with solutions from the tutorials and from tutorials/teaching/solutions/solutions.md.

    python scripts/solutions.py                      # all six, minutes
    python scripts/solutions.py --tutorial 01_findings
    python scripts/solutions.py --handout handout    # the tutorials without folded answers, for graded work

The code of a solution replaces that of the cell which calls its check; the third exercise, which checks
nothing, gets cells of its own. Then the notebook is run in tutorials/, as the tutorials are.
"""

import pathlib
import re
import sys

import nbclient
import nbformat

from pssr_keras import InputError, command_line
from pssr_keras.course.exercises import EXERCISES
from pssr_keras.files import write_atomically

TUTORIALS = pathlib.Path(__file__).parents[1] / "tutorials"
SOLUTIONS = TUTORIALS / "teaching" / "solutions"
NAMES = sorted({exercise.tutorial for exercise in EXERCISES.values()})
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def read_solutions():
    """{tutorial: {exercise: text}} of solutions.md; an exercise is the name of its check, or "3"."""
    text = (SOLUTIONS / "solutions.md").read_text()
    found = {}
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        tutorial, *exercises = re.split(r"^### ", part, flags=re.MULTILINE)
        pairs = (exercise.split("\n", 1) for exercise in exercises)
        found[tutorial.strip()] = {name.strip(): body.strip() for name, body in pairs}
    return found


def code_of(text):
    """The code in the first block of a text."""
    return BLOCK.search(text).group(1).strip()


def cells_of(text):
    """A text with blocks of code as cells of a notebook."""
    cells = []
    for number, part in enumerate(BLOCK.split(text)):
        new = nbformat.v4.new_code_cell if number % 2 else nbformat.v4.new_markdown_cell
        if part.strip():
            cells.append(new(part.strip()))
    return cells


def solved(tutorial, solutions):
    """The notebook of a tutorial with its solutions, not executed."""
    notebook = nbformat.read(TUTORIALS / f"{tutorial}.ipynb", as_version=4)
    cells = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            checks = [name for name in solutions if f"{name}(" in cell.source]
            cell.source = code_of(solutions[checks[0]]) if checks else cell.source
            cell.outputs, cell.execution_count = [], None
        # Links to neighbours lead one folder further up than before.
        cell.source = re.sub(r"\]\((\d\d_\w+\.ipynb)\)", r"](../../\1)", cell.source)
        if "\n## What we learned" in cell.source and "3" in solutions:
            before, after = cell.source.split("\n## What we learned")
            third = cells_of("**Exercise 3, one answer.**\n\n" + solutions["3"])
            cells += [nbformat.v4.new_markdown_cell(before.strip()), *third]
            cell.source = "## What we learned" + after
        cells.append(cell)
    first = cells[0].source.split("\n", 1)
    cells[
        0
    ].source = f"{first[0]}\n\n*With solutions. Made by scripts/solutions.py; do not edit.*\n{first[1]}"
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"
    notebook.cells = cells
    return notebook


def without_answers(tutorial):
    """The notebook of a tutorial as it is, but for the folded answers of its exercises."""
    notebook = nbformat.read(TUTORIALS / f"{tutorial}.ipynb", as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = re.sub(r"<details>.*?</details>\s*", "", cell.source, flags=re.DOTALL)
    return notebook


def hand_out(folder, tutorials):
    folder.mkdir(parents=True, exist_ok=True)
    for tutorial in tutorials:
        path = folder / f"{tutorial}.ipynb"
        command_line.check_out(path, overwrite=False)
        nbformat.write(without_answers(tutorial), path)
        print(f"{path}: written")


def make(arguments):
    solutions = read_solutions()
    tutorials = [arguments.tutorial] if arguments.tutorial else NAMES
    if tutorials[0] not in solutions:
        raise InputError(f"there is no tutorial {tutorials[0]!r}, expected one of {', '.join(NAMES)}")
    if arguments.handout:
        hand_out(pathlib.Path(arguments.handout), tutorials)
        return
    for tutorial in tutorials:
        notebook = solved(tutorial, solutions[tutorial])
        client = nbclient.NotebookClient(
            notebook,
            timeout=600,
            kernel_name="python3",
            resources={"metadata": {"path": TUTORIALS}},
            record_timing=False,
        )
        try:
            client.execute()
        except nbclient.exceptions.CellExecutionError as error:
            raise InputError(f"{tutorial} stops with {error.ename}: {error.evalue}") from error
        notebook.metadata["language_info"] = {"name": "python"}
        text = nbformat.writes(notebook) + "\n"
        path = SOLUTIONS / f"{tutorial}.ipynb"
        write_atomically(path, lambda partial, text=text: partial.write_text(text))
        print(f"{path}: {len(text) / 2**20:.2f} MiB", flush=True)


def main(argv=None):
    parser = command_line.parser_of(__doc__)
    parser.add_argument("--tutorial", metavar="NAME", help=f"one of {', '.join(NAMES)}; all by default")
    handout = "write the tutorials without folded answers there, beside results/; nothing is run"
    parser.add_argument("--handout", metavar="FOLDER", help=handout)
    return command_line.run(make, parser.parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
