"""A control: clean and attacked pixels under each other's masks."""

import numpy as np
import tensorflow as tf

from .. import evaluation, surgery
from .records import NAMES, conditions, grid, percent


def exchanged(pssr, x, x_adv, y):
    """Accuracy of a PSSR whose pixels and mask are of different images: what does an attack change?

    E(z M_t), with z and M_t each of the clean image x or of the attacked x_adv, both (N, H, W, C). Mixtures
    need both images: an instrument of analysis, no defense.

    Returns:
        {"clean pixels, clean mask", and three more: measurement}, and the shares of the ink of x that the
        clean and the attacked mask remove.
    """

    @tf.function(reduce_retracing=True)
    def predicted(x, x_adv):
        masks = [pssr.surgery.masks(pssr.guiding_logits, z)[1] for z in (x, x_adv)]
        inputs = [surgery.component(z, trivial) for z in (x, x_adv) for trivial in masks]
        kept = [tf.reduce_sum(surgery.component(x, trivial)) for trivial in masks]
        return [tf.argmax(pssr.classify(pssr.restore(z)), axis=-1) for z in inputs], kept

    found = [predicted(x[rows], x_adv[rows]) for rows in evaluation.batches(len(x), 500)]
    classes, kept = (list(zip(*parts, strict=True)) for parts in zip(*found, strict=True))
    names = [f"{z} pixels, {mask} mask" for z in ("clean", "attacked") for mask in ("clean", "attacked")]
    cells = {
        name: evaluation.measurement(np.concatenate(answers) == y)
        for name, answers in zip(names, classes, strict=True)
    }
    return cells, [float(1 - sum(parts) / x.sum()) for parts in kept]


def make(study):
    """Clean and attacked pixels under each other's masks: why can a PSSR gain by an attack?"""
    images, suite = study.images(strong=False), study.suite(strong=False)
    judged = {"PSSR": study.pssr(), "+PS&CAE&ARD": study.ablation("+PS&CAE&ARD")}
    cells, ink = {row: {} for row in judged}, {}
    for attack in suite:
        x_adv = study.crafted(attack, images)
        for row, pssr in judged.items():
            cells[row][attack.name], shares = exchanged(pssr, images.x, x_adv, images.y)
            ink["benign"], ink[attack.name] = shares  # of the classifier's masks, the same for every row
    return study.description(images, suite) | {"cells": cells, "ink_removed": ink}


def section(record, paper):
    rows, suite = list(record["cells"]), list(record["attacks"])
    first = record["cells"][rows[0]][suite[0]]
    names, tests = list(first), []
    lines = [
        [f"{row}: {name}", *(percent(record["cells"][row][attack][name]) for attack in suite)]
        for row in rows
        for name in names
    ]
    ink = record["ink_removed"]
    lines.append(
        [
            "clean brightness removed by the attacked mask, in %",
            *(f"{100 * ink[attack]:.1f}" for attack in suite),
        ]
    )
    for row in rows:
        for attack in suite:
            flags = [evaluation.flags_of(record["cells"][row][attack][name]["correct"]) for name in names]
            chances = [
                f"{name} {100 * (found.mean() - flags[0].mean()):+.2f} points, "
                f"p = {evaluation.mcnemar(flags[0], found)['p']:.2g}"
                for name, found in zip(names[1:], flags[1:], strict=True)
            ]
            tests.append(f"{row}, {NAMES[attack]}: {', '.join(chances)}")
    return [
        "## Control: pixels or mask?",
        "E is given the pixels of a clean image or of the attacked one, under the mask of the one or the "
        f"other. Clean masks remove {100 * ink['benign']:.1f}% of the clean brightness. PSSR is that of "
        "Tables 1 to 3, the other row that of Table 4. Oblivious, "
        f"n = {record['n']:,}; {conditions(record)}, in the record.",
        grid(["accuracy in %", *(NAMES[attack] for attack in suite)], lines),
        "Against clean pixels under the clean mask, McNemar's exact test: " + "; ".join(tests) + ".",
    ]
