"""Attacks on any callable that returns logits."""

from ..inputs import parse_eps
from .apgd import APGDCE, APGDDLR, APGDT
from .autoattack import AutoAttack
from .base import REGISTRY, Attack, create, parse
from .carlini_wagner import CarliniWagner
from .fab import FABT
from .gradient import BIM, FGSM, MIM, PGD
from .square import Square

__all__ = [
    "APGDCE", "APGDDLR", "APGDT", "BIM", "FABT", "FGSM", "MIM", "PGD", "REGISTRY", "Attack", "AutoAttack",
    "CarliniWagner", "Square", "create", "parse", "parse_eps",
]  # fmt: skip
