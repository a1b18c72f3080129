"""What a user sets globally, in keras.json or in TensorFlow, for another project: it all works as ever."""

import ast
import pathlib
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

import pssr_keras
from pssr_keras import PSSR, PixelSurgery, attacks, cae, classifiers, evaluation
from pssr_keras.attacks import adaptive, base
from pssr_keras.attacks.gradient import trajectory
from pssr_keras.purifiers.arn import networks

PACKAGE = pathlib.Path(pssr_keras.__file__).parent


# --- channels first ------------------------------------------------------------------------------

SHAPE = (32, 16, 3)  # of three different numbers, so that none is taken for another
# Without the 120 layers of densenet121, which take long to save and are of the same kinds.
NAMES = [name for name in classifiers.CLASSIFIERS if not name.startswith("densenet")]
NETWORKS = {name: lambda name=name: classifiers.create(name, SHAPE, 5, 0.05) for name in NAMES}
NETWORKS |= {
    "pssr": lambda: cae.extrapolator(SHAPE, channels=2, bottleneck=4),
    "unet": lambda: cae.unet(SHAPE, channels=2),
    "autoencoder": lambda: cae.autoencoder(SHAPE, channels=2, bottleneck=4),
    "discriminator": lambda: cae.discriminator(SHAPE, channels=2),
    "encoder": lambda: networks.encoder(SHAPE, channels=2, stages=2, code_channels=3),
    "decoder": lambda: networks.decoder(SHAPE, channels=2, stages=2, code_channels=3),
    "attack_discriminator": lambda: networks.attack_discriminator((4, 2, 3), views=3, units=4),
    "image_discriminator": lambda: networks.image_discriminator(SHAPE, channels=2),
}


def answers_of(make, data_format):
    """What a model answers that is made where Keras is set to a data format."""
    keras.config.set_image_data_format(data_format)
    try:
        keras.utils.set_random_seed(0)
        model = make()
        generator = np.random.default_rng(0)
        inputs = [
            generator.uniform(0, 1, (2, *tensor.shape[1:])).astype(np.float32) for tensor in model.inputs
        ]
        return [
            np.asarray(answer) for answer in tf.nest.flatten(model(inputs if len(inputs) > 1 else inputs[0]))
        ]
    finally:
        keras.config.set_image_data_format("channels_last")


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_takes_channels_last_whatever_keras_is_set_to(name, tmp_path):
    path = tmp_path / "network.keras"

    def saved():
        model = NETWORKS[name]()
        model.save(path)
        return model

    expected = answers_of(saved, "channels_last")
    for make in (NETWORKS[name], lambda: keras.saving.load_model(path, compile=False)):
        for one, other in zip(answers_of(make, "channels_first"), expected, strict=True):
            np.testing.assert_array_equal(one, other)


KINDS = re.compile(
    r"layers\.(Conv|SeparableConv|DepthwiseConv|AveragePooling|MaxPooling|GlobalAverage|GlobalMax|Flatten"
    r"|Cropping|UpSampling|ZeroPadding|SpatialDropout)"
)  # whose channels are where Keras is set to have them


def left_to_keras(source):
    """The lines of a module that make such a layer outside of `building_in`."""
    tree = ast.parse(source)
    within = set()
    for node in ast.walk(tree):
        scopes = getattr(node, "decorator_list", []) + [
            item.context_expr for item in getattr(node, "items", [])
        ]
        if any(ast.unparse(scope).startswith("building_in(") for scope in scopes):
            within |= {id(inner) for inner in ast.walk(node)}
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and id(node) not in within]
    return [node.lineno for node in calls if KINDS.match(ast.unparse(node.func))]


def test_no_layer_leaves_its_channels_to_keras():
    for path in PACKAGE.rglob("*.py"):
        assert not left_to_keras(path.read_text()), path
        for call in re.findall(r"\bops\.(?:conv|max_pool|average_pool)\([^\n]*", path.read_text()):
            assert "channels_last" in call, path
    assert left_to_keras("def build():\n    return layers.Conv2D(1, 1)") == [2]


# --- functions that run eagerly ------------------------------------------------------------------

SUITE = [
    attacks.FGSM(0.1),
    attacks.BIM(0.1, steps=3),
    attacks.MIM(0.1, steps=3),
    attacks.PGD(0.1, steps=3, best=True, restarts=2),
    attacks.CarliniWagner(steps=9, searches=2, learning_rate=0.3, first_c=1.0),
    attacks.create("apgd-ce", eps=0.4, steps=4),
    attacks.create("fab-t", eps=0.4, steps=5),
    attacks.create("square", eps=0.5, queries=20),
    attacks.create("hop-skip-jump", eps=0.6, iterations=2, first_queries=5, starts=5),
]


@pytest.fixture
def forget_functions():
    """Function that forgets what was traced before, and again after the test."""

    def forget():
        attacks.clear_compiled()
        base._noise.cache_clear()

    yield forget
    forget()


@pytest.fixture
def eagerly(forget_functions):
    forget_functions()
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.mark.parametrize("attack", SUITE, ids=lambda attack: attack.name)
def test_an_attack_runs_eagerly_to_the_same_end(attack, toy_classifier, toy_images, forget_functions):
    x, y = toy_images.x[:6], toy_images.y[:6]
    expected = attack(toy_classifier, x, y)
    forget_functions()
    tf.config.run_functions_eagerly(True)
    try:
        found = attack(toy_classifier, x, y)
    finally:
        tf.config.run_functions_eagerly(False)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(found - x).max() > 0


def test_evaluation_surrogates_and_checks_run_eagerly(eagerly, toy_classifier, toy_extrapolator, toy_images):
    pssr = PSSR(toy_classifier, PixelSurgery(), toy_extrapolator)
    few = toy_images.take(slice(0, 6))
    record = evaluation.evaluate(
        adaptive.sources(pssr), {"PSSR": pssr}, few, [attacks.PGD(0.1, steps=2)], seed=1
    )
    assert len(record["cells"]["PSSR"]) == 1 + 6 + 1
    losses, fooled = trajectory(attacks.PGD(0.1, steps=2), toy_classifier, few.x, few.y)
    assert losses.shape == fooled.shape == (3, 6)
    assert pssr.predict(few.x, verbose=0).shape == (6, 3)
