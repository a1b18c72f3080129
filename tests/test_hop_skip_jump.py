"""HopSkipJump where the nearest misclassified image is known, and the promises of every attack."""

import numpy as np
import pytest
import tensorflow as tf

from pssr_keras import InputError, attacks
from pssr_keras.attacks.hop_skip_jump import HopSkipJump, bisect

SHAPE = (4, 4, 1)


@pytest.fixture(scope="module")
def linear():
    """Two classes by the sign of <w, x> - b: the nearest other class is |<w, x> - b| / |w|_1 away (Linf)."""
    generator = np.random.default_rng(0)
    w = generator.normal(size=16).astype(np.float32)
    x = generator.uniform(0.4, 0.6, (6, *SHAPE)).astype(np.float32)
    margins = x.reshape(6, -1) @ w - w.sum() / 2

    def model(x):
        z = tf.linalg.matvec(tf.reshape(x, (-1, 16)), tf.constant(w)) - w.sum() / 2
        return tf.stack([tf.zeros_like(z), z], axis=1)

    return model, x, (margins > 0).astype(np.int32), np.abs(margins) / np.abs(w).sum()


def test_it_comes_near_the_smallest_perturbation(linear):
    model, x, y, optimum = linear
    found = HopSkipJump(0.3, iterations=25).smallest(model, x, y)
    assert (found >= optimum - 1e-5).all()  # nothing nearer is misclassified
    assert (found <= 1.1 * optimum + 1e-4).all()
    first = HopSkipJump(0.3, iterations=1).smallest(model, x, y)
    assert np.median(first / optimum) > 1.1  # what noise and one jump find is no such thing


def test_an_image_falls_where_the_budget_allows_it(linear):
    """Budgets a fifth above and below each optimum."""
    model, x, y, optimum = linear
    attack = HopSkipJump(float(np.median(optimum)), iterations=25)
    x_adv = attack(model, x, y)
    fallen = np.argmax(model(x_adv), axis=1) != y
    clear = np.abs(optimum / attack.eps - 1) > 0.2
    assert clear.sum() >= 3
    np.testing.assert_array_equal(fallen[clear], (optimum < attack.eps)[clear])
    np.testing.assert_array_equal(x_adv[~fallen], x[~fallen])


def test_only_classes_are_told(linear):
    """Any growing function of the logits gives the same points: no logit or gradient is used."""
    model, x, y, _ = linear
    attack = HopSkipJump(0.3, iterations=3)
    np.testing.assert_array_equal(
        attack(model, x, y), attack(lambda z: tf.round(1e6 * tf.sign(model(z))), x, y)
    )


def test_same_seed_same_images_however_they_are_batched(toy_classifier, toy_images):
    attack = HopSkipJump(0.5, iterations=3, first_queries=20)
    x, y = toy_images.x[:12], toy_images.y[:12]
    whole = attack(toy_classifier, x, y, seed=1)
    part = attack(toy_classifier, x[5:9], y[5:9], seed=1, indices=np.arange(5, 9))
    np.testing.assert_allclose(part, whole[5:9], atol=1e-4)
    assert np.abs(attack(toy_classifier, x, y, seed=2) - whole).max() > 1e-3
    strict = HopSkipJump(0.5, iterations=3, first_queries=20, mode="strict")(toy_classifier, x, y, seed=1)
    np.testing.assert_array_equal((strict == x).all(axis=(1, 2, 3)), (whole == x).all(axis=(1, 2, 3)))


def test_it_comes_near_what_gradients_find(toy_classifier, toy_images):
    """FAB, which seeks the same point by gradients, is the witness on a network."""
    x, y = toy_images.x[:16], toy_images.y[:16]
    by_gradients = np.nanmin(attacks.FABT(0.3, steps=50).smallest(toy_classifier, x, y)[0], axis=1)
    found = HopSkipJump(0.3, iterations=20).smallest(toy_classifier, x, y)
    assert (found > 0.95 * by_gradients).all()
    assert np.median(found / by_gradients) < 1.25


def test_what_noise_never_finds_is_sought_among_plain_images():
    """Only an image that is dark all over is of class 1: no noise is."""

    def model(x):
        dark = 0.1 - tf.reduce_mean(x, axis=(1, 2, 3))
        return tf.stack([tf.zeros_like(dark), dark], axis=1)

    x = np.full((2, *SHAPE), 0.3, np.float32)
    found = HopSkipJump(0.3, iterations=5, starts=3).smallest(model, x, np.zeros(2, np.int32))
    np.testing.assert_allclose(found, 0.2, rtol=0.05)


def test_where_nothing_is_misclassified_nothing_is_found():
    def model(x):
        return tf.stack([3 * tf.ones(tf.shape(x)[0]), 0 * tf.reduce_sum(x, axis=(1, 2, 3))], axis=1)

    x = np.full((2, *SHAPE), 0.3, np.float32)
    attack = HopSkipJump(0.3, iterations=2, starts=2)
    np.testing.assert_array_equal(attack(model, x, np.zeros(2, np.int32)), x)
    assert np.isnan(attack.smallest(model, x, np.array([0, 1]))).all()


def test_bisection_finds_where_something_begins_to_hold():
    found = bisect(tf.zeros(3), tf.ones(3), lambda t: t > tf.constant([0.1, 0.5, 0.9]), 20).numpy()
    np.testing.assert_allclose(found, [0.1, 0.5, 0.9], atol=1e-5)
    assert (found > [0.1, 0.5, 0.9]).all()


def test_it_has_a_name_and_refuses_what_makes_no_sense():
    assert attacks.parse("hop-skip-jump:iterations=3", 0.2) == HopSkipJump(0.2, iterations=3)
    for field in ("iterations", "first_queries", "most_queries", "starts"):
        with pytest.raises(InputError, match=f"{field} is 0, expected at least 1"):
            HopSkipJump(0.2, **{field: 0})
    with pytest.raises(InputError, match="leave targeted False"):
        HopSkipJump(0.2, targeted=True)
