"""The images and labels that a user gives."""

import contextlib
import contextvars
import math

import numpy as np
import tensorflow as tf

from .numbers import InputError

# --- images --------------------------------------------------------------------------------------


def array_of(values, what):
    """An array of the images, or whatever `what` says, that a user gives as an array, a tensor or a list.

    Raises:
        InputError: if its rows have different shapes.
    """
    try:
        return np.asarray(values)
    except (ValueError, TypeError, NotImplementedError) as error:
        raise InputError(f"the {what} are no array of numbers ({str(error).splitlines()[0]})") from error


def check_images(x, input_shape=None):
    """Refuse whatever is not a batch of images (B, H, W, C), float32 in [0, 1]; return it as an array.

    Args:
        x: the images.
        input_shape: (H, W, C) that the model takes, if it is known; None in it fits any number.

    Raises:
        InputError: for another dtype, shape or channel order, no images, NaN, or values out of [0, 1].
    """
    x = array_of(x, "images")
    check_type(x.dtype.name)
    check_shape(x.shape, input_shape)
    check_some(x)
    check_range(x)
    return x


def check_batch(x, input_shape=None, dtypes=("float32",), in_range=True):
    """`check_images` for stages of a model: a tensor stays one, and of a symbolic one no values are known.

    Args:
        x, input_shape: see `check_images`.
        dtypes: those that it may have, names.
        in_range: whether its values must lie in [0, 1]; within `unbounded` they need not anyway.
    """
    is_tensor = tf.is_tensor(x)
    if not is_tensor:
        x = array_of(x, "images")
    check_type(x.dtype.name, dtypes)
    if is_tensor and x.shape.rank is None:
        return x
    check_shape(tuple(x.shape), input_shape)
    check_some(x)
    if in_range and not _unbounded.get() and not (is_tensor and tf.is_symbolic_tensor(x)):
        check_range(np.asarray(x), slack=1e-6)  # a user's own mask may round
    return x


_unbounded = contextvars.ContextVar("unbounded", default=False)


@contextlib.contextmanager
def unbounded():
    """Within, `check_batch` takes values out of [0, 1], which differences of a model's answers need."""
    token = _unbounded.set(True)
    try:
        yield
    finally:
        _unbounded.reset(token)


def check_type(name, expected=("float32",)):
    """Refuse images of another dtype.

    Raises:
        InputError: if it is not among those expected.
    """
    if name not in expected:
        advice = "divide by 255 and cast, (x / 255)" if name == "uint8" else "cast them, x"
        raise InputError(f"the images are {name}, expected float32 in [0, 1]: {advice}.astype('float32')")


def check_shape(shape, input_shape=None):
    """Refuse a shape (B, H, W, C) of images that a model does not take; see `check_images`."""
    if len(shape) != 4:
        advice = ""
        if len(shape) == 3:
            advice = (
                ": of one image, give x[None]"
                if shape[2] in (1, 3)
                else ": of grey images, give x[..., None]"
            )
        raise InputError(f"the images have shape {shape}, expected (images, height, width, channels){advice}")
    found = shape[1:]
    if input_shape is None or fits(found, input_shape):
        return
    advice = ""
    if fits(found[1:] + found[:1], input_shape):
        advice = ": the channels are first, move them last"
    elif len(input_shape) != 3 and None not in (*input_shape, *found):
        same = math.prod(found) == math.prod(input_shape)
        advice = f": begin the model with keras.layers.Reshape({tuple(input_shape)})" if same else ""
    raise InputError(f"the images have shape {found}, expected {tuple(input_shape)}{advice}")


def fits(shape, other):
    """Whether two shapes agree; None, as in the (None, None, 3) of a model, stands for any number."""
    return len(shape) == len(other) and all(
        one is None or another is None or one == another for one, another in zip(shape, other, strict=True)
    )


def check_some(x):
    """Refuse an empty batch, of which a model makes an error of its own that says nothing.

    Raises:
        InputError: if there are no images.
    """
    if x.shape[0] == 0:
        raise InputError(f"there are no images in a batch of shape {tuple(x.shape)}, expected at least one")


