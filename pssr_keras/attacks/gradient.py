"""FGSM, BIM, MIM and PGD, on the steps of cleverhans; of the L1 norm see `norms.L1.step`.

Where PSSR is silent about the steps, we take in Linf 40 steps of 0.01 for PGD (Madry et al. 2017), and 10
steps of 0.2 eps for BIM and MIM (the defaults of cleverhans' MIM: 0.06 at eps 0.3). These lengths stay
for more steps. Fewer of them would not reach across the ball, so fewer are longer: 2.5 eps / steps. So it is
in L2 and L1, where nothing is published for PSSR, down to eps / 8 for 20 steps and more: on LeNet5 the 40
steps of PGD leave fewer images at eps / 8 to eps / 4 than at eps / 16.
"""

import dataclasses
import math
import typing

import numpy as np
import tensorflow as tf
from cleverhans.tf2.attacks.momentum_iterative_method import momentum_iterative_method

from ..inputs import InputError, check_attacked
from .base import (
    Attack,
    compiled_logits,
    cross_entropy,
    gradient_in_loop,
    is_fooled,
    logits_loss_gradient,
    noise_of,
    precise_cross_entropy,
)
from .finite_gradient import refuse_bad_gradients, with_finite_gradient
from .names import register
from .norms import NORMS, rows, total

REACH = 2.5  # of few steps together, in units of eps: across the ball, which takes 2, and a little back
LEAST_STEP = 1 / 8  # in L2 and L1, in units of eps


class DefaultStep(float):
    """A step size that nobody typed: a copy with another eps or other steps gets a new one."""


def raised(y, logits, targeted):
    """What an attack raises, of each image (B,): the cross-entropy, or its negative if `targeted`."""
    return -cross_entropy(y, logits) if targeted else cross_entropy(y, logits)


def steepest_step(logits, x, y, size, targeted=False, differentiate=logits_loss_gradient, norm="Linf"):
    """One step of `size` that raises the loss most, to first order; not yet projected.

    x + size * sign(dL/dx) in Linf, with L the cross-entropy, and along the gradient itself in L2, see
    `norms`; towards the label y if `targeted`. Within a loop, `differentiate` is `gradient_in_loop`.

    Returns:
        The moved images, and the logits and the loss (B,) of the images before the step; see `raised`.
    """

    outputs, value, gradient = differentiate(logits, lambda outputs: raised(y, outputs, targeted), x)
    return x + NORMS[norm].step(gradient, x, size), outputs, value


@register("fgsm")
@dataclasses.dataclass(frozen=True)
class FGSM(Attack):
    """Fast gradient sign method: one step of size eps. Source: Goodfellow et al. 2015.

    In L2 and L1, where it takes no signs, it is known as fast gradient method (FGM).
    """

    norms: typing.ClassVar[tuple[str, ...]] = tuple(NORMS)
    scalars: typing.ClassVar[tuple[str, ...]] = ("eps",)

    def perturb(self, logits, x, y, noise):
        x_adv, _, _ = steepest_step(logits, x, y, self.eps, self.targeted, norm=self.norm)
        return NORMS[self.norm].projection(x, self.eps)(x_adv)


