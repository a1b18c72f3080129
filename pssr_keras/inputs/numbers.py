"""The numbers that a user gives: seeds, budgets, and the fields of whatever is configured."""

import dataclasses
import fractions
import math
import types
import typing

import numpy as np


class InputError(ValueError):
    """Something the user gave and can mend; the scripts print it as one line, without a traceback."""

    # Says to Keras that all is said: it would wrap an error of a model's `call` in many lines.
    _keras_call_info_injected = True


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
    found = value if isinstance(value, kind) else kind(value)  # a float of a class of its own stays one
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


def parse_eps(text: float | str, largest: float = 1.0) -> float:
    """A perturbation budget in pixel units of [0, 1], from 0.3, "0.3" or "8/255".

    Args:
        text: the budget.
        largest: the largest one that makes sense: 1 in Linf, which is the range of a pixel, infinity in L2
            and L1, which count over all pixels.

    Raises:
        InputError: if it is not a number, or is outside [0, largest].
    """
    text = plain(text)
    try:
        eps = _as_type(text, float)
    except BAD_NUMBER:
        raise InputError(f"eps is {text!r}, expected a number such as 0.3 or 8/255") from None
    if not 0 <= eps <= largest:
        if largest != 1:
            raise InputError(f"eps is {text!r}, expected a number >= 0")
        levels = f": {eps:g} of 255 levels are {eps:g}/255" if 1 < eps <= 255 else ""
        raise InputError(f"eps is {text!r}, expected a number from 0 to 1, the range of a pixel{levels}")
    return float(eps)


def check_seed(seed):
    """Refuse a seed that TensorFlow's or numpy's generators would not take; return it as an int.

    Raises:
        InputError: if it is not an integer from 0 to 2^31 - 1.
    """
    return check_integer("seed", seed, 0, f"an integer from 0 to {2**31 - 1}")


def check_integer(name, value, least, expected=None):
    """Refuse a number that is no integer, is under `least` or over 2^31 - 1; return it as an int.

    Raises:
        InputError: if it is; it says `expected`, or else an integer >= least.
    """
    given, value = value, plain(value)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**31:
        raise InputError(f"{name} is {given!r}, expected {expected or f'an integer >= {least}'}")
    return value


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
