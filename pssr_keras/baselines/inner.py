"""The attack inside robust training: images that raise a loss, as TensorFlow operations."""

import functools

import tensorflow as tf

from ..attacks.base import ball, logits_loss_gradient, project
from ..inputs import InputError

SEARCHES = ("training", "evaluation")


def check_search(search):
    """Refuse an unknown mode of the classifier while images are attacked.

    Raises:
        InputError: if it is none of `SEARCHES`.
    """
    if search not in SEARCHES:
        raise InputError(f"search is {search!r}, expected one of {', '.join(SEARCHES)}")


def searched(logits, search):
    """The classifier as the search for attacked images sees it: in training mode, or in evaluation mode.

    In training mode batch normalisation goes by the statistics of the attacked batch, and each step of the
    search moves the averages by which the classifier is later evaluated.

    Args:
        logits: see `base.Objective.loss`.
        search: of `SEARCHES`.
    """
    return logits if search == "training" else functools.partial(logits, training=False)


def inner_maximization(loss, logits, x, start, eps, step_size, steps):
    """Images in the eps-ball around x that raise a loss: signed gradient steps, each projected.

    Args:
        loss: function, logits (B, K) -> (B,).
        logits: function, images (B, H, W, C) in [0, 1] -> logits.
        x, start: the centre of the ball, and where to begin.
        eps, step_size: in units of the pixel range, numbers or scalar tensors.
        steps: number of steps.
    """
    bounds = ball(x, eps)

    def step(x_adv):
        _, _, gradient = logits_loss_gradient(logits, loss, x_adv)
        return (project(x_adv + step_size * tf.sign(gradient), bounds),)

    start = tf.stop_gradient(project(start, bounds))
    if tf.distribute.get_strategy().num_replicas_in_sync > 1:
        # Batch normalisation asks the other devices for their statistics, which no tf.while_loop can.
        x_adv = start
        for _ in range(steps):
            (x_adv,) = step(x_adv)
    else:
        (x_adv,) = tf.while_loop(lambda _: True, step, (start,), maximum_iterations=steps)
    return tf.stop_gradient(x_adv)
