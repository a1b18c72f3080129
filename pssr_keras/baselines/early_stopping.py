"""RO: adversarial training that ends where robustness on held-out images was best."""

import dataclasses

from .adversarial_training import AdversarialTraining
from .base import register


@register("early_stopping")
@dataclasses.dataclass(frozen=True)
class EarlyStopping(AdversarialTraining):
    """Adversarial training with a rate that falls in steps; the epoch is chosen by PGD on held-out images.

    Robustness on the training images goes on rising after the first fall of the rate, while that on others
    soon sinks (Rice et al. 2020). Their code selects on the test images; here they are validation images.
    The loss is that of `adversarial_training`. Where the last epoch is as good as the best one, training was
    too short to overfit, and this is adversarial training under another schedule.
    """

    selects = True

    def settings(self, numbers):
        return dataclasses.replace(numbers, schedule="steps")
