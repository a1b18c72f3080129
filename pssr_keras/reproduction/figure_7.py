"""Figure 7: the threshold alpha of pixel surgery."""

from .. import attacks, plotting, surgery
from .decomposition import decomposed
from .records import conditions, grid, titled


def make(study):
    """The trivial component for several alpha, under PGD and CW."""
    classifier, images = study.classifier(), study.images(strong=True)
    suite = [study.suite(strong=False)[-1], study.suite(strong=True)[-1]]
    cells = {
        score: {
            name: {
                f"{alpha:g}": decomposed(
                    classifier,
                    images,
                    study.crafted(attack, images),
                    surgery.PixelSurgery(alpha, score=score),
                )
                for alpha in study.settings.alphas
            }
            for name, attack in zip(attacks.names_of(suite), suite, strict=True)
        }
        for score in surgery.SCORES
    }
    return study.description(images, suite) | {"cells": cells}


def section(record, paper):
    alphas = list(next(iter(next(iter(record["cells"].values())).values())))
    lines = [
        [f"{score}, {titled(attack)}, {part}", *(f"{100 * cells[a][part]['accuracy']:.1f}" for a in alphas)]
        for score, table in record["cells"].items()
        for attack, cells in table.items()
        for part in ("trivial component", "trivial perturbation")
    ]
    return [
        "## Figure 7: the threshold alpha",
        "Accuracy of the undefended classifier on what alpha leaves: the trivial component of "
        f"equation 7, and the clean image with the trivial perturbation. n = {record['n']:,}; "
        f"{conditions(record)}, in the record.",
        grid(["accuracy in %, alpha =", *alphas], lines),
        "![Figure 7](figure_7.png)",
    ]


def draw(record):
    panels = {
        f"{score} saliency": {
            f"{titled(attack)}, {part}": {alpha: cells[part] for alpha, cells in by_alpha.items()}
            for attack, by_alpha in table.items()
            for part in ("trivial component", "trivial perturbation")
        }
        for score, table in record["cells"].items()
    }
    return plotting.curves(panels, "alpha")
