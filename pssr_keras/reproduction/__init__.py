"""The paper's tables and figures of numbers, made anew: which models, which images, who attacks whom.

study.py            the models and images that the tables share, trained and crafted once
table_1.py ...      a table each: how it is made, and how it is told
tables.py           all of them by name
making.py           one after the other, resumable
records.py          rows, columns and cells of a record, and their words
published.py        the paper's own numbers
"""

from .decomposition import decomposed
from .making import run
from .mask_exchange import exchanged
from .published import published, published_row
from .records import CW_WITHIN, row_of
from .study import ABLATION, WEAK, Study, check_dataset, open_study
from .tables import TABLES, Table

__all__ = [
    "ABLATION", "CW_WITHIN", "TABLES", "WEAK", "Study", "Table", "check_dataset", "decomposed", "exchanged",
    "open_study", "published", "published_row", "row_of", "run",
]  # fmt: skip