@dataclasses.dataclass(frozen=True)
class IterativeAttack(Attack):
    """Several steps, each followed by a projection onto the eps-ball and onto [0, 1].

    Attributes:
        steps: number of steps.
        step_size: length of one step in the norm, in pixel units. None takes in Linf `relative_step_size` *
            eps for `usual_steps` and more, in L2 and L1 eps / 8 for 20 and more, and otherwise 2.5 eps /
            steps, but never more than 2 eps, which crosses the ball. A copy of the attack
            (`dataclasses.replace`) with another eps, norm or other steps takes its own.

    Raises:
        InputError: if steps < 1, or if the step size is not positive.
    """

    steps: int = 10
    step_size: float | None = None

    usual_steps: typing.ClassVar[int] = 10
    relative_step_size: typing.ClassVar[float] = 0.2
    norms: typing.ClassVar[tuple[str, ...]] = tuple(NORMS)
    scalars: typing.ClassVar[tuple[str, ...]] = ("eps", "steps", "step_size")

    def __post_init__(self):
        super().__post_init__()
        if self.steps < 1:
            raise InputError(f"steps is {self.steps}, expected at least 1")
        object.__setattr__(self, "step_size", self.resolved_step_size())
        if not (0 < self.step_size < np.inf or self.step_size == self.eps == 0):
            raise InputError(f"step_size is {self.step_size}, expected a number > 0: no step is no attack")

    def resolved_step_size(self):
        """The length of one step, derived from eps and steps unless the user chose it."""
        if self.step_size is not None and not isinstance(self.step_size, DefaultStep):
            try:
                return float(self.step_size)
            except (TypeError, ValueError):
                raise InputError(f"step_size is {self.step_size!r}, expected a number > 0") from None
        least = self.relative_step_size if self.norm == "Linf" else LEAST_STEP
        usual = self.usual_steps if self.norm == "Linf" else REACH / LEAST_STEP
        if self.steps >= usual:
            return DefaultStep(least * self.eps)
        return DefaultStep(min(REACH / self.steps, 2.0) * self.eps)

    def typed(self):
        fields = super().typed()
        return fields | {"step_size": None if isinstance(self.step_size, DefaultStep) else self.step_size}

    def ascend(self, logits, start, x, y):
        """`steps` projected steps from the projection of `start`: the last iterate."""
        project = NORMS[self.norm].projection(x, self.eps)

        def step(i, x_adv):
            x_adv, _, _ = self.steepest_step(logits, x_adv, y)
            return i + 1, project(x_adv)

        _, x_adv = tf.while_loop(lambda i, _: i < self.steps, step, (0, project(start)))
        return x_adv

    def steepest_step(self, logits, x, y):
        return steepest_step(logits, x, y, self.step_size, self.targeted, gradient_in_loop, self.norm)


@register("bim")
@dataclasses.dataclass(frozen=True)
class BIM(IterativeAttack):
    """Basic iterative method: steps from the image itself. Source: Kurakin et al. 2016."""

    def perturb(self, logits, x, y, noise):
        return self.ascend(logits, x, x, y)


@register("pgd")
@dataclasses.dataclass(frozen=True)
class PGD(IterativeAttack):
    """Projected gradient descent: BIM from a random point of the eps-ball.

    Source: Madry et al. 2017, who take the last iterate. An attacker who may query what he attacks
    loses nothing by keeping the best one, so adaptive attacks set `best` and several `restarts`.

    Attributes:
        restarts: number of random starts; more than one needs `best`.
        best: keep the best iterate of all starts, a misclassified one before others and among those
            the one of highest loss; otherwise the last iterate. It stops when every image has fallen. The
            clean image counts, too, where no iterate is misclassified: the result is no milder than it.

    Raises:
        InputError: if restarts < 1, or if there are several and `best` is not set.
    """

    steps: int = 40
    restarts: int = 1
    best: bool = False

    usual_steps: typing.ClassVar[int] = 40
    relative_step_size: typing.ClassVar[float] = 1 / 30

    def __post_init__(self):
        super().__post_init__()
        if self.restarts < 1:
            raise InputError(f"restarts is {self.restarts}, expected at least 1")
        if self.restarts > 1 and not self.best:
            raise InputError(f"restarts is {self.restarts}: set best=True to keep the best of several starts")

    @property
    def draws(self):
        return self.restarts

    def perturb(self, logits, x, y, noise):
        start = NORMS[self.norm].start
        if not self.best:
            return self.ascend(logits, start(x, self.eps, noise[0]), x, y)
        best = (x, tf.fill(tf.shape(y), -np.inf), tf.zeros_like(y, tf.bool))

        def start_again(i, best):
            """Another start for the images not yet fooled."""
            rest = tf.where(~best[2])
            x_rest, y_rest, noise_rest = (tf.gather_nd(part, rest) for part in (x, y, noise[i]))
            found = self.ascend_keeping(
                logits,
                start(x_rest, self.eps, noise_rest),
                x_rest,
                y_rest,
                tuple(tf.gather_nd(part, rest) for part in best),
            )
            put = tf.tensor_scatter_nd_update
            return i + 1, tuple(put(old, rest, new) for old, new in zip(best, found, strict=True))

        x_adv, loss, fooled = tf.while_loop(
            lambda i, best: (i < self.restarts) & ~tf.reduce_all(best[2]), start_again, (0, best)
        )[1]
        clean = logits(x)
        worse = is_fooled(clean, y, self.targeted) | (raised(y, clean, self.targeted) > loss)
        return tf.where(rows(~fooled & worse, x), x, x_adv)

    def ascend_keeping(self, logits, start, x, y, best):
        """As `ascend`, but returns the best iterate so far: images, their losses, whether they fool."""
        project = NORMS[self.norm].projection(x, self.eps)

        def step(i, x_adv, best):
            stepped, outputs, loss = self.steepest_step(logits, x_adv, y)
            fooled = is_fooled(outputs, y, self.targeted)
            best_x, best_loss, best_fooled = best
            better = (fooled & ~best_fooled) | ((fooled == best_fooled) & (loss > best_loss))
            best = (
                tf.where(rows(better, x), x_adv, best_x),
                tf.where(better, loss, best_loss),
                fooled | best_fooled,
            )
            return i + 1, project(stepped), best

        # One round more than steps, for each round judges the iterate of the round before.
        return tf.while_loop(
            lambda i, _, best: (i <= self.steps) & ~tf.reduce_all(best[2]),
            step,
            (0, project(start), best),
        )[2]


