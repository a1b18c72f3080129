"""Table 1: oblivious attackers, who know the classifier and no purifier."""

from .records import accuracies, architecture_of, conditions, entry_of, leaks, numbers_of_images, rows_of


def make(study):
    """Oblivious: every attack crafted on the classifier of its row; purifiers protect the undefended one."""
    parts = []
    for row in study.entry.rows:
        classifier = study.classifier(row)
        judged = {row: classifier}
        if row == "undefended":
            judged |= study.defenses()
        parts += [study.evaluate(classifier, judged, strong) for strong in (False, True)]
    return {"parts": parts}


def section(record, paper):
    return [
        "## Table 1: oblivious attackers",
        "Every attack is crafted on the classifier of its row, for PSSR on the undefended one: it "
        f"knows nothing of the purifier. {numbers_of_images(record)}; "
        f"{conditions(record['parts'][0])}. CW looks for the nearest misclassified image: success at "
        "any distance, and within a budget.",
        accuracies(record, paper["table 1"]),
        *leaks(record),
        f"{missing(record)}The paper copied all baselines from their own publications, with other "
        f"networks; ours are trained on {architecture_of(record)}.",
    ]


def missing(record):
    """Rows of the paper that the record lacks, in words."""
    rows = [row for row in entry_of(record).missing_rows if row not in rows_of(record)]
    if not rows:
        return ""
    *others, last = rows
    return f"Not made here: {', '.join(others)}{' and ' if others else ''}{last}. "
