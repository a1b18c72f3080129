import numpy as np
import pytest
import tensorflow as tf

from pssr_keras import InputError, attacks
from pssr_keras.attacks import carlini_wagner

GENERATOR = np.random.default_rng(0)
WEIGHTS = GENERATOR.normal(size=(64, 5)).astype(np.float32)
X = GENERATOR.uniform(0.4, 0.6, (40, 8, 8, 1)).astype(np.float32)


def linear(x):
    return tf.reshape(x - 0.5, (-1, 64)) @ WEIGHTS


Y = linear(X).numpy().argmax(axis=1).astype(np.int32)


def radii():
    """The exact L2 distance to the nearest other class; the images are far from 0 and 1."""
    logits = linear(X).numpy()
    distances = [
        [
            (row[label] - row[j]) / np.linalg.norm(WEIGHTS[:, label] - WEIGHTS[:, j])
            for j in range(5)
            if j != label
        ]
        for row, label in zip(logits, Y, strict=True)
    ]
    return np.min(distances, axis=1)


def moved(x_adv, x=X):
    return np.linalg.norm((x_adv - x).reshape(len(x), -1), axis=1)


def test_finds_the_radius_of_a_linear_model():
    x_adv = attacks.CarliniWagner()(linear, X, Y)
    assert (linear(x_adv).numpy().argmax(axis=1) != Y).all()
    ratio = moved(x_adv) / radii()
    assert ratio.min() >= 1 - 1e-4
    assert np.median(ratio) < 1.03
    assert ratio.max() < 1.4


def test_a_budget_counts_what_lies_within_it():
    budget = float(np.median(radii())) * 1.03
    x_adv = attacks.CarliniWagner(eps=budget)(linear, X, Y)
    assert moved(x_adv).max() <= budget + 1e-6
    fooled = linear(x_adv).numpy().argmax(axis=1) != Y
    np.testing.assert_array_equal(fooled, moved(x_adv) > 0)
    assert 0.35 < fooled.mean() <= 0.7
    assert not fooled[radii() > budget].any()


def test_it_moves_less_than_pgd_and_true_labels_do_not_turn_it(toy_classifier, toy_images):
    x, y = toy_images.x, toy_images.y
    attack = attacks.CarliniWagner(steps=60, searches=5)
    x_adv = attack(toy_classifier, x, y)
    assert (toy_classifier.predict(x_adv, verbose=0).argmax(axis=1) != y).all()
    by_pgd = attacks.PGD(0.3)(toy_classifier, x, y)
    assert (moved(x_adv, x) < moved(by_pgd, x)).mean() > 0.95
    np.testing.assert_array_equal(attack(toy_classifier, x, y), x_adv)  # a second batch works as the first


def test_batches_change_nothing(toy_classifier, toy_images):
    x, y = toy_images.x[:10], toy_images.y[:10]
    attack = attacks.CarliniWagner(steps=40, searches=4)
    whole = attack(toy_classifier, x, y)
    parts = [attack(toy_classifier, x[rows], y[rows]) for rows in (slice(0, 3), slice(3, 10))]
    np.testing.assert_allclose(moved(np.concatenate(parts), x), moved(whole, x), rtol=0.02)


def test_confidence_and_targets(toy_classifier, toy_images):
    x, target = toy_images.x, (toy_images.y + 1) % 3
    targeted = attacks.CarliniWagner(targeted=True, steps=60, searches=5)(toy_classifier, x, target)
    assert (toy_classifier.predict(targeted, verbose=0).argmax(axis=1) == target).all()
    sure = attacks.CarliniWagner(confidence=1.0, steps=60, searches=5)(toy_classifier, x, toy_images.y)
    logits = toy_classifier.predict(sure, verbose=0)
    lead = -np.array(carlini_wagner.hinge(tf.constant(toy_images.y), tf.constant(logits), 0.0, True))
    assert (lead <= -0.99).all()


def test_where_nothing_is_found_the_image_stays():
    constant = attacks.CarliniWagner(steps=5, searches=2)(
        lambda x: tf.zeros((tf.shape(x)[0], 5)) + tf.constant([2.0, 0, 0, 0, 0]), X, np.zeros(40, np.int32)
    )
    np.testing.assert_array_equal(constant, X)


def test_black_and_white_pixels_can_move():
    x = np.round(X)
    y = linear(x).numpy().argmax(axis=1).astype(np.int32)
    x_adv = attacks.CarliniWagner()(linear, x, y)
    assert (linear(x_adv).numpy().argmax(axis=1) != y).mean() > 0.95


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"eps": -1}, "eps is -1"),
        ({"eps": "far"}, "eps is 'far', expected an L2 distance"),
        ({"eps": float("inf")}, "eps is inf"),
        ({"steps": 0}, "steps is 0"),
        ({"searches": 0}, "searches is 0"),
        ({"learning_rate": 0}, "learning_rate is 0"),
        ({"first_c": -1}, "first_c is -1"),
        ({"confidence": -1}, "confidence is -1"),
    ],
)
def test_bad_settings_are_refused(fields, message):
    with pytest.raises(InputError, match=message):
        attacks.CarliniWagner(**fields)


def test_a_tie_that_the_label_wins_is_no_success():
    """Logits in whole numbers tie often, and the class that comes first wins."""

    def rounded(x):
        logits = 2 * linear(x)
        return logits + tf.stop_gradient(tf.round(logits) - logits)

    y = rounded(X).numpy().argmax(axis=1).astype(np.int32)
    x_adv = attacks.CarliniWagner(steps=60, searches=4)(rounded, X, y)
    assert (rounded(x_adv).numpy().argmax(axis=1) != y).all()
