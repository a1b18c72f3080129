"""Every table and figure of numbers, by name: how it is made, told and drawn.

A further one is a further file with `make` and `section`, and a line in `TABLES`.
"""

import dataclasses
import typing

from . import (
    figure_1,
    figure_7,
    figure_10b,
    label_leak,
    mask_exchange,
    seeds,
    table_1,
    table_2,
    table_3,
    table_4,
)


@dataclasses.dataclass(frozen=True)
class Table:
    """One table or figure of numbers.

    Attributes:
        make: function, `Study` -> record; of a table that has `rows`, what stands beside them, if anything:
            {name: {key: contents}}, added to what the record has.
        section: function, record and the published numbers -> its paragraphs in Markdown.
        draw: function, record -> figure, if it is one.
        rows: function, `Study` -> {row: function without arguments -> parts of the record}. Each row is kept
            as soon as it is made, and one that is added later costs no other.
    """

    make: typing.Callable | None
    section: typing.Callable
    draw: typing.Callable | None = None
    rows: typing.Callable | None = None


TABLES = {
    "table_1": Table(table_1.make, table_1.section, rows=table_1.rows),
    "table_2": Table(None, table_2.section, rows=table_2.rows),
    "table_3": Table(None, table_3.section, rows=table_3.rows),
    "table_4": Table(table_4.make, table_4.section),
    "figure_1": Table(figure_1.make, figure_1.section, figure_1.draw),
    "figure_7": Table(figure_7.make, figure_7.section, figure_7.draw),
    "figure_10b": Table(figure_10b.make, figure_10b.section, figure_10b.draw),
    "label_leak": Table(label_leak.make, label_leak.section),
    "mask_exchange": Table(mask_exchange.make, mask_exchange.section),
    "seeds": Table(seeds.make, seeds.section),
}
