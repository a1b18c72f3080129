"""The norms in which an attack has a budget, each one class: its ball, its steps, its noise.

Images x are (B, H, W, C) in [0, 1], and so is whatever stays within the budget of x: a perturbation d has

    Linf    max |d|          every pixel moves by eps at most
    L2      sqrt(sum d^2)    few pixels move much, or many a little
    L1      sum |d|          eps is the number of values that can go from black to white

`NORMS` knows them by name. A further norm is a class with the same methods.
"""

import math

import numpy as np
import tensorflow as tf
from cleverhans.tf2.utils import optimize_linear

from ..inputs import InputError


def rows(values, like):
    """Numbers or conditions (B,), shaped to go with whole images (B, H, W, C)."""
    return tf.reshape(values, [-1] + [1] * (like.shape.rank - 1))


def total(d):
    """The sum over the values of each image: (B, H, W, C) -> (B,)."""
    return tf.reduce_sum(d, axis=range(1, d.shape.rank))


def largest(d):
    """The largest value of each image: (B, H, W, C) -> (B,)."""
    return tf.reduce_max(d, axis=range(1, d.shape.rank))


class Linf:
    """The largest change of a value."""

    largest_eps = 1.0  # the range of a pixel: beyond, a budget allows nothing more
    noise = "uniform"  # see `base.noise_of`

    @staticmethod
    def length(d):
        """The norm of each perturbation: (B, H, W, C) -> (B,)."""
        return largest(tf.abs(d))

    @staticmethod
    def lengths(d):
        """`length` of an array (B, D), whose sums are taken in float64: (B,)."""
        return np.abs(d).max(axis=1, initial=0)

    @staticmethod
    def start(x, eps, noise):
        """A random point, to be projected onto the ball around x; `noise` is as `noise_of` makes it."""
        return x + eps * noise

    @staticmethod
    def step(gradient, z, size):
        """The step of length `size` from images z that raises most what has this gradient.

        Without a gradient it is zero.
        """
        return optimize_linear(gradient, size, np.inf)

    @staticmethod
    def projection(x, eps):
        """A function, points (B, H, W, C) -> points of the ball of radius eps around x and of [0, 1]."""
        bounds = tf.maximum(x - eps, 0.0), tf.minimum(x + eps, 1.0)
        return lambda z: tf.clip_by_value(z, *bounds)


class L2:
    """The Euclidean length."""

    largest_eps = math.inf
    noise = "normal"

    @staticmethod
    def length(d):
        return tf.sqrt(total(tf.square(d)))

    @staticmethod
    def lengths(d):
        return np.sqrt(np.einsum("bd,bd->b", d, d, dtype=np.float64)).astype(d.dtype)

    @staticmethod
    def start(x, eps, noise):
        return x + eps * unit("L2", noise)

    @staticmethod
    def step(gradient, z, size):
        # Scaled first: cleverhans shortens the step of a gradient whose square is under 1e-12.
        scaled = tf.math.divide_no_nan(gradient, rows(largest(tf.abs(gradient)), gradient))
        return optimize_linear(scaled, size, 2)

    @staticmethod
    def projection(x, eps):
        """Onto the ball, then onto [0, 1], as AutoAttack does: within both, if not the nearest such point."""

        def project(z):
            d = z - x
            length = L2.length(d)
            scale = tf.where(length > eps, tf.math.divide_no_nan(eps, length), 1.0)
            return tf.clip_by_value(x + d * rows(scale, d), 0.0, 1.0)

        return project


