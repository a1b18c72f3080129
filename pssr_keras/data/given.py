"""What a user has, arrays or a tf.data.Dataset, as `Images`."""

import typing

import numpy as np
import tensorflow as tf

from ..inputs import InputError, check_labels, check_some
from .images import Images

EXPECTED = "expected (x, y), a tf.data.Dataset of them, or data.Images(x, y, classes, source, indices)"


def images_of(images: typing.Any, classes: int | None = None, source: str = "arrays given") -> Images:
    """Labelled images in any form as `Images`, at positions 0 to N - 1; what is `Images` stays as it is.

        images_of((x, y))    images_of(dataset)

    Args:
        images: (x, y), arrays as `Images` takes them; or a tf.data.Dataset of (x, y), whose elements are
            batches or single images, and which is read into memory once, in its order.
        classes: number of classes; one more than the highest label, and at least two, if None.
        source: where they come from, in words, for records.

    Raises:
        InputError: for anything else, a dataset without end, no images, or what `Images` refuses.
    """
    if isinstance(images, Images):
        check_some(images.x)
        return images
    if isinstance(images, tf.data.Dataset):
        x, y = _read(images)
    elif isinstance(images, tuple | list) and len(images) == 2:
        x, y = images
    elif isinstance(images, tuple | list):
        raise InputError(f"the images are a {type(images).__name__} of {len(images)}, {EXPECTED}")
    else:
        missing = ": the labels are missing, give (x, y)" if hasattr(images, "shape") else ""
        raise InputError(f"the images are a {type(images).__name__}, {EXPECTED}{missing}")
    # The images first: what is wrong with them is said before what follows from it.
    x = Images(x, np.zeros(_length(x), np.int32), 2, source, np.arange(_length(x))).x
    check_some(x)
    y = check_labels(y, len(x), classes)
    classes = max(2, int(y.max()) + 1) if classes is None else classes
    return Images(x, y, classes, source, np.arange(len(x)))


def _length(x):
    return len(x) if hasattr(x, "__len__") or np.ndim(x) else 0


def _read(dataset):
    """All images and labels of a tf.data.Dataset, (N, H, W, C) and (N,) or (N, 1)."""
    spec = dataset.element_spec
    if not isinstance(spec, tuple) or len(spec) != 2:
        kind = f"{len(spec)} parts" if isinstance(spec, tuple) else f"a {type(spec).__name__}"
        raise InputError(
            f"an element of the dataset is {kind}, expected images and labels: map it, as "
            "dataset.map(lambda element: (element['image'], element['label']))"
        )
    if dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise InputError("the dataset has no end, expected a finite one: leave out repeat(), or take(count)")
    parts = [(np.asarray(x), np.asarray(y)) for x, y in dataset.as_numpy_iterator()]
    if not parts:
        raise InputError("there are no images in the dataset, expected at least one")
    shapes = sorted({x.shape[-3:] for x, _ in parts})
    if len(shapes) > 1:
        raise InputError(
            f"the images of the dataset have several shapes, such as {shapes[0]} and {shapes[1]}, expected "
            "one: resize them"
        )
    join = np.concatenate if parts[0][0].ndim > 3 else np.stack
    return tuple(join(part) for part in zip(*parts, strict=True))
