"""Figure 1: salient and trivial perturbations, which of them carries the attack?"""

from .. import attacks, plotting, surgery
from .decomposition import decomposed
from .records import conditions, grid, percent, titled


def make(study):
    """Full, salient and trivial perturbations under FGSM, PGD and the first strong attack (AutoAttack)."""
    classifier, images = study.classifier(), study.images(strong=True)
    suite = [
        *(a for a in study.suite(strong=False) if a.name in ("fgsm", "pgd")),
        study.suite(strong=True)[0],
    ]
    cells = {
        score: {
            name: decomposed(
                classifier, images, study.crafted(attack, images), surgery.PixelSurgery(score=score)
            )
            for name, attack in zip(attacks.names_of(suite), suite, strict=True)
        }
        for score in surgery.SCORES
    }
    return study.description(images, suite) | {"cells": cells}


def section(record, paper):
    first = next(iter(record["cells"].values()))
    parts = list(next(iter(first.values())))
    lines = [
        [f"{score} saliency, {titled(attack)}", *(percent(cells[part], 1) for part in parts)]
        for score, table in record["cells"].items()
        for attack, cells in table.items()
    ]
    return [
        "## Figure 1: salient and trivial perturbations",
        "Accuracy of the undefended classifier where only a part of the perturbation is left: an "
        f"analysis that needs the clean image. The last column is equation 7. n = {record['n']:,}; "
        f"{conditions(record)}.",
        grid(["", *parts], lines),
        "![Figure 1](figure_1.png)",
    ]


def draw(record):
    names = {part: part for part in ("full", "salient perturbation", "trivial perturbation")}
    panels = {
        f"{score} saliency": {titled(attack): cells for attack, cells in table.items()}
        for score, table in record["cells"].items()
    }
    return plotting.bars(panels, names)
