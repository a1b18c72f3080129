"""BagT: adversarial training with the settings that a comparison of such settings found to matter."""

import dataclasses

import tensorflow as tf

from ..attacks.base import cross_entropy
from ..inputs import InputError
from .base import register
from .early_stopping import EarlyStopping
from .inner import inner_maximization, searched


def smoothed_cross_entropy(y, logits, smoothing):
    """Cross-entropy to 1 - smoothing at the label and smoothing / (K - 1) at every other class: (B,).

    Args:
        y: labels (B,).
        logits: (B, K).
        smoothing: from 0, the plain cross-entropy, to below 1.
    """
    classes = logits.shape[-1]
    off = smoothing / (classes - 1)
    targets = tf.one_hot(y, classes, 1 - smoothing, off, dtype=logits.dtype)
    return tf.nn.softmax_cross_entropy_with_logits(targets, logits)


def bag_of_tricks(logits, x, y, noise, eps, step_size, steps, label_smoothing):
    """The smoothed cross-entropy of images that the plain one attacked, in evaluation mode: (B,).

    The settings of Pang et al. 2021 that concern the loss.

    Args:
        logits: function, images and `training` -> logits; see `base.Objective.loss`.
    """

    def loss(outputs):
        return cross_entropy(y, outputs)

    evaluated = searched(logits, "evaluation")
    x_adv = inner_maximization(loss, evaluated, x, x + eps * noise, eps, step_size, steps)
    return smoothed_cross_entropy(y, logits(x_adv), label_smoothing)


def weight_decay_loss(weights, weight_decay):
    """weight_decay / 2 * |w|_2^2 over all weights, whose gradient is weight_decay * w: a scalar."""
    return weight_decay / 2 * tf.add_n([tf.reduce_sum(tf.square(weight)) for weight in weights])


@register("bag_of_tricks")
@dataclasses.dataclass(frozen=True)
class BagOfTricks(EarlyStopping):
    """See `bag_of_tricks`; schedule and selection are those of `EarlyStopping`.

    Of the published settings it leaves out the smooth activation, so that the network is that of the other
    rows. Weight decay is part of the loss, in place of that of the optimizer.

    Attributes:
        weight_decay: of all trained weights, those of batch normalisation included.
        label_smoothing: share of a label that goes to the other classes.
        search: "evaluation", which is one of the settings.

    Raises:
        InputError: for another search.
    """

    weight_decay: float = 5e-4  # Pang et al. 2021
    label_smoothing: float = 0.2  # Pang et al. 2021, who find more than 0.3 harmful
    search: str = "evaluation"  # Pang et al. 2021

    def __post_init__(self):
        super().__post_init__()
        if self.search != "evaluation":
            raise InputError(
                f"search of bag_of_tricks is {self.search!r}, expected evaluation, as published: leave it out"
            )

    def settings(self, numbers):
        return dataclasses.replace(super().settings(numbers), weight_decay=0.0)

    def loss_of_weights(self, weights):
        return weight_decay_loss(weights, self.weight_decay)

    def loss(self, logits, x, y, noise, inner):
        return bag_of_tricks(logits, x, y, noise, label_smoothing=self.label_smoothing, **inner)
