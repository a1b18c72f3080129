"""AutoAttack: a cascade of attacks, in its versions 'standard', 'plus' and 'rand', in Linf, L2 and L1.

Source: Croce and Hein 2020 and 2021, and the official code. An image counts as robust only if it survives
all attacks; each is tried on the images that survived those before.

    standard    apgd-ce, apgd-t, fab-t, square, once each. In L1 apgd-ce has 5 restarts and apgd-t 5 targets
                instead of 9, and both begin in a larger ball.
    plus        apgd-ce, apgd-dlr and fab with 5 restarts, square, apgd-t, fab-t
    rand        apgd-ce and apgd-dlr along the mean gradient of 20 passes, for models that answer at random
"""

import dataclasses
import typing

import numpy as np

from ..inputs import InputError
from .base import Attack
from .early_exit import MODES, predict
from .names import create, register

VERSIONS: dict[str, dict[str, dict]] = {
    "standard": {"apgd-ce": {}, "apgd-t": {}, "fab-t": {}, "square": {}},
    "plus": {
        "apgd-ce": {"restarts": 5, "schedule": False},
        "apgd-dlr": {"restarts": 5, "schedule": False},
        "fab": {"restarts": 5},
        "square": {},
        "apgd-t": {"schedule": False},
        "fab-t": {},
    },
    "rand": {
        "apgd-ce": {"eot": 20, "schedule": False},
        "apgd-dlr": {"eot": 20, "schedule": False},
    },
}
STANDARD_L1 = VERSIONS["standard"] | {"apgd-ce": {"restarts": 5}, "apgd-t": {"target_classes": 5}}
LEAST_CLASSES = {"apgd-t": 4, "apgd-dlr": 3}  # for which the losses are defined


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

    A model of fewer than four classes has no targeted DLR loss, one of two no DLR loss at all. It is refused
    unless `few_classes` is set: then the attacks on that loss are left out, and the result is not AutoAttack.

    Attributes:
        mode: "fast" or "strict", see `early_exit`.
        few_classes: accept models of two or three classes, see above.
        version: "standard", "plus" or "rand", see the head of this module.

    Raises:
        InputError: for an unknown mode or version, if `targeted` is set, or when called on a model of too
            few classes without `few_classes`.
    """

    mode: str = "fast"
    few_classes: bool = False
    version: str = dataclasses.field(default="standard", kw_only=True)

    takes_any_number: typing.ClassVar[bool] = True
    norms: typing.ClassVar[tuple[str, ...]] = ("Linf", "L2", "L1")
    younger: typing.ClassVar[tuple[str, ...]] = ("version",)

    def __post_init__(self):
        super().__post_init__()
        for name, known in (("mode", MODES), ("version", VERSIONS)):
            if getattr(self, name) not in known:
                raise InputError(f"{name} is {getattr(self, name)!r}, expected one of {', '.join(known)}")
        if self.targeted:
            raise InputError("autoattack takes true labels and moves away from them: leave targeted False")

    def parts(self, classes):
        """The attacks of the cascade on a model of so many classes."""
        chosen = VERSIONS[self.version]
        if self.version == "standard" and self.norm == "L1":
            chosen = STANDARD_L1
        left_out = [name for name in chosen if LEAST_CLASSES.get(name, 0) > classes]
        if left_out and not self.few_classes:
            least = max(LEAST_CLASSES[name] for name in chosen if name in LEAST_CLASSES)
            raise InputError(
                f"autoattack needs at least {least} classes, the model has {classes}: set few_classes=True "
                f"to leave out {' and '.join(left_out)}, and name the result as not {self.version}"
            )
        return [
            create(name, eps=self.eps, norm=self.norm, mode=self.mode, **fields)
            for name, fields in chosen.items()
            if name not in left_out
        ]

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
