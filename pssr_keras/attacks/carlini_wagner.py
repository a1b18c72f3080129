"""The attack of Carlini and Wagner in the L2 norm: the smallest perturbation that fools the model.

Source: Carlini and Wagner 2017, "Towards evaluating the robustness of neural networks". Their attack has
no budget. Where a table lists it beside attacks that have one, it may mean two things: that the attack
succeeds at all (no `eps`), or that it succeeds within an L2 budget (`eps`). They differ much: say which.
"""

import dataclasses
import typing

import numpy as np
import tensorflow as tf

from ..inputs import InputError, plain_fields
from .apgd import logit_of
from .base import Attack, is_fooled, logits_loss_gradient
from .names import norms_of, register
from .norms import check_norm, rows

UNREACHED = 1e10  # upper end of c before any success, as in the source


def hinge(y, logits, confidence, targeted):
    """f of the source: max(z_y - max_{j != y} z_j + confidence, 0), its sign turned if `targeted`."""
    is_label = tf.one_hot(y, tf.shape(logits)[-1], on_value=True, off_value=False)
    difference = logit_of(logits, y) - tf.reduce_max(tf.where(is_label, -np.inf, logits), axis=-1)
    return tf.maximum((-difference if targeted else difference) + confidence, 0.0)


@register("cw")
@dataclasses.dataclass(frozen=True)
class CarliniWagner(Attack):
    """Adam on |x' - x|^2 + c f(x') with x' = (tanh w + 1) / 2, and a binary search for c of each image.

    The result is the nearest misclassified image found, or the clean one; with `eps`, only what lies
    within that L2 distance counts.

    Attributes:
        eps: L2 budget, or None for none.
        steps: Adam steps for each c.
        searches: values of c to try.
        learning_rate: of Adam, in tanh space.
        first_c: where the search begins.
        confidence: by how much the wrong logit must lead.

    Raises:
        InputError: if a number is out of range.
    """

    eps: typing.Any = None  # an L2 distance; the budget of others is Linf and never None
    steps: int = 200
    searches: int = 9
    learning_rate: float = 0.05
    first_c: float = 0.01
    confidence: float = 0.0

    norm: str = dataclasses.field(default="L2", kw_only=True)

    def __post_init__(self):
        plain_fields(self, leave=("eps",))
        check_norm(self.norm, norms_of(self), " of cw")
        if self.eps is not None:
            try:
                object.__setattr__(self, "eps", float(self.eps))
            except (TypeError, ValueError):
                raise InputError(f"eps is {self.eps!r}, expected an L2 distance or None") from None
            if not 0 <= self.eps < np.inf:
                raise InputError(f"eps is {self.eps}, expected a finite L2 distance >= 0")
        for name in ("steps", "searches"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}, expected at least 1")
        for name in ("learning_rate", "first_c"):
            if not 0 < getattr(self, name) < np.inf:
                raise InputError(f"{name} is {getattr(self, name)}, expected a positive number")
        if not 0 <= self.confidence < np.inf:
            raise InputError(f"confidence is {self.confidence}, expected a number >= 0")

    def perturb(self, logits, x, y, noise):
        start = tf.atanh((2 * x - 1) * 0.999999)  # not quite 1, where atanh is infinite
        few = tf.zeros_like(y, tf.float32)

        def search(_, c, low, high, nearest, best):
            reached, nearest, best = self.descend(logits, x, y, start, c, nearest, best)
            low, high = (
                tf.where(reached, low, tf.maximum(low, c)),
                tf.where(reached, tf.minimum(high, c), high),
            )
            c = tf.where(high < UNREACHED, (low + high) / 2, c * 10)
            return _ + 1, c, low, high, nearest, best

        first = (few + self.first_c, few, few + UNREACHED, few + np.inf, x)
        *_, nearest, best = tf.while_loop(lambda i, *_: i < self.searches, search, (0, *first))
        if self.eps is None:
            return best
        return tf.where(rows(nearest <= self.eps, x), best, x)

    def descend(self, logits, x, y, start, c, nearest, best):
        """Adam from the image itself for one c of each image.

        Returns:
            Whether each image was misclassified at some step, and the nearest such image so far.
        """
        rate, beta1, beta2, small = self.learning_rate, 0.9, 0.999, 1e-8

        def step(i, w, mean, square, reached, nearest, best):
            moved = {}

            def loss(outputs):
                moved["f"] = hinge(y, outputs, self.confidence, self.targeted)
                return c * moved["f"]

            x_adv = (tf.tanh(w) + 1) / 2
            outputs, _, gradient = logits_loss_gradient(logits, loss, x_adv)
            distance = tf.norm(tf.reshape(x_adv - x, (tf.shape(x)[0], -1)), axis=1)
            # f is 0 on a tie, too, which may still be decided in favour of the label.
            fools = (moved["f"] <= 0) & is_fooled(outputs, y, self.targeted)
            nearer = fools & (distance < nearest)
            nearest, best = tf.where(nearer, distance, nearest), tf.where(rows(nearer, x), x_adv, best)

            # By the chain rule through x' = (tanh w + 1) / 2.
            gradient = (gradient + 2 * (x_adv - x)) * 2 * x_adv * (1 - x_adv)
            mean = beta1 * mean + (1 - beta1) * gradient
            square = beta2 * square + (1 - beta2) * tf.square(gradient)
            turn = tf.cast(i + 1, tf.float32)
            unbiased = tf.sqrt(square / (1 - beta2**turn)) + small
            w -= rate * mean / (1 - beta1**turn) / unbiased
            return i + 1, w, mean, square, reached | fools, nearest, best

        nothing = tf.zeros_like(start)
        never = tf.zeros_like(y, tf.bool)
        *_, reached, nearest, best = tf.while_loop(
            lambda i, *_: i <= self.steps, step, (0, start, nothing, nothing, never, nearest, best)
        )
        return reached, nearest, best
