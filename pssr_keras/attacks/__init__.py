"""Attacks on any callable that returns logits."""

from ..inputs import parse_eps
from .apgd import APGDCE, APGDDLR, APGDT
from .autoattack import AutoAttack
from .base import Attack
from .carlini_wagner import CarliniWagner
from .compiled import clear_compiled
from .fab import FAB, FABT
from .gradient import BIM, FGSM, MIM, PGD
from .hop_skip_jump import HopSkipJump
from .names import REGISTRY, create, file_name, names_of, parse
from .square import Square

__all__ = [
    "APGDCE", "APGDDLR", "APGDT", "BIM", "FAB", "FABT", "FGSM", "MIM", "PGD", "REGISTRY", "Attack",
    "AutoAttack", "CarliniWagner", "HopSkipJump", "Square", "clear_compiled", "create", "file_name",
    "names_of", "parse", "parse_eps",
]  # fmt: skip
