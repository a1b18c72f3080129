"""An attack step by step: the images on its way, which the loss along the attack is measured on.

The attacks of `attacks` return where they end. Here they are made of the same parts, but stopped after each
step; tests hold both to the same end. One gradient is compiled for a model, whatever the attack, its
budget and its steps, so that a visitor who moves a slider waits for no compiler.
"""

import copy
import dataclasses

import numpy as np
import tensorflow as tf
from cleverhans.tf2.utils import optimize_linear

from .. import attacks
from ..attacks import base, compiled
from ..attacks.early_exit import EarlyExitAttack
from ..attacks.gradient import FGSM, MIM
from ..attacks.square import Square
from ..inputs import InputError

# What a visitor may choose, and its steps, or queries, at first.
STEPS = {
    "fgsm": 1,  # by its definition
    "bim": 10,  # as evaluated, see `attacks.gradient`
    "mim": 10,  # as evaluated, see `attacks.gradient`
    "pgd": 40,  # as evaluated, see `attacks.gradient`
    "apgd-ce": 30,  # more take longer than a visitor waits
    "square": 300,  # more take longer than a visitor waits
}
CHOSEN = ("bim", "mim", "pgd")  # whose steps are a choice; the programs of the last two are for one number


def attack_of(name, eps, steps, best=False):
    """The attack a visitor chose.

    BIM, MIM and PGD take steps of 2.5 eps / steps, or their own where that is more, so that few steps reach
    as far as many.

    Args:
        name: of `STEPS`.
        eps: the budget, as a number or as text such as "8/255".
        steps: queries, for Square; FGSM has one anyway.
        best: whether PGD keeps its best image, as one does who may ask what is attacked.

    Raises:
        InputError: for another attack than those of `STEPS`, or a budget or steps that do not fit.
    """
    if name not in STEPS:
        raise InputError(f"unknown attack {name!r}, expected one of {', '.join(STEPS)}")
    if name == "fgsm":
        return attacks.create(name, eps=eps)
    if name not in CHOSEN:
        return attacks.create(name, eps=eps, **{"queries" if name == "square" else "steps": steps})
    attack = attacks.create(name, eps=eps, steps=steps)
    step_size = max(attack.step_size, 2.5 * attack.eps / attack.steps)
    return dataclasses.replace(attack, step_size=step_size, **({"best": best} if name == "pgd" else {}))


def walk(attack, model, x, y, seed=0, index=0):
    """The images on the way of an attack on one image, from its start to what it returns.

    Args:
        attack: see `attack_of`.
        model: images -> logits; a Keras model.
        x: (H, W, C), float32 in [0, 1].
        y: the label it moves away from.
        seed, index: they determine the random start.

    Returns:
        images (n, H, W, C), the last one what the attack returns; and (n,) how many steps, or queries, were
        made before each. If an early-exit attack does not succeed, the last image is x.
    """
    x, y = tf.constant(x[None]), tf.constant([y], tf.int32)
    go = _survivor if isinstance(attack, EarlyExitAttack) else _ascend
    images, steps = zip(*go(attack, model, x, y, seed, np.array([index])), strict=True)
    images = np.concatenate(images)
    base.check_perturbation(attack, np.repeat(x, len(images), axis=0), images)
    return images, np.array(steps)


def _ascend(attack, model, x, y, seed, indices):
    """FGSM, BIM, MIM and PGD: steps along the sign of a gradient, each projected onto the eps-ball."""
    bounds = base.ball(x, attack.eps)
    start = x
    if attack.draws:
        start = x + attack.eps * base.uniform_noise(seed, indices, x.shape[1:])
    steps, size = (1, attack.eps) if isinstance(attack, FGSM) else (attack.steps, attack.step_size)
    gradient_of, momentum = _gradient(model), tf.zeros_like(x)
    z = base.project(start, bounds)
    keep, best = getattr(attack, "best", False), (-np.inf, z)
    for step in range(steps):
        yield z, step
        outputs, loss, direction = gradient_of(z, y)
        if keep and base.is_fooled(outputs, y).numpy()[0]:
            return
        best = max(best, (loss.numpy()[0], z), key=lambda found: found[0])
        if isinstance(attack, MIM):  # as cleverhans has it
            mean = tf.reduce_mean(tf.abs(direction), axis=(1, 2, 3), keepdims=True)
            direction = momentum = attack.momentum * momentum + direction / tf.maximum(mean, 1e-12)
        z = base.project(z + optimize_linear(direction, size, np.inf), bounds)
    yield z, steps
    if keep:  # nothing fooled but perhaps the last one
        outputs, loss, _ = gradient_of(z, y)
        if not base.is_fooled(outputs, y).numpy()[0] and loss.numpy()[0] <= best[0]:
            yield best[1], steps


def _survivor(attack, model, x, y, seed, indices):
    """APGD and Square: the state of their only run, on an image that is classified correctly at first."""
    yield x, 0
    if base.compiled_logits(model)(x).numpy().argmax() != y.numpy()[0]:
        return
    begin, advance = _program(attack, model)
    task = {"x": x, "y": y, "target": tf.constant([-1])}
    noise = attack.noise(seed, indices, x.shape[1:], 0)
    task |= {name: tf.constant(value) for name, value in noise.items()}
    eps = tf.constant(attack.eps, tf.float32)
    square = isinstance(attack, Square)
    last, stride = (attack.queries, 10) if square else (attack.steps, 1)
    state, made = begin(eps, task), int(square)  # the first image of Square is a query, too
    for done in range(0, last, stride):
        if state["fooled"].numpy()[0]:
            break
        yield state["x_adv" if square else "z"], made
        state = advance(eps, task, state, tf.constant(done), tf.constant(min(done + stride, last)))
        made += stride
    yield (state["x_adv"] if state["fooled"].numpy()[0] else x), made


def _gradient(model):
    """Logits, cross-entropy and its gradient by one image, compiled: (1, H, W, C), (1,) -> the three."""
    logits = base.logits_function(model)

    def gradient(x, y):
        return base.logits_loss_gradient(logits, lambda outputs: base.cross_entropy(y, outputs), x)

    return compiled.kept("walk", model, lambda: tf.function(gradient, autograph=False))


def _program(attack, model):
    """`begin` and `advance` of an early-exit attack, each compiled once for all budgets."""
    logits = base.logits_function(model)

    def begin(eps, task):
        return _with_budget(attack, eps).begin(logits, task)

    def advance(eps, task, state, first, last):
        return _with_budget(attack, eps).advance(logits, task, state, first, last)

    key = ("walk", _with_budget(attack, None))
    return compiled.kept(
        key, model, lambda: [tf.function(part, autograph=False) for part in (begin, advance)]
    )


def _with_budget(attack, eps):
    twin = copy.copy(attack)
    object.__setattr__(twin, "eps", eps)
    return twin
