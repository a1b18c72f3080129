"""Attacks on any callable that returns logits."""

from ..inputs import parse_eps
from .base import REGISTRY, Attack, create
from .gradient import BIM, FGSM, MIM, PGD

__all__ = ["BIM", "FGSM", "MIM", "PGD", "REGISTRY", "Attack", "create", "parse_eps"]
