"""The names by which a user changes the numbers of an experiment, and what they were called before."""

import dataclasses
import difflib
import fractions
import re
import types
import typing

from .inputs import InputError
from .settings import Experiment, OwnSettings, flat


def _types(cls, prefix=""):
    """{dotted name: type} of all numbers of an experiment."""
    found = {}
    for name, kind in typing.get_type_hints(cls).items():
        found |= _types(kind, f"{prefix}{name}.") if dataclasses.is_dataclass(kind) else {prefix + name: kind}
    return found


TYPES = _types(Experiment)
SET_BY_OPTION = {
    "dataset": "--dataset",
    "preset": "--preset",
    "seed": "--seed",
    "data.source": "--source",
    "data.exclude_bundled": "--exclude-bundled",
    "classifier.architecture": "--classifier, a file of your own",
    **dict.fromkeys((f"own.{field.name}" for field in dataclasses.fields(OwnSettings)), "--data"),
}

# What a number was called while all of them stood in one list.
FORMER_NAMES = {
    "classifier": "classifier.architecture",
    "classifier_epochs": "classifier.epochs",
    "classifier_batch_size": "classifier.batch_size",
    "classifier_learning_rate": "classifier.learning_rate",
    "training_attacks": "attack.training",
    "evaluation_attacks": "attack.evaluation",
    "attack_labels": "attack.labels",
    "surgery": "surgery.enabled",
    "cae_copies": "cae.copies",
    "cae_epochs": "cae.epochs",
    "cae_batch_size": "cae.batch_size",
}
# What became a field of something else, and how to say it now.
REPLACED = {
    "augment_shift": "classifier.augmentation=shift:{}",
    "cae_shift": "cae.augmentation=shift:{}",
    "one_over_lambda": "classifier.objective=trades:one_over_lambda={}",
    "gradient_penalty": "classifier.objective=gradient_regularisation:penalty={}",
}


def full_name(name, typed=None):
    """The dotted name of a number, from that name, from its last part if no other number has it, or from
    a former name.

    Args:
        name: the name.
        typed: what a user typed, for errors; the name itself if None.

    Raises:
        InputError: for an unknown or ambiguous name.
    """
    typed = name if typed is None else typed
    name = FORMER_NAMES.get(name, name)
    if name in TYPES:
        return name
    found = [known for known in TYPES if known.rpartition(".")[2] == name]
    # What was clear before there was this group stays clear: where both have a name, its own is the full one.
    found = [known for known in found if not known.startswith("hardened.")] or found
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"the setting {typed!r} is ambiguous, expected one of {', '.join(found)}")
    near = {full: max(likeness(name, full), likeness(name, full.rpartition(".")[2])) for full in TYPES}
    nearest = sorted((full for full in near if near[full] > 0.6), key=lambda full: (-near[full], full))[:5]
    expected = f"one such as {', '.join(nearest)}" if nearest else f"one of {', '.join(sorted(TYPES))}"
    raise InputError(f"unknown setting {typed!r}, expected NAME=VALUE with {expected}")


def likeness(first, second):
    """How alike two names are, from 0 to 1."""
    return difflib.SequenceMatcher(None, first, second).ratio()


def parse_value(name, text):
    """The value of a number from what a user types.

    Raises:
        InputError: if it has not the type of the number.
    """
    kind = TYPES[name]
    if isinstance(kind, types.UnionType):
        kind = next(part for part in typing.get_args(kind) if part is not types.NoneType)
    try:
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        if typing.get_origin(kind) is tuple:
            return tuple(re.split(r",(?![^:,]*=)", text))  # not where a field of an attack begins
        return float(fractions.Fraction(text)) if kind is float else kind(text)
    except (KeyError, ValueError, ZeroDivisionError):
        expected = {bool: "true or false", int: "an integer", float: "a number such as 0.3 or 8/255"}
        raise InputError(f"{name} is {text!r}, expected {expected[kind]}") from None


def parse_changes(texts, allowed=()):
    """Changes to an experiment from texts such as "cae.epochs=5" or "score=signed": {dotted name: value}.

    Args:
        texts: what a user typed.
        allowed: numbers that have an option, and may be changed so all the same.

    Raises:
        InputError: for an unknown or ambiguous name, or a value of another type.
    """
    changes = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if name in REPLACED:
            raise InputError(f"{name} is no setting of its own any more: type {REPLACED[name].format(value)}")
        if not equals:
            raise InputError(f"unknown setting {text!r}, expected NAME=VALUE")
        name = full_name(name, text)
        if name in SET_BY_OPTION and name not in allowed:
            raise InputError(f"{name} is not changed by --set {text}: use the option {SET_BY_OPTION[name]}")
        changes[name] = parse_value(name, value)
    return changes


def changed(experiment, changes):
    """An experiment with some of its numbers changed, {name: value}; see `full_name`."""
    own, sections = {}, {}
    for name, value in changes.items():
        section, dot, field = full_name(name).rpartition(".")
        if dot:
            sections.setdefault(section, {})[field] = value
        else:
            own[field] = value
    for section, fields in sections.items():
        own[section] = dataclasses.replace(getattr(experiment, section), **fields)
    return dataclasses.replace(experiment, **own)


def from_record(content):
    """{dotted name: value} from the record of an experiment, also of one from before the numbers had groups.

    Names that mean nothing here stay as they are.
    """
    if any(isinstance(value, dict) for value in content.values()):
        return flat(content)
    found = {}
    for name, value in content.items():
        if name in REPLACED:
            setting, _, text = REPLACED[name].partition("=")
            if setting != "classifier.objective" or content.get("objective", "") == text.partition(":")[0]:
                found[setting] = text.format(value)
            continue
        try:
            found.setdefault(full_name(name), value)
        except InputError:
            found[name] = value
    return found
