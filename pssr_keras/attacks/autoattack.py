"""AutoAttack, version 'standard', Linf: APGD-CE, targeted APGD-DLR, FAB-T and Square in cascade.

Source: Croce and Hein 2020 and its official code. An image counts as robust only if it survives all
four; each attack is tried on the images that survived those before.
"""

import dataclasses
import typing

import numpy as np

from ..inputs import InputError
from .apgd import APGDCE, APGDT
from .base import Attack, register
from .early_exit import MODES, predict
from .fab import FABT
from .square import Square


@dataclasses.dataclass(frozen=True)
class Result:
    """What AutoAttack found.

    Attributes:
        x_adv: adversarial images (B, H, W, C); the clean image where nothing was found.
        robust: {"clean", then each attack: (B,) bool}, which images are still classified correctly once
            that attack was tried; no later entry has an image that an earlier one lacks.
    """

    x_adv: np.ndarray
    robust: dict


@register("autoattack")
@dataclasses.dataclass(frozen=True)
class AutoAttack(Attack):
    """The cascade; `run` also tells which attack broke which image.

    A model of fewer than four classes has no targeted DLR loss. It is refused unless `few_classes` is
    set: then APGD-T is left out, and the result is not AutoAttack 'standard'.

    Attributes:
        mode: "fast" or "strict", see `early_exit`.
        few_classes: accept models of two or three classes, for which APGD-T is left out.

    Raises:
        InputError: for an unknown mode, if `targeted` is set, or when called on a model of fewer than
            four classes without `few_classes`.
    """

    mode: str = "fast"
    few_classes: bool = False

    takes_any_number: typing.ClassVar[bool] = True

    def __post_init__(self):
        super().__post_init__()
        if self.mode not in MODES:
            raise InputError(f"mode is {self.mode!r}, expected one of {', '.join(MODES)}")
        if self.targeted:
            raise InputError("autoattack takes true labels and moves away from them: leave targeted False")

    def parts(self, classes):
        """The attacks of the cascade on a model of so many classes."""
        parts = [attack(self.eps, mode=self.mode) for attack in (APGDCE, APGDT, FABT, Square)]
        if classes >= 4:
            return parts
        if not self.few_classes:
            raise InputError(
                f"autoattack needs at least 4 classes, the model has {classes}: set few_classes=True to "
                "leave out apgd-t, and name the result as not standard"
            )
        return [part for part in parts if part.name != "apgd-t"]

    def attack(self, model, x, y, logits, seed, indices):
        def attack_part(part, rows):
            return part.attack(model, x[rows], y[rows], logits[rows], seed, indices[rows])

        return self.cascade(model, x, y, logits, attack_part).x_adv

    def cascade(self, model, x, y, logits, attack_part):
        """Try each part on the images not yet fooled.

        Args:
            attack_part: function (attack, rows) -> adversarial images of those rows. Whoever caches or
                shows progress does so there.
            logits: of the clean images (B, K).

        Returns:
            `Result`.
        """
        x_adv, robust = x.copy(), {"clean": logits.argmax(axis=-1) == y}
        standing = robust["clean"].copy()
        for part in self.parts(logits.shape[-1]):
            rows = np.flatnonzero(standing)
            if len(rows):
                found = attack_part(part, rows)
                fell = rows[predict(model, found) != y[rows]]
                x_adv[fell] = found[np.searchsorted(rows, fell)]
                standing[fell] = False
            robust[part.name] = standing.copy()
        return Result(x_adv, robust)
