"""Square, the score-based black-box attack of AutoAttack; in L2 and L1 by `square_bumps`.

Source: Andriushchenko et al. 2020, "Square Attack", with the schedule of AutoAttack's code. It queries
logits and uses no gradient.
"""

import dataclasses
import math
import typing

import numpy as np
import tensorflow as tf

from ..inputs import InputError
from . import square_bumps
from .apgd import logit_of
from .base import ball, project, uniform_noise
from .early_exit import SHARED_BATCH, EarlyExitAttack
from .names import register

# (last iteration, what p is divided by). AutoAttack does not stretch it to the number of queries, and neither
# do we: its 5,000 end with 128 at any rate.
SCHEDULE = (
    (10, 1), (50, 2), (200, 4), (500, 8), (1000, 16), (2000, 32), (4000, 64), (6000, 128), (8000, 256),
    (math.inf, 512),
)  # fmt: skip


def window_side(iteration, p, height, width):
    """Side of the square window at an iteration, from the share p of the pixels it covers at first."""
    divisor = next(divisor for last, divisor in SCHEDULE if iteration <= last)
    return min(max(round(math.sqrt(p / divisor * height * width)), 1), height, width)


def margin(y, logits):
    """z_y - max_{j != y} z_j of each row: (B,), (B, K) -> (B,); negative if misclassified."""
    is_label = tf.one_hot(y, tf.shape(logits)[-1], on_value=True, off_value=False)
    return logit_of(logits, y) - tf.reduce_max(tf.where(is_label, -np.inf, logits), axis=-1)


def last_time(proposals):
    """For each proposal (B, N) of a row, the position of the same one before, or -1: (B, N)."""
    order = np.argsort(proposals, axis=1, kind="stable")
    ordered = np.take_along_axis(proposals, order, axis=1)
    before = np.concatenate([np.full((len(order), 1), -1), order[:, :-1]], axis=1)
    before[:, 1:][ordered[:, 1:] != ordered[:, :-1]] = -1
    result = np.empty_like(before)
    np.put_along_axis(result, order, before, axis=1)
    return result


