"""Which labels are kept where most are hidden."""

import hashlib

import numpy as np

from ..data import to_pixels
from ..inputs import InputError


def kept_rows(images, count):
    """The rows of images whose labels are kept: of each class the same number, chosen by content.

    Within a class they are those with the smallest SHA-256 of their pixels, so they depend neither on a seed
    nor on the order of the images.

    Args:
        images: `data.Images`.
        count: number of labels, a multiple of the number of classes.

    Returns:
        (count,), ascending.

    Raises:
        InputError: for another number, or if a class has fewer images.
    """
    each, rest = divmod(count, images.classes)
    if each == 0 or rest:
        raise InputError(
            f"labels is {count:,}, expected a multiple of {images.classes}, the number of classes"
        )
    digests = np.array([hashlib.sha256(pixels.tobytes()).digest() for pixels in to_pixels(images.x)])
    kept = []
    for label in range(images.classes):
        rows = np.flatnonzero(images.y == label)
        if len(rows) < each:
            raise InputError(
                f"labels is {count:,}, expected at most {len(rows) * images.classes:,}: class {label} has "
                f"{len(rows):,} training images"
            )
        kept.append(rows[np.argsort(digests[rows], kind="stable")][:each])
    return np.sort(np.concatenate(kept))
