"""Adversarial training: the cross-entropy of attacked images."""

import dataclasses

from ..attacks.base import cross_entropy
from .base import Objective, register
from .inner import worst_images


def adversarial_training(logits, x, y, noise, eps, step_size, steps):
    """max over the eps-ball of the cross-entropy, by PGD from a random start (Madry et al. 2018): (B,)."""

    def loss(outputs):
        return cross_entropy(y, outputs)

    return loss(logits(worst_images(loss, logits, x, x + eps * noise, eps, step_size, steps)))


@register("adversarial_training")
@dataclasses.dataclass(frozen=True)
class AdversarialTraining(Objective):
    """See `adversarial_training`."""

    def loss(self, logits, x, y, noise, inner):
        return adversarial_training(logits, x, y, noise, **inner)
