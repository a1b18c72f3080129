"""APGD, the parameter-free projected gradient descent of AutoAttack; in the L1 norm see `apgd_l1`.

Source: Croce and Hein 2020, "Reliable evaluation of adversarial robustness with an ensemble of diverse
parameter-free attacks", and its official code, whose behaviour is followed where both differ.
"""

import dataclasses
import typing

import numpy as np
import tensorflow as tf

from ..inputs import InputError
from . import apgd_l1
from .base import cross_entropy, gradient_in_loop, is_fooled, noise_of
from .early_exit import EarlyExitAttack, classes_by_rank
from .names import register
from .norms import NORMS, rows, unit


def checkpoints(steps):
    """After which iterations the step size is reconsidered: [22, 41, 57, 70, 80, 87, 93, 99] for 100.

    The first interval is 22% of the steps; each is 3% shorter than the one before, down to 6%.
    """
    interval, decrease, least = (max(int(share * steps), 1) for share in (0.22, 0.03, 0.06))
    points, point = [], interval
    while point <= steps:
        points.append(point)
        interval = max(interval - decrease, least)
        point += interval
    return points


def logit_of(logits, classes):
    """The logit of one class per row: (B, K), (B,) -> (B,)."""
    return tf.gather(logits, classes, batch_dims=1)


def dlr_loss(y, logits):
    """Difference of logits ratio: -(z_y - max_{j != y} z_j) / (z_(1) - z_(3)), z_(k) the k-th largest."""
    ascending = tf.sort(logits, axis=-1)
    top = tf.argmax(logits, axis=-1, output_type=y.dtype)
    other = tf.where(top == y, ascending[:, -2], ascending[:, -1])
    return (other - logit_of(logits, y)) / (ascending[:, -1] - ascending[:, -3] + 1e-12)


def targeted_dlr_loss(y, target, logits):
    """Targeted DLR: -(z_y - z_t) / (z_(1) - (z_(3) + z_(4)) / 2), z_(k) the k-th largest logit."""
    ascending = tf.sort(logits, axis=-1)
    scale = ascending[:, -1] - (ascending[:, -3] + ascending[:, -4]) / 2 + 1e-12
    return (logit_of(logits, target) - logit_of(logits, y)) / scale


def halve_step(rises, interval, rho, halved_before, best_before, best):
    """Whether the step size must be halved at a checkpoint (conditions 1 and 2 of the source).

    1. The loss rose in at most rho of the iterations since the last checkpoint.
    2. The step was not halved at the last checkpoint, and the best loss has not risen since.
    """
    return (rises <= rho * interval) | (~halved_before & (best_before >= best))


