"""FAB, the fast adaptive boundary attack of AutoAttack, in Linf, L2 and L1: targeted, fab-t, and not, fab.

Source: Croce and Hein 2020, "Minimally distorted adversarial examples with a fast adaptive boundary
attack", and AutoAttack's code: it starts from the image itself, so fab-t is deterministic, and has no final
search.
"""

import dataclasses
import typing

import numpy as np
import tensorflow as tf

from ..inputs import InputError, check_attacked
from .apgd import check_target_classes, logit_of
from .base import compiled_logits, gradient_in_loop, is_fooled, noise_of
from .early_exit import EarlyExitAttack, classes_by_rank
from .finite_gradient import refuse_bad_gradients
from .hyperplanes import PROJECTIONS
from .names import register
from .norms import L1, L2, NORMS, Linf, rows, unit

NOT_FOUND = 1e10


@register("fab-t")
@dataclasses.dataclass(frozen=True)
class FABT(EarlyExitAttack):
    """FAB towards the 9 most likely other classes in turn; it seeks the smallest perturbation.

    Linearise f = z_target - z_y at the iterate, project iterate and image onto f = 0, go a little beyond
    both, mix them; once misclassified, keep the point if it is the nearest so far and go back towards
    the image. A result counts if it lies within eps.

    Attributes:
        steps: iterations per target.
        alpha_max: largest share of the projected image in the mix.
        overshoot: how far to go beyond the hyperplane (eta of the source).
        backward: how much of the perturbation is kept on the way back (beta of the source).
        target_classes: how many classes to try; a model of fewer classes has all of its others tried.

    Raises:
        InputError: if steps < 1 or target_classes < 1.
    """

    steps: int = 100
    alpha_max: float = 0.1
    overshoot: float = 1.05
    backward: float = 0.9
    target_classes: int = 9

    norms: typing.ClassVar[tuple[str, ...]] = ("Linf", "L2", "L1")

    def __post_init__(self):
        super().__post_init__()
        check_target_classes(self)
        if self.steps < 1:
            raise InputError(f"steps is {self.steps}, expected at least 1")

    def targets(self, logits):
        return classes_by_rank(logits, self.target_classes)

    def ends(self):
        return [*range(5, self.steps, 5), self.steps]

    def begin(self, logits, task):
        none = tf.zeros_like(task["y"], tf.bool)
        return {
            "z": self.start(task), "x_adv": task["x"], "fooled": none,
            "nearest": tf.fill(tf.shape(task["y"]), NOT_FOUND),
        }  # fmt: skip

    def start(self, task):
        """Where the first iteration begins: the image itself."""
        return task["x"]

    def linearised(self, logits, task, z):
        """The difference of two logits that is to become 0, (B,), and its gradient at z."""

        def difference(outputs):
            return logit_of(outputs, task["target"]) - logit_of(outputs, task["y"])

        return gradient_in_loop(logits, difference, z)[1:]

    def advance(self, logits, task, state, first, last):
        x, y = task["x"], task["y"]
        size = int(np.prod(x.shape[1:]))
        length_of, project = NORMS[self.norm].length, PROJECTIONS[self.norm]

        def iterate(i, state):
            z = state["z"]
            f, gradient = self.linearised(logits, task, z)
            w, flat_z, flat_x = (tf.reshape(image, (-1, size)) for image in (gradient, z, x))
            offset = -f + tf.reduce_sum(w * flat_z, axis=1)
            both = tf.concat([flat_z, flat_x], axis=0)
            twice = tf.concat([w, w], axis=0)
            residual = tf.reduce_sum(twice * both, axis=1) - tf.concat([offset, offset], axis=0)
            step = project(both, twice, residual)
            length = tf.maximum(length_of(step), 1e-8)
            from_z, from_x = tf.split(length, 2)
            alpha = rows(tf.minimum(from_z / (from_z + from_x), self.alpha_max), x)
            step_z, step_x = (tf.reshape(d, tf.shape(x)) for d in tf.split(step, 2))
            ahead = (z + self.overshoot * step_z) * (1 - alpha) + (x + self.overshoot * step_x) * alpha
            z = tf.clip_by_value(ahead, 0.0, 1.0)

            wrong = is_fooled(logits(z), y)
            distance = length_of(z - x)
            nearer = wrong & (distance < state["nearest"])
            nearest = tf.where(nearer, distance, state["nearest"])
            return i + 1, {
                "x_adv": tf.where(rows(nearer, x), z, state["x_adv"]),
                "nearest": nearest,
                "fooled": nearest <= self.eps,
                "z": tf.where(rows(wrong, x), x + self.backward * (z - x), z),
            }

        return tf.while_loop(lambda i, _: i < last, iterate, (first, state))[1]

    def smallest(self, model, x, y):
        """The norm of the smallest perturbation found for each target, regardless of eps.

        Args:
            model, x, y: see `Attack`.

        Returns:
            Norms (B, T) and targets (B, T); NaN where nothing was found or the image is misclassified.
        """
        x, y, logits, _, _ = check_attacked(model, compiled_logits(model), x, y)
        targets = self.targets(logits)
        norms = np.full(targets.shape, np.nan, np.float32)
        standing = logits.argmax(axis=-1) == y
        with refuse_bad_gradients(self, model, x, y):
            for run in range(targets.shape[1]):
                task = {"x": x[standing], "y": y[standing], "target": targets[standing, run]}
                nearest = self.run(model, task)["nearest"].numpy()
                norms[standing, run] = np.where(nearest < NOT_FOUND, nearest, np.nan)
        return norms, targets


