import keras
import numpy as np
import pytest
import tensorflow as tf

from pssr_keras import CAE, InputError, cae


@pytest.fixture
def build_model(toy_classifier):
    """Function: a compiled CAE of 8x8 images, the same at each call."""

    def build(channels=4, **arguments):
        keras.utils.set_random_seed(0)
        model = CAE(
            cae.extrapolator((8, 8, 1), channels=channels, bottleneck=16),
            cae.discriminator((8, 8, 1), channels=4),
            toy_classifier,
            **arguments,
        )
        model.compile(keras.optimizers.Adam(3e-3), keras.optimizers.Adam(1e-3))
        return model

    return build


@pytest.fixture
def pairs(toy_images):
    """Trivial components of the toy images (here: a random third of the pixels is missing)."""
    mask = np.random.default_rng(2).uniform(size=toy_images.x.shape) > 1 / 3
    return (toy_images.x * mask).astype(np.float32), toy_images.x, toy_images.y


STARTING = {"bottleneck": cae.extrapolator, "unet": cae.unet}
KINDS = {**STARTING, "autoencoder": cae.autoencoder}


@pytest.mark.parametrize("kind", KINDS)
def test_extrapolator_maps_images_to_images(kind):
    for shape in ((28, 28, 1), (32, 32, 3)):
        model = KINDS[kind](shape)
        restored = model(np.random.default_rng(0).uniform(size=(2, *shape)).astype(np.float32))
        assert restored.shape == (2, *shape)
        assert float(tf.reduce_min(restored)) >= 0
        assert float(tf.reduce_max(restored)) <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_extrapolator_refuses_a_size_it_cannot_halve_twice(kind):
    with pytest.raises(InputError, match="30x28"):
        KINDS[kind]((30, 28, 1))


def test_a_kind_is_created_by_its_name():
    assert set(cae.EXTRAPOLATORS) == set(KINDS)
    bottleneck, unet, autoencoder = (
        cae.create(kind, (8, 8, 3), 4, 16, 0.1, "identity") for kind in ("bottleneck", "unet", "autoencoder")
    )
    assert bottleneck.count_params() == cae.extrapolator((8, 8, 3), 4, 16).count_params()
    assert unet.count_params() == cae.unet((8, 8, 3), 4).count_params()
    assert autoencoder.count_params() == cae.autoencoder((8, 8, 3), 4, 16).count_params()
    with pytest.raises(InputError, match=r"'transformer'.*bottleneck, unet, autoencoder"):
        cae.create("transformer", (8, 8, 3), 4, 16, 0.1, "identity")


def test_the_untrained_autoencoder_draws_nearly_the_same_for_all():
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).uniform(size=(8, 32, 32, 3)).astype(np.float32)
    drawn = np.asarray(cae.autoencoder((32, 32, 3), 8)(x))
    assert 0.3 < drawn.min() < drawn.max() < 0.7
    assert drawn.std(axis=0).max() < 0.1 * x.std(axis=0).min()


def test_the_unet_sees_the_full_resolution():
    model = cae.unet((8, 8, 1), channels=4)
    first = next(layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D))
    assert first.input.shape[1:3] == (8, 8)


@pytest.mark.parametrize("kind", STARTING)
def test_the_untrained_extrapolator_returns_what_it_starts_from(kind):
    x = np.random.default_rng(3).uniform(0.1, 0.9, (2, 8, 8, 3)).astype(np.float32)
    x[:, 2, 3] = 0  # a removed pixel
    x[:, 5, 5, 1] = 0  # a removed colour
    untrained = {start: STARTING[kind]((8, 8, 3), channels=4, start=start) for start in cae.STARTS}
    for model in untrained.values():
        model.get_layer("last").kernel.assign(tf.zeros_like(model.get_layer("last").kernel))
    restored = {start: np.asarray(model(x)) for start, model in untrained.items()}
    kept = x > 0
    for start in ("identity", "neighbours"):
        np.testing.assert_allclose(restored[start][kept], x[kept], atol=1e-5)
    np.testing.assert_allclose(restored["identity"][~kept], cae.LOGIT_CLIP, atol=1e-5)
    for rows, columns, colour in ((slice(0, 5), slice(1, 6), 0), (slice(3, 8), slice(3, 8), 1)):
        around = x[:, rows, columns, colour].reshape(2, -1)
        row, column = rows.start + 2, columns.start + 2
        expected = [image[image > 0].mean() for image in around]
        np.testing.assert_allclose(restored["neighbours"][:, row, column, colour], expected, rtol=1e-4)
    with pytest.raises(InputError, match="start is 'noise', expected one of threshold"):
        cae.extrapolator((8, 8, 3), start="noise")


@pytest.mark.parametrize("kind", cae.EXTRAPOLATORS)
@pytest.mark.parametrize("start", cae.STARTS)
def test_an_extrapolator_is_read_as_it_was_saved(kind, start, tmp_path):
    model = cae.create(kind, (8, 8, 3), 4, 16, 0.2, start)
    model.save(tmp_path / "extrapolator.keras")
    again = keras.models.load_model(tmp_path / "extrapolator.keras")
    x = np.random.default_rng(0).uniform(size=(2, 8, 8, 3)).astype(np.float32)
    np.testing.assert_array_equal(again(x), model(x))


