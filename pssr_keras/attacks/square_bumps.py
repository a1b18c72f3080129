"""Square in L2 and L1: mass moves from one window of an image to another, in the shape of two bumps.

    e = eta sign + d[W1] / |d[W1]|     the new content of W1; eta is a positive bump above a negative one
    d[W2] = 0,   d[W1] = B e / |e|     B brings the whole perturbation d back to eps

Source: Andriushchenko et al. 2020, section 3.3, with the numbers of AutoAttack's code. A window never reaches
the last row or column, as there. The official code counts values of 1e-8, which rounding leaves where d was
0, as content of a window; here what was 0 stays 0.

Everything that is drawn comes as a tensor of the `task`, so the same draws give the same images:

    tiles      (B, T, 1 + C)    of the start: whether each tile lies on its side, and its sign in each channel
    windows    (B, Q, 4)        row and column of W1, then of W2
    signs      (B, Q, 1 + C)    whether the bumps of a query lie on their side, and their sign in each channel
"""

import functools

import numpy as np
import tensorflow as tf

from .base import uniform_noise
from .norms import NORMS, shrunk, unit

EXPONENT = {"L2": 2, "L1": 4}  # how fast a bump falls off, as in the official code


def odd_side(side, height, width):
    """An odd number of pixels, 3 at least, that fits into the image."""
    return min(max(side, 3) + (max(side, 3) + 1) % 2, height, width)