@register("square")
@dataclasses.dataclass(frozen=True)
class Square(EarlyExitAttack):
    """Random square windows of +-eps, kept where they lower the margin; vertical stripes at first.

    In L2 and L1 the windows hold bumps, see `square_bumps`.

    The windows of each image are its own, keyed by (seed, index); the official code shares them within a
    batch, which makes its results depend on the batch.

    In fast mode queries whose answer is known are not asked: a proposal that changes no pixel, and one
    that was rejected since the image last changed. And as few proposals are kept (3 to 5 in 100), the
    next few of an image are judged together, as if each were the next one, up to the first that helps.

    Windows shrink with the number of the query, whatever `queries` is, as in AutoAttack: up to 1,000 queries
    never come to the small ones.

    Attributes:
        queries: proposals per image.
        p: share of the pixels that the first windows cover.

    Raises:
        InputError: if queries < 1, or if p is not in (0, 1].
    """

    queries: int = 5000
    p: float = 0.8

    lookahead: typing.ClassVar[int] = 4
    uses_gradient: typing.ClassVar[bool] = False
    norms: typing.ClassVar[tuple[str, ...]] = ("Linf", "L2", "L1")

    def __post_init__(self):
        super().__post_init__()
        if self.queries < 1:
            raise InputError(f"queries is {self.queries}, expected at least 1")
        if not 0 < self.p <= 1:
            raise InputError(f"p is {self.p}, expected a share from 0 to 1")

    def ends(self):
        ends = (10, 50, 100, 200, 500, *range(1000, self.queries, 500))
        return [*(end for end in ends if end < self.queries), self.queries]

    def sides(self, height, width):
        """The side of the window of each query."""
        sides = [window_side(i, self.p, height, width) for i in range(self.queries)]
        if self.norm != "Linf":
            sides = [square_bumps.odd_side(side, height, width) for side in sides]
        return np.array(sides, np.int32)

    def noise(self, seed, indices, shape, run):
        height, width, channels = shape
        if self.norm != "Linf":
            return square_bumps.drawn(self, self.sides(height, width), seed, indices, shape, run)
        stripes = uniform_noise(seed, indices, (1, width, channels), 2 * run).numpy()
        draws = uniform_noise(seed, indices, (self.queries, 2 + channels), 2 * run + 1).numpy()
        sides = self.sides(height, width)
        room = np.stack([height - sides, width - sides], axis=-1)
        # Rounded down, so a window never reaches the last row or column unless it covers all.
        corners = ((draws[..., :2] + 1) / 2 * room).astype(np.int32)
        signs = np.where(draws[..., 2:] >= 0, 1, -1).astype(np.int8)
        proposal = corners[..., 0] * width + corners[..., 1]
        for channel in range(channels):
            proposal = 2 * proposal + (signs[..., channel] > 0)
        # Windows of another side are other proposals.
        proposal = proposal * (max(height, width) + 1) + sides
        return {
            "stripes": np.where(stripes >= 0, 1, -1).astype(np.float32),
            "corners": corners.astype(np.int16),
            "signs": signs,
            "seen": last_time(proposal).astype(np.int16 if self.queries < 2**15 else np.int32),
        }

    def begin(self, logits, task):
        if self.norm != "Linf":
            d = square_bumps.start(task["x"], task["tiles"], self.eps, self.norm)
            z = tf.clip_by_value(task["x"] + d, 0.0, 1.0)
            lowest = margin(task["y"], logits(z))
            return {"d": d, "x_adv": z, "margin": lowest, "fooled": lowest <= 0}
        z = project(task["x"] + self.eps * task["stripes"], (0.0, 1.0))
        lowest = margin(task["y"], logits(z))
        start = tf.zeros_like(task["y"])
        return {
            "x_adv": z, "margin": lowest, "fooled": lowest <= 0,
            "next": start,  # the proposal to try next
            "changed": start - 1,  # the last one that was kept
        }  # fmt: skip

    def advance(self, logits, task, state, first, last):
        x, y = task["x"], task["y"]
        height, width = x.shape[1:3]
        if self.norm != "Linf":

            def margin_of(z, rows):
                return margin(tf.gather(y, rows), logits(z))

            sides = self.sides(height, width)
            return square_bumps.advance(self, sides, margin_of, x, task, state, first, last)
        low, high = ball(x, self.eps)
        sides = tf.constant(self.sides(height, width))
        fast = self.mode == "fast"

        def unfinished(state):
            return ~state["fooled"] & (state["next"] < last)

        def inside(corner, side, length):
            distance = tf.range(length)[None] - tf.cast(corner, tf.int32)[:, None]
            return tf.cast((distance >= 0) & (distance < side[:, None]), tf.float32)

        def ask(state):
            """Judge the next proposals of each image, and keep the first that helps."""
            active = tf.where(unfinished(state))[:, 0]
            many = SHARED_BATCH // tf.maximum(tf.size(active), 1)
            ahead = tf.clip_by_value(many, 1, self.lookahead) if fast else tf.constant(1)
            start = tf.gather(state["next"], active)
            turns = start[:, None] + tf.range(ahead)  # (active, ahead)
            wanted = turns < last
            turns = tf.minimum(turns, self.queries - 1)
            if fast:
                seen = tf.gather(tf.gather(task["seen"], active), turns, batch_dims=1)
                kept_last = tf.maximum(tf.gather(state["changed"], active), 0)
                wanted &= tf.cast(seen, tf.int32) < kept_last[:, None]

            place = tf.where(wanted)  # (questions, 2): which active image, how far ahead
            at, turn = tf.gather(active, place[:, 0]), tf.gather_nd(turns, place)
            question = tf.stack([tf.cast(at, tf.int32), turn], axis=1)
            corner, side = tf.gather_nd(task["corners"], question), tf.gather(sides, turn)
            signs = tf.cast(tf.gather_nd(task["signs"], question), tf.float32)[:, None, None, :]
            move = 2 * self.eps * signs * inside(corner[:, 0], side, height)[:, :, None, None]
            move *= inside(corner[:, 1], side, width)[:, None, :, None]
            z = tf.gather(state["x_adv"], at)
            bounds = tf.gather(low, at), tf.gather(high, at)
            new = project(z + move, bounds)
            if fast:
                effective = tf.where(tf.reduce_any(new != z, axis=(1, 2, 3)))[:, 0]
                place, at, turn, new = (tf.gather(part, effective) for part in (place, at, turn, new))

            # TensorFlow's convolutions on a CPU do not take an empty batch.
            found = tf.cond(
                tf.size(at) > 0,
                lambda: margin(tf.gather(y, at), logits(new)),
                lambda: tf.zeros_like(turn, tf.float32),
            )
            helps = (found < tf.gather(state["margin"], at)) | (found <= 0)
            distance = tf.where(helps, tf.cast(place[:, 1], tf.int32), ahead)
            nearest = tf.math.unsorted_segment_min(distance, place[:, 0], tf.size(active))
            nearest = tf.minimum(nearest, ahead)  # `ahead` where no proposal helped
            kept = tf.where(helps & (distance == tf.gather(nearest, place[:, 0])))[:, 0]
            at, found = tf.gather(at, kept)[:, None], tf.gather(found, kept)

            def put(name, where, values):
                return tf.tensor_scatter_nd_update(state[name], where, values)

            return {
                "x_adv": put("x_adv", at, tf.gather(new, kept)),
                "margin": put("margin", at, found),
                "fooled": put("fooled", at, found <= 0),
                "changed": put("changed", at, tf.gather(turn, kept)),
                "next": put("next", active[:, None], start + tf.minimum(nearest + 1, ahead)),
            }

        return tf.while_loop(lambda s: tf.reduce_any(unfinished(s)), lambda s: [ask(s)], [state])[0]
