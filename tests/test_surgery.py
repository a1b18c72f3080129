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


def test_a_soft_mask_is_a_sigmoid_around_the_threshold(toy_classifier, toy_images):
    x = tf.constant(toy_images.x)
    soft = PixelSurgery(removal="soft", temperature=0.2)
    scores = soft.scores(toy_classifier, x)
    mean = tf.reduce_mean(scores, axis=(1, 2, 3), keepdims=True)
    salient, trivial = soft.masks(toy_classifier, x)
    np.testing.assert_allclose(salient, 1 / (1 + np.exp(-(scores / mean - 1.5) / 0.2)), atol=1e-5)
    np.testing.assert_allclose(salient + trivial, np.ones_like(toy_images.x), atol=1e-6)
    np.testing.assert_allclose(soft.remove(toy_classifier, x), toy_images.x * trivial, atol=1e-6)


def test_a_cold_soft_mask_is_the_hard_one(toy_classifier, toy_images):
    x = tf.constant(toy_images.x)
    for at_most in (1.0, 0.1):
        hard, cold = (
            PixelSurgery(removal=removal, temperature=1e-6, at_most=at_most).masks(toy_classifier, x)[0]
            for removal in ("hard", "soft")
        )
        # Just at a threshold that is a pixel's own score, the sigmoid is one half.
        assert np.abs(hard - cold).max() <= 0.5
        assert (np.abs(hard - cold) < 1e-3).mean() > 0.98


def test_a_soft_mask_moves_a_little_with_the_image(toy_classifier, toy_images):
    """Where the saliency is smooth, a hard mask jumps by whole pixels and a soft one hardly moves."""
    x = toy_images.x
    nearby = x + 2e-3 * np.random.default_rng(0).uniform(-1, 1, x.shape).astype(np.float32)
    moved = {
        removal: np.abs(
            np.subtract(*(PixelSurgery(removal=removal).masks(toy_classifier, z)[0] for z in (x, nearby)))
        )
        for removal in ("hard", "soft")
    }
    assert moved["hard"].max() == 1
    assert 0 < moved["soft"].max() < 0.1


@pytest.mark.parametrize("removal", ["hard", "soft"])
def test_no_more_than_a_share_of_the_pixels_goes(removal, toy_classifier, toy_images):
    x = tf.constant(toy_images.x)
    free, bound = (PixelSurgery(removal=removal, at_most=share) for share in (1.0, 0.1))
    went, goes = (reading.masks(toy_classifier, x)[0].numpy() > 0.5 for reading in (free, bound))
    counts = goes.sum(axis=(1, 2, 3))
    assert went.sum(axis=(1, 2, 3)).min() > 6
    assert counts.max() == 6  # of 64 pixels, a tenth
    assert not (goes & ~went).any()
    scores = bound.scores(toy_classifier, x).numpy().reshape(64, -1)
    kept = np.where(goes.reshape(64, -1), -np.inf, scores).max(axis=1)
    assert (np.where(goes.reshape(64, -1), scores, np.inf).min(axis=1) > kept).all()  # the most salient ones
    nothing = PixelSurgery(removal=removal, at_most=0.0).masks(toy_classifier, x)[0].numpy()
    assert nothing.max() <= 0.5


def test_equal_scores_never_exceed_the_bound():
    x = tf.ones((2, 4, 4, 1))
    reading = PixelSurgery(alpha=1.0, at_most=0.5)
    signs = np.tile([1.0, -1.0], (16, 1))
    assert float(tf.reduce_mean(PixelSurgery(alpha=1.0).masks(linear(signs), x)[0])) == 1
    assert float(tf.reduce_mean(reading.masks(linear(signs), x)[0])) <= 0.5


def test_a_flat_map_is_kept_by_a_soft_mask_too():
    x = tf.ones((2, 4, 4, 1))
    _, trivial = PixelSurgery(removal="soft").masks(lambda image: tf.zeros((2, 3)) * tf.reduce_sum(image), x)
    np.testing.assert_array_equal(trivial, np.ones((2, 4, 4, 1)))


@pytest.mark.parametrize(
    "fields", [{"removal": "half"}, {"temperature": 0}, {"at_most": 1.5}, {"at_most": -1}]
)
def test_impossible_removals_are_refused(fields):
    with pytest.raises(InputError, match=next(iter(fields))):
        PixelSurgery(**fields)


def test_older_files_have_no_removal():
    config = PixelSurgery().get_config()
    for name in ("removal", "temperature", "at_most"):
        del config[name]
    assert PixelSurgery.from_config(config) == PixelSurgery()
