"""How much one training differs from the next."""

from .records import NAMES, columns_of, conditions, grid, numbers_of_images, row_of, rows_of, trained


def make(study):
    """PSSR trained with several seeds for the same classifier."""
    judged = {
        f"seed {seed}": study.pssr("variant+PS&CAE&ARD" if seed == 0 else f"seed{seed}", seed=seed)
        for seed in study.settings.seeds
    }
    return {
        "parts": study.evaluations(study.classifier(), judged, strong=False),
        "training": study.variants(),
    }


def section(record, paper):
    rows, columns = rows_of(record), columns_of(record)
    lines = []
    for column in columns:
        values = [100 * row_of(record, row)[column]["accuracy"] for row in rows]
        shown = [f"{value:.2f}" for value in values]
        mean = sum(values) / len(values)
        lines.append([NAMES[column], *shown, f"{mean:.2f}", f"{max(values) - min(values):.2f}"])
    part = record["parts"][0]
    return [
        "## Several seeds",
        f"The same classifier, the CAE trained with another seed. Oblivious. {trained(record)} "
        f"{numbers_of_images(record)}; {conditions(part)} are in the record.",
        grid(["accuracy in %", *rows, "mean", "range"], lines),
    ]
