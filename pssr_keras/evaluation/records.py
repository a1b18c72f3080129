"""Measure accuracy under attack: who crafts, who is judged, and a record that says all of it.

A threat model is a pair of models. Oblivious: the attack is crafted on the classifier alone and judged
on the PSSR. Transfer: crafted on a substitute. Adaptive: crafted on surrogates of the PSSR itself (see
`attacks.adaptive`). All are the same call of `evaluate`.
"""

import functools
import typing

import keras
import numpy as np

from ..attacks.autoattack import AutoAttack
from ..attacks.base import Attack, distances
from ..attacks.names import names_of
from ..inputs import InputError
from .crafting import check_task, correct, craft, run_autoattack, with_labels
from .provenance import identity, images_hash, text_of_indices, versions
from .statistics import measurement, text_of, worst_case

OBLIVIOUS = "oblivious: crafted on the classifier alone"
TRANSFER = "transfer: crafted on a substitute of the classifier"
ADAPTIVE = "adaptive: crafted on the PSSR itself, through surrogates of its gradient"
WHITE_BOX = "white-box: crafted on what is judged"
THREAT_MODELS = {
    "white-box": WHITE_BOX,
    "oblivious": OBLIVIOUS,
    "transfer": TRANSFER,
    "adaptive": ADAPTIVE,
}
WORST_CASE = "worst case"
EVERY_DISTANCE = "every_distance"  # of a shard's images, exactly


def evaluate(
    crafted_on: typing.Any,
    judged: typing.Any = None,
    images: typing.Any = None,
    attacks: typing.Iterable[Attack] | None = None,
    *,
    black_box: dict[str, typing.Callable] | None = None,
    extra_attacks: typing.Iterable[tuple] = (),
    labels: str = "true",
    threat_model: str | None = None,
    seed: int = 0,
    batch_size: int = 500,
    progress: bool = False,
    cache: typing.Any = None,
    is_shard: bool = False,
) -> dict:
    """Accuracy of models on clean images and under several attacks.

        evaluate(model, (x, y), [PGD("8/255")])                           the model that is attacked is judged
        evaluate(classifier, {"PSSR": pssr}, (x, y), [PGD("8/255")])      another one is

    Args:
        crafted_on: the model that the attacks see, images -> logits; or {name: model}, each of which is
            attacked in turn.
        judged: {row name: model}, whose answers count. Left out, the images in its place, it is the attacked
            model itself, under its own name.
        images: (x, y), a tf.data.Dataset of batches or single examples, or `data.Images`; see
            `data.images_of`.
        attacks: attacks of `pssr_keras.attacks`; several of one class have a column each, named by the fields
            in which they differ.
        black_box: {name: model}, what attacks without gradients query where several models are attacked; the
            first of those if None. Surrogates of a PSSR all answer alike, so one suffices.
        extra_attacks: [(name of a model, model, attack)] that are tried as well, such as what transfers
            from other defenses, where several models are attacked.
        labels: which labels the attacker uses, see `with_labels`; what counts are always the true ones.
        threat_model: what the attacker knows, for the record: "white-box", "oblivious", "transfer",
            "adaptive", or any words. None derives it: white-box if all that is judged is attacked, oblivious
            if one classifier is attacked and all else that is judged are defenses of it, adaptive if one
            defense is judged and all that is attacked are surrogates of it.
        seed, batch_size, cache: see `craft`.
        progress: show progress bars.
        is_shard: the images are a part of a larger set: their batches have the size of that set's, and the
            record keeps the distance of every image, for `shards.merge`.

    Returns:
        A record that JSON can hold: everything needed to reproduce it, and for each row and column the
        accuracy over all n images, its Wilson 95% interval and a string of per-image flags (1: correct).
        Where several models are attacked, columns are named "model attack", and there is a worst case.

    Raises:
        InputError: for images, labels, attacks or models that do not fit; see `inputs`.
    """
    judged, images, attacks = task_of(crafted_on, judged, images, attacks)
    several = isinstance(crafted_on, dict)
    sources = crafted_on if several else {"": crafted_on}
    black_box = dict(list(sources.items())[:1]) if black_box is None else black_box
    models = [
        *sources.values(),
        *judged.values(),
        *black_box.values(),
        *(model for _, model, _ in extra_attacks),
    ]
    images, seed = check_task(images, models, seed, batch_size)
    threat_model = threat_model_in_words(threat_model, crafted_on, judged)
    size: dict[str, typing.Any] = {"batch_size": batch_size, "fixed_size": is_shard}
    runs = named(runs_of(attacks, sources, black_box)) + named(extra_attacks)

    def judge(x):
        return {row: measurement(correct(model, x, images.y, **size)) for row, model in judged.items()}

    described, cells = {}, {row: {"benign": cell} for row, cell in judge(images.x).items()}
    for source, model, attack, name in runs:
        column = f"{source} {name}".strip()
        options = {**size, "label": f"{column}, {len(images)} images" if progress else None, "cache": cache}
        attack, labelled = with_labels(labels, attack, model, images, seed, **size)
        described[column] = attack.get_config() | ({"crafted_on": source} if several else {})
        if isinstance(attack, AutoAttack):
            result = run_autoattack(attack, model, labelled, seed, **options)
            x_adv = result.x_adv
            described[column]["robust_when_crafted"] = {
                part: text_of(flags) for part, flags in result.robust.items()
            }
        else:
            x_adv = craft(attack, model, labelled, seed, **options)
        moved = distances(images.x, x_adv, attack.norm)
        described[column] |= described_distances(moved, attack.eps)
        if is_shard:
            described[column][EVERY_DISTANCE] = moved.tolist()
        for row, cell in judge(x_adv).items():
            cells[row][column] = cell
    attacked = [*(sources | black_box).items(), *models_of(extra_attacks)]
    known: dict = {}
    return {
        "data": images.source,
        "n": len(images),
        "indices": text_of_indices(images.indices),
        "images_sha256": images_hash(images),
        "threat_model": threat_model,
        "labels": labels,
        "attacks": described,
        "seed": seed,
        "versions": versions(),
        "crafted_on": {name: identity(model, known) for name, model in attacked}
        if several
        else identity(crafted_on, known)["weights"],
        "weights": {row: identity(model, known)["weights"] for row, model in judged.items()},
        "digests": {row: identity(model, known)["digest"] for row, model in judged.items()},
        "cells": with_worst_case(cells, described) if several else cells,
    }


