"""Labelled images and their provenance, and how parts of them are chosen."""

import copy
import dataclasses
import hashlib
import typing

import numpy as np

from ..inputs import (
    InputError,
    array_of,
    check_indices,
    check_integer,
    check_labels,
    check_pixels,
    check_range,
    check_seed,
    check_shape,
    check_some,
    check_type,
)


@dataclasses.dataclass(frozen=True)
class Images:
    """Labelled images and their provenance.

    Attributes:
        x: (N, H, W, C), float32 in [0, 1].
        y: (N,), int32, from 0 to classes - 1; given as other integers or as a column (N, 1), they are cast.
        classes: number of classes, at least two.
        source: where they come from, in words, for records.
        indices: (N,) position of each image in the split it was taken from.

    Raises:
        InputError: for images, labels or indices that do not fit, or do not belong together; see `inputs`.
    """

    x: np.ndarray
    y: np.ndarray
    classes: int
    source: str
    indices: np.ndarray

    def __post_init__(self):
        x = array_of(self.x, "images")
        check_type(x.dtype.name)
        check_shape(x.shape)
        check_range(x)
        classes = check_integer("classes", self.classes, 2)
        y, indices = check_labels(self.y, len(x), classes), check_indices(self.indices, len(x))
        self._set(x=x, y=y, classes=classes, indices=indices)

    def _set(self, **values):
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __len__(self):
        return len(self.x)

    def take(self, rows: typing.Any) -> "Images":
        """These rows only (a slice or an array of positions)."""
        part = copy.copy(self)  # its values were looked at already: on large sets that takes a moment
        part._set(x=self.x[rows], y=self.y[rows], indices=self.indices[rows])
        check_shape(part.x.shape)
        return part


def check_labelled(images):
    """Refuse what is no `Images`, or holds none.

    Raises:
        InputError: for either.
    """
    if not isinstance(images, Images):
        raise InputError(
            f"the images are a {type(images).__name__}, expected data.Images(x, y, classes, source, indices)"
        )
    check_some(images.x)


def split_validation(images: Images, size: int, seed: int) -> tuple[Images, Images]:
    """Set `size` images aside for validation: (training images, validation images).

    Raises:
        InputError: if that would leave nothing to train or to validate on, or for a seed that is none.
    """
    check_labelled(images)
    if not 0 < size < len(images):
        raise InputError(f"the validation size is {size:,}, expected 1 to {len(images) - 1:,}")
    order = np.random.default_rng(check_seed(seed)).permutation(len(images))
    return images.take(np.sort(order[size:])), images.take(np.sort(order[:size]))


def first(images: Images, count: int | None, split: str, name: str = "n") -> Images:
    """The first `count` images, or all if it is None; `split` and `name` of the number are for errors."""
    if count is not None and not 1 <= count <= len(images):
        place = f"the {split} split" if split in ("train", "test") else split
        raise InputError(f"{name} is {count:,}, expected 1 to {len(images):,}, the images of {place}")
    return images if count is None else images.take(slice(0, count))


def from_pixels(
    pixels: typing.Any, labels: typing.Any, classes: int, source: str, indices: typing.Any
) -> Images:
    """`Images` of pixels (N, H, W, C) from 0 to 255 and integer labels (N,) or (N, 1).

    Raises:
        InputError: for pixels that are no whole numbers from 0 to 255, or see `Images`.
    """
    return Images(check_pixels(pixels).astype(np.float32) / 255, labels, classes, source, indices)


def to_pixels(x: typing.Any) -> np.ndarray:
    """The pixels from 0 to 255 of images in [0, 1]: uint8, shaped as x, which may be one image.

    Raises:
        InputError: for images that are no floats in [0, 1].
    """
    x = array_of(x, "images")
    check_type(x.dtype.name, ("float32", "float64"))
    check_range(x)
    return np.round(x * 255).astype(np.uint8)


def by_content(images: Images) -> Images:
    """The same images in an order that depends on their pixels alone: any copy of a data set gives the same.

    Within each class images are ordered by the SHA-256 of their pixels (H, W, C) from 0 to 255; then comes
    the first of each class, the second of each class, and so on. So the first n are stratified, and an
    image's index is its place in this order.
    """
    digests = np.array([hashlib.sha256(pixels.tobytes()).digest() for pixels in to_pixels(images.x)])
    rank = np.empty(len(images), np.int64)
    for label in range(images.classes):
        rows = np.flatnonzero(images.y == label)
        rank[rows[np.argsort(digests[rows], kind="stable")]] = np.arange(len(rows))
    ordered = images.take(np.lexsort((images.y, rank)))
    return dataclasses.replace(
        ordered, source=f"{images.source}, ordered by content", indices=np.arange(len(images))
    )
