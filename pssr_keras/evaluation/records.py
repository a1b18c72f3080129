"""Measure accuracy under attack: who crafts, who is judged, and a record that says all of it.

A threat model is a pair of models. Oblivious: the attack is crafted on the classifier alone and judged
on the PSSR. Transfer: crafted on a substitute. Adaptive: crafted on surrogates of the PSSR itself (see
`attacks.adaptive`). All are the same call of `evaluate`.
"""

import numpy as np

from ..attacks.autoattack import AutoAttack
from ..attacks.base import distances
from .crafting import correct, craft, run_autoattack, with_labels
from .provenance import identity, text_of_indices, versions, weights_hash
from .statistics import measurement, text_of, worst_case

OBLIVIOUS = "oblivious: crafted on the classifier alone"
TRANSFER = "transfer: crafted on a substitute of the classifier"
ADAPTIVE = "adaptive: crafted on the PSSR itself, through surrogates of its gradient"
WORST_CASE = "worst case"


def evaluate(
    crafted_on,
    judged,
    images,
    attacks,
    *,
    queried=None,
    labels="true",
    threat_model=OBLIVIOUS,
    seed=0,
    batch_size=500,
    progress=False,
    cache=None,
):
    """Accuracy of several models on clean images and under several attacks.

    Args:
        crafted_on: the model that the attacks see, images -> logits; or {name: model}, each of which is
            attacked in turn.
        judged: {row name: model}, whose answers count.
        images: `data.Images`.
        attacks: attacks of `pssr_keras.attacks`, each name once.
        queried: {name: model}, what attacks without gradients query where several models are attacked; the
            first of those if None. Surrogates of a PSSR all answer alike, so one suffices.
        labels: which labels the attacker uses, see `with_labels`; what counts are always the true ones.
        threat_model: what the attacker knows, in words, for the record.
        seed, batch_size, cache: see `craft`.
        progress: show progress bars.

    Returns:
        A record that JSON can hold: everything needed to reproduce it, and for each row and column the
        accuracy over all n images, its Wilson 95% interval and a string of per-image flags (1: correct).
        Where several models are attacked, columns are named "model attack", and there is a worst case.
    """
    several = isinstance(crafted_on, dict)
    sources = crafted_on if several else {"": crafted_on}
    cells = {
        row: {"benign": measurement(correct(m, images.x, images.y, batch_size))} for row, m in judged.items()
    }
    described = {}
    queried = dict(list(sources.items())[:1]) if queried is None else queried
    runs = [
        (source, model, attack)
        for by_gradient, models in ((True, sources), (False, queried))
        for source, model in models.items()
        for attack in attacks
        if attack.uses_gradient == by_gradient
    ]
    for source, model, attack in runs:
        column = f"{source} {attack.name}".strip()
        label = f"{column}, {len(images)} images" if progress else None
        attack, labelled = with_labels(labels, attack, model, images, seed, batch_size)
        described[column] = attack.get_config() | ({"crafted_on": source} if several else {})
        if isinstance(attack, AutoAttack):
            result = run_autoattack(attack, model, labelled, seed, batch_size, label, cache)
            x_adv = result.x_adv
            described[column]["robust_when_crafted"] = {
                part: text_of(flags) for part, flags in result.robust.items()
            }
        else:
            x_adv = craft(attack, model, labelled, seed, batch_size, label, cache)
        moved = distances(images.x, x_adv, attack.norm)
        described[column]["distance"] = {
            "median_of_moved": float(np.median(moved[moved > 0])) if (moved > 0).any() else 0.0,
            "largest": float(moved.max()),
            "moved": int((moved > 0).sum()),
        }
        if attack.eps is None:  # so that a reader can count success within any budget
            described[column]["distances"] = [round(float(distance), 3) for distance in moved]
        for row, defended in judged.items():
            cells[row][column] = measurement(correct(defended, x_adv, images.y, batch_size))
    if several:
        # An attack with another norm or without a budget answers another question.
        comparable = [column for column, config in described.items() if config["norm"] == "Linf"]
        if comparable:
            for row in cells.values():
                row[WORST_CASE] = worst_case({column: row[column] for column in ("benign", *comparable)})
    return {
        "data": images.source,
        "n": len(images),
        "indices": text_of_indices(images.indices),
        "threat_model": threat_model,
        "labels": labels,
        "attacks": described,
        "seed": seed,
        "versions": versions(),
        "crafted_on": {n: identity(m) for n, m in (sources | queried).items()}
        if several
        else weights_hash(crafted_on),
        "weights": {row: weights_hash(model) for row, model in judged.items()},
        "cells": cells,
    }
