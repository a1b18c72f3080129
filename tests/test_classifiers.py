import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from pssr_keras import classifiers, data, load_pretrained


def trainable(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


@pytest.mark.parametrize(
    ("build", "published"),
    [
        # 156 + 2,416 + 48,120 + 10,164 + 850: LeCun et al. 1998 with a full second convolution
        (classifiers.lenet5, 61_706),
        # 3x3 stem without max-pooling: 11,689,512 of torchvision, less its stem and head, plus ours
        (classifiers.resnet18, 11_689_512 - 7 * 7 * 3 * 64 - 513 * 1000 + 3 * 3 * 3 * 64 + 513 * 10),
        # the same of torchvision's 7,978,856, less the batch normalisation that goes with its max-pooling
        (
            classifiers.densenet121,
            7_978_856 - 7 * 7 * 3 * 64 - 128 - 1025 * 1000 + 3 * 3 * 3 * 64 + 1025 * 100,
        ),
    ],
)
def test_parameters_are_those_of_the_published_architecture(build, published):
    assert trainable(build()) == published


@pytest.mark.parametrize("build", [classifiers.lenet5, classifiers.resnet18, classifiers.densenet121])
def test_a_narrow_network_returns_logits_and_survives_saving(build, tmp_path):
    model = build(classes=7, width=0.125)
    assert trainable(model) < trainable(build()) / 10
    x = np.random.default_rng(0).uniform(size=(2, *model.input_shape[1:])).astype(np.float32)
    logits = model.predict(x, verbose=0)
    assert logits.shape == (2, 7)
    assert not np.allclose(logits.sum(axis=1), 1)
    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(restored.predict(x, verbose=0), logits, atol=1e-6)


def test_normalisation_is_inside():
    model = classifiers.resnet18(width=0.0625, statistics=data.CIFAR10.statistics)
    normalisation = keras.Model(model.input, model.get_layer("normalisation").output)
    mean = np.array(data.CIFAR10.statistics["mean"], np.float32)
    np.testing.assert_allclose(normalisation(np.full((1, 32, 32, 3), mean)), 0, atol=1e-6)


def test_weights_from_before_the_stages_had_names_are_read(tmp_path):
    """Names are no part of a weights file: it counts layers by their class."""
    shipped = load_pretrained("cifar10").classifier
    assert "stage3" not in {layer.name for layer in shipped.layers}
    shipped.save_weights(tmp_path / "shipped.weights.h5")
    named = classifiers.resnet18(width=0.25, statistics=data.CIFAR10.statistics)
    named.load_weights(tmp_path / "shipped.weights.h5")
    x = data.load("cifar10", "test", "bundled").x[:8]
    np.testing.assert_array_equal(named(x), shipped(x))


@pytest.mark.parametrize(
    ("build", "shapes"),
    [
        (classifiers.resnet18, [(32, 8), (16, 16), (8, 32), (4, 64)]),
        (classifiers.densenet121, [(32, 32), (16, 64), (8, 128), (4, 128)]),
    ],
)
def test_stages_have_names(build, shapes):
    model = build(width=0.125)
    found = [model.get_layer(f"stage{number}").output.shape for number in (1, 2, 3, 4)]
    assert [(shape[1], shape[3]) for shape in found] == shapes


@pytest.mark.parametrize(("padding", "channels"), [("same", 1), ("valid", 3)])
def test_half_resolution_layer_equals_convolution_relu_and_pooling(padding, channels):
    keras.utils.set_random_seed(0)
    fast = classifiers.ConvReLUMaxPool2D(6, padding)
    plain = keras.Sequential(
        [
            keras.Input((12, 16, channels)),
            layers.Conv2D(6, 5, padding=padding, activation="relu"),
            layers.MaxPooling2D(2),
        ]
    )
    x = np.random.default_rng(0).uniform(-1, 1, (3, 12, 16, channels)).astype(np.float32)
    fast(x)
    weights = [plain.get_weights()[0], np.linspace(-0.5, 0.5, 6, dtype=np.float32)]
    fast.set_weights(weights)
    plain.set_weights(weights)
    np.testing.assert_allclose(fast(x), plain(x), atol=2e-6)
    assert fast.compute_output_shape(x.shape) == tuple(plain(x).shape)


def test_half_resolution_layer_has_the_gradients_of_max_pooling_ties_included():
    keras.utils.set_random_seed(0)
    fast = classifiers.ConvReLUMaxPool2D(6)
    plain = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(6, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
        ]
    )
    x = np.random.default_rng(0).uniform(0, 1, (4, 8, 8, 1)).astype(np.float32)
    x[2:] = 0  # all four phases equal the bias
    fast(x)
    weights = [plain.get_weights()[0], np.full(6, 0.1, np.float32)]
    upstream = tf.constant(np.random.default_rng(1).normal(size=(4, 4, 4, 6)).astype(np.float32))
    gradients = []
    for layer in (fast, plain):
        layer.set_weights(weights)
        images = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(images)
            output = tf.reduce_sum(layer(images) * upstream)
        gradients.append(tape.gradient(output, [images, *layer.trainable_weights]))
    for ours, expected in zip(*gradients, strict=True):
        np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_half_resolution_layer_can_be_differentiated_twice():
    layer = classifiers.ConvReLUMaxPool2D(3)
    x = tf.constant(np.random.default_rng(0).uniform(size=(2, 8, 8, 1)).astype(np.float32))
    layer(x)
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            inner.watch(x)
            value = tf.reduce_sum(layer(x) ** 2)
        penalty = tf.reduce_sum(inner.gradient(value, x) ** 2)
    assert float(tf.reduce_max(tf.abs(outer.gradient(penalty, layer.kernel)))) > 0


def test_half_resolution_layer_refuses_odd_sizes_and_unknown_padding():
    with pytest.raises(ValueError, match="7x8"):
        classifiers.ConvReLUMaxPool2D(6)(np.zeros((1, 7, 8, 1), np.float32))
    with pytest.raises(ValueError, match="padding is 'full'"):
        classifiers.ConvReLUMaxPool2D(6, "full")
