"""Adversarial training: the cross-entropy of attacked images."""

import dataclasses

from ..attacks.base import cross_entropy
from .base import Objective, register
from .inner import check_search, inner_maximization, searched


def adversarial_training(logits, x, y, noise, eps, step_size, steps, search="training"):
    """max over the eps-ball of the cross-entropy, by PGD from a random start (Madry et al. 2018): (B,).

    Args:
        logits: function, images and `training` -> logits; see `base.Objective.loss`.
        search: see `AdversarialTraining`.
    """

    def loss(outputs):
        return cross_entropy(y, outputs)

    attacker = searched(logits, search)
    return loss(logits(inner_maximization(loss, attacker, x, x + eps * noise, eps, step_size, steps)))


@register("adversarial_training")
@dataclasses.dataclass(frozen=True)
class AdversarialTraining(Objective):
    """See `adversarial_training`.

    Attributes:
        search: the mode of the classifier while images are attacked, "training" or "evaluation"; it matters
            to batch normalisation and dropout.

    Raises:
        InputError: for another search.
    """

    search: str = "training"  # as the code of Madry et al. 2018 for CIFAR-10, and that of Rice et al. 2020

    def __post_init__(self):
        check_search(self.search)

    def loss(self, logits, x, y, noise, inner):
        return adversarial_training(logits, x, y, noise, search=self.search, **inner)