@dataclasses.dataclass(frozen=True)
class APGD(EarlyExitAttack):
    """What APGD-CE and APGD-T share: ascent with momentum and a step size that halves by itself.

    z' = P(z + s v(g)),   z <- P(z + a (z' - z) + (1 - a)(z - z_old)),   a = 0.75 after the first step,

    with P the projection onto the eps-ball and [0, 1], v(g) the steepest direction of length 1, which is
    sign(g) in Linf and g / |g| in L2, and s = 2 eps at first. In L1 it goes otherwise, see `apgd_l1`.

    Attributes:
        steps: iterations per target.
        rho: see `halve_step`.
        restarts: random starts; an image that fell at one is not attacked again.
        eot: passes of the model at each point, whose mean is the gradient: of a random model, the gradient of
            an expectation (Athalye et al. 2018). What the last of them answers decides, and no image retires
            early, as one answer is a matter of chance.
        schedule: in L1, begin in a larger ball, see `apgd_l1`; without effect in other norms.

    Raises:
        InputError: if steps < 2, or if restarts or eot < 1.
    """

    steps: int = 100
    rho: float = 0.75
    restarts: int = dataclasses.field(default=1, kw_only=True)
    eot: int = dataclasses.field(default=1, kw_only=True)
    schedule: bool = dataclasses.field(default=True, kw_only=True)

    norms: typing.ClassVar[tuple[str, ...]] = ("Linf", "L2", "L1")
    younger: typing.ClassVar[tuple[str, ...]] = ("restarts", "eot", "schedule")
    momentum: typing.ClassVar[float] = 0.75

    def __post_init__(self):
        super().__post_init__()
        if self.steps < 2:
            raise InputError(f"steps is {self.steps}, expected at least 2")
        for name in ("restarts", "eot"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}, expected at least 1")

    @property
    def is_fast(self):
        return super().is_fast and self.eot == 1

    def loss(self, task, logits):
        """The loss to raise: (B, K) -> (B,)."""
        raise NotImplementedError

    def targets(self, logits):
        return np.tile(super().targets(logits), (1, self.restarts))

    def ends(self):
        if self.norm == "L1":
            return apgd_l1.ends(self.steps, self.schedule)
        early = [end for end in (1, 2, 5, 10) if end < self.steps]
        return sorted({*early, *checkpoints(self.steps), self.steps})

    def noise(self, seed, indices, shape, run):
        return {"noise": noise_of(NORMS[self.norm].noise, seed, indices, shape, run).numpy()}

    def begin(self, logits, task):
        if self.norm == "L1":
            return apgd_l1.begin(self, logits, task)
        # On the surface of the ball, where [0, 1] allows it: not a uniform point of the ball.
        z = tf.clip_by_value(task["x"] + self.eps * unit(self.norm, task["noise"]), 0.0, 1.0)
        outputs, loss, gradient = self.evaluate(logits, task, z)
        zeros = tf.zeros_like(loss)
        return {
            "z": z, "z_old": z, "gradient": gradient,
            "z_best": z, "gradient_best": gradient, "best": loss, "best_before": loss,
            "previous": zeros,  # 0 and not the first loss, as in the official code
            "rises": zeros, "step": zeros + 2 * self.eps, "halved": tf.ones_like(loss, tf.bool),
            "x_adv": z, "fooled": is_fooled(outputs, task["y"]),
        }  # fmt: skip

    def evaluate(self, logits, task, z):
        """Logits, loss and gradient at z; the mean gradient of several passes, see `eot`."""

        def once():
            return gradient_in_loop(logits, lambda outputs: self.loss(task, outputs), z)

        outputs, loss, gradient = once()
        if self.eot == 1:
            return outputs, loss, gradient

        def again(i, _outputs, _loss, gradients):
            outputs, loss, gradient = once()
            return i + 1, outputs, loss, gradients + gradient

        passes = (1, outputs, loss, gradient)
        _, outputs, loss, gradients = tf.while_loop(lambda i, *_: i < self.eot, again, passes)
        return outputs, loss, gradients / self.eot

    def advance(self, logits, task, state, first, last):
        if self.norm == "L1":
            return apgd_l1.advance(self, logits, task, state, first, last)
        x, norm = task["x"], NORMS[self.norm]
        project = norm.projection(x, self.eps)
        points = checkpoints(self.steps)
        intervals = np.zeros(self.steps + 1, np.float32)
        intervals[points] = np.diff([0, *points])
        intervals = tf.constant(intervals)  # after n iterations: length of the interval that ends, or 0

        def iterate(i, state):
            z, z_old = state["z"], state["z_old"]
            a = tf.where(i == 0, 1.0, self.momentum)
            ahead = project(z + norm.step(state["gradient"], z, rows(state["step"], z)))
            new = project(z + (ahead - z) * a + (z - z_old) * (1 - a))
            outputs, loss, gradient = self.evaluate(logits, task, new)
            fooled = is_fooled(outputs, task["y"])
            better = loss > state["best"]
            state = {
                **state,
                "z": new,
                "z_old": z,
                "gradient": gradient,
                "z_best": tf.where(rows(better, x), new, state["z_best"]),
                "gradient_best": tf.where(rows(better, x), gradient, state["gradient_best"]),
                "best": tf.where(better, loss, state["best"]),
                "rises": state["rises"] + tf.cast(loss > state["previous"], loss.dtype),
                "previous": loss,
                "x_adv": tf.where(rows(fooled, x), new, state["x_adv"]),
                "fooled": fooled | state["fooled"],
            }
            interval = intervals[i + 1]
            return i + 1, tf.cond(interval > 0, lambda: self.reconsider(state, interval), lambda: state)

        return tf.while_loop(lambda i, _: i < last, iterate, (first, state))[1]

    def reconsider(self, state, interval):
        """At a checkpoint: where the step is halved, go on from the best point so far."""
        halve = halve_step(
            state["rises"], interval, self.rho, state["halved"], state["best_before"], state["best"]
        )
        whole = rows(halve, state["z"])
        return {
            **state,
            "step": tf.where(halve, state["step"] / 2, state["step"]),
            "z": tf.where(whole, state["z_best"], state["z"]),
            "gradient": tf.where(whole, state["gradient_best"], state["gradient"]),
            "halved": halve,
            "best_before": state["best"],
            "rises": tf.zeros_like(state["rises"]),
        }


@register("apgd-ce")
@dataclasses.dataclass(frozen=True)
class APGDCE(APGD):
    """APGD on the cross-entropy: the first attack of AutoAttack."""

    def loss(self, task, logits):
        return cross_entropy(task["y"], logits)


@register("apgd-dlr")
@dataclasses.dataclass(frozen=True)
class APGDDLR(APGD):
    """APGD on the untargeted DLR loss; not part of AutoAttack 'standard'. It needs three classes.

    Raises:
        InputError: when called on a model of fewer than three classes.
    """

    def targets(self, logits):
        if logits.shape[-1] < 3:
            raise InputError(f"apgd-dlr needs at least 3 classes, the model has {logits.shape[-1]}")
        return super().targets(logits)

    def loss(self, task, logits):
        return dlr_loss(task["y"], logits)


@register("apgd-t")
@dataclasses.dataclass(frozen=True)
class APGDT(APGD):
    """APGD on the targeted DLR loss, towards the 9 most likely other classes in turn.

    Any misclassification is a success, not only the target.

    Attributes:
        target_classes: how many classes to try; a model of fewer classes has all of its others tried.

    Raises:
        InputError: if target_classes < 1, or when called on a model of fewer than four classes, for
            which this loss is not defined.
    """

    target_classes: int = 9

    def __post_init__(self):
        super().__post_init__()
        check_target_classes(self)

    def targets(self, logits):
        if logits.shape[-1] < 4:
            raise InputError(
                f"apgd-t needs at least 4 classes, the model has {logits.shape[-1]}: use apgd-ce, "
                "fab-t and square"
            )
        return np.tile(classes_by_rank(logits, self.target_classes), (1, self.restarts))

    def loss(self, task, logits):
        return targeted_dlr_loss(task["y"], task["target"], logits)


def check_target_classes(attack):
    if attack.target_classes < 1:
        raise InputError(f"target_classes is {attack.target_classes}, expected at least 1")
