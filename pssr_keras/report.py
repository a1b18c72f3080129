"""The records of a study as Markdown and figures, each number beside the paper's.

Nothing is computed here that a record does not hold, but means, ranges and McNemar's test of its flags.
"""

import pathlib

from .files import read_json, write_atomically, write_json
from .inputs import InputError
from .reproduction import TABLES
from .reproduction.figure_10b import draw as draw_figure_10b
from .reproduction.records import NAMES, columns_of, compared, grid, percent, row_of, rows_of

__all__ = [
    "FIGURES", "NAMES", "columns_of", "compared", "draw_figure_10b", "grid", "percent", "read_records",
    "report", "row_of", "rows_of", "write",
]  # fmt: skip

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
        f"# The paper's tables, {first['dataset']}, preset {first['preset']}",
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


def write(records, folder, paper):
    """Write records, `tables.md` and figures into a folder; those of an earlier report are replaced."""
    folder = pathlib.Path(folder)
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
