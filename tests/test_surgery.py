import keras
import numpy as np
import pytest
import tensorflow as tf

from pssr_keras import InputError, PixelSurgery, surgery


def linear(weights):
    """Logits x . w of flattened images; weights (pixels, classes)."""
    return lambda x: tf.reshape(x, (len(x), -1)) @ tf.constant(weights, x.dtype)


def test_log_odds_are_those_of_the_softmax():
    logits = np.array([[1.0, 2.0, 0.5], [0.0, -1.0, 3.0]], np.float64)
    probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    chosen = probability[[0, 1], [1, 2]]
    expected = np.log(chosen / (1 - chosen))
    np.testing.assert_allclose(surgery.log_odds(tf.constant(logits), [1, 2]), expected, rtol=1e-12)


def test_log_odds_stay_exact_where_the_probability_rounds_to_one():
    assert float(surgery.log_odds(tf.constant([[60.0, 0.0, 0.0]]), [0])[0]) == pytest.approx(
        60 - np.log(2), rel=1e-6
    )


def test_saliency_of_a_linear_model_in_closed_form():
    weights = np.random.default_rng(0).normal(size=(16, 2))
    x = tf.constant(np.random.default_rng(1).uniform(size=(5, 4, 4, 1)))
    logits = linear(weights)(x).numpy()
    # with two classes the log-odds of class k are z_k - z_other, whatever the image
    for row, k in enumerate(logits.argmax(axis=1)):
        expected = (weights[:, k] - weights[:, 1 - k]).reshape(4, 4, 1)
        np.testing.assert_allclose(surgery.saliency(linear(weights), x)[row], expected, rtol=1e-9)


def test_mask_of_log_odds_equals_mask_of_probability_in_float64(toy_images):
    weights = np.random.default_rng(0).normal(size=(64, 3))
    model, x = linear(weights), tf.constant(toy_images.x, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(x)
        top = tf.reduce_max(tf.nn.softmax(model(x)), axis=1)
    scores = surgery.pixel_scores(tape.gradient(top, x))
    expected = surgery.salient_mask(scores, 1.5 * surgery.mean_score(scores))
    salient, _ = PixelSurgery().masks(model, x)
    np.testing.assert_array_equal(salient, expected)
    assert 0 < float(tf.reduce_mean(salient)) < 1


def test_masks_partition_the_image(toy_classifier, toy_images):
    salient, trivial = PixelSurgery().masks(toy_classifier, tf.constant(toy_images.x))
    np.testing.assert_array_equal(salient + trivial, np.ones_like(toy_images.x))
    assert set(np.unique(salient)) == {0.0, 1.0}
    parts = surgery.component(toy_images.x, salient) + surgery.component(toy_images.x, trivial)
    np.testing.assert_array_equal(parts, toy_images.x)


def test_magnitude_removes_at_most_one_pixel_in_alpha(toy_classifier, toy_images):
    # Markov's inequality: at most 1/alpha of non-negative scores reach alpha times their mean
    salient, _ = PixelSurgery(alpha=1.5).masks(toy_classifier, tf.constant(toy_images.x))
    assert float(tf.reduce_max(tf.reduce_mean(salient, axis=(1, 2, 3)))) <= 1 / 1.5


@pytest.mark.parametrize(("flat", "kept"), [("keep", 1.0), ("remove", 0.0)])
def test_a_flat_map_keeps_or_removes_every_pixel(flat, kept):
    x = tf.ones((2, 4, 4, 1))
    _, trivial = PixelSurgery(flat=flat).masks(lambda image: tf.zeros((2, 3)) * tf.reduce_sum(image), x)
    np.testing.assert_array_equal(trivial, np.full((2, 4, 4, 1), kept))


def test_readings_of_the_channels():
    gradient = tf.constant([[[[1.0, -3.0]], [[0.5, 0.25]]]])
    assert surgery.pixel_scores(gradient, "magnitude", "max").numpy().ravel().tolist() == [3.0, 0.5]
    assert surgery.pixel_scores(gradient, "magnitude", "sum").numpy().ravel().tolist() == [4.0, 0.75]
    assert surgery.pixel_scores(gradient, "signed", "sum").numpy().ravel().tolist() == [-2.0, 0.75]
    assert surgery.pixel_scores(gradient, "signed", "each").shape == gradient.shape


def test_signed_and_magnitude_differ(toy_classifier, toy_images):
    x = tf.constant(toy_images.x)
    signed, _ = PixelSurgery(score="signed").masks(toy_classifier, x)
    magnitude, _ = PixelSurgery().masks(toy_classifier, x)
    assert not np.array_equal(signed, magnitude)
    scores = PixelSurgery(score="signed").scores(toy_classifier, x)
    assert float(tf.reduce_min(scores)) < 0


def test_dataset_threshold_is_the_mean_over_all_images(toy_classifier, toy_images):
    fitted = PixelSurgery(threshold="dataset").fit_mean(
        toy_classifier, [toy_images.x[:40], toy_images.x[40:]], batch_size=24
    )
    scores = fitted.scores(toy_classifier, tf.constant(toy_images.x))
    assert fitted.dataset_mean == pytest.approx(float(tf.reduce_mean(scores)), rel=1e-5)
    salient, _ = fitted.masks(toy_classifier, tf.constant(toy_images.x))
    np.testing.assert_array_equal(salient, tf.cast(scores >= 1.5 * fitted.dataset_mean, tf.float32))


def test_probability_saliency_is_the_gradient_of_the_probability():
    weights = np.random.default_rng(0).normal(size=(16, 3))
    model, x = linear(weights), tf.constant(np.random.default_rng(1).uniform(size=(5, 4, 4, 1)))
    with tf.GradientTape() as tape:
        tape.watch(x)
        top = tf.reduce_max(tf.nn.softmax(model(x)), axis=1)
    np.testing.assert_allclose(surgery.saliency(model, x, of="probability"), tape.gradient(top, x), rtol=1e-9)


def test_dataset_threshold_without_a_mean_is_refused(toy_classifier, toy_images):
    with pytest.raises(InputError, match="fit_mean"):
        PixelSurgery(threshold="dataset").remove(toy_classifier, tf.constant(toy_images.x))


@pytest.mark.parametrize(
    "fields",
    [{"score": "positive"}, {"channels": "mean"}, {"threshold": "global"}, {"flat": "drop"}, {"alpha": 0}],
)
def test_unknown_readings_are_refused(fields):
    with pytest.raises(InputError, match=next(iter(fields))):
        PixelSurgery(**fields)


def test_perturbation_component_keeps_the_clean_image_elsewhere():
    x, x_adv = np.full((1, 2, 2, 1), 0.5), np.full((1, 2, 2, 1), 0.8)
    mask = np.array([1, 0, 0, 1.0]).reshape(1, 2, 2, 1)
    expected = np.array([0.8, 0.5, 0.5, 0.8]).reshape(1, 2, 2, 1)
    np.testing.assert_allclose(surgery.perturbation_component(x, x_adv, mask), expected)


def test_surgery_survives_serialization():
    original = PixelSurgery(alpha=1.2, score="signed", threshold="dataset", dataset_mean=0.25)
    restored = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(original))
    assert restored == original
