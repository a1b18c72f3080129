"""The smallest step onto a hyperplane within [0, 1], in each norm: what FAB takes at every iteration.

For points t (B, D), normals w (B, D) and residuals r = <w, t> - b (B,), a step d puts t + d onto <w, .> = b
and is the smallest in its norm. Where no point of [0, 1] lies on the plane, it goes to the nearest corner.
"""

import tensorflow as tf

LEAST_SLOPE = 1e-8  # in L2 and L1, as in the official code: values of a smaller slope do not move


def towards(points, normal, residual):
    """The normal turned so that <w, .> has to fall, by how much, |w|, and how far each value can go."""
    w = tf.where((residual < 0)[:, None], -normal, normal)
    room = tf.where(w > 0, points, 1 - points) * tf.cast(w != 0, w.dtype)
    return w, tf.abs(residual), tf.abs(w), room


def climbed(needed, slope_of, spent_of, iterations, gain=0.0):
    """The root of a concave function that rises from 0 along straight lines, by Newton's method from 0.

    It climbs to the root without passing it, and ends exactly there.

    Args:
        needed: the value to reach (B,).
        slope_of, spent_of: functions of (B,), the slope there and what the full values give.
        gain: how much a step must gain, as a share, to be followed by another.
    """

    def climb(radius, _):
        further = tf.math.divide_no_nan(needed - spent_of(radius), slope_of(radius))
        return tf.maximum(radius, further), further > radius * (1 + gain)

    return tf.while_loop(
        lambda _, moved: tf.reduce_any(moved),
        climb,
        (tf.zeros_like(needed), tf.ones_like(needed, tf.bool)),
        maximum_iterations=iterations,
    )[0]


def linf(points, normal, residual):
    """d = -sign(w) min(l, room), where l solves G(l) = sum |w| min(l, room) = |r|."""
    w, needed, size, room = towards(points, normal, residual)
    gain = size * room

    def free(radius):
        return tf.cast(room > radius[:, None], w.dtype)

    radius = climbed(
        needed,
        lambda radius: tf.reduce_sum(size * free(radius), axis=1),
        lambda radius: tf.reduce_sum(gain * (1 - free(radius)), axis=1),
        points.shape[1],
    )
    radius = tf.where(needed >= tf.reduce_sum(gain, axis=1), 1.0, radius)  # 1 exceeds every room
    return -tf.sign(w) * tf.minimum(radius[:, None], room)


def l2(points, normal, residual):
    """d = -sign(w) min(l |w|, room), where l solves G(l) = sum |w| min(l |w|, room) = |r|."""
    normal = tf.where(tf.abs(normal) > LEAST_SLOPE, normal, 0.0)
    w, needed, size, room = towards(points, normal, residual)
    gain, square = size * room, tf.square(size)

    def free(radius):
        return tf.cast(room > radius[:, None] * size, w.dtype)

    radius = climbed(
        needed,
        lambda radius: tf.reduce_sum(square * free(radius), axis=1),
        lambda radius: tf.reduce_sum(gain * (1 - free(radius)), axis=1),
        points.shape[1],
        gain=1e-6,  # rounding makes the last bits climb for ever
    )
    step = tf.minimum(radius[:, None] * size, room)
    corner = (needed >= tf.reduce_sum(gain, axis=1))[:, None]
    return -tf.sign(w) * tf.where(corner, room, step)


def l1(points, normal, residual):
    """The values of largest |w| move first, each to its bound, until the last one goes as far as is left."""
    normal = tf.where(tf.abs(normal) > LEAST_SLOPE, normal, 0.0)
    w, needed, size, room = towards(points, normal, residual)
    order = tf.argsort(size, direction="DESCENDING", stable=True)
    ordered, gain = (tf.gather(part, order, batch_dims=1) for part in (size, size * room))
    left = needed[:, None] - tf.cumsum(gain, axis=1, exclusive=True)
    step = tf.clip_by_value(tf.math.divide_no_nan(left, ordered), 0.0, tf.gather(room, order, batch_dims=1))
    return -tf.sign(w) * tf.gather(step, tf.argsort(order), batch_dims=1)


PROJECTIONS = {"Linf": linf, "L2": l2, "L1": l1}
