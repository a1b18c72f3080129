"""HopSkipJump, a decision-based attack in Linf and L2: it is told classes, no logits and no gradients.

Source: Chen, Jordan and Wainwright 2020, "HopSkipJumpAttack: a query-efficient decision-based attack", with
the constants of its code. From any misclassified image it goes towards the image until the class changes,
estimates there in which direction it would be misclassified more surely, jumps that way, and begins again:

    z_t       the point nearest to x on the way clip(z, x - r, x + r) that is still misclassified
    v         the sign of the mean of phi(z_t + delta u) u over random directions u, phi = 1 if misclassified
              and -1 if not, less its mean
    z         z_t + step v, the step distance / sqrt(t), halved until z is misclassified

In L2 the way is the straight line from z to x, and v the mean itself, of length 1.

As noise is rarely taken for anything but one or two classes by a robust model, starts that no noise finds are
sought among the negative of the image and images of one brightness.
"""

import dataclasses
import math
import typing

import numpy as np
import tensorflow as tf

from ..inputs import InputError, check_attacked
from .base import compiled_logits, is_fooled
from .early_exit import EarlyExitAttack
from .names import register
from .norms import NORMS, rows, unit

NOT_FOUND = 1e10


def bisect(low, high, holds, steps):
    """The smallest number (B,) between low and high that satisfies `holds`, as high does, nearly.

    Args:
        low, high: (B,); nothing is asked about either.
        holds: function, numbers (B,) -> (B,) bool.
        steps: number of halvings of the distance between them.
    """

    def halve(i, low, high):
        middle = (low + high) / 2
        good = holds(middle)
        return i + 1, tf.where(good, low, middle), tf.where(good, middle, high)

    return tf.while_loop(lambda i, *_: i < steps, halve, (0, low, high))[2]


