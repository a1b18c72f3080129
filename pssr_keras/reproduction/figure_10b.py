"""Figure 10(b): k, the passes of adversarial R-drop."""

import itertools

from .. import plotting
from .records import (
    NAMES,
    accuracies,
    columns_of,
    compared,
    conditions,
    leaks,
    numbers_of_images,
    row_of,
    rows_of,
    trained,
)


def make(study):
    """k, the passes of adversarial R-drop: a CAE trained for each, oblivious as Table 1."""
    judged = {
        f"k = {passes}": study.pssr("variant+PS&CAE&ARD" if passes == 2 else f"passes{passes}", passes=passes)
        for passes in study.settings.passes
    }
    return {
        "parts": study.evaluations(study.classifier(), judged, strong=False),
        "training": study.variants(),
    }


def section(record, paper):
    rows = rows_of(record)
    # The paper's claims: two passes are far better than one, and more bring no clear gain.
    tests = [
        compared(record, first, second, column)
        for first, second in itertools.pairwise(rows[:3])
        for column in columns_of(record)
    ]
    return [
        "## Figure 10(b): k passes of adversarial R-drop",
        f"Oblivious. {trained(record)} {numbers_of_images(record)}; {conditions(record['parts'][0])}.",
        accuracies(record),
        *leaks(record),
        "McNemar's exact test on the same images: " + "; ".join(tests) + ".",
        "![Figure 10b](figure_10b.png)",
    ]


def draw(record):
    rows = {row.removeprefix("k = "): row_of(record, row) for row in rows_of(record)}
    lines = {
        NAMES[column]: {passes: cells[column] for passes, cells in rows.items()}
        for column in columns_of(record)
    }
    lowest = min(cell["interval_95"][0] for cells in rows.values() for cell in cells.values())
    return plotting.curves({"": lines}, "k, passes of R-drop", lowest=int(100 * lowest) - 1)
