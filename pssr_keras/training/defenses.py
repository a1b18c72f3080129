"""The purifiers that can be trained, by name.

A defense is a Keras model, images -> logits, with a frozen `classifier` and a method `purify`. A further one
is a further room like those in `purifiers`, and a line in `DEFENSES`.
"""

import dataclasses
import typing

from ..inputs import InputError
from ..purifiers.arn import training as arn
from ..purifiers.hardened import training as hardened
from ..settings import ADAPTIVE_ATTACKS, STANDARD_ATTACKS
from . import pssr
from .devices import ONE_DEVICE


@dataclasses.dataclass(frozen=True)
class Defense:
    """How a purifier is trained.

    Attributes:
        train: function (experiment, folder, classifier, train, validation, cache=None, devices=ONE_DEVICE)
            -> the defense; it keeps what it made in the folder as `<name>.keras` and reads it there if it is
            finished. One that trains on one device only does it in `devices.chief_first`, so that other
            workers wait, then read.
        check: function of an experiment that refuses unknown names before any work.
        adaptive_attacks: what an attacker who knows the defense uses where nothing else is asked for.
        stages: the names under which it calls `fitting.fit`, by which the files of its training are known;
            its own name if empty.
        claims_robustness: whether it claims adversarial robustness: then a run ends with an adaptive
            evaluation, too.
    """

    train: typing.Callable
    check: typing.Callable = lambda experiment: None
    adaptive_attacks: tuple[str, ...] = ADAPTIVE_ATTACKS
    stages: tuple[str, ...] = ()
    claims_robustness: bool = False


DEFENSES = {
    "pssr": Defense(pssr.train_pssr, pssr.check_names, stages=("cae",)),
    "arn": Defense(arn.train_arn, arn.check_names),
    "hardened": Defense(
        hardened.train_hardened, hardened.check_names, STANDARD_ATTACKS, claims_robustness=True
    ),
}


def check_defense(experiment):
    """Refuse an unknown defense, and names that it does not know.

    Raises:
        InputError: for either.
    """
    if experiment.defense not in DEFENSES:
        raise InputError(f"defense is {experiment.defense!r}, expected one of {', '.join(DEFENSES)}")
    DEFENSES[experiment.defense].check(experiment)


def train_defense(experiment, folder, classifier, train, validation, cache=None, devices=ONE_DEVICE):
    """Stages 2 and 3: the defense of an experiment around a classifier; see `Defense.train`."""
    train_it = DEFENSES[experiment.defense].train
    return train_it(experiment, folder, classifier, train, validation, cache, devices)
