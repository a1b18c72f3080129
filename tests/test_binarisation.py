"""The binarisation test finds what is wrong with an attack, and confirms one that works."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from pssr_keras import PSSR, InputError, PixelSurgery, attacks, checks, evaluation
from pssr_keras.attacks import adaptive
from pssr_keras.evaluation import binarisation

SMALL = {"inner": 99, "guesses": 20}
PGD = attacks.PGD(0.2, steps=20, step_size=0.02, best=True)


@pytest.fixture(scope="module")
def few(toy_images):
    return toy_images.take(slice(0, 6))


def test_an_attack_that_works_finds_what_was_planted(toy_classifier, few):
    result = binarisation.run(PGD, toy_classifier, few, **SMALL)
    assert len(result.found) + result.inseparable == 6
    assert result.inseparable == 0
    assert result.found.all()
    assert not result.guessed.any()


def test_guessing_and_a_step_of_nothing_find_nothing(toy_classifier, few):
    lame = attacks.PGD(0.2, steps=20, step_size=1e-12, best=True)
    assert not binarisation.run(lame, toy_classifier, few, **SMALL).found.any()


def test_through_a_purifier_the_surrogate_decides(toy_classifier, toy_extrapolator, few):
    """The readout stands behind the purifier, and what is attacked is a surrogate of the same kind."""
    defense = PSSR(toy_classifier, PixelSurgery(alpha=1.0), toy_extrapolator)
    through = adaptive.surrogate(defense, "frozen_mask")
    whole, twin, features, readout = binarisation.binarised(defense, through)
    assert type(twin) is type(through)
    np.testing.assert_array_equal(whole.remove(few.x), defense.remove(few.x))  # the mask is that of F
    readout.kernel.assign(np.arange(256, dtype=np.float32))
    readout.threshold.assign(3.0)
    expected = features(few.x).numpy() @ np.arange(256) - 3
    np.testing.assert_allclose(whole(few.x)[:, 1], expected, rtol=1e-4)
    np.testing.assert_allclose(whole(few.x)[:, 0], -expected, rtol=1e-4)
    np.testing.assert_allclose(twin(few.x), whole(few.x), rtol=1e-4)
    blind = adaptive.surrogate(PSSR(toy_classifier, None, toy_extrapolator), "identity")
    without = PSSR(toy_classifier, None, toy_extrapolator)
    exact = adaptive.surrogate(without, "frozen_mask")
    found = [binarisation.run(PGD, without, few, one, **SMALL).found.mean() for one in (exact, blind)]
    assert found[0] >= 0.8
    assert found[0] >= found[1]


def test_a_guide_stays_what_it_was(toy_classifier, toy_extrapolator, few):
    defense = PSSR(toy_classifier, PixelSurgery(alpha=1.0), toy_extrapolator, "pipeline")
    whole = binarisation.binarised(defense)[0]
    np.testing.assert_array_equal(whole.remove(few.x), defense.remove(few.x))


def test_the_hyperplane_lies_just_below_the_planted_point():
    generator = np.random.default_rng(0)
    inner, planted = generator.normal(size=(50, 20)), 4 * np.ones(20)
    w, b = binarisation.separating(inner, planted)
    assert (inner @ w < b).all()
    gap = planted @ w - b
    assert 0 < gap < 0.002  # of logits that differ by 1 at most
    assert np.ptp(np.r_[inner @ w, planted @ w]) == pytest.approx(1)
    assert binarisation.separating(inner, inner[:10].mean(axis=0)) is None


def test_inseparable_images_are_counted_and_left_out(few):
    """Features that are the same for all images tell nothing apart."""
    inputs = keras.Input((8, 8, 1))
    blind = keras.layers.Dense(4, kernel_initializer="zeros")(keras.layers.Flatten()(inputs))
    model = keras.Model(inputs, keras.layers.Dense(3)(blind))
    result = binarisation.run(PGD, model, few, **SMALL)
    assert (len(result.found), result.inseparable) == (0, 6)


def test_what_has_no_last_layer_is_refused(toy_classifier, few):
    inputs = keras.Input((8, 8, 1))
    headless = keras.Model(inputs, keras.layers.Flatten()(inputs), name="headless")
    with pytest.raises(InputError, match="headless does not end in a dense layer"):
        binarisation.run(PGD, headless, few)
    with pytest.raises(InputError, match="no surrogate of the classifier"):
        binarisation.binarised(toy_classifier, keras.Model(inputs, inputs))
    with pytest.raises(InputError, match="cw has the norm L2, expected Linf"):
        binarisation.run(attacks.CarliniWagner(), toy_classifier, few)


def test_the_check_tells_a_weak_attack(toy_classifier, few, monkeypatch):
    measured = checks.Measurements(toy_classifier, few, 0.2, steps=20, planted=6)
    check = checks.CHECKS["a perturbation that exists is found"].function
    assert check(measured).verdict == checks.PASS
    result = evaluation.binarisation.Result(np.array([True] * 6 + [False] * 6), np.zeros(12, bool), 1)
    weak = checks.Measurements(toy_classifier, few, 0.2)
    weak.planted_found = result
    found = check(weak)
    assert (found.verdict, found.n) == (checks.FAIL, 12)
    assert "50.0%" in found.figure
    assert found.figure.endswith("0 by guessing, 1 inseparable")
    weak.planted_found = dataclasses.replace(result, found=np.zeros(0, bool), guessed=np.zeros(0, bool))
    assert check(weak) is None
    assert check(checks.Measurements(lambda x: toy_classifier(x), few, 0.2)) is None


def test_the_gradient_of_float32_is_held_against_float64(toy_classifier, toy_extrapolator, few):
    defense = PSSR(toy_classifier, PixelSurgery(alpha=1.0), toy_extrapolator)
    check = checks.CHECKS["gradient is that of finite differences"].function

    def verdict(name):
        return check(checks.Measurements(defense, few, 0.2, adaptive.surrogate(defense, name))).verdict

    assert verdict("frozen_mask") == checks.PASS
    assert verdict("identity") == verdict("straight_through") == checks.WARN
    assert check(checks.Measurements(lambda x: toy_classifier(x), few, 0.2)) is None


def test_the_twin_computes_the_same_in_float64(toy_classifier, toy_extrapolator, few):
    defense = PSSR(toy_classifier, PixelSurgery(alpha=1.0), toy_extrapolator, toy_classifier)
    twin = evaluation.double_precision.in_float64(defense)
    answer = twin(tf.constant(few.x, tf.float64))
    assert answer.dtype == tf.float64
    np.testing.assert_allclose(answer, defense(few.x), atol=1e-4)
    nearby = twin(tf.constant(few.x, tf.float64) + 1e-12)  # which float32 does not tell from it
    assert np.abs(nearby - answer).max() > 0
    assert evaluation.double_precision.in_float64(adaptive.Through(defense)) is None


class Unnamed(keras.Model):
    """A classifier that Keras cannot make from a configuration: it was given a layer."""

    def __init__(self, inside):
        super().__init__()
        self.inside = inside

    def call(self, x):
        return self.inside(x)


class Single(keras.layers.Layer):
    """A layer that computes in float32 whatever it is given."""

    def call(self, x):
        return x + tf.constant(0.0)


def uncopied(kind, classifier):
    """Classifiers of which there is no copy in float64."""
    if kind == "without a configuration":
        return Unnamed(classifier)
    inputs = keras.Input((8, 8, 1))
    layer = keras.layers.Lambda(lambda x: x) if kind == "lambda" else Single()
    return keras.Model(inputs, classifier(layer(inputs)))


@pytest.mark.parametrize("kind", ["without a configuration", "lambda", "float32 inside"])
def test_what_has_no_copy_in_float64_is_not_checked(kind, toy_classifier, toy_extrapolator, few):
    check = checks.CHECKS["gradient is that of finite differences"].function
    assert check(checks.Measurements(toy_classifier, few, 0.2)) is not None
    classifier = uncopied(kind, toy_classifier)
    whole = PSSR(classifier, PixelSurgery(), toy_extrapolator)
    guided = PSSR(toy_classifier, PixelSurgery(), guide=classifier)
    for model in (classifier, whole, guided, lambda x: classifier(x)):
        assert check(checks.Measurements(model, few, 0.2)) is None


def test_the_whole_battery_runs_around_a_classifier_without_a_configuration(toy_classifier, few):
    pssr = PSSR(Unnamed(toy_classifier), PixelSurgery())
    found = checks.run(pssr, few, 0.2, steps=4, queries=4, draws=2, planted=2)
    assert len(found) > 5


def test_a_random_defense_is_attacked_in_expectation(toy_classifier, toy_images):
    """More draws change nothing where the noise is small, and much where it drowns the gradient."""
    few = toy_images.take(slice(0, 30))
    check = checks.CHECKS["the expectation needs no more draws"].function
    quiet = lambda x: toy_classifier(x + tf.random.normal(tf.shape(x), stddev=0.02))  # noqa: E731
    assert check(checks.Measurements(quiet, few, 0.2, steps=10)).verdict == checks.PASS
    assert check(checks.Measurements(toy_classifier, few, 0.2)) is None
    fake = checks.Measurements(quiet, few, 0.2)
    fake.by_expectation = {5: np.ones(100, bool), 20: np.arange(100) >= 30}
    assert check(fake).verdict == checks.FAIL


def test_the_expectation_is_the_log_of_the_mean_probability(toy_images):
    """Of a model whose class changes with every draw."""

    def coin(x):
        heads = tf.cast(tf.random.uniform((tf.shape(x)[0], 1)) < 0.25, tf.float32)
        return tf.concat([10 * heads, 10 * (1 - heads)], axis=1)

    mean = tf.exp(adaptive.Expectation(coin, 4_000)(toy_images.x[:2])).numpy()
    np.testing.assert_allclose(mean, [[0.25, 0.75]] * 2, atol=0.03)
    with pytest.raises(InputError, match="draws is 0"):
        adaptive.Expectation(coin, 0)