class L1:
    """The sum of all changes."""

    largest_eps = math.inf
    noise = "normal"
    share = 0.01  # of the values, moved by one step: Tramer and Boneh 2019 take 1% as well

    @staticmethod
    def length(d):
        return total(tf.abs(d))

    @staticmethod
    def lengths(d):
        return np.abs(d).sum(axis=1, dtype=np.float64).astype(d.dtype)

    @staticmethod
    def start(x, eps, noise):
        return x + noise  # far outside: its projection has few values that differ, as in AutoAttack

    @staticmethod
    def step(gradient, z, size):
        """The best step that moves no value beyond [0, 1], nor by more than a share of the whole step.

        The steepest step of this norm, that of cleverhans, moves a single value, and is lost where that
        value is black or white already. Here those of largest gradient that have room move, in turn.
        """
        count = math.prod(z.shape[1:])
        slope, room = (
            tf.reshape(part, (-1, count))
            for part in (tf.abs(gradient), tf.where(gradient > 0, 1 - z, z) * tf.abs(tf.sign(gradient)))
        )
        room = tf.minimum(room, size / max(1, int(L1.share * count)))
        order = tf.argsort(slope, direction="DESCENDING")
        ordered = tf.gather(room, order, batch_dims=1)
        left = size - tf.cumsum(ordered, axis=1, exclusive=True)
        moved = tf.gather(tf.clip_by_value(left, 0.0, ordered), tf.argsort(order), batch_dims=1)
        return tf.sign(gradient) * tf.reshape(moved, tf.shape(gradient))

    @staticmethod
    def projection(x, eps):
        """Onto the nearest point; see `shrunk`."""

        def project(z):
            d = z - x
            size = shrunk(tf.abs(d), tf.where(d > 0, 1 - x, x), eps)
            new = x + tf.sign(d) * size
            # Towards x where it was rounded away from it: of many equal changes all would be.
            back = tf.where(tf.abs(new - x) > size, tf.sign(d) * new * 1e-7, 0.0)
            return tf.clip_by_value(new - back, 0.0, 1.0)

        return project


def shrunk(size, room, eps):
    """The sizes c nearest to given ones whose sum is at most eps, none beyond its room.

        c = min(max(size - a, 0), room),   a = 0 if they sum to eps at most, else such that they sum to eps

    The sum falls with a along straight lines. Newton's method finds a; wherever its step would leave the
    interval known to hold a, that interval is halved instead. In the end the rest is taken from the values
    that still can move, for a itself may be too coarse a number.

    Args:
        size, room: (B, H, W, C), >= 0.
        eps: the largest sum.
    """

    def judge(level):
        left = tf.minimum(tf.maximum(size - rows(level, size), 0.0), room)
        free = (left > 0) & (left < room)
        return left, free, total(left) - eps, total(tf.cast(free, size.dtype))

    def narrow(level, low, high, _):
        _, _, excess, slope = judge(level)
        low, high = tf.where(excess > 0, level, low), tf.where(excess > 0, high, level)
        newton = level + tf.math.divide_no_nan(excess, slope)
        useful = (slope > 0) & (newton > low) & (newton < high)
        following = tf.where(useful, newton, (low + high) / 2)
        found = tf.abs(excess) <= 1e-6 * eps + 2.5e-7 * level * slope  # the last of float32
        found |= (excess <= 0) & (level == 0)
        return tf.where(found, level, following), low, high, ~tf.reduce_all(found)

    zero = tf.zeros_like(largest(size))
    level, *_ = tf.while_loop(
        lambda *state: state[-1],
        narrow,
        (zero, zero, largest(size), tf.constant(True)),
        maximum_iterations=60,
    )
    left, free, excess, slope = judge(level)
    rest = tf.where((excess > 0) | (level > 0), tf.math.divide_no_nan(excess, slope), 0.0)
    return tf.where(free, tf.clip_by_value(left - rows(rest, left), 0.0, room), left)


NORMS = {"Linf": Linf, "L2": L2, "L1": L1}


def unit(norm, d):
    """d / (|d| + 1e-12) of each image, in the norm of that name; zero stays zero."""
    return d / (rows(NORMS[norm].length(d), d) + 1e-12)


def check_norm(name, known=NORMS, whose=""):
    """The class of a norm.

    Args:
        name: "Linf", "L2" or "L1".
        known: the names that fit.
        whose: what it is the norm of, for the error.

    Raises:
        InputError: if it is not one of `known`.
    """
    if not isinstance(name, str) or name not in known:
        expected = f"{'one of ' if len(known) > 1 else ''}{', '.join(known)}"
        raise InputError(f"norm{whose} is {name!r}, expected {expected}")
    return NORMS[name]