@register("hop-skip-jump")
@dataclasses.dataclass(frozen=True)
class HopSkipJump(EarlyExitAttack):
    """See the head of this module; a result counts if it lies within eps.

    The directions of an image are its own, keyed by (seed, index).

    Attributes:
        iterations: jumps.
        first_queries: directions that are tried before the first jump; before the t-th sqrt(t) times as many.
        most_queries: the most of them.
        starts: noise images that are tried as a start.

    Raises:
        InputError: if one of these numbers is less than 1.
    """

    iterations: int = 40
    first_queries: int = 100
    most_queries: int = 10_000
    starts: int = 100

    norms: typing.ClassVar[tuple[str, ...]] = ("Linf", "L2")
    uses_gradient: typing.ClassVar[bool] = False
    block: typing.ClassVar[int] = 10  # directions in memory at once, for each image

    def __post_init__(self):
        super().__post_init__()
        for name in ("iterations", "first_queries", "most_queries", "starts"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}, expected at least 1")

    def ends(self):
        return list(range(1, self.iterations + 1))

    def noise(self, seed, indices, shape, run):
        return {"key": np.stack([np.full(len(indices), seed), indices], axis=1).astype(np.int32)}

    @staticmethod
    def draw(task, purpose, number, count):
        """Noise in [-1, 1) for each image, (B, count, H, W, C), by its key, a purpose and a number."""
        shape = (count, *task["x"].shape[1:])

        def one(key):
            for part in (purpose, number):
                key = tf.cast(tf.random.experimental.stateless_fold_in(key, part), tf.int32)
            return tf.random.stateless_uniform(shape, key, -1.0, 1.0)

        return tf.map_fn(one, task["key"], fn_output_signature=tf.float32)

    def begin(self, logits, task):
        x, y = task["x"], task["y"]

        def is_misclassified(z):
            return is_fooled(logits(z), y)

        def keep(found, start, z):
            new = ~found & is_misclassified(z)
            return found | new, tf.where(rows(new, x), z, start)

        def try_noise(i, found, start):
            return i + 1, *keep(found, start, (self.draw(task, 0, i, 1)[:, 0] + 1) / 2)

        _, found, start = tf.while_loop(
            lambda i, found, _: (i < self.starts) & ~tf.reduce_all(found),
            try_noise,
            (0, tf.zeros_like(y, tf.bool), x),
        )
        for z in (1 - x, *(tf.fill(tf.shape(x), brightness) for brightness in (0.0, 1.0, 0.5))):
            found, start = keep(found, start, z)

        def mixed(share):
            return x + rows(share, x) * (start - x)

        nothing = tf.zeros_like(y, tf.float32)
        share = bisect(
            nothing, nothing + 1, lambda s: is_misclassified(mixed(s)), 10
        )  # 2^-10, as in the code
        z, distance = self.towards(logits, task, mixed(share))
        nearest = tf.where(found, distance, NOT_FOUND)
        return {"z": z, "distance": nearest, "nearest": nearest, "x_adv": z, "fooled": nearest <= self.eps}

    def towards(self, logits, task, z):
        """The point nearest to x on the way from a misclassified z, and its distance."""
        x, y = task["x"], task["y"]
        size, length = math.prod(x.shape[1:]), NORMS[self.norm].length
        distance = length(z - x)

        def cut(radius):
            if self.norm == "Linf":
                return tf.clip_by_value(z, x - rows(radius, x), x + rows(radius, x))
            share = tf.math.divide_no_nan(radius, distance)
            return tf.clip_by_value(x + rows(share, x) * (z - x), 0.0, 1.0)

        # To 1 / size^2 of the distance, in L2 to 1 / size^1.5, as in the source, but no finer than float32
        # tells points apart.
        steps = min(math.ceil((2 if self.norm == "Linf" else 1.5) * math.log2(size)), 22)
        radius = bisect(tf.zeros_like(distance), distance, lambda r: is_fooled(logits(cut(r)), y), steps)
        nearest = cut(radius)
        return nearest, length(nearest - x)

    def advance(self, logits, task, state, first, last):
        x, y = task["x"], task["y"]
        size = math.prod(x.shape[1:])

        def iterate(i, state):
            z, distance = state["z"], state["distance"]
            found = distance < NOT_FOUND
            turn = tf.cast(i + 1, tf.float32)
            # A tenth of the range at first, as in the code: far from x, classes change in larger regions.
            radius = tf.where(i == 0, 0.1, distance / size)
            direction = self.direction(logits, task, z, radius, i)

            def jumped(step):
                return tf.clip_by_value(z + rows(step, x) * direction, 0.0, 1.0)

            def halve(j, step, stands):
                stands = ~is_fooled(logits(jumped(step)), y)
                return j + 1, tf.where(stands, step / 2, step), stands

            _, step, stands = tf.while_loop(
                lambda j, _, stands: (j < 25) & tf.reduce_any(stands & found),
                halve,
                (0, distance / tf.sqrt(turn), tf.ones_like(found)),
            )
            jump = rows(found & ~stands, x)
            new, new_distance = self.towards(logits, task, tf.where(jump, jumped(step), z))
            new_distance = tf.where(found, new_distance, NOT_FOUND)
            better = new_distance < state["nearest"]
            nearest = tf.where(better, new_distance, state["nearest"])
            return i + 1, {
                "z": new,
                "distance": new_distance,
                "nearest": nearest,
                "x_adv": tf.where(rows(better, x), new, state["x_adv"]),
                "fooled": nearest <= self.eps,
            }

        return tf.while_loop(lambda i, _: i < last, iterate, (first, state))[1]

    def direction(self, logits, task, z, radius, iteration):
        """The steepest direction of the estimated gradient of being misclassified at z (B, H, W, C)."""
        wanted = tf.cast(self.first_queries * tf.sqrt(tf.cast(iteration + 1, tf.float32)), tf.int32)
        blocks = (tf.minimum(wanted, self.most_queries) + self.block - 1) // self.block
        shape = tf.concat([[-1, self.block], tf.shape(z)[1:]], axis=0)
        delta = rows(tf.maximum(radius, 1e-7), z)[:, None]

        def ask(i, weighted, moved, total):
            """Of one block of directions: sum of phi u, of u, and of phi."""
            u = self.draw(task, iteration + 1, i, self.block)
            u /= tf.sqrt(tf.reduce_sum(u**2, axis=(2, 3, 4), keepdims=True))
            # What is left of a direction within [0, 1].
            u = (tf.clip_by_value(z[:, None] + delta * u, 0.0, 1.0) - z[:, None]) / delta
            points = tf.reshape(z[:, None] + delta * u, (-1, *z.shape[1:]))
            fooled = is_fooled(logits(points), tf.repeat(task["y"], self.block))
            phi = tf.reshape(2 * tf.cast(fooled, tf.float32) - 1, (-1, self.block))
            answers = tf.reshape(phi, (-1, self.block, 1, 1, 1))
            u = tf.reshape(u, shape)
            return (
                i + 1,
                weighted + tf.reduce_sum(answers * u, axis=1),
                moved + tf.reduce_sum(u, axis=1),
                total + tf.reduce_sum(phi, axis=1),
            )

        none = tf.zeros_like(z)
        _, weighted, moved, total = tf.while_loop(
            lambda i, *_: i < blocks, ask, (0, none, none, tf.zeros_like(radius))
        )
        mean = total / tf.cast(blocks * self.block, tf.float32)
        mixed = rows(
            tf.abs(mean) < 1, z
        )  # where all answers are alike, they say which way to go, and no more
        estimate = tf.where(mixed, weighted - rows(mean, z) * moved, weighted)
        return tf.sign(estimate) if self.norm == "Linf" else unit("L2", estimate)

    def smallest(self, model, x, y, seed=0):
        """The norm of the smallest perturbation found for each image, regardless of eps.

        Args:
            model, x, y, seed: see `Attack`.

        Returns:
            Norms (B,); NaN where nothing was found or the image is misclassified.
        """
        x, y, logits, seed, _ = check_attacked(model, compiled_logits(model), x, y, seed)
        standing = np.flatnonzero(logits.argmax(axis=-1) == y)
        norms = np.full(len(x), np.nan, np.float32)
        task = {"x": x[standing], "y": y[standing], "target": np.full(len(standing), -1, np.int32)}
        task |= self.noise(seed, standing, x.shape[1:], 0)
        nearest = self.run(model, task)["nearest"].numpy()
        norms[standing] = np.where(nearest < NOT_FOUND, nearest, np.nan)
        return norms
