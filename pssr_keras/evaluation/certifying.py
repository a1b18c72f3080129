"""Certified accuracy beside the empirical one: how many images are proved robust."""

import typing

from .. import certify
from ..data import images_of
from ..inputs import InputError, parse_eps
from .statistics import measurement


def certified(
    models: dict[str, typing.Any], images: typing.Any, eps: float | str, batch_size: int = 500
) -> dict:
    """The share of images that no attack within eps can change, for each model; see `certify.certified`.

    Args:
        models: {row name: model, or PSSR without surgery}.
        images: (x, y) or `data.Images`, see `data.images_of`.
        eps: radius of the Linf ball.
        batch_size: images at a time.

    Returns:
        {"method", "norm", "eps", "n", "cells": {row: accuracy, interval and flags}, "refused": {row: why}}.

    Raises:
        InputError: if no model at all can be certified.
    """
    images, cells, refused = images_of(images), {}, {}
    for row, model in models.items():
        try:
            cells[row] = measurement(certify.certified(model, images.x, images.y, eps, batch_size))
        except certify.NoBounds as error:
            refused[row] = str(error)
    if not cells:
        raise InputError(next(iter(refused.values())))
    found = {"method": "interval bounds", "norm": "Linf", "eps": parse_eps(eps), "n": len(images)}
    return found | {"cells": cells, "refused": refused}
