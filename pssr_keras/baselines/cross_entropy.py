"""The undefended row: cross-entropy on clean images."""

import dataclasses

import keras

from .base import Objective, register


@register("cross_entropy")
@dataclasses.dataclass(frozen=True)
class CrossEntropy(Objective):
    """The classifier is trained as it is, by Keras' own loop."""

    def model(self, classifier, robust, eps, steps):
        return classifier

    def compile(self, model, optimizer):
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        accuracy = keras.metrics.SparseCategoricalAccuracy("accuracy")
        model.compile(optimizer, loss, metrics=[accuracy], jit_compile=False)

    @property
    def takes_noise(self):
        return False
