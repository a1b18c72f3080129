"""Judge a defense by an attacker who knows it: through all its surrogates, with the worst case of all."""

import dataclasses
import typing

from .. import attacks as known_attacks
from ..attacks import adaptive
from ..attacks.norms import check_norm
from ..inputs import InputError, check_model, parse_eps
from ..settings import ADAPTIVE_ATTACKS, CHECKED_IMAGES
from . import checks as failed_attacks
from . import records, shards
from .crafting import labelled


def evaluate_adaptively(
    defense: typing.Any,
    images: typing.Any,
    eps: float | str,
    *,
    norm: str = "Linf",
    attacks: typing.Any = None,
    surrogates: dict[str, typing.Callable] | None = None,
    name: str | None = None,
    seed: int = 0,
    batch_size: int = 500,
    checks: bool = False,
    progress: bool = False,
    shard: shards.Shard | None = None,
    **options: typing.Any,
) -> dict:
    """Accuracy of a defense under attacks that are crafted on the defense itself.

        record = evaluate_adaptively(pssr, (x, y), eps="8/255")
        record = evaluate_adaptively(pssr, (x, y), eps=0.5, norm="L2")

    Every default is the honest one: gradients go through every surrogate of the defense and through its
    classifier alone, attacks without gradients query the defense, and an image counts as robust in the column
    "worst case" only if nothing broke it.

    Args:
        defense: a Keras model with a `classifier` and a method `purify`, such as a PSSR.
        images: (x, y), a tf.data.Dataset of batches or single examples, or `data.Images`; see
            `data.images_of`.
        eps: the budget, a number or text such as "8/255".
        norm: of the budget, "Linf", "L2" or "L1"; it is that of attacks given by name, too.
        attacks: attacks, or names as `attacks.parse` takes them; `settings.ADAPTIVE_ATTACKS` if None.
        surrogates: {name: model} through which gradients go; see `attacks.adaptive.sources` for all of them,
            which are taken if None.
        name: of the row in the record; that of the defense if None.
        checks: look for signs that the attacks failed, on the first images, through each surrogate; the
            findings are in the record, {surrogate: [finding]}. See `checks.run`.
        shard: evaluate this part of the images only; see `shards`.
        seed, batch_size, progress, options: see `evaluate`.

    Returns:
        The record, see `evaluate`.

    Raises:
        InputError: for a model that is no defense, or whatever else does not fit; see `inputs`.
    """
    if not (hasattr(defense, "purify") and callable(getattr(defense, "classifier", None))):
        raise InputError(
            f"the defense is a {type(defense).__name__} without a classifier and purify: judge a model "
            "by itself by evaluate(model, images, attacks)"
        )
    check_model(defense)
    eps = parse_eps(eps, check_norm(norm).largest_eps)
    given = ADAPTIVE_ATTACKS if attacks is None else attacks
    given = [given] if isinstance(given, str | known_attacks.Attack) else given
    suite = [known_attacks.parse(one, eps, norm) if isinstance(one, str) else one for one in given]
    crafted_on = adaptive.sources(defense) if surrogates is None else surrogates
    name = name or getattr(defense, "name", None) or "defense"
    images = labelled(images, [defense, defense.classifier])
    task = (crafted_on, {name: defense}, images, suite)
    options |= {"black_box": {name: defense}, "threat_model": records.ADAPTIVE}
    options |= {"seed": seed, "batch_size": batch_size, "progress": progress}
    record = records.evaluate(*task, **options) if shard is None else shards.evaluate(shard, *task, **options)
    if not checks:
        return record
    few = images.take(slice(0, CHECKED_IMAGES))
    found = {
        source: failed_attacks.run(defense, few, eps, model, seed, progress=progress, norm=norm)
        for source, model in crafted_on.items()
    }
    return record | {"checks": {source: list(map(dataclasses.asdict, one)) for source, one in found.items()}}
