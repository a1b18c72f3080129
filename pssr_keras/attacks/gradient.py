"""FGSM, BIM, MIM and PGD in the Linf norm, on the steps of cleverhans.

Where PSSR is silent about the steps, we take 40 steps of 0.01 for PGD (Madry et al. 2017), and 10
steps of 0.2 eps for BIM and MIM (the defaults of cleverhans' MIM: 0.06 at eps 0.3).
"""

import dataclasses
import typing

import numpy as np
import tensorflow as tf
from cleverhans.tf2.attacks.fast_gradient_method import fast_gradient_method
from cleverhans.tf2.attacks.momentum_iterative_method import momentum_iterative_method

from ..inputs import InputError
from .base import Attack, ball, cross_entropy, project, register


def sign_step(logits, x, y, size, targeted):
    """One step of `size` along the sign of the loss's gradient, not yet projected.

    x + size * sign(dL/dx), with L the cross-entropy; towards the label y if `targeted`.
    """
    return fast_gradient_method(logits, x, size, np.inf, loss_fn=cross_entropy, y=y, targeted=targeted)


@register("fgsm")
@dataclasses.dataclass(frozen=True)
class FGSM(Attack):
    """Fast gradient sign method: one step of size eps. Source: Goodfellow et al. 2015."""

    def perturb(self, logits, x, y, noise):
        return project(sign_step(logits, x, y, self.eps, self.targeted), ball(x, self.eps))


@dataclasses.dataclass(frozen=True)
class IterativeAttack(Attack):
    """Several steps, each followed by a projection onto the eps-ball and onto [0, 1].

    Attributes:
        steps: number of steps.
        step_size: length of one step in pixel units; None takes `relative_step_size` * eps.

    Raises:
        InputError: if steps < 1, or if the step size is negative.
    """

    steps: int = 10
    step_size: float | None = None

    relative_step_size: typing.ClassVar[float] = 0.2

    def __post_init__(self):
        super().__post_init__()
        if self.steps < 1:
            raise InputError(f"steps is {self.steps}, expected at least 1")
        if self.step_size is None:
            object.__setattr__(self, "step_size", self.relative_step_size * self.eps)
        if not self.step_size >= 0:
            raise InputError(f"step_size is {self.step_size}, expected a number >= 0")

    def ascend(self, logits, start, x, y):
        """`steps` projected sign steps from the projection of `start`."""

        bounds = ball(x, self.eps)

        def step(i, x_adv):
            x_adv = sign_step(logits, x_adv, y, self.step_size, self.targeted)
            return i + 1, project(x_adv, bounds)

        _, x_adv = tf.while_loop(lambda i, _: i < self.steps, step, (0, project(start, bounds)))
        return x_adv


@register("bim")
@dataclasses.dataclass(frozen=True)
class BIM(IterativeAttack):
    """Basic iterative method: sign steps from the image itself. Source: Kurakin et al. 2016."""

    def perturb(self, logits, x, y, noise):
        return self.ascend(logits, x, x, y)


@register("pgd")
@dataclasses.dataclass(frozen=True)
class PGD(IterativeAttack):
    """Projected gradient descent: BIM from a random point of the eps-ball; the last iterate.

    Source: Madry et al. 2017.
    """

    steps: int = 40

    relative_step_size: typing.ClassVar[float] = 1 / 30
    randomized: typing.ClassVar[bool] = True

    def perturb(self, logits, x, y, noise):
        return self.ascend(logits, x + self.eps * noise, x, y)


@register("mim")
@dataclasses.dataclass(frozen=True)
class MIM(IterativeAttack):
    """Momentum iterative method: sign steps along accumulated gradients. Source: Dong et al. 2018.

    Attributes:
        momentum: decay of the accumulated gradient, 1 in the source.
    """

    momentum: float = 1.0

    def perturb(self, logits, x, y, noise):
        x_adv = momentum_iterative_method(
            logits,
            x,
            self.eps,
            self.step_size,
            self.steps,
            np.inf,
            y=y,
            targeted=self.targeted,
            decay_factor=self.momentum,
            sanity_checks=False,
            clip_min=0.0,
            clip_max=1.0,
        )
        return project(x_adv, ball(x, self.eps))
