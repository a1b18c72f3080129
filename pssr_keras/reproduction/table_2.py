"""Table 2: transfer, by attackers who have but a substitute of the classifier."""

import functools

from .. import evaluation
from .records import ARCHITECTURES, accuracies, conditions, leaks, missing, numbers_of_images, rows_of

VARIANTS = ("+CAE&ARD", "+PS&CAE&ARD")
OTHER = ", other architecture"


def rows(study):
    """Transfer: crafted on a substitute, trained as the row is, on the same data, with another seed.

    Beside the purifiers stand two rows of Table 4, with and without surgery: does it matter to this attacker?
    """
    transfer = study.settings.transfer_rows or study.entry.transfer_rows or study.entry.rows
    substitutes = [(row, None) for row in transfer]
    if study.entry.other_architecture:
        substitutes.append(("undefended", study.entry.other_architecture))
    found = {}
    for row, architecture in substitutes:
        suffix = "" if architecture is None else OTHER
        behind = (*study.entry.defenses, *VARIANTS) if row == "undefended" else ()
        for name in (row, *behind):
            found[f"{name}{suffix}"] = functools.partial(attacked, study, name, row, architecture)
    return found


def attacked(study, name, row, architecture):
    """The parts of a classifier, a purifier or a variant, attacked through a substitute.

    Args:
        study: `Study`.
        name: of what is judged.
        row: how the substitute is trained.
        architecture: of the substitute; the data set's own if None.
    """
    substitute = study.classifier(row, seed=1, architecture=architecture)
    if name in VARIANTS:
        judged = study.ablation(name)
    else:
        judged = study.defense(name) if name in study.entry.defenses else study.classifier(name)
    network = architecture or study.experiment(()).classifier.architecture
    words = f"{network} of seed 1, trained by {study.objective(row)}"
    judged = {f"{name}{OTHER if architecture else ''}": judged}
    found = study.evaluations(substitute, judged, threat_model=evaluation.TRANSFER)
    return [{"substitute": words, **part} for part in found]


def section(record, paper):
    substitutes = sorted({part["substitute"] for part in record["parts"]})
    others = {
        part["substitute"].partition(" of seed")[0]
        for part in record["parts"]
        if any(row.endswith("other architecture") for row in part["cells"])
    }
    other = "".join(f"Other architecture: {ARCHITECTURES.get(name, name)}. " for name in sorted(others))
    variants = (
        f"{' and '.join(VARIANTS)} are those of Table 4, on a shorter schedule, without and with surgery. "
        if set(VARIANTS) <= set(rows_of(record))
        else ""
    )
    return [
        "## Table 2: transfer",
        "Crafted on a substitute, trained as the classifier of the row is, on the same data with "
        f"another seed. Substitutes: {'; '.join(substitutes)}. {other}{variants}"
        f"{missing(record, paper['table 2'])}{numbers_of_images(record)}; {conditions(record['parts'][0])}.",
        accuracies(record, paper["table 2"]),
        *leaks(record),
        *record.get("remarks", []),
    ]