def trajectory(attack, model, x, y, seed=0, indices=None):
    """Loss and success of an iterative attack at every step, from the start of its first draw.

    Args:
        attack: `BIM` or `PGD`.
        model, x, y, seed, indices: see `Attack`.

    Returns:
        losses (steps + 1, B), in float64, and fooled (steps + 1, B).

    Raises:
        InputError: see `Attack`.
    """
    x, y, _, seed, indices = check_attacked(model, compiled_logits(model), x, y, seed, indices)
    logits = with_finite_gradient(compiled_logits(model))
    x, y = tf.constant(x), tf.constant(y)
    norm = NORMS[attack.norm]
    project, start = norm.projection(x, attack.eps), x
    if attack.draws:
        start = norm.start(x, attack.eps, noise_of(norm.noise, seed, indices, x.shape[1:]))

    @tf.function(autograph=False)
    def step(x_adv):
        stepped, outputs, _ = steepest_step(
            logits, x_adv, y, attack.step_size, attack.targeted, norm=attack.norm
        )
        return (
            project(stepped),
            precise_cross_entropy(y, outputs),
            is_fooled(outputs, y, attack.targeted),
        )

    x_adv, losses, successes = project(start), [], []
    with refuse_bad_gradients(attack, model, x, y):
        for _ in range(attack.steps + 1):
            x_adv, loss, fooled = step(x_adv)
            losses.append(loss.numpy())
            successes.append(fooled.numpy())
    return np.stack(losses), np.stack(successes)


@register("mim")
@dataclasses.dataclass(frozen=True)
class MIM(IterativeAttack):
    """Momentum iterative method: steps along accumulated gradients. Source: Dong et al. 2018.

    Attributes:
        momentum: decay of the accumulated gradient, 1 in the source.
    """

    momentum: float = 1.0

    scalars: typing.ClassVar[tuple[str, ...]] = ()  # the steps of cleverhans are unrolled

    def perturb(self, logits, x, y, noise):
        norm = NORMS[self.norm]
        project = norm.projection(x, self.eps)
        if self.norm != "Linf":  # that of cleverhans has no ball in L1
            return self.ascend_with_momentum(logits, x, y, norm, project)
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
        return project(x_adv)

    def ascend_with_momentum(self, logits, x, y, norm, project):
        """Each gradient counts with a mean absolute value of 1, as in cleverhans; a zero one does not."""
        size = math.prod(x.shape[1:])

        def step(i, x_adv, sum_so_far):
            _, _, gradient = gradient_in_loop(logits, lambda z: raised(y, z, self.targeted), x_adv)
            mean = rows(total(tf.abs(gradient)), x) / size
            sum_so_far = self.momentum * sum_so_far + tf.math.divide_no_nan(gradient, mean)
            return i + 1, project(x_adv + norm.step(sum_so_far, x_adv, self.step_size)), sum_so_far

        return tf.while_loop(lambda i, *_: i < self.steps, step, (0, x, tf.zeros_like(x)))[1]