def check_range(x, slack=0.0):
    """Refuse NaN, infinite values, and values out of [0, 1] by more than `slack`, of an array of any shape.

    Raises:
        InputError: for any of them.
    """
    low, high = x.min(initial=1), x.max(initial=0)  # NaN, if there is any
    if not (np.isfinite(low) and np.isfinite(high)):
        raise InputError("the images contain NaN or infinite values, expected numbers in [0, 1]")
    if low < -slack or high > 1 + slack:
        advice = ", as x / 255" if low >= 0 and 2 < high <= 255 else ""
        raise InputError(f"the images range from {low:g} to {high:g}, expected [0, 1]: rescale them{advice}")


def check_pixels(pixels):
    """Refuse whatever is not images (N, H, W, C) of whole numbers from 0 to 255; return them as an array.

    Raises:
        InputError: for another dtype or shape, fractions, numbers out of range, or floats in [0, 1].
    """
    pixels = array_of(pixels, "pixels")
    if pixels.dtype.kind not in "uif":
        raise InputError(f"the pixels are {pixels.dtype}, expected whole numbers from 0 to 255")
    check_shape(pixels.shape)
    if pixels.dtype == np.uint8 or not pixels.size:
        return pixels
    low, high = pixels.min(), pixels.max()
    if pixels.dtype.kind == "f" and low >= 0 and 0 < high <= 1:
        raise InputError(
            f"the pixels are {pixels.dtype} from {low:g} to {high:g}, expected whole numbers from 0 to 255: "
            "multiply them by 255 and round, or make data.Images of them as they are"
        )
    if not (low >= 0 and high <= 255):  # not so for NaN
        raise InputError(f"the pixels range from {low:g} to {high:g}, expected whole numbers from 0 to 255")
    if pixels.dtype.kind == "f" and (pixels != np.floor(pixels)).any():
        raise InputError("the pixels have fractions, expected whole numbers from 0 to 255: round them")
    return pixels


# --- labels, indices, seeds, numbers of images ---------------------------------------------------


def check_labels(y, count, classes=None):
    """Refuse whatever is not `count` integer labels from 0 to classes - 1; return them as int32 (count,).

    A column (count, 1), as keras.datasets has it for CIFAR, is taken as well.

    Raises:
        InputError: if they are not integers, have another shape, or lie out of range.
    """
    y = array_of(y, "labels")
    if y.ndim == 2 and y.shape[1] > 1 and y.dtype.kind in "uifb":
        raise InputError(
            f"the labels have shape {y.shape}, expected ({count},), one for each image: of one-hot labels or "
            "probabilities, give y.argmax(-1)"
        )
    if y.dtype.kind not in "ui":
        advice = ", the number of each image's class"
        if y.dtype.kind == "f":
            advice = ": cast them, y.astype('int32')"
        raise InputError(f"the labels are {y.dtype}, expected integers{advice}")
    if y.shape == (count, 1):
        y = y[:, 0]
    if y.shape != (count,):
        raise InputError(f"the labels have shape {y.shape}, expected ({count},), one for each image")
    highest = 2**31 - 1 if classes is None else classes - 1
    if y.size and (y.min() < 0 or y.max() > highest):
        limit = "" if classes is None else f" to {highest}"
        raise InputError(f"the labels range from {y.min()} to {y.max()}, expected 0{limit}")
    return y.astype(np.int32)


def check_indices(indices, count):
    """Refuse whatever is not `count` positions in a data set; return them as an array.

    Args:
        indices: (count,) integers; 0 to count - 1 if None.
        count: number of images.

    Raises:
        InputError: if they are no integers from 0 to 2^31 - 1, or not one for each image.
    """
    if indices is None:
        return np.arange(count)
    indices = array_of(indices, "indices")
    if indices.shape != (count,) or (count and indices.dtype.kind not in "ui"):
        raise InputError(
            f"the indices are {indices.dtype} of shape {indices.shape}, expected ({count},) integers"
        )
    if count and not (indices.min() >= 0 and indices.max() < 2**31):
        raise InputError(
            f"the indices range from {indices.min()} to {indices.max()}, expected 0 to {2**31 - 1}"
        )
    return indices
