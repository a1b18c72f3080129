"""The names of attacks: those that users type, and those of columns and files."""

import dataclasses
import re
import typing

import numpy as np

from ..inputs import InputError, parse_fields
from .norms import check_norm

REGISTRY: dict[str, type] = {}  # classes of `base.Attack`
TEXTS = ("eps", "mode", "norm", "version")  # fields that an attack itself reads from text


def register(name):
    """Class decorator: make an attack known under the name that a user types."""

    def decorate(cls):
        cls.name = name
        REGISTRY[name] = cls
        return cls

    return decorate


def create(name: str, **fields: typing.Any) -> typing.Any:
    """The attack registered as `name`, for instance create("pgd", eps="8/255").

    Raises:
        InputError: if the name is not registered.
    """
    if name not in REGISTRY:
        raise InputError(f"unknown attack {name!r}, expected one of {', '.join(REGISTRY)}")
    return REGISTRY[name](**fields)


def parse(text: str, eps: float | str | None = None, norm: str = "Linf") -> typing.Any:
    """An attack from what a user types: a name, or a name with fields.

        "pgd"    "pgd:steps=100,restarts=5,best=true"    "pgd:norm=L2,eps=0.5"    "cw:eps=2"

    Args:
        text: name[:field=value,...].
        eps, norm: the budget and its norm, unless the text gives them. Where the text gives another norm, it
            gives the budget, too. An attack that lacks the norm and needs no budget, such as cw in Linf, has
            its own and takes neither.

    Raises:
        InputError: for an unknown attack or field, or a value that does not fit.
    """
    name, _, settings = text.partition(":")
    if name not in REGISTRY:
        create(name)  # refuses it
    cls = REGISTRY[name]
    fields = parse_fields(cls, name, settings, as_text=TEXTS)
    known = {field.name: field for field in dataclasses.fields(cls)}
    if norm not in norms_of(cls) and known["eps"].default is None:
        return cls(**fields)
    if fields.get("norm", norm) != norm and "eps" not in fields:
        check_norm(fields["norm"], norms_of(cls), f" of {name}")
        raise InputError(f"{text} has no budget in {fields['norm']}: add it, as in {text},eps=0.5")
    given = {"eps": eps, "norm": norm} if "norm" in known else {"eps": eps}
    return cls(**given | fields)


def norms_of(attack):
    """The names of the norms that an attack, or a class of attacks, knows."""
    cls = attack if isinstance(attack, type) else type(attack)
    return cls.norms or (cls.norm,)


def names_of(attacks: typing.Iterable[typing.Any]) -> list[str]:
    """A name for each attack, as a user types it: with the fields in which those of one class differ.

    [FGSM(0.1), PGD(0.1, steps=5), PGD(0.1, steps=40)] are "fgsm", "pgd:steps=5" and "pgd:steps=40".

    Raises:
        InputError: if an attack is there twice.
    """
    configs, names = [attack.get_config() for attack in attacks], []
    for attack, config in zip(attacks, configs, strict=True):
        alike = [other for other in configs if other["attack"] == config["attack"]]
        if alike.count(config) > 1:
            raise InputError(f"{attack.name} is there twice with the same fields: name each attack once")
        differing = [
            f"{name}={_typed(value)}"
            for name, value in attack.typed().items()
            if value is not None and any(other.get(name) != config.get(name) for other in alike)
        ]
        names.append(f"{attack.name}:{','.join(differing)}" if differing else attack.name)
    return names


def file_name(name: str) -> str:
    """One of `names_of` as a part of the name of a file."""
    return re.sub(r"[^\w.=,-]+", "-", name)


def _typed(value):
    """A field as a user types it: true, 40, 0.3, or 8/255 where the decimals have no end."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, float):
        return str(value)
    if len(f"{value:g}") <= len("0.125") or not np.isclose(255 * value, np.round(255 * value, 3), rtol=1e-9):
        return f"{value!r}" if float(f"{value:g}") != value else f"{value:g}"
    return f"{np.round(255 * value, 3):g}/255"
