"""Attack and classify any number of images, batch by batch.

Everything is keyed by (seed, index of an image), so how images are batched changes speed, memory and
rounding only.
"""

import dataclasses

import numpy as np

from ..attacks.autoattack import AutoAttack
from ..attacks.base import compiled_logits
from ..attacks.survivors import SurvivorAttack
from ..inputs import InputError, check_batch_size, check_logits, check_seed, check_some
from ..progress import Progress
from . import cache as caching
from .provenance import identity, versions

LABELS = ("true", "predicted", "random target")


def batches(count, batch_size):
    """Slices of at most batch_size that cover range(count)."""
    return [slice(start, min(start + batch_size, count)) for start in range(0, count, batch_size)]


def pad(array, length):
    """Repeat the last row until there are `length` rows, so that every batch has one shape."""
    missing = length - len(array)
    return array if missing == 0 else np.concatenate([array, np.repeat(array[-1:], missing, axis=0)])


def size_of_batches(count, batch_size, fixed_size=False):
    """How many images every batch holds, the last one padded; no more than there are unless fixed."""
    batch_size = check_batch_size(batch_size)
    return batch_size if fixed_size else min(batch_size, count)


def logits_of(model, x, batch_size=500, fixed_size=False):
    """The logits of any number of images, (N, K).

    Args:
        model, x: images -> logits, and images.
        batch_size, fixed_size: see `craft`.

    Raises:
        InputError: if there are no images, or the model returns NaN, infinite values or probabilities.
    """
    check_some(x)
    batch_size = size_of_batches(len(x), batch_size, fixed_size)
    logits = compiled_logits(model)
    parts = [
        logits(pad(x[rows], batch_size)).numpy()[: rows.stop - rows.start]
        for rows in batches(len(x), batch_size)
    ]
    return check_logits(np.concatenate(parts))


def correct(model, x, y, batch_size=500, fixed_size=False):
    """Which images the model, images -> logits, classifies correctly: (N,) bool; raises as `logits_of`."""
    return logits_of(model, x, batch_size, fixed_size).argmax(axis=-1) == y


def check_labels_kind(kind):
    if kind not in LABELS:
        raise InputError(f"labels are {kind!r}, expected one of {', '.join(LABELS)}")


def with_labels(kind, attack, model, images, seed=0, batch_size=500, fixed_size=False):
    """An attack and images whose labels are those that the attacker uses: a control of label leaking.

    Args:
        kind: "true": away from the true label. "predicted": away from the class that the model predicts, so
            that the perturbation tells no more than the model does. "random target": towards a class drawn at
            random among those not predicted, so that it tells nothing of the true label.
        attack, model, images, seed, batch_size, fixed_size: see `craft`.

    Returns:
        (attack, images).
    """
    check_labels_kind(kind)
    if kind == "true":
        return attack, images
    predicted = logits_of(model, images.x, batch_size, fixed_size).argmax(axis=-1).astype(np.int32)
    if kind == "predicted":
        return attack, dataclasses.replace(images, y=predicted)
    offsets = np.random.default_rng([seed, 1]).integers(1, images.classes, images.indices.max() + 1)
    targets = (predicted + offsets[images.indices]) % images.classes
    return dataclasses.replace(attack, targeted=True), dataclasses.replace(images, y=targets.astype(np.int32))


def craft(attack, model, images, seed=0, batch_size=500, label=None, cache=None, fixed_size=False):
    """Attack every image, the last partial batch included.

    Args:
        attack: an attack of `pssr_keras.attacks`.
        model: what the attack is crafted on, images -> logits.
        images: `data.Images` with true labels.
        seed: integer; with the index of each image it determines the random starts.
        batch_size: images at a time; it changes speed and memory, and the result only by rounding: Square and
            APGD-T follow the last bit of a logit, so a flag in a hundred may differ.
        label: if given, a progress bar with time to go is shown under this name.
        cache: a folder; what is found there is not crafted again, see `cache`. It needs a Keras model.
        fixed_size: pad even fewer images than a batch holds to a whole one. The shape of a batch is then
            that of a larger set, and so is the rounding. It has no effect on attacks on survivors.

    Returns:
        Adversarial images, shaped as images.x.
    """
    if isinstance(attack, AutoAttack):
        return run_autoattack(attack, model, images, seed, batch_size, label, cache, fixed_size).x_adv
    seed = check_seed(seed)
    if cache is not None:
        ingredients = {"model": identity(model), "attack": attack.get_config(), "seed": seed}
        ingredients |= {"x": images.x, "y": images.y, "indices": images.indices, "versions": versions()}
        return caching.remember(
            cache,
            ingredients,
            lambda: craft(attack, model, images, seed, batch_size, label, None, fixed_size),
        )
    batch_size = size_of_batches(len(images), batch_size, fixed_size)
    x_adv = np.empty_like(images.x)
    progress = Progress(label, len(images))
    for rows in batches(len(images), batch_size):
        # An attack on survivors takes any number of images; others are traced once for each.
        size = rows.stop - rows.start if isinstance(attack, SurvivorAttack) else batch_size
        x, y, indices = (pad(part[rows], size) for part in (images.x, images.y, images.indices))
        x_adv[rows] = attack(model, x, y, seed=seed, indices=indices)[: rows.stop - rows.start]
        progress.update(rows.stop)
    return x_adv


def run_autoattack(attack, model, images, seed=0, batch_size=500, label=None, cache=None, fixed_size=False):
    """AutoAttack on every image, part by part: with a cache, an interrupted run goes on at its last part.

    Args:
        as `craft`.

    Returns:
        `attacks.autoattack.Result`: adversarial images, and which images each part left standing.
    """

    def attack_part(part, rows):
        name = f"{label}: {part.name}, {len(rows)} images still stand" if label else None
        return craft(part, model, images.take(rows), seed, batch_size, name, cache)

    logits = logits_of(model, images.x, batch_size, fixed_size)
    return attack.cascade(model, images.x, images.y, logits, attack_part)
