"""Attack and classify any number of images, batch by batch.

Everything is keyed by (seed, index of an image), so how images are batched changes speed, memory and
rounding only.
"""

import dataclasses
import functools
import typing
import warnings

import numpy as np

from ..attacks import compiled
from ..attacks.autoattack import AutoAttack, Result
from ..attacks.base import Attack, answers, compiled_logits
from ..batching import in_batches, size_of_batches
from ..data.given import images_of
from ..data.images import Images
from ..inputs import (
    InputError,
    check_images,
    check_integer,
    check_labels,
    check_logits,
    check_model,
    check_rows,
    check_seed,
    shapes_of,
)
from ..progress import Progress
from . import cache as caching
from .provenance import code_hash, identity, versions

LABELS = ("true", "predicted", "random target")


def logits_of(
    model: typing.Any, x: typing.Any, batch_size: int = 500, fixed_size: bool = False
) -> np.ndarray:
    """The logits of any number of images, (N, K).

    Args:
        model, x: images -> logits, and images.
        batch_size, fixed_size: see `craft`.

    Raises:
        InputError: for images or a model that do not fit, as one that returns NaN, infinite values or
            probabilities; see `inputs`.
    """
    return _logits_of(model, check_images(x, check_model(model)), batch_size, fixed_size)


def _logits_of(model, x, batch_size, fixed_size):
    batch_size = size_of_batches(len(x), batch_size, fixed_size)
    ask = functools.partial(answers, model)  # the first batch also tells whether the model answers at all

    def logits(part):
        nonlocal ask
        found = check_rows(np.asarray(ask(part)), batch_size)
        ask = compiled_logits(model)
        return found

    with compiled.unchanged(model):
        return check_logits(in_batches(logits, (x,), batch_size))


def correct(
    model: typing.Any, x: typing.Any, y: typing.Any, batch_size: int = 500, fixed_size: bool = False
) -> np.ndarray:
    """Which images a model, images -> logits, classifies correctly: (N,) bool.

    Args:
        y: true labels (N,) or (N, 1), integers.
        model, x, batch_size, fixed_size: see `logits_of`.

    Raises:
        InputError: for images, labels or a model that do not fit; see `inputs`.
    """
    x = check_images(x, check_model(model))
    y = check_labels(y, len(x))
    logits = _logits_of(model, x, batch_size, fixed_size)
    return logits.argmax(axis=-1) == check_labels(y, len(x), logits.shape[-1])


def labelled(images, models) -> Images:
    """Images in any form that `data.images_of` takes, of as many classes as a model says it returns.

    Raises:
        InputError: for what are no labelled images, or for none.
    """
    if isinstance(images, Images):
        return images_of(images)
    known = [returned[0] for model in models if callable(model) and (returned := shapes_of(model)[1])]
    return images_of(
        images, next((classes for classes in known if classes is not None and classes > 1), None)
    )


def check_task(images, models, seed=0, batch_size=500):
    """Refuse, before any work, what is asked to be attacked or judged; return the `Images` and the seed.

    Args:
        images: labelled images, at least one: whatever `data.images_of` takes.
        models: those that will see the images; what they say of themselves must fit.
        seed, batch_size: integers.

    Raises:
        InputError: for whatever of it does not fit.
    """
    images = labelled(images, models)
    for model in models:
        check_model(model, images.x.shape[1:], images.y)
    check_integer("batch_size", batch_size, 1)
    return images, check_seed(seed)


def check_labels_kind(kind: str) -> None:
    if kind not in LABELS:
        raise InputError(f"labels are {kind!r}, expected one of {', '.join(LABELS)}")


