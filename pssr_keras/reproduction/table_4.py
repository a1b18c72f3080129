"""Table 4: ablation, each part of a PSSR left out in turn."""

from ..defense import PSSR
from .decomposition import decomposed
from .records import accuracies, columns_of, compared, conditions, leaks, numbers_of_images, percent, trained
from .study import ABLATION


def make(study):
    """Ablation: a CAE trained for each row, all on the same short schedule; oblivious as Table 1."""
    classifier = study.classifier()
    pssr = {row: study.ablation(row) for row in ABLATION}
    shared = pssr["+PS&CAE&ARD"].surgery
    judged = {"undefended": classifier, "+PS": PSSR(classifier, shared), **pssr}
    parts = study.evaluations(classifier, judged)
    oracle = {}
    for images, suite in study.groups():
        for attack in suite:
            x_adv = study.crafted(attack, images)
            oracle[attack.name] = decomposed(classifier, images, x_adv, shared)["trivial perturbation"]
    return {"parts": parts, "oracle": oracle, "training": study.variants()}


def section(record, paper):
    published = dict(paper["table 4"])
    published["+PS&CAE&ARD"] = published.pop("PSSR")
    oracle = [
        "+PS as oracle, x + delta M_t",
        "",
        *(percent(record["oracle"].get(column)) for column in columns_of(record)[1:]),
    ]
    body = accuracies(record, published)
    head, line, *rest = body.split("\n")
    place = next(i for i, text in enumerate(rest) if text.startswith("| *+PS, paper*"))
    rest.insert(place, "| " + " | ".join(oracle) + " |")
    tests = [
        compared(record, first, second, column)
        for first, second in (("+CAE", "+PS&CAE"), ("+PS&CAE", "+PS&CAE&ARD"), ("+CAE&ARD", "+PS&CAE&ARD"))
        for column in ("benign", "pgd")
    ]
    return [
        "## Table 4: ablation",
        "Oblivious, crafted on the classifier. +PS is equation 7, which zeroes pixels of the "
        "attacked image; the oracle row removes the salient part of the perturbation only and needs "
        f"the clean image. {trained(record)} Without ARD k = 1. {numbers_of_images(record)}; "
        f"{conditions(record['parts'][0])}.",
        "\n".join([head, line, *rest]),
        *leaks(record),
        "McNemar's exact test on the same images: " + "; ".join(tests) + ".",
    ]
