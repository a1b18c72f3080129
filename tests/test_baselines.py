import keras
import numpy as np
import pytest
import tensorflow as tf

from pssr_keras import InputError, attacks, baselines, evaluation, losses
from pssr_keras.attacks.base import cross_entropy

WEIGHTS = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)


def linear(x):
    return tf.reshape(x, (len(x), 64)) @ WEIGHTS


@pytest.fixture(scope="module")
def batch(toy_images):
    """Images well within [0, 1], so that no projection onto the range interferes; labels; noise."""
    x = tf.constant(0.3 + 0.4 * toy_images.x[:16])
    noise = tf.constant(np.random.default_rng(1).uniform(-1, 1, x.shape).astype(np.float32))
    return x, tf.constant(toy_images.y[:16]), noise


def test_gradient_regularisation_is_that_of_the_closed_form(batch):
    """For a linear model the gradient of the cross-entropy is W (softmax - onehot)."""
    x, y, _ = batch
    found = baselines.gradient_regularisation(linear, x, y, penalty=0.7)
    error = tf.nn.softmax(linear(x)) - tf.one_hot(y, 3)
    gradient = error @ WEIGHTS.T
    expected = cross_entropy(y, linear(x)) + 0.7 * tf.reduce_sum(gradient**2, axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_the_penalty_reaches_the_weights_of_lenet5(bundled_test):
    """The second derivative through the layer whose gradient we wrote out is that of finite differences."""
    from pssr_keras import classifiers

    keras.utils.set_random_seed(0)
    model = classifiers.lenet5()
    x, y = tf.constant(bundled_test.x[:8]), tf.constant(bundled_test.y[:8])

    def loss():
        return tf.reduce_mean(baselines.gradient_regularisation(model, x, y, penalty=10.0))

    weight = model.get_layer("logits").kernel
    with tf.GradientTape() as tape:
        value = loss()
    gradient = tape.gradient(value, weight).numpy()
    direction = gradient / np.linalg.norm(gradient)
    start, h = weight.numpy(), 1e-2
    weight.assign(start + h * direction)
    ahead = loss()
    weight.assign(start - h * direction)
    assert float(ahead - loss()) / (2 * h) == pytest.approx(np.linalg.norm(gradient), rel=0.02)
    first = model.layers[1].trainable_variables[0]
    weight.assign(start)
    with tf.GradientTape() as tape:
        value = loss()
    assert np.abs(tape.gradient(value, first)).max() > 0


def test_the_worst_images_of_a_model_of_two_classes_are_at_the_corner(batch):
    """With two classes a linear model's loss is largest at eps times the sign of the weights' difference."""
    x, _, noise = batch
    y = tf.zeros(16, tf.int32)

    def two(x):
        return linear(x)[:, :2]

    found = baselines.worst_images(
        lambda outputs: cross_entropy(y, outputs), two, x, x + 0.1 * noise, 0.1, 0.05, 10
    )
    corner = x + 0.1 * np.sign(WEIGHTS[:, 1] - WEIGHTS[:, 0]).reshape(1, 8, 8, 1)
    np.testing.assert_allclose(found, corner, atol=1e-6)
    numbers = {"eps": 0.1, "step_size": 0.05, "steps": 10}
    loss = baselines.adversarial_training(two, x, y, noise, **numbers)
    np.testing.assert_allclose(loss, cross_entropy(y, two(corner)), rtol=1e-4)


def test_trades_is_its_two_terms(batch):
    x, y, noise = batch
    numbers = {"eps": 0.1, "step_size": 0.025, "steps": 10}
    alone = baselines.trades(linear, x, y, noise, one_over_lambda=0.0, **numbers)
    np.testing.assert_allclose(alone, cross_entropy(y, linear(x)), rtol=1e-5)
    divergence = (baselines.trades(linear, x, y, noise, one_over_lambda=6.0, **numbers) - alone) / 6
    at_random = losses.kl_divergence(linear(x), linear(x + 0.1 * tf.sign(noise)))
    assert (divergence > at_random).numpy().all()


@pytest.mark.parametrize("objective", ["adversarial_training", "trades"])
def test_training_makes_a_classifier_more_robust(objective, toy_classifier, toy_network, toy_images):
    robust = toy_network  # not a clone: a PSSR of another test may have frozen the original
    robust.set_weights(toy_classifier.get_weights())
    model = baselines.RobustTraining(
        robust, baselines.parse(objective), 0.25, ramp_steps=20, step_size=0.08, steps=5
    )
    model.compile(keras.optimizers.Adam(0.01), jit_compile=False)
    noise = np.random.default_rng(0).uniform(-1, 1, toy_images.x.shape).astype(np.float32)
    batches = tf.data.Dataset.from_tensors((toy_images.x, toy_images.y, noise)).repeat()
    model.fit(batches, steps_per_epoch=60, epochs=1, verbose=0, shuffle=False)

    attack = attacks.PGD(0.25, steps=20, step_size=0.03)
    accuracy = [
        evaluation.correct(m, evaluation.craft(attack, m, toy_images), toy_images.y).mean()
        for m in (toy_classifier, robust)
    ]
    assert accuracy[0] < 0.9 < 0.97 < accuracy[1]


def test_the_training_is_saved_whole(toy_classifier, tmp_path):
    objective = baselines.TRADES(one_over_lambda=3.0)
    model = baselines.RobustTraining(toy_classifier, objective, 0.3, 10, step_size=0.1, steps=2)
    again = baselines.RobustTraining.from_config(model.get_config())
    assert again.objective == objective
    assert (again.eps, again.ramp_steps, again.step_size, again.steps) == (0.3, 10, 0.1, 2)


def test_an_objective_is_parsed_with_its_numbers():
    assert baselines.parse("trades:one_over_lambda=3") == baselines.TRADES(one_over_lambda=3.0)
    for text, message in (
        ("magic", "objective is 'magic', expected one of .*gradient_reg"),
        ("trades:lambda=3", "trades has no field 'lambda', expected one of one_over_lambda"),
        ("trades:one_over_lambda=much", "one_over_lambda of trades is 'much'"),
        ("adversarial_training:steps=3", "adversarial_training has no field 'steps', expected none"),
    ):
        with pytest.raises(InputError, match=message):
            baselines.parse(text)
