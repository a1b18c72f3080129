"""TRADES: cross-entropy of clean images, and how far an attack moves the answer away from theirs."""

import dataclasses

import tensorflow as tf

from ..attacks.base import cross_entropy
from ..losses import kl_divergence
from .base import Objective, register
from .inner import inner_maximization, searched


def trades(logits, x, y, noise, eps, step_size, steps, one_over_lambda, start):
    """l(x, y) + (1 / lambda) max over the eps-ball of KL(F(x) || F(x')) (Zhang et al. 2019): (B,).

    The search begins up to `start` away from x, in their code a thousandth: at x the divergence is flat.
    As in their code it runs in evaluation mode, so it leaves the statistics of batch normalisation alone.

    Args:
        logits: function, images and `training` -> logits; see `base.Objective.loss`.
    """
    evaluated = searched(logits, "evaluation")
    fixed = tf.stop_gradient(evaluated(x))

    def divergence(outputs):
        return kl_divergence(fixed, outputs)

    x_adv = inner_maximization(divergence, evaluated, x, x + start * noise, eps, step_size, steps)
    clean = logits(x)
    return cross_entropy(y, clean) + one_over_lambda * kl_divergence(clean, logits(x_adv))


@register("trades")
@dataclasses.dataclass(frozen=True)
class TRADES(Objective):
    """See `trades`.

    Attributes:
        one_over_lambda: weight of the divergence.
        start: how far from the image the search begins, in units of the pixel range; beyond eps, it begins
            at the border. A search of one step needs all of eps: so near to the image, where the divergence
            is flat, its direction is chance, and the network learns to be robust against that.
    """

    one_over_lambda: float = 6.0  # Table 1
    start: float = 0.001  # as in the code of Zhang et al. 2019

    def loss(self, logits, x, y, noise, inner):
        return trades(logits, x, y, noise, one_over_lambda=self.one_over_lambda, start=self.start, **inner)
