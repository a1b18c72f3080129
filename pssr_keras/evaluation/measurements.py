"""What the checks look at: one set of images under many attacks, each crafted when first asked for."""

import functools

import numpy as np
import tensorflow as tf

from ..attacks.adaptive import Expectation
from ..attacks.base import (
    compiled_logits,
    cross_entropy,
    logits_loss_gradient,
    noise_of,
    precise_cross_entropy,
)
from ..attacks.gradient import FGSM, PGD, steepest_step, trajectory
from ..attacks.norms import check_norm
from ..attacks.square import Square
from ..batching import batches
from ..inputs import InputError, check_labels, check_rows, parse_eps, plain
from . import binarisation
from .crafting import check_task, correct, craft, logits_of
from .double_precision import slopes

SAME = 1e-4  # of the largest logit: nearer, two answers are the same
SLOPES = 8  # along which a gradient is compared with differences
WIDTH = 1e-6  # of those differences: few kinks lie within, and float64 still tells the ends apart
DRAWS = (5, 20)  # of a random defense, whose expectation an attack takes
CHECKED_AT_ONCE = 250  # images whose gradients are in memory at once


class Measurements:
    """A defense, an attacker's model of it, and what is seen when one is attacked through the other.

    Flags (n,) say which images the defense still classifies correctly.

    Args:
        see `checks.run`.
    """

    def __init__(
        self, model, images, eps, surrogate=None, seed=0, steps=100, queries=500, draws=100, planted=20,
        norm="Linf",
    ):  # fmt: skip
        self.model, self.surrogate = model, model if surrogate is None else surrogate
        self.ball, self.norm = check_norm(norm), norm
        self.eps = parse_eps(eps, self.ball.largest_eps)
        self.images, self.seed = check_task(images, [self.model, self.surrogate], seed)
        self.steps, self.queries, self.draws, self.planted = map(plain, (steps, queries, draws, planted))

    @property
    def x(self):
        return self.images.x

    @property
    def y(self):
        return self.images.y

    def attacked(self, attack, on=None):
        """The images attacked through the surrogate, or on another model, and their flags."""
        x_adv = craft(attack, self.surrogate if on is None else on, self.images, self.seed)
        return x_adv, correct(self.model, x_adv, self.y)

    def pgd(self, eps, steps):
        return PGD(eps, steps=steps, step_size=max(2.5 * eps / steps, eps / 40), best=True, norm=self.norm)

    # --- answers and gradients -------------------------------------------------------------------

    @functools.cached_property
    def answers(self):
        """Logits of the defense, all images in one batch."""
        logits = check_rows(compiled_logits(self.model)(self.x).numpy(), len(self.x))
        check_labels(self.y, len(self.x), logits.shape[-1])
        return logits

    @functools.cached_property
    def repeated(self):
        """The same logits, asked for once more."""
        return compiled_logits(self.model)(self.x).numpy()

    @functools.cached_property
    def is_random(self):
        """Whether the defense answers otherwise when it is asked again."""
        size = max(np.abs(self.answers).max(), 1e-12)
        return bool(np.abs(self.repeated - self.answers).max() > SAME * size)

    @functools.cached_property
    def gradient(self):
        """The gradient of the surrogate's loss at each image, (n, values)."""
        return self.gradient_at(self.x)

    def gradient_at(self, x):
        logits, parts = compiled_logits(self.surrogate), []
        for rows in batches(len(x), CHECKED_AT_ONCE):
            labels = tf.constant(self.y[rows])
            _, _, part = logits_loss_gradient(
                logits, lambda z, labels=labels: cross_entropy(labels, z), tf.constant(x[rows])
            )
            parts.append(part.numpy())
        return np.concatenate(parts).reshape(len(x), -1)

    @functools.cached_property
    def errors_of_gradient(self):
        """How far the surrogate's gradient is from the defense's slopes in float64, (n,), or None.

        At a point of the ball around each image, not at the image itself: where many pixels are equal, the
        maxima of a network are tied, and it has no one slope. The error is that of the slope along random
        signs, a median over several, in units of the gradient's length, which is a slope's usual size.
        """
        generator = np.random.default_rng([self.seed, 2])
        away = generator.uniform(size=self.x.shape) - self.x
        share = self.eps
        if self.norm != "Linf":
            lengths = self.ball.lengths(away.reshape(len(away), -1)).reshape(-1, 1, 1, 1)
            share = np.minimum(self.eps / np.maximum(lengths, 1e-12), 1)
        x = (self.x + share * away).astype(np.float32)
        directions = np.sign(generator.uniform(-1, 1, (SLOPES, *x.shape)))
        measured = slopes(self.model, x, self.y, directions, WIDTH)
        if measured is None:
            return None
        gradient = self.gradient_at(x).astype(np.float64)
        expected = np.einsum("nbv,bv->bn", directions.reshape(SLOPES, len(x), -1), gradient)
        length = np.maximum(np.linalg.norm(gradient, axis=1, keepdims=True), 1e-30)
        return np.median(np.abs(measured - expected) / length, axis=1)

    @functools.cached_property
    def planted_found(self):
        """`binarisation.Result` of the longest PGD on the first images; None where it does not apply."""
        few = self.images.take(slice(0, self.planted))
        surrogate = None if self.surrogate is self.model else self.surrogate
        try:
            return binarisation.run(self.pgd(self.eps, self.steps), self.model, few, surrogate, self.seed)
        except InputError:
            return None

    @functools.cached_property
    def by_expectation(self):
        """{draws: flags} under PGD on the mean over so many draws of the defense's randomness."""
        attack = self.pgd(self.eps, min(self.steps, 30))
        return {draws: self.attacked(attack, Expectation(self.surrogate, draws))[1] for draws in DRAWS}

    # --- flags -----------------------------------------------------------------------------------

    @functools.cached_property
    def clean(self):
        return correct(self.model, self.x, self.y)

    @functools.cached_property
    def by_steps(self):
        """{steps of PGD: (attacked images, flags)}."""
        counts = [n for n in (1, 3, 10, 30) if n < self.steps] + [self.steps]
        return {n: self.attacked(self.pgd(self.eps, n)) for n in counts}

    @property
    def x_adv(self):
        """The images under the longest PGD."""
        return self.by_steps[self.steps][0]

    @property
    def robust(self):
        """The flags under the longest PGD."""
        return self.by_steps[self.steps][1]

    @functools.cached_property
    def by_one_step(self):
        return self.attacked(FGSM(self.eps, norm=self.norm))[1]

    @functools.cached_property
    def by_square(self):
        """Flags under queries of the defense itself."""
        return self.attacked(Square(self.eps, queries=self.queries, norm=self.norm), self.model)[1]

    @functools.cached_property
    def by_noise(self):
        """Flags under the best of many random points of the eps-ball, corners in Linf."""
        flags = self.clean.copy()
        for draw in range(self.draws):
            noise = self.noise(self.seed + 1, draw)
            noise = tf.sign(noise) if self.norm == "Linf" else noise
            flags &= correct(self.model, self.projected(self.ball.start(self.x, self.eps, noise)), self.y)
        return flags

    @functools.cached_property
    def furthest(self):
        """A budget with which any image may become any other: the norm of a step from black to white."""
        return float(self.ball.lengths(np.ones((1, self.x[0].size)))[0])

    @functools.cached_property
    def by_eps(self):
        """{budget: flags} under PGD, from no budget to the furthest; in L2 and L1 small ones lie closer."""
        budgets = self.furthest * np.linspace(0, 1, 8) ** (1 if self.norm == "Linf" else 3)
        return {eps: self.attacked(self.pgd(eps, min(self.steps, 30)))[1] for eps in budgets}

    @functools.cached_property
    def without_bounds(self):
        """Flags at the furthest budget, under the longest PGD if a shorter one leaves any image."""
        flags = self.by_eps[self.furthest]
        return self.attacked(self.pgd(self.furthest, self.steps))[1] if flags.any() else flags

    # --- losses ----------------------------------------------------------------------------------

    @functools.cached_property
    def losses(self):
        """The surrogate's loss at every step of PGD, (steps + 1, n)."""
        attack = self.pgd(self.eps, min(self.steps, 30))
        return trajectory(attack, self.surrogate, self.x, self.y, self.seed, self.images.indices)[0]

    @functools.cached_property
    def small_step(self):
        """The defense's loss (n,) at a random point near each image, and a small step further."""
        start = self.projected(self.ball.start(self.x, self.eps, self.noise(self.seed)))
        logits = compiled_logits(self.surrogate)
        stepped, _, _ = steepest_step(
            logits, tf.constant(start), tf.constant(self.y), self.eps / 10, norm=self.norm
        )
        moved = self.projected(stepped)
        return tuple(precise_cross_entropy(self.y, logits_of(self.model, z)).numpy() for z in (start, moved))

    # --- the ball --------------------------------------------------------------------------------

    def noise(self, seed, draw=0):
        """Noise of the norm for each image, keyed by its index."""
        return noise_of(self.ball.noise, seed, self.images.indices, self.x.shape[1:], draw)

    def projected(self, z):
        """Points within the budget and [0, 1], as an array."""
        return self.ball.projection(tf.constant(self.x), self.eps)(z).numpy()
