"""Table 2: transfer, by attackers who have but a substitute of the classifier."""

from .. import evaluation
from .records import ARCHITECTURES, accuracies, conditions, leaks, numbers_of_images


def make(study):
    """Transfer: crafted on a substitute, trained as the row is, on the same data, with another seed.

    Beside the PSSR stand two rows of Table 4, with and without surgery: does it matter to this attacker?
    """
    parts = []
    rows = study.entry.rows if study.entry.transfer_rows is None else study.entry.transfer_rows
    substitutes = [(row, None) for row in rows]
    if study.entry.other_architecture:
        substitutes.append(("undefended", study.entry.other_architecture))
    for row, architecture in substitutes:
        substitute = study.classifier(row, seed=1, architecture=architecture)
        suffix = "" if architecture is None else ", other architecture"
        judged = {f"{row}{suffix}": study.classifier(row)}
        if row == "undefended":
            judged |= {f"{name}{suffix}": defense for name, defense in study.defenses().items()}
            for variant in ("+CAE&ARD", "+PS&CAE&ARD"):
                judged[f"{variant}{suffix}"] = study.ablation(variant)
        network = architecture or study.experiment(()).classifier.architecture
        name = f"{network} of seed 1, trained by {study.objective(row)}"
        for part in study.evaluations(substitute, judged, threat_model=evaluation.TRANSFER):
            parts.append({"substitute": name, **part})
    return {"parts": parts}


def section(record, paper):
    substitutes = sorted({part["substitute"] for part in record["parts"]})
    others = {
        part["substitute"].partition(" of seed")[0]
        for part in record["parts"]
        if any(row.endswith("other architecture") for row in part["cells"])
    }
    other = "".join(f"Other architecture: {ARCHITECTURES.get(name, name)}. " for name in sorted(others))
    return [
        "## Table 2: transfer",
        "Crafted on a substitute, trained as the classifier of the row is, on the same data with "
        f"another seed. Substitutes: {'; '.join(substitutes)}. {other}+CAE&ARD "
        "and +PS&CAE&ARD are those of Table 4, on a shorter schedule, without and with surgery. "
        f"{numbers_of_images(record)}; {conditions(record['parts'][0])}.",
        accuracies(record, paper["table 2"]),
        *leaks(record),
    ]