def test_contrast_moves_pixels_to_black_and_white():
    inputs = keras.Input((1, 1, 1))
    x = np.float32([0, 0.3, 0.5, 0.7, 1]).reshape(-1, 1, 1, 1)
    seen = keras.Model(inputs, cae.with_contrast(inputs, 20.0))(x).numpy().ravel()
    np.testing.assert_allclose(seen, [0, 0.018, 0.5, 0.982, 1], atol=1e-3)
    assert cae.with_contrast(inputs, 0.0) is inputs


@pytest.mark.parametrize("kind", STARTING)
def test_an_extrapolator_with_contrast_leaves_a_gradient_where_pixels_are_pure(kind):
    keras.utils.set_random_seed(0)  # of few channels, some weights leave all of them at 0
    model = STARTING[kind]((8, 8, 1), channels=4, contrast=20.0)
    for value in (0.0, 1.0):
        x = tf.fill((1, 8, 8, 1), value)
        with tf.GradientTape() as tape:
            tape.watch(x)
            restored = model(x)
        assert np.all(tape.gradient(restored, x).numpy() != 0)
    moved = [
        STARTING[kind]((8, 8, 1), channels=4, contrast=c)(tf.fill((1, 8, 8, 1), 0.3)) for c in (0.0, 20.0)
    ]
    assert not np.allclose(*moved)


def test_an_image_without_any_pixel_left_stays_finite():
    model = cae.extrapolator((8, 8, 3), channels=4, bottleneck=8, start="neighbours")
    x = tf.zeros((1, 8, 8, 3))
    with tf.GradientTape() as tape:
        tape.watch(x)
        restored = model(x)
    assert np.isfinite(restored).all()
    assert np.isfinite(tape.gradient(restored, x)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_makes_passes_differ_in_training_only(kind):
    model = KINDS[kind]((8, 8, 1), channels=4, dropout=0.2)
    x = np.random.default_rng(0).uniform(size=(4, 8, 8, 1)).astype(np.float32)
    assert not np.allclose(model(x, training=True), model(x, training=True))
    np.testing.assert_array_equal(model(x, training=False), model(x, training=False))


def test_the_clean_image_is_no_input_of_the_extrapolator():
    assert [tensor.name for tensor in cae.extrapolator((8, 8, 1)).inputs] == ["trivial_component"]


def test_training_restores_images_and_leaves_the_classifier_alone(build_model, pairs, toy_classifier):
    model = build_model(channels=16)
    frozen = [weight.copy() for weight in toy_classifier.get_weights()]
    x_t, x, y = pairs

    removed = (x_t == 0) & (x > 0)

    def measured():
        restored = model.predict(x_t, verbose=0)
        right = toy_classifier.predict(restored, verbose=0).argmax(axis=1) == y
        return restored[removed & (x > 0.5)].mean(), restored[removed & (x < 0.3)].mean(), right.mean()

    bright, dark, _ = measured()
    assert bright < 0.2  # untrained, it takes a removed pixel for a dark one
    model.fit(*pack(pairs), epochs=80, shuffle=False, verbose=0)
    bright, dark, accuracy = measured()
    assert bright > 0.5 > 0.3 > dark
    assert accuracy >= 0.95
    for weight, before in zip(toy_classifier.get_weights(), frozen, strict=True):
        np.testing.assert_array_equal(weight, before)


def pack(pairs):
    """The arguments of fit for triples (x_t, x, y)."""
    return (tf.data.Dataset.from_tensor_slices(pairs).batch(16),)


def test_the_total_is_equation_12(build_model, pairs):
    weights = {"lambda_adversarial": 0.7, "lambda_query": 2.0, "lambda_pixel": 3.0, "lambda_r_drop": 0.25}
    model = build_model(**weights)
    logs = model.train_step(tuple(map(tf.constant, pairs)))
    expected = 0.7 * logs["adversarial"] + 2.0 * logs["query"] + 3.0 * logs["pixel"] + 0.25 * logs["r_drop"]
    assert float(logs["total"]) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("passes", [1, 2, 4])
def test_r_drop_sums_over_its_passes(passes, build_model, pairs):
    logs = build_model(passes=passes).train_step(tuple(map(tf.constant, pairs)))
    single = build_model(passes=1).train_step(tuple(map(tf.constant, pairs)))
    # the terms differ by their dropout only, so the sum grows with the number of passes
    assert float(logs["r_drop"]) == pytest.approx(passes * float(single["r_drop"]), rel=0.25)


def test_fewer_than_one_pass_is_refused(build_model):
    with pytest.raises(InputError, match="passes is 0"):
        build_model(passes=0)


def test_a_checkpoint_holds_both_optimizers(build_model, pairs, tmp_path):
    model = build_model()
    model.fit(*pack(pairs), epochs=2, shuffle=False, verbose=0)
    model.save_weights(tmp_path / "state.weights.h5")
    restored = build_model()
    restored.load_weights(tmp_path / "state.weights.h5")
    for name in ("extrapolator_optimizer", "discriminator_optimizer"):
        trained, loaded = getattr(model, name), getattr(restored, name)
        assert int(loaded.iterations) == 8
        moments = [np.asarray(variable) for variable in trained.variables[2:]]
        assert max(np.abs(moment).max() for moment in moments) > 0
        for moment, variable in zip(moments, loaded.variables[2:], strict=True):
            np.testing.assert_array_equal(moment, variable)
