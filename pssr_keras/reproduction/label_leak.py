"""A control: does E need a true label in the perturbation?"""

from .. import evaluation
from .records import NAMES, conditions, grid, percent, rows_of, trained


def make(study):
    """E trained, and judged, with images crafted from true labels, predicted labels and random targets."""
    judged = {
        kind: study.pssr(
            "variant+PS&CAE&ARD" if kind == "true" else f"labels-{kind}".replace(" ", "-"), attack_labels=kind
        )
        for kind in evaluation.LABELS
    }
    suite = [attack for attack in study.suite(strong=False) if attack.name in ("fgsm", "pgd")]
    parts = [
        study.evaluate(study.classifier(), judged, suite=suite, labels=kind) for kind in evaluation.LABELS
    ]
    return {"parts": parts, "training": study.variants()}


def section(record, paper):
    lines = []
    for row in rows_of(record):
        cells = [part["cells"][row] for part in record["parts"]]
        columns = [column for column in cells[0] if column != "benign"]
        values = [percent(cells[0]["benign"])]
        values += [percent(cell[column]) for cell in cells for column in columns]
        lines.append([row, *values])
    head = ["E trained with", "benign"]
    head += [
        f"{NAMES[c]}, {part['labels']}"
        for part in record["parts"]
        for c in part["cells"][rows_of(record)[0]]
        if c != "benign"
    ]
    part = record["parts"][0]
    rises = [
        f"E trained with {row}, images crafted with {other['labels']}: {evaluation.with_chance(found, NAMES)}"
        for row in rows_of(record)
        for other in record["parts"]
        if (found := evaluation.label_leaks(other["cells"][row]))
    ]
    return [
        "## Control: does E need a true label in the perturbation?",
        "E is trained, and judged, with images crafted away from the true labels, away from the predicted "
        "classes, and towards random classes. Only the first kind is made with true labels. But all lead "
        "away from what F saw, which is nearly always the true class, so the control does not clear every "
        f"suspicion. {trained(record)} n = {part['n']:,}; {conditions(part)}.",
        grid(head, lines),
        f"Above the benign column, McNemar's exact test: {'; '.join(rises) or 'no cell'}.",
    ]
