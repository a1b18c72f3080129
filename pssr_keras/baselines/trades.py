"""TRADES: cross-entropy of clean images, and how far an attack moves the answer away from theirs."""

import dataclasses

import tensorflow as tf

from ..attacks.base import cross_entropy
from ..losses import kl_divergence
from .base import Objective, register
from .inner import worst_images


def trades(logits, x, y, noise, eps, step_size, steps, one_over_lambda):
    """l(x, y) + (1 / lambda) max over the eps-ball of KL(F(x) || F(x')) (Zhang et al. 2019): (B,).

    The search begins a thousandth away from x, as in their code: at x itself the divergence is flat.
    """
    clean = logits(x)
    fixed = tf.stop_gradient(clean)

    def divergence(outputs):
        return kl_divergence(fixed, outputs)

    x_adv = worst_images(divergence, logits, x, x + 0.001 * noise, eps, step_size, steps)
    return cross_entropy(y, clean) + one_over_lambda * kl_divergence(clean, logits(x_adv))


@register("trades")
@dataclasses.dataclass(frozen=True)
class TRADES(Objective):
    """See `trades`.

    Attributes:
        one_over_lambda: weight of the divergence.
    """

    one_over_lambda: float = 6.0  # paper, Table 1, TRADES

    def loss(self, logits, x, y, noise, inner):
        return trades(logits, x, y, noise, one_over_lambda=self.one_over_lambda, **inner)