def task_of(crafted_on, judged, images, attacks):
    """{row name: model} that are judged, images and attacks, from the arguments of `evaluate` in either form.

    Raises:
        InputError: if the arguments are those of neither, or the attacks are none.
    """
    given = [part for part in (judged, images, attacks) if part is not None]
    if not isinstance(judged, dict):
        if len(given) == 3:
            raise InputError(
                f"what is judged is a {type(judged).__name__}, expected {{row name: model}}, or "
                "evaluate(model, images, attacks) where the attacked model itself is judged"
            )
        if isinstance(crafted_on, dict):
            raise InputError("several models are attacked: say which are judged, {row name: model}")
        name = getattr(crafted_on, "name", None)
        given = [{name if name and isinstance(name, str) else "model": crafted_on}, *given]
    if len(given) != 3:
        raise InputError("images or attacks are missing: give evaluate(model, (x, y), [attacks.PGD(eps)])")
    judged, images, attacks = given
    attacks = [attacks] if isinstance(attacks, Attack) else attacks
    listed = list(attacks) if isinstance(attacks, typing.Iterable) else [attacks]
    wrong = [one for one in listed if not hasattr(one, "perturb")]
    if wrong:
        found = repr(wrong[0]) if isinstance(wrong[0], str) else f"a {type(wrong[0]).__name__}"
        raise InputError(f"an attack is {found}, expected a list of them such as [attacks.PGD(eps)]")
    return judged, images, listed