# Of a gradient, how fast a step of length 1 in the norm can change what it is the gradient of.
DUAL = {"Linf": L1, "L2": L2, "L1": Linf}


@register("fab")
@dataclasses.dataclass(frozen=True)
class FAB(FABT):
    """FAB towards whichever class is nearest at each iteration; the version 'plus' of AutoAttack has it.

        argmin_j |z_j - z_y| / |gradient of it|, in the dual norm

    Each iteration passes every class through the model once.

    Attributes:
        restarts: how many starts; the first is the image itself, the others random points within eps / 2.

    Raises:
        InputError: if restarts < 1.
    """

    restarts: int = 1

    def __post_init__(self):
        super().__post_init__()
        if self.restarts < 1:
            raise InputError(f"restarts is {self.restarts}, expected at least 1")

    def targets(self, logits):
        return np.full((len(logits), self.restarts), -1, np.int32)

    def noise(self, seed, indices, shape, run):
        if run == 0:
            return {"start": np.zeros((len(indices), *shape), np.float32)}
        return {"start": noise_of(NORMS[self.norm].noise, seed, indices, shape, run).numpy()}

    def start(self, task):
        moved = task["x"] + self.eps / 2 * unit(self.norm, task["start"])
        return tf.clip_by_value(moved, 0.0, 1.0)

    def linearised(self, logits, task, z):
        y, classes = task["y"], logits(z[:1]).shape[-1]  # the shape alone: nothing is computed for it

        def of_class(target):
            def difference(outputs):
                return outputs[:, target] - logit_of(outputs, y)

            f, gradient = gradient_in_loop(logits, difference, z)[1:]
            distance = tf.abs(f) / (DUAL[self.norm].length(gradient) + 1e-12)
            return f, gradient, tf.where(target == y, np.inf, distance)

        def nearer(target, best):
            found = of_class(target)
            closer = found[2] < best[2]
            best = tuple(tf.where(rows(closer, a), a, b) for a, b in zip(found, best, strict=True))
            return target + 1, best

        none = tf.zeros_like(z[:, 0, 0, 0])
        best = (none, tf.zeros_like(z), none + np.inf)
        return tf.while_loop(lambda target, _: target < classes, nearer, (0, best))[1][:2]
