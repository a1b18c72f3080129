"""The records of a study as Markdown and figures, each number beside the paper's.

Nothing is computed here that a record does not hold, but means, ranges and McNemar's test of its flags.
"""

import contextlib
import pathlib

from ..files import expanded, read_json, write_atomically, write_json
from ..inputs import InputError
from .figure_10b import draw as draw_figure_10b
from .records import NAMES, columns_of, compared, grid, percent, row_of, rows_of
from .tables import TABLES

__all__ = [
    "FIGURES", "NAMES", "columns_of", "compared", "draw_figure_10b", "grid", "percent", "read_records",
    "report", "row_of", "rows_of", "write",
]  # fmt: skip

HEAD = "# The paper's tables"
FIGURES = {name: table.draw for name, table in TABLES.items() if table.draw is not None}


def report(records, paper):
    """All records of a study as one Markdown text.

    Args:
        records: {table: record}; what is missing is named as missing.
        paper: the published numbers of the data set.
    """
    first = next(iter(records.values()))
    weights = "the shipped weights" if first["shipped"] else "weights trained for it"
    paragraphs = [
        f"{HEAD}, {first['dataset']}, preset {first['preset']}",
        f"Our reimplementation, {weights}, beside the numbers of the paper (*in italics*). Made by "
        "`python scripts/reproduce.py`; what was measured, and what not, is told in "
        "[docs/reproduction.md](../../docs/reproduction.md).",
    ]
    for name, table in TABLES.items():
        if name in records:
            paragraphs += table.section(records[name], paper)
        else:
            paragraphs += [f"## {name.replace('_', ' ').capitalize()}", "Not made yet."]
    return "\n\n".join(paragraphs) + "\n"


def read_records(folder):
    """The records of a study or a report, {table: record}.

    Raises:
        InputError: if there are none.
    """
    folder = pathlib.Path(folder)
    paths = {name: folder / f"{name}.json" for name in TABLES}
    records = {name: read_json(path) for name, path in paths.items() if path.is_file()}
    if not records:
        raise InputError(f"{folder} holds no records: run scripts/reproduce.py first")
    return records


def check_earlier(folder, records):
    """Refuse a folder in which a report would replace what no report of this data set has written.

    Raises:
        InputError: for such a file.
    """
    for name, record in records.items():
        path, found = folder / f"{name}.json", None
        if path.is_file():
            with contextlib.suppress(InputError):
                found = read_json(path)
            if not isinstance(found, dict) or found.get("dataset", "mnist") != record["dataset"]:
                raise InputError(f"{path} is no record of {record['dataset']}: choose another --out")
        elif (folder / f"{name}.png").is_file() and name in FIGURES:
            raise InputError(f"{folder / name}.png is no figure of a report: choose another --out")
    tables = folder / "tables.md"
    if tables.is_file() and not tables.read_text(errors="replace").startswith(HEAD):
        raise InputError(f"{tables} is no report: choose another --out")


def write(records, folder, paper):
    """Write records, `tables.md` and figures into a folder; those of an earlier report are replaced.

    Raises:
        InputError: if the folder cannot be written, or holds other files under these names.
    """
    folder = expanded(folder)
    check_earlier(folder, records)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, record in records.items():
            write_json(folder / f"{name}.json", record)
        text = report(records, paper)
        write_atomically(folder / "tables.md", lambda partial: partial.write_text(text))
        for name in FIGURES.keys() & records.keys():
            figure = FIGURES[name](records[name])
            write_atomically(
                folder / f"{name}.png", lambda partial, figure=figure: figure.savefig(partial, dpi=150)
            )
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror}): choose another --out") from error
