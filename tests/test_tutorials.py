"""A committed notebook was executed in order, without errors or warnings, and keeps to its size."""

import base64
import pathlib

import nbformat
import pytest

from pssr_keras import plotting
from pssr_keras.reproduction import report

FOLDER = pathlib.Path(__file__).parents[1] / "tutorials"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    return nbformat.read(request.param, as_version=4)


def code_of(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_executed_once_from_top_to_bottom(notebook):
    counts = [cell.execution_count for cell in code_of(notebook)]
    assert counts == list(range(1, len(counts) + 1))


def test_no_error_and_nothing_on_stderr(notebook):
    for cell in code_of(notebook):
        for output in cell.outputs:
            assert output.output_type != "error"
            assert output.get("name") != "stderr", output.get("text")


def test_every_figure_is_there(notebook):
    for cell in code_of(notebook):
        for output in cell.outputs:
            if "Figure" in str(output.get("data", {}).get("text/plain", "")):
                assert "image/png" in output.data


def test_every_figure_is_as_wide_as_the_page(notebook):
    for cell in code_of(notebook):
        for output in cell.outputs:
            if "image/png" in output.get("data", {}):
                header = base64.b64decode(output.data["image/png"])[:24]
                width = int.from_bytes(header[16:20])
                margins = 0.2  # inches, which notebooks add
                assert width == round(plotting.STYLE["figure.dpi"] * (plotting.PAGE + margins))


def test_small_cells_and_files(notebook, request):
    lengths = [len(cell.source.splitlines()) for cell in code_of(notebook)]
    assert max(lengths) <= 25
    assert sum(lengths) <= 180  # of two data sets
    words = sum(len(cell.source.split()) for cell in notebook.cells if cell.cell_type == "markdown")
    assert 1500 <= words <= 2500


def test_nothing_is_skipped_or_hidden(notebook):
    for cell in notebook.cells:
        assert not set(cell.metadata.get("tags", [])) & {"skip-execution", "nbval-skip", "raises-exception"}
        assert "NBVAL" not in cell.source


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_at_most_a_mebibyte(path):
    assert path.stat().st_size <= 2**20


def test_links_between_notebooks_lead_somewhere():
    for path in [*NOTEBOOKS, FOLDER / "README.md"]:
        text = path.read_text()
        for other in NOTEBOOKS:
            assert text.count(f"]({other.stem}") == text.count(f"]({other.name})")


def test_the_statement_of_notebook_6_quotes_the_record():
    parts = report.read_records(FOLDER.parent / "results" / "mnist")["table_3"]["parts"]
    part = next(part for part in parts if "PSSR" in part["cells"])
    cells = part["cells"]["PSSR"]
    identity, stronger, nothing_left = (
        cells[name] for name in ("identity pgd", "identity apgd-t", "frozen_mask pgd")
    )
    cells = nbformat.read(FOLDER / "06_bpda.ipynb", as_version=4).cells
    text = " ".join(cell.source for cell in cells).replace("\n> ", " ")
    low, high = (100 * bound for bound in identity["interval_95"])
    assert f"leaves {100 * identity['accuracy']:.1f}% ({low:.1f} to {high:.1f}) of {part['n']:,} test" in text
    low, high = (100 * bound for bound in stronger["interval_95"])
    assert (
        f"with PGD and {100 * stronger['accuracy']:.1f}% ({low:.1f} to {high:.1f}) with targeted APGD" in text
    )
    assert nothing_left["accuracy"] == 0
    assert f"leaves none (0.0 to {100 * nothing_left['interval_95'][1]:.1f})" in text
