"""Checks of what a user gives: budgets, images, labels, and the outputs of a model."""

import dataclasses
import fractions
import math
import types
import typing

import numpy as np


class InputError(ValueError):
    """Something the user gave and can mend; the scripts print it as one line, without a traceback."""


# What Python raises for something that is no number, or not one of the type that is asked for.
BAD_NUMBER = (ValueError, ZeroDivisionError, TypeError, OverflowError)
EXPECTED = {bool: "True or False", int: "an integer", float: "a finite number"}


def plain(value):
    """A number of NumPy or TensorFlow, or an array of no dimension, as Python's own; others as they are."""
    if hasattr(value, "numpy"):
        value = value.numpy()
    return value.item() if isinstance(value, np.ndarray | np.generic) and value.ndim == 0 else value


def of_type(name, value, kind):
    """A number as Python's own, of a type that a field declares, so that a record can hold it.

    Args:
        name: of the field, for errors.
        value: Python's, NumPy's or TensorFlow's; text such as "8/255" where a float is asked for.
        kind: bool, int or float, or one of them or None. What is of another kind stays as it is.

    Raises:
        InputError: if it is not of that type, or is NaN or infinite.
    """
    value = plain(value)
    if typing.get_origin(kind) in (types.UnionType, typing.Union):
        kinds = typing.get_args(kind)
        if value is None and types.NoneType in kinds:
            return None
        kind, *others = (part for part in kinds if part is not types.NoneType)
        if others:
            return value
    if kind not in EXPECTED:
        return value
    try:
        return _as_type(value, kind)
    except BAD_NUMBER:
        raise InputError(f"{name} is {value!r}, expected {EXPECTED[kind]}") from None


def _as_type(value, kind):
    if kind is float and isinstance(value, str):
        value = float(fractions.Fraction(value))
    if isinstance(value, str) or (isinstance(value, bool) and kind is not bool):
        raise TypeError
    if kind is float and isinstance(value, int):
        return value
    found = kind(value)
    if kind is float and not math.isfinite(found):
        raise ValueError
    if kind is not float and found != value:  # 2.5 as an integer, 2 as True or False
        raise ValueError
    return found


def plain_fields(settings, leave=(), prefix=""):
    """Set the fields of a dataclass, which may be frozen, to what `of_type` makes of them.

    Args:
        settings: an object of the dataclass.
        leave: names of fields that stay as they are.
        prefix: of the names in errors.

    Raises:
        InputError: for a value that is not of the declared type.
    """
    for field in dataclasses.fields(settings):
        if field.name not in leave:
            value = of_type(prefix + field.name, getattr(settings, field.name), field.type)
            object.__setattr__(settings, field.name, value)


def parse_eps(text):
    """A perturbation budget in pixel units of [0, 1], from 0.3, "0.3" or "8/255".

    Raises:
        InputError: if it is not a number, or is outside [0, 1].
    """
    text = plain(text)
    try:
        eps = _as_type(text, float)
    except BAD_NUMBER:
        raise InputError(f"eps is {text!r}, expected a number such as 0.3 or 8/255") from None
    if not 0 <= eps <= 1:
        levels = f": {eps:g} of 255 levels are {eps:g}/255" if 1 < eps <= 255 else ""
        raise InputError(f"eps is {text!r}, expected a number from 0 to 1, the range of a pixel{levels}")
    return float(eps)


def check_images(x, input_shape=None):
    """Refuse whatever is not a batch of images (B, H, W, C), float32 in [0, 1]; return it as an array.

    Args:
        x: the images.
        input_shape: (H, W, C) that the model takes, if it is known.

    Raises:
        InputError: for another dtype, shape or channel order, no images, NaN, or values out of [0, 1].
    """
    x = np.asarray(x)
    if x.dtype != np.float32:
        advice = ": divide by 255 and cast" if x.dtype == np.uint8 else ": cast them"
        raise InputError(f"the images are {x.dtype}, expected float32 in [0, 1]{advice}")
    if x.ndim != 4:
        raise InputError(f"the images have shape {x.shape}, expected (images, height, width, channels)")
    if input_shape is not None and x.shape[1:] != tuple(input_shape):
        first = x.ndim == 4 and x.shape[2:] + x.shape[1:2] == tuple(input_shape)
        advice = ": the channels are first, move them last" if first else ""
        raise InputError(f"the images have shape {x.shape[1:]}, expected {tuple(input_shape)}{advice}")
    check_some(x)
    if not np.isfinite(x).all():
        raise InputError("the images contain NaN or infinite values, expected numbers in [0, 1]")
    if x.min() < 0 or x.max() > 1:
        raise InputError(f"the images range from {x.min():g} to {x.max():g}, expected [0, 1]: rescale them")
    return x


