"""Small models and images on which every idea of the package can be tested in milliseconds."""

import signal

import keras
import numpy as np
import pytest
from keras import layers

from pssr_keras import data

# A shell starts what it puts in the background with SIGINT ignored, and the programs that tests interrupt
# would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def no_server(monkeypatch):
    """No test downloads a data set but one that stands a server in for its own."""
    monkeypatch.setattr(data.sources, "reachable", lambda name: False)


@pytest.fixture(scope="session")
def toy_images():
    """64 images of 8x8 pixels in 3 classes, each class a bright band at its own height, with noise."""
    generator = np.random.default_rng(0)
    y = (np.arange(64) % 3).astype(np.int32)
    x = generator.uniform(0, 0.3, (64, 8, 8, 1)).astype(np.float32)
    for image, label in zip(x, y, strict=True):
        image[2 * label + 1 : 2 * label + 3] += 0.6
    return data.Images(np.clip(x, 0, 1), y, 3, "toy bands", np.arange(64))


@pytest.fixture
def toy_network():
    """A small convolutional network, untrained and nobody else's."""
    return small_network()


def small_network():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(4, 3, padding="same", activation="tanh")(inputs)
    x = layers.Dense(3)(layers.Flatten()(x))
    return keras.Model(inputs, x, name="toy")


@pytest.fixture(scope="session")
def toy_classifier(toy_images):
    """The small network, trained to separate the toy images."""
    model = small_network()
    model.compile(
        keras.optimizers.Adam(0.01),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(toy_images.x, toy_images.y, epochs=20, verbose=0)
    return model


@pytest.fixture
def normalised_classifier():
    """A classifier with batch normalisation, and the layers that prototype conformity needs, untrained.

    Its statistics are unlike those of any batch, so that it answers otherwise in training mode.
    """
    keras.utils.set_random_seed(3)
    x = inputs = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(3, 3, strides=2)(x)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.5)(x))
    x = keras.layers.Dense(6, name="dense1")(keras.layers.Flatten()(x))
    x = keras.layers.Dense(5, name="features")(keras.layers.BatchNormalization(momentum=0.5)(x))
    model = keras.Model(inputs, keras.layers.Dense(3)(x))
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_mean.assign(layer.moving_mean + 0.3)
            layer.moving_variance.assign(layer.moving_variance * 2)
    return model


@pytest.fixture(scope="session")
def toy_extrapolator():
    """An untrained extrapolator of 8x8 images."""
    from pssr_keras import cae

    keras.utils.set_random_seed(1)
    return cae.extrapolator((8, 8, 1), channels=4, bottleneck=8)


@pytest.fixture(scope="session")
def bundled_test():
    return data.load("mnist", "test", source="bundled")