def threat_model_in_words(threat_model, crafted_on, judged):
    """What a record says of the attacker; see `evaluate`.

    Raises:
        InputError: if it is neither said nor follows from the models.
    """
    if threat_model is not None:
        return THREAT_MODELS.get(threat_model, threat_model)
    sources = list(crafted_on.values()) if isinstance(crafted_on, dict) else [crafted_on]
    models = list(judged.values())
    alike = functools.partial(are_alike, {})
    others = [model for model in models if not any(alike(model, source) for source in sources)]
    if not others and all(any(alike(source, model) for model in models) for source in sources):
        return WHITE_BOX
    defended = [getattr(model, "classifier", None) for model in others]
    if defended and len(sources) == 1 and all(alike(classifier, sources[0]) for classifier in defended):
        return OBLIVIOUS
    if len(models) == 1 and all(stands_for(source, models[0], alike) for source in sources):
        return ADAPTIVE
    raise InputError(
        f"threat_model is not given, and what the attacker knew does not follow from the models: say one of "
        f"{', '.join(map(repr, THREAT_MODELS))}, or describe it in words"
    )


def are_alike(known, model, other):
    """Whether two models are one, or one was read from the file of the other; never so for None.

    Args:
        known: see `provenance.identity`.
    """
    if model is other or model is None or other is None:
        return model is other and model is not None
    if not (isinstance(model, keras.Model) and isinstance(other, keras.Model)):
        return False
    return all(identity(model, known)[part] == identity(other, known)[part] for part in ("weights", "digest"))


def stands_for(source, defense, alike):
    """Whether a model is a defense, its classifier, or a surrogate of it, by `are_alike`."""
    if alike(source, defense) or alike(getattr(source, "defense", None), defense):
        return True
    classifier = getattr(defense, "classifier", None)
    return alike(source, classifier) or alike(getattr(source, "classifier", None), classifier)


def named(runs):
    """[(name of the model, model, attack, name of the attack)] of runs, no two of them named alike."""
    names = {}
    for source, _, attack in runs:
        names.setdefault(source, []).append(attack)
    names = {source: iter(names_of(attacks)) for source, attacks in names.items()}
    return [(source, model, attack, next(names[source])) for source, model, attack in runs]


def runs_of(attacks, sources, black_box):
    """Who crafts what: [(name of the model, model, attack)], attacks without gradients last."""
    return [
        (source, model, attack)
        for by_gradient, models in ((True, sources), (False, black_box))
        for source, model in models.items()
        for attack in attacks
        if attack.uses_gradient == by_gradient
    ]


def models_of(runs):
    """[(name, model)] of runs."""
    return [(name, model) for name, model, _ in runs]


def described_distances(moved, eps):
    """How far an attack of budget `eps` moved the images, (N,) float32, for a record."""
    described = {
        "distance": {
            "median_of_moved": float(np.median(moved[moved > 0])) if (moved > 0).any() else 0.0,
            "largest": float(moved.max()),
            "moved": int((moved > 0).sum()),
        }
    }
    if eps is None:  # so that a reader can count success within any budget
        described["distances"] = [round(float(distance), 3) for distance in moved]
    return described


def with_worst_case(cells, described):
    """The cells {row: {column: `measurement`}}, and a last column of each row: its worst case.

    An attack in another norm, see `norm_of`, or without a budget answers another question, and stays out.
    """
    counted = comparable(described)
    if not counted:
        return cells
    return {
        row: found | {WORST_CASE: worst_case({column: found[column] for column in ("benign", *counted)})}
        for row, found in cells.items()
    }


def comparable(described):
    """The columns of {column: configuration of an attack} that have a budget in the norm of a worst case."""
    norm = norm_of(described)
    return [
        column
        for column, config in described.items()
        if config.get("norm", "Linf") == norm and config.get("eps") is not None
    ]


def norm_of(described):
    """The norm of a worst case: Linf if any attack has it, or else that of the first attack with a budget."""
    norms = [config.get("norm", "Linf") for config in described.values() if config.get("eps") is not None]
    return "Linf" if "Linf" in norms else next(iter(norms), None)
