"""The numbers that the paper published, from paper.json beside this file."""

import pathlib

from ..files import read_json
from ..inputs import InputError

FILE = pathlib.Path(__file__).parent / "paper.json"


def published(dataset):
    """The published numbers of a data set, {"columns": names, "table 1": {row: numbers}, ...}, in percent.

    Raises:
        InputError: for a data set that the paper has no tables of.
    """
    tables = read_json(FILE)
    if dataset not in tables or dataset == "source":
        known = ", ".join(name for name in tables if name != "source")
        raise InputError(f"the paper has no tables of {dataset!r}, expected one of {known}")
    return tables[dataset]


def published_row(paper, table, row):
    """{column: accuracy in %} of a row of the paper's "table 1", "table 2" or "table 4".

    Args:
        paper: of a data set, see `published`.
    """
    return dict(zip(paper["columns"], paper[table][row], strict=True))
