"""FAB-T, the targeted fast adaptive boundary attack of AutoAttack, in the Linf norm.

Source: Croce and Hein 2020, "Minimally distorted adversarial examples with a fast adaptive boundary
attack", and AutoAttack's code: one start from the image itself, so the attack is deterministic, and no
final search.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from ..inputs import InputError, check_attacked
from .apgd import check_target_classes, logit_of
from .base import compiled_logits, gradient_in_loop, is_fooled, register
from .early_exit import EarlyExitAttack, classes_by_rank
from .finite_gradient import refuse_bad_gradients
from .norms import rows

NOT_FOUND = 1e10


def project_onto_hyperplane(points, normal, residual):
    """The smallest step d (Linf) that puts points + d onto <w, .> = b within [0, 1].

    d = -sign(w) min(l, room), where room is how far each pixel can go, and l solves

        G(l) = sum |w| min(l, room) = |r|,   r = <w, t> - b.

    G is concave, piecewise linear and rises with l, so Newton's method from 0 climbs to the solution
    without passing it, and ends exactly there. If no point of [0, 1] lies on the plane, the step goes to
    the corner that is nearest to it.

    Args:
        points: t (B, D) in [0, 1].
        normal: w (B, D).
        residual: r (B,).

    Returns:
        d (B, D).
    """
    w = tf.where((residual < 0)[:, None], -normal, normal)
    needed = tf.abs(residual)
    size = tf.abs(w)
    room = tf.where(w > 0, points, 1 - points) * tf.cast(w != 0, w.dtype)
    gain = size * room

    def climb(radius, _):
        free = tf.cast(room > radius[:, None], w.dtype)
        slope = tf.reduce_sum(size * free, axis=1)
        spent = tf.reduce_sum(gain * (1 - free), axis=1)
        further = tf.math.divide_no_nan(needed - spent, slope)
        return tf.maximum(radius, further), further > radius

    radius, _ = tf.while_loop(
        lambda _, moved: tf.reduce_any(moved),
        climb,
        (tf.zeros_like(needed), tf.ones_like(needed, tf.bool)),
        maximum_iterations=points.shape[1],
    )
    radius = tf.where(needed >= tf.reduce_sum(gain, axis=1), 1.0, radius)  # 1 exceeds every room
    return -tf.sign(w) * tf.minimum(radius[:, None], room)


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
            "z": task["x"], "x_adv": task["x"], "fooled": none,
            "nearest": tf.fill(tf.shape(task["y"]), NOT_FOUND),
        }  # fmt: skip

    def advance(self, logits, task, state, first, last):
        x, y, target = task["x"], task["y"], task["target"]
        size = int(np.prod(x.shape[1:]))

        def difference(outputs):
            return logit_of(outputs, target) - logit_of(outputs, y)

        def iterate(i, state):
            z = state["z"]
            _, f, gradient = gradient_in_loop(logits, difference, z)
            w, flat_z, flat_x = (tf.reshape(image, (-1, size)) for image in (gradient, z, x))
            offset = -f + tf.reduce_sum(w * flat_z, axis=1)
            both = tf.concat([flat_z, flat_x], axis=0)
            twice = tf.concat([w, w], axis=0)
            residual = tf.reduce_sum(twice * both, axis=1) - tf.concat([offset, offset], axis=0)
            step = project_onto_hyperplane(both, twice, residual)
            length = tf.maximum(tf.reduce_max(tf.abs(step), axis=1), 1e-8)
            from_z, from_x = tf.split(length, 2)
            alpha = rows(tf.minimum(from_z / (from_z + from_x), self.alpha_max), x)
            step_z, step_x = (tf.reshape(d, tf.shape(x)) for d in tf.split(step, 2))
            ahead = (z + self.overshoot * step_z) * (1 - alpha) + (x + self.overshoot * step_x) * alpha
            z = tf.clip_by_value(ahead, 0.0, 1.0)

            wrong = is_fooled(logits(z), y)
            distance = tf.reduce_max(tf.abs(z - x), axis=(1, 2, 3))
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
        """The Linf norm of the smallest perturbation found for each target, regardless of eps.

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
