import numpy as np
import pytest
import tensorflow as tf

from pssr_keras import losses


def sigmoid(z):
    return 1 / (1 + np.exp(-np.asarray(z)))


def softmax(z):
    return np.exp(z) / np.exp(z).sum(axis=-1, keepdims=True)


REAL, RESTORED = np.array([[2.0], [-1.0]]), np.array([[0.5], [-3.0]])


def test_discriminator_loss_is_equation_8():
    expected = -np.log(sigmoid(REAL)).mean() - np.log(1 - sigmoid(RESTORED)).mean()
    assert float(losses.discriminator_loss(REAL, RESTORED)) == pytest.approx(expected)


def test_adversarial_loss_is_equation_8():
    assert float(losses.adversarial_loss(RESTORED)) == pytest.approx(np.log(1 - sigmoid(RESTORED)).mean())


def test_the_unsaturating_substitute_has_the_stronger_gradient_while_d_wins():
    logits = tf.constant([[-8.0]])
    gradients = []
    for saturating in (True, False):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            loss = losses.adversarial_loss(logits, saturating)
        gradients.append(float(tape.gradient(loss, logits)[0, 0]))
    assert gradients[1] < gradients[0] < 0  # both push the logit up
    assert abs(gradients[0]) < 1e-3 < 0.9 < abs(gradients[1])


def test_pixel_consistency_is_equation_9():
    x, restored = np.zeros((2, 2, 2, 1)), np.array([[1, 0, 0, 0], [0.5, 0.5, 0.5, 0.5]]).reshape(2, 2, 2, 1)
    assert float(losses.pixel_consistency_loss(x, restored, "sum")) == pytest.approx(1.5)
    assert float(losses.pixel_consistency_loss(x, restored, "mean")) == pytest.approx(1.5 / 4)


def test_query_loss_is_equation_10():
    logits = np.array([[2.0, 0.0, 1.0], [0.0, 0.0, 5.0]])
    expected = -np.log(softmax(logits)[[0, 1], [0, 2]]).mean()
    assert float(losses.query_loss([0, 2], logits)) == pytest.approx(expected)


def test_r_drop_is_equation_11():
    passes = np.random.default_rng(0).normal(size=(3, 4, 5))
    clean = np.random.default_rng(1).normal(size=(4, 5))
    p, q = softmax(passes), softmax(clean)
    expected = sum((p[i] * np.log(p[i] / q)).sum(axis=1).mean() for i in range(3))
    assert float(losses.adversarial_r_drop_loss(passes, clean)) == pytest.approx(expected)
    assert float(losses.adversarial_r_drop_loss(np.stack([clean, clean]), clean)) == pytest.approx(
        0, abs=1e-12
    )