def check_some(x):
    """Refuse an empty batch, of which a model makes an error of its own that says nothing.

    Raises:
        InputError: if there are no images.
    """
    if x.shape[0] == 0:
        raise InputError(f"there are no images in a batch of shape {tuple(x.shape)}, expected at least one")


def check_labels(y, count, classes=None):
    """Refuse whatever is not `count` integer labels from 0 to classes - 1; return them as int32.

    Raises:
        InputError: if they are not integers, have another shape, or lie out of range.
    """
    y = np.asarray(y)
    if not np.issubdtype(y.dtype, np.integer):
        raise InputError(f"the labels are {y.dtype}, expected integers")
    if y.shape != (count,):
        raise InputError(f"the labels have shape {y.shape}, expected ({count},), one for each image")
    if y.size and (y.min() < 0 or (classes is not None and y.max() >= classes)):
        limit = "" if classes is None else f" to {classes - 1}"
        raise InputError(f"the labels range from {y.min()} to {y.max()}, expected 0{limit}")
    return y.astype(np.int32)


def shapes_of(model):
    """What a model takes and returns, without the batch: (H, W, C) and (K,); () where it does not say."""
    return tuple(tuple(getattr(model, name, None) or ())[1:] for name in ("input_shape", "output_shape"))


def check_logits(logits):
    """Refuse probabilities and NaN where logits (B, K) are expected.

    The gradient of a softmax or a sigmoid vanishes where the model is confident, so an attack on
    probabilities fails silently and the model looks robust.

    Raises:
        InputError: if the rows are not finite, or are probabilities: in [0, 1], with sum 1 or with so many
            numbers, and some near 1, that only a sigmoid explains it.
    """
    logits = np.asarray(logits)
    if not np.isfinite(logits).all():
        raise InputError("the model returns NaN or infinite logits: its accuracy means nothing")
    sums_to_one = np.allclose(logits.sum(axis=-1), 1.0, atol=1e-4)
    if logits.size and logits.min() >= 0 and logits.max() <= 1 + 1e-5:
        if sums_to_one:
            raise InputError("the model returns probabilities, expected logits: remove its final softmax")
        if logits.size >= 100 and logits.max() > 0.5:
            raise InputError(
                f"the model returns numbers from {logits.min():.2g} to {logits.max():.2g}, expected logits: "
                "remove its final sigmoid"
            )
    return logits


def check_seed(seed):
    """Refuse a seed that TensorFlow's or numpy's generators would not take; return it as Python's integer.

    Raises:
        InputError: if it is not an integer from 0 to 2^31 - 1.
    """
    seed = plain(seed)
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**31:
        raise InputError(f"seed is {seed!r}, expected an integer from 0 to {2**31 - 1}")
    return seed


def check_batch_size(size):
    """Refuse what is no number of images at a time; return it as Python's integer.

    Raises:
        InputError: if it is not an integer of at least 1.
    """
    size = of_type("batch_size", size, int)
    if size < 1:
        raise InputError(f"batch_size is {size}, expected at least 1")
    return size


def parse_fields(cls, name, text, as_text=()):
    """The fields of a dataclass from what a user types, such as "steps=100,best=true".

    Args:
        cls: the dataclass; a field's default tells its type.
        name: of what it is, for errors.
        text: field=value,...
        as_text: fields that are left as text, for the class to read.

    Raises:
        InputError: for an unknown field, or a value that does not fit.
    """
    known = {field.name: field for field in dataclasses.fields(cls)}
    fields = {}
    for setting in filter(None, text.split(",")):
        field, _, value = setting.partition("=")
        if field not in known:
            expected = f"one of {', '.join(known)}" if known else "none"
            raise InputError(f"{name} has no field {field!r}, expected {expected}")
        default = known[field].default
        try:
            if isinstance(default, bool):
                fields[field] = {"true": True, "false": False}[value.lower()]
            elif isinstance(default, int):
                fields[field] = int(value)
            else:
                fields[field] = value if field in as_text else float(fractions.Fraction(value))
        except (KeyError, ValueError, ZeroDivisionError):
            expected = {bool: "true or false", int: "an integer"}.get(type(default), "a number")
            raise InputError(f"{field} of {name} is {value!r}, expected {expected}") from None
    return fields
