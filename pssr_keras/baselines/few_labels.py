"""Adversarial training on the few images whose labels are kept: what pseudo-labels are compared with."""

import dataclasses
import typing

import numpy as np

from .adversarial_training import AdversarialTraining
from .base import register
from .labels import kept_rows


@register("few_labels")
@dataclasses.dataclass(frozen=True)
class FewLabels(AdversarialTraining):
    """Adversarial training without the other images: those that are left repeat, for as many steps.

    Attributes:
        labels: see `labels.kept_rows`.
    """

    hides_labels: typing.ClassVar[bool] = True
    labels: int = 4_000  # Uesato et al. 2019, CIFAR-10

    def images(self, train, experiment, folder, teach):
        return train.take(np.resize(kept_rows(train, self.labels), len(train)))