def bump(height, width, norm):
    """A pyramid of length 1 in the norm.

    The sum of (k + 1)^-p over k from D to K - 1: D is the distance from the middle, K - 1 the largest one.
    """
    rows, columns = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    distance = np.maximum(np.abs(rows - height // 2), np.abs(columns - width // 2))
    terms = (np.arange(max(height // 2, width // 2) + 1) + 1.0) ** -EXPONENT[norm]
    sums = np.append(np.cumsum(terms[::-1])[::-1], 0.0)
    return _normalised(sums[distance], norm)


@functools.cache
def bumps(side, norm):
    """eta: a positive bump above a negative one, (side, side), of length 1 in the norm."""
    above = side // 2
    both = np.concatenate([bump(above, side, norm), -bump(side - above, side, norm)])
    return _normalised(both, norm).astype(np.float32)


def _normalised(values, norm):
    return values / (np.sqrt((values**2).sum()) if norm == "L2" else np.abs(values).sum())


def tiles_of(height, width):
    """The corners (T, 2) and the side of the tiles of the start, row by row; they lie within the image."""
    side = max(height // 5, 1)
    offset = (height - 5 * side) // 2 if height >= 5 else 0
    rows = [offset + side * i for i in range(height // side) if offset + side * (i + 1) <= height]
    columns = [offset + side * i for i in range(width // side) if offset + side * (i + 1) <= width]
    return np.array([(row, column) for row in rows for column in columns]), side


def drawn(attack, sides, seed, indices, shape, run):
    """The draws of a run, keyed by (seed, index): those of the head of this module."""
    height, width, channels = shape
    tiles = len(tiles_of(height, width)[0])
    first = uniform_noise(seed, indices, (tiles, 1 + channels), 2 * run).numpy()
    draws = uniform_noise(seed, indices, (attack.queries, 5 + channels), 2 * run + 1).numpy()
    room = np.stack([height - sides, width - sides] * 2, axis=-1)
    return {
        "tiles": np.where(first >= 0, 1, -1).astype(np.int8),
        "windows": ((draws[..., :4] + 1) / 2 * room).astype(np.int16),
        "signs": np.where(draws[..., 4:] >= 0, 1, -1).astype(np.int8),
    }


def placed(pattern, corner, side, lying, height, width):
    """A pattern at a corner of each image: (B, H, W, 1).

    Args:
        pattern: (S, S), of which the first `side` rows and columns count.
        corner: (B, 2).
        lying: (B,) bool, where it is transposed.
    """
    shapes = tf.where(lying[:, None, None], tf.transpose(pattern), pattern)
    for axis, length in ((1, height), (2, width)):
        at = tf.range(length)[None] - corner[:, axis - 1, None]
        inside = (at >= 0) & (at < side)
        shapes = tf.gather(shapes, tf.where(inside, at, 0), axis=axis, batch_dims=1)
        shapes *= tf.cast(inside[:, :, None] if axis == 1 else inside[:, None], shapes.dtype)
    return shapes[..., None]


def channel_length(d, norm):
    """The norm of each channel of each image: (B, H, W, C) -> (B, 1, 1, C)."""
    if norm == "L2":
        return tf.sqrt(tf.reduce_sum(tf.square(d), axis=(1, 2), keepdims=True))
    return tf.reduce_sum(tf.abs(d), axis=(1, 2), keepdims=True)


def perturbed(x, d, eps, norm):
    """A perturbation within eps and the box, from any: in L2 of length eps before the box cuts it."""
    if norm == "L2":
        return tf.clip_by_value(x + eps * unit(norm, d), 0.0, 1.0) - x
    room = tf.where(d > 0, 1 - x, x)
    return tf.sign(d) * shrunk(tf.abs(d), room, eps * (1 - 1e-6))


def start(x, tiles, eps, norm):
    """The perturbation before the first query: bumps on tiles all over the image."""
    height, width = x.shape[1:3]
    corners, side = tiles_of(height, width)
    pattern, d = tf.constant(bumps(side, norm) if side > 1 else np.ones((1, 1), np.float32)), tf.zeros_like(x)
    for number, corner in enumerate(corners):
        place = tf.zeros_like(tiles[:, 0, :2], tf.int32) + tf.constant(corner, tf.int32)
        signs = tf.cast(tiles[:, number, 1:], x.dtype)[:, None, None]
        d += placed(pattern, place, side, tiles[:, number, 0] > 0, height, width) * signs
    return perturbed(x, d, eps, norm)


def proposal(x, d, windows, signs, pattern, side, eps, norm):
    """The next perturbation to try: W1 gets new content and the mass of W2.

    Args:
        x, d: images and their perturbations (B, H, W, C).
        windows: (B, 4).
        signs: (B, 1 + C).
        pattern: `bumps` of that side, as a part of a larger array.
    """
    height, width, channels = x.shape[1:]
    lying, windows = signs[:, 0] > 0, tf.cast(windows, tf.int32)
    whole = tf.ones_like(pattern)
    first, second = (
        placed(whole, corner, side, lying, height, width) for corner in tf.split(windows, 2, axis=1)
    )
    eta = placed(pattern, windows[:, :2], side, lying, height, width)
    content = first * d
    new = eta * tf.cast(signs[:, 1:], x.dtype)[:, None, None] + content / (
        channel_length(content, norm) + 1e-12
    )
    both = channel_length(tf.maximum(first, second) * d, norm)
    length = NORMS[norm].length(d)[:, None, None, None]
    if norm == "L2":
        mass = tf.sqrt(tf.maximum(eps**2 - length**2, 0.0) / channels + both**2)
    else:
        mass = channels * (tf.maximum(eps - length, 0.0) / channels + both)
    moved = mass * new / (channel_length(new, norm) + 1e-12)
    return perturbed(x, d * (1 - tf.maximum(first, second)) + moved, eps, norm)


def patterns_of(sides, norm):
    """`bumps` of each side, in the corner of arrays of one size: (number of sides, S, S)."""
    largest = max(sides)
    return np.stack([np.pad(bumps(int(side), norm), (0, largest - side)) for side in sides])


def advance(attack, sides, margin_of, x, task, state, first, last):
    """The state after the queries from `first` to `last` - 1; all images are at the same query.

    Args:
        sides: of the windows of all queries.
        margin_of: function, images and their rows -> margins.
    """
    kinds, kind_of = np.unique(sides, return_inverse=True)
    patterns = tf.constant(patterns_of(kinds, attack.norm))
    kinds, kind_of = tf.constant(kinds, tf.int32), tf.constant(kind_of, tf.int32)

    def query(i, state):
        active = tf.where(~state["fooled"])[:, 0]
        kind, at = kind_of[i], active[:, None]
        own, d = tf.gather(x, active), tf.gather(state["d"], active)
        windows, signs = (tf.gather(task[name][:, i], active) for name in ("windows", "signs"))
        new = proposal(own, d, windows, signs, patterns[kind], kinds[kind], attack.eps, attack.norm)
        z = tf.clip_by_value(own + new, 0.0, 1.0)
        found = margin_of(z, active)
        helps = (found < tf.gather(state["margin"], active)) | (found <= 0)
        kept = tf.where(helps)[:, 0]
        at = tf.gather(at, kept)
        changes = {"d": new, "x_adv": z, "margin": found, "fooled": found <= 0}
        put = tf.tensor_scatter_nd_update
        return i + 1, state | {
            name: put(state[name], at, tf.gather(value, kept)) for name, value in changes.items()
        }

    return tf.while_loop(
        lambda i, state: (i < last) & tf.reduce_any(~state["fooled"]), query, (first, state)
    )[1]
