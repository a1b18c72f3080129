"""APGD in the L1 norm, which goes otherwise than in Linf and L2: steps of few values, and no momentum.

Source: Croce and Hein 2021, "Mind the box: l1-APGD for sparse adversarial attacks on image classifiers", and
AutoAttack's code. With g the gradient, k the number of values that the step may change,

    s = sign(g) on the k largest |g|, else 0
    z <- P(z + step s / sum |s|),   step = eps at first,

P the projection onto the ball and [0, 1]. Every few iterations k becomes two thirds of the number of values
in which the best point differs from x. Where that number has fallen by more than 5%, the step is eps again
and the ascent goes on from the best point; elsewhere the step is divided by 1.5, down to eps / 10.

With a schedule the ball shrinks, 3 eps, 2 eps, eps: each phase begins at the projected best point of the one
before, and only the last one can find an adversarial example.
"""

import math

import numpy as np
import tensorflow as tf

from .base import is_fooled
from .norms import L1, rows, total

FIRST_SHARE = 0.2  # of the values, that a step may change before anything is known of the best point
PHASES = ((3, 0.3), (2, 0.3), (1, 0.4))  # radius in units of eps, share of the steps


def phases(steps, schedule):
    """[(first iteration, radius in units of eps, iterations between two decisions)]."""
    found, first = [], 0
    for radius, share in PHASES if schedule else ((1, 1),):
        length = steps - first if radius == 1 else min(math.ceil(share * steps), steps - 1 - first)
        found.append((first, float(radius), max(int(0.04 * length), 1)))
        first += length
    return found


def ends(steps, schedule):
    """The iterations after which fallen images can be let go: none before the last phase."""
    first = phases(steps, schedule)[-1][0]
    ends = (first + end for end in (1, 2, 5, 10, *range(20, steps, 10)))
    return [*(end for end in ends if end < steps), steps]


def begin(attack, logits, task):
    """The state before the first iteration; see `early_exit.EarlyExitAttack`."""
    (_, radius, _), *later = phases(attack.steps, attack.schedule)
    x = task["x"]
    z = L1.projection(x, radius * attack.eps)(L1.start(x, attack.eps, task["noise"]))
    return enter(attack, logits, task, z, radius, knows_nothing=not later)


def enter(attack, logits, task, z, radius, knows_nothing=False):
    """The state at the start of a phase, which forgets what fell in a larger ball."""
    outputs, loss, gradient = attack.evaluate(logits, task, z)
    size = math.prod(z.shape[1:])
    support = tf.fill(tf.shape(loss), float(size)) if knows_nothing else support_of(z, task["x"])
    return {
        "z": z, "gradient": gradient,
        "z_best": z, "gradient_best": gradient, "best": loss,
        "step": tf.fill(tf.shape(loss), radius * attack.eps),
        "support": support,
        "share": tf.fill(tf.shape(loss), FIRST_SHARE) if knows_nothing else share_of(support, size),
        "x_adv": z, "fooled": is_fooled(outputs, task["y"]),
    }  # fmt: skip


def support_of(z, x):
    """In how many values each image differs from x: (B,), float32."""
    return total(tf.cast(z != x, z.dtype))


def share_of(support, size):
    return support / size / 1.5


def sparse_sign(gradient, share):
    """The signs of the largest entries of a gradient, a share (B,) of all; ties are all kept."""
    size = math.prod(gradient.shape[1:])
    slope = tf.abs(gradient)
    smaller = tf.clip_by_value(tf.cast((1 - share) * size, tf.int32), 0, size - 1)  # rounded down, in float32
    kept = size - smaller
    top, _ = tf.math.top_k(tf.reshape(slope, (-1, size)), k=tf.reduce_max(kept))
    least = tf.gather(top, kept - 1, batch_dims=1)
    return tf.sign(gradient) * tf.cast(slope >= rows(least, slope), gradient.dtype)


def advance(attack, logits, task, state, first, last):
    """The state after the iterations from `first` to `last` - 1."""
    x, y = task["x"], task["y"]
    known = phases(attack.steps, attack.schedule)
    starts = [start for start, *_ in known]
    phase_of = np.searchsorted(starts, np.arange(attack.steps), side="right") - 1
    radii = np.array([radius for _, radius, _ in known], np.float32)[phase_of] * np.float32(attack.eps)
    decides = [(i + 1 - known[p][0]) % known[p][2] == 0 for i, p in enumerate(phase_of)]
    radii, decides = tf.constant(radii), tf.constant(decides)

    def enter_at(number):
        _, radius, _ = known[number]

        def entered(state):
            z = L1.projection(x, radius * attack.eps)(state["z_best"])
            return enter(attack, logits, task, z, radius)

        return entered

    def iterate(i, state):
        for number in range(1, len(known)):
            state = tf.cond(i == starts[number], lambda n=number, s=state: enter_at(n)(s), lambda s=state: s)
        signs = sparse_sign(state["gradient"], state["share"])
        length = state["step"] / (total(tf.abs(signs)) + 1e-10)
        z = L1.projection(x, radii[i])(state["z"] + rows(length, x) * signs)
        outputs, loss, gradient = attack.evaluate(logits, task, z)
        fooled = is_fooled(outputs, y)
        better = loss > state["best"]
        state = {
            **state,
            "z": z,
            "gradient": gradient,
            "z_best": tf.where(rows(better, x), z, state["z_best"]),
            "gradient_best": tf.where(rows(better, x), gradient, state["gradient_best"]),
            "best": tf.where(better, loss, state["best"]),
            "x_adv": tf.where(rows(fooled, x), z, state["x_adv"]),
            "fooled": fooled | state["fooled"],
        }
        return i + 1, tf.cond(decides[i], lambda: reconsider(state, x, radii[i]), lambda: state)

    return tf.while_loop(lambda i, _: i < last, iterate, (first, state))[1]


def reconsider(state, x, radius):
    """The sparsity of the next steps and their length; see the head of this module."""
    support = support_of(state["z_best"], x)
    sparser = support / state["support"] < 0.95  # not where both are 0
    step = tf.where(sparser, radius, state["step"] / 1.5)
    back = rows(sparser, x)
    return {
        **state,
        "support": support,
        "share": share_of(support, math.prod(x.shape[1:])),
        "step": tf.clip_by_value(step, radius / 10, radius),
        "z": tf.where(back, state["z_best"], state["z"]),
        "gradient": tf.where(back, state["gradient_best"], state["gradient"]),
    }