def with_labels(
    kind: str,
    attack: Attack,
    model: typing.Any,
    images: Images,
    seed: int = 0,
    batch_size: int = 500,
    fixed_size: bool = False,
) -> tuple[Attack, Images]:
    """An attack and images whose labels are those that the attacker uses: a control of label leaking.

    Args:
        kind: "true": away from the true label. "predicted": away from the class that the model predicts, so
            that the perturbation tells no more than the model does. "random target": towards a class drawn at
            random among those not predicted, so that it tells nothing of the true label.
        attack, model, images, seed, batch_size, fixed_size: see `craft`.

    Returns:
        (attack, images).

    Raises:
        InputError: for an unknown kind, or images or a model that do not fit.
    """
    check_labels_kind(kind)
    images, seed = check_task(images, [model], seed, batch_size)
    if kind == "true":
        return attack, images
    logits = logits_of(model, images.x, batch_size, fixed_size)
    predicted, classes = logits.argmax(axis=-1), logits.shape[-1]
    if kind == "predicted":
        return attack, dataclasses.replace(images, y=predicted, classes=classes)
    offsets = np.random.default_rng([seed, 1]).integers(1, classes, images.indices.max() + 1)
    targets = (predicted + offsets[images.indices]) % classes
    return dataclasses.replace(attack, targeted=True), dataclasses.replace(images, y=targets, classes=classes)


def craft(
    attack: Attack,
    model: typing.Any,
    images: typing.Any,
    seed: int = 0,
    batch_size: int = 500,
    label: str | None = None,
    cache: typing.Any = None,
    fixed_size: bool = False,
) -> np.ndarray:
    """Attack every image, the last partial batch included.

    Args:
        attack: an attack of `pssr_keras.attacks`.
        model: what the attack is crafted on, images -> logits.
        images: with true labels: (x, y), a tf.data.Dataset, or `data.Images`; see `data.images_of`.
        seed: integer; with the index of each image it determines the random starts.
        batch_size: images at a time; it changes speed and memory, and the result only by rounding: Square and
            APGD-T follow the last bit of a logit, so a flag in a hundred may differ.
        label: if given, a progress bar with time to go is shown under this name.
        cache: a folder; what is found there is not crafted again, see `cache`. What is crafted on a model
            that cannot be told from others is not kept, with a warning.
        fixed_size: pad even fewer images than a batch holds to a whole one. The shape of a batch is then
            that of a larger set, and so is the rounding. It has no effect on early-exit attacks.

    Returns:
        Adversarial images, shaped as images.x.

    Raises:
        InputError: for images, labels or a model that do not fit; see `inputs`.
    """
    images, seed = check_task(images, [model], seed, batch_size)
    if isinstance(attack, AutoAttack):
        return run_autoattack(attack, model, images, seed, batch_size, label, cache, fixed_size).x_adv
    if cache is not None and (known := identity(model))["digest"] is None:
        warnings.warn(
            f"what is crafted on this {known['kind']} is not cached, as it cannot be told from other models "
            f"({known['unidentified']})",
            stacklevel=2,
        )
    elif cache is not None:
        ingredients = {"model": known["digest"], "attack": attack.get_config(), "seed": seed}
        ingredients |= {"x": images.x, "y": images.y, "indices": images.indices}
        ingredients |= {"versions": versions(), "code": code_hash()}
        return caching.remember(
            cache,
            ingredients,
            lambda: craft(attack, model, images, seed, batch_size, label, None, fixed_size),
        )
    batch_size = size_of_batches(len(images), batch_size, fixed_size)
    done = Progress(label, len(images)).update
    return attack.batch_by_batch(model, images.x, images.y, seed, images.indices, batch_size, done)


def run_autoattack(
    attack: AutoAttack,
    model: typing.Any,
    images: typing.Any,
    seed: int = 0,
    batch_size: int = 500,
    label: str | None = None,
    cache: typing.Any = None,
    fixed_size: bool = False,
) -> Result:
    """AutoAttack on every image, part by part: with a cache, an interrupted run goes on at its last part.

    Args:
        as `craft`.

    Returns:
        `attacks.autoattack.Result`: adversarial images, and which images each part left standing.

    Raises:
        InputError: as `craft`.
    """
    images, seed = check_task(images, [model], seed, batch_size)

    def attack_part(part, rows):
        name = f"{label}: {part.name}, {len(rows)} images to go" if label else None
        return craft(part, model, images.take(rows), seed, batch_size, name, cache)

    logits = logits_of(model, images.x, batch_size, fixed_size)
    check_labels(images.y, len(images), logits.shape[-1])
    return attack.cascade(model, images.x, images.y, logits, attack_part)
