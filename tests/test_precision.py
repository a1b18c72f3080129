"""Shipped weights and our networks compute in float32, whatever the user's global settings say."""

import functools

import keras
import numpy as np
import pytest
from training_models import OPTIMIZERS, arrays, compiled

from pssr_keras import attacks, cae, classifiers, data, load_pretrained, pretrained
from pssr_keras.building import building_in
from pssr_keras.purifiers.arn import networks
from pssr_keras.training.fitting import layers_within

SETTINGS = {
    "mixed_float16": ("mixed_float16", "float32"),
    "mixed_bfloat16": ("mixed_bfloat16", "float32"),
    "float64": ("float64", "float32"),
    "floatx": ("float64", "float64"),
}


@pytest.fixture
def choose():
    """Function: make the settings of a name global; they are what they were after the test."""
    policy, floatx = keras.config.dtype_policy(), keras.config.floatx()

    def choose(name):
        keras.config.set_dtype_policy(SETTINGS[name][0])
        keras.config.set_floatx(SETTINGS[name][1])

    yield choose
    keras.config.set_dtype_policy(policy)
    keras.config.set_floatx(floatx)


def assert_float32(model):
    for layer in (model, *layers_within(model)):
        assert (layer.compute_dtype, layer.variable_dtype) == ("float32", "float32"), layer.name


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if n == "cifar100" else ()) for n in pretrained.names()]
)
def test_shipped_weights_give_the_same_logits(name, choose):
    x = data.load(name.partition("-")[0], "test", "bundled").x[:4]
    expected = load_pretrained(name).predict(x, verbose=0)
    assert np.abs(expected).max() > 1
    for settings in SETTINGS if name == "mnist" else ("mixed_float16",):
        choose(settings)
        pssr = load_pretrained(name)
        assert_float32(pssr)
        np.testing.assert_allclose(pssr.predict(x, verbose=0), expected, atol=1e-5)


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_file_read_by_keras_itself_gives_the_same_logits(settings, choose):
    x = data.load("mnist", "test", "bundled").x[:4]
    expected = load_pretrained("mnist")(x)
    choose(settings)
    pssr = keras.saving.load_model(pretrained.FOLDER / "mnist.keras")
    assert_float32(pssr)
    np.testing.assert_allclose(pssr(x), expected, atol=1e-5)
    x_adv = attacks.FGSM(0.1)(pssr.classifier, x, np.zeros(4, np.int32))
    assert x_adv.dtype == np.float32


BUILDERS = {
    "lenet5": lambda: classifiers.lenet5(width=0.5, statistics={"mean": [0.1], "variance": [0.09]}),
    "multilayer_perceptron": lambda: classifiers.multilayer_perceptron(width=0.1),
    "resnet18": lambda: classifiers.resnet18((8, 8, 1), 10, width=0.02),
    "densenet121": lambda: classifiers.densenet121((8, 8, 1), 10, width=0.03),
    "extrapolator": lambda: cae.extrapolator((8, 8, 1), 4, 8, start="neighbours", contrast=5.0),
    "unet": lambda: cae.unet((8, 8, 1), 4, start="identity"),
    "autoencoder": lambda: cae.autoencoder((8, 8, 1), 4, 8),
    "discriminator": lambda: cae.discriminator((8, 8, 1), 4),
    "encoder": lambda: networks.encoder((8, 8, 1), 2, 2, 3),
    "purifier": lambda: networks.purifier(
        networks.encoder((8, 8, 1), 2, 2, 3), networks.decoder((8, 8, 1), 2, 2, 3)
    ),
    "attack_discriminator": lambda: networks.attack_discriminator((2, 2, 3), 2, 8),
    "image_discriminator": lambda: networks.image_discriminator((8, 8, 1), 2),
}


@pytest.mark.parametrize("name", BUILDERS)
def test_a_new_network_is_that_of_the_default(name, choose):
    def answers():
        keras.utils.set_random_seed(0)
        model = BUILDERS[name]()
        generator = np.random.default_rng(0)
        inputs = [generator.uniform(size=(2, *i.shape[1:])).astype(np.float32) for i in model.inputs]
        outputs = model(inputs if len(inputs) > 1 else inputs[0])
        return model, outputs if isinstance(outputs, list) else [outputs]

    _, expected = answers()
    for settings in ("mixed_float16",) if name == "densenet121" else SETTINGS:
        choose(settings)
        model, found = answers()
        assert_float32(model)
        for one, other in zip(found, expected, strict=True):
            assert one.dtype == "float32"
            np.testing.assert_allclose(one, other, atol=1e-6)


@functools.cache
def one_step(kind):
    """The weights after a step under the default settings."""
    model = compiled(kind)
    model.fit(arrays(kind), batch_size=10, shuffle=False, verbose=0)
    return model.get_weights()


@pytest.mark.parametrize("settings", ["mixed_float16", "floatx"])
@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_a_step_of_training_is_that_of_the_default(kind, settings, choose):
    usual = one_step(kind)
    choose(settings)
    other = compiled(kind)
    assert_float32(other)
    other.fit(arrays(kind), batch_size=10, shuffle=False, validation_data=(arrays(kind),), verbose=0)
    for one, twin in zip(usual, other.get_weights(), strict=True):
        assert twin.dtype == np.float32
        np.testing.assert_allclose(one, twin, atol=2e-4)


def test_the_settings_are_given_back(choose):
    def fail():
        with building_in("float64"):
            assert keras.config.floatx() == keras.config.dtype_policy().name == "float64"
            raise OSError("of the disk")

    choose("mixed_float16")
    with pytest.raises(OSError, match="of the disk"):
        fail()
    assert keras.config.dtype_policy().name == "mixed_float16"
    assert keras.config.floatx() == "float32"
