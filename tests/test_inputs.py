"""Whatever a user gives is taken, or refused in one line, alike at every entrance."""

import dataclasses
import re
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from pssr_keras import (
    CAE,
    PSSR,
    InputError,
    PixelSurgery,
    attacks,
    checks,
    data,
    evaluation,
    inputs,
    surgery,
    training,
)
from pssr_keras.attacks.adaptive import Expectation
from pssr_keras.attacks.gradient import trajectory
from pssr_keras.baselines.base import RobustTraining, parse
from pssr_keras.commands import evaluate, reproduce, train
from pssr_keras.course import explain
from pssr_keras.evaluation import binarisation, shards
from pssr_keras.purifiers.hardened.model import HardenedCAE


def refused(function, *arguments, match=""):
    """The error of a call that must be refused in one line."""
    with pytest.raises(InputError, match=match) as caught:
        function(*arguments)
    assert str(caught.value).strip()
    assert "\n" not in str(caught.value)


def set_of(x, y, classes=3):
    return data.Images(x, y, classes, "mine", np.arange(len(x)))


ONE_STEP = attacks.FGSM(0.1)

# --- labels --------------------------------------------------------------------------------------

BAD_LABELS = {
    "text": (lambda y: y.astype(str), "<U11, expected integers"),
    "floats": (lambda y: y.astype(np.float32), r"float32, expected integers: cast them, y.astype\('int32'\)"),
    "booleans": (lambda y: y > 0, "bool, expected integers"),
    "objects": (lambda y: y.astype(object), "object, expected integers"),
    "none": (lambda y: None, "object, expected integers"),
    "ragged": (lambda y: [[0, 1], [2]], "the labels are no array of numbers"),
    "negative": (lambda y: y - 1, "range from -1 to 1, expected 0"),
    "beyond": (lambda y: y + 1, "range from 1 to 3, expected 0 to 2"),
    "beyond, in a column": (lambda y: (y + 1)[:, None], "range from 1 to 3, expected 0 to 2"),
    "too few": (lambda y: y[:-1], r"shape \(11,\), expected \(12,\), one for each image"),
    "one for all": (lambda y: y[:1], r"shape \(1,\), expected \(12,\)"),
    "one number": (lambda y: 1, r"shape \(\), expected \(12,\)"),
    "one-hot": (lambda y: np.eye(3, dtype=int)[y], r"shape \(12, 3\).*give y.argmax\(-1\)"),
    "one-hot floats": (lambda y: np.eye(3, dtype=np.float32)[y], r"shape \(12, 3\).*give y.argmax\(-1\)"),
    "a row": (lambda y: y[None], r"shape \(1, 12\), expected \(12,\)"),
    "two columns of classes": (lambda y: y[:, None, None], r"shape \(12, 1, 1\), expected \(12,\)"),
    "a column of floats": (lambda y: y[:, None].astype(float), "float64, expected integers"),
}

# Entrances for images and labels: (model, x, y) -> what depends on the labels.
LABELLED = {
    "attack": ONE_STEP,
    "early-exit attack": attacks.Square(0.1, queries=2),
    "targeted attack": attacks.BIM(0.1, targeted=True, steps=1),
    "CarliniWagner": attacks.CarliniWagner(steps=1, searches=1),
    "AutoAttack": attacks.AutoAttack(0.1, few_classes=True),
    "FABT.smallest": lambda model, x, y: attacks.FABT(0.1, steps=1).smallest(model, x, y)[0],
    "HopSkipJump.smallest": attacks.HopSkipJump(0.1, iterations=1, starts=1).smallest,
    "trajectory": lambda model, x, y: trajectory(attacks.BIM(0.1, steps=1), model, x, y)[0],
    "correct": evaluation.correct,
    "Images": lambda model, x, y: set_of(x, y).y,
    "replace": lambda model, x, y: dataclasses.replace(set_of(x, np.zeros(12, int)), y=y).y,
    "from_pixels": lambda model, x, y: data.from_pixels(np.round(255 * x), y, 3, "", np.arange(12)).y,
    "grad_cam": lambda model, x, y: explain.grad_cam(model, x, "channels", y),
}


@pytest.fixture(scope="module")
def few(toy_images):
    return toy_images.take(slice(0, 12))


@pytest.fixture(scope="module")
def model():
    """A linear classifier of 8x8 images in three classes, after a convolution."""
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 1))
    channels = layers.Conv2D(2, 1, name="channels")(image)
    return keras.Model(image, layers.Dense(3, name="logits")(layers.Flatten()(channels)), name="linear")


@pytest.mark.parametrize("bad", BAD_LABELS)
@pytest.mark.parametrize("entrance", LABELLED)
def test_bad_labels_are_refused_at_every_entrance(entrance, bad, model, few):
    if (entrance, bad) == ("grad_cam", "none"):
        pytest.skip("without classes it takes the predicted ones")
    change, message = BAD_LABELS[bad]
    refused(LABELLED[entrance], model, few.x, change(few.y), match=message)


GOOD_LABELS = {
    "a column, as keras.datasets has it": lambda y: y[:, None].astype(np.uint8),
    "int64": lambda y: y.astype(np.int64),
    "a list": lambda y: y.tolist(),
    "a tensor": tf.constant,
    "a column in a tensor": lambda y: tf.constant(y[:, None]),
}


@pytest.mark.parametrize("entrance", [name for name in LABELLED if name != "AutoAttack"])
def test_good_labels_have_the_same_answer_at_every_entrance(entrance, model, few):
    expected = np.asarray(LABELLED[entrance](model, few.x, few.y))
    assert expected.shape[0] == 12 or entrance == "trajectory"
    for change in GOOD_LABELS.values():
        found = np.asarray(LABELLED[entrance](model, few.x, change(few.y)))
        np.testing.assert_array_equal(found, expected)


def test_a_column_of_labels_is_judged_as_the_same_labels(toy_classifier, few):
    """And flags are one for each image, not one for each pair."""
    expected = toy_classifier.predict(few.x, verbose=0).argmax(axis=1) == few.y
    flags = evaluation.correct(toy_classifier, few.x, few.y[:, None])
    np.testing.assert_array_equal(flags, expected)
    columns = dataclasses.replace(few, y=few.y[:, None])
    assert columns.y.shape == (12,)
    assert columns.y.dtype == np.int32
    records = [
        evaluation.evaluate(toy_classifier, {"toy": toy_classifier}, one, [attacks.FGSM(0.2)])
        for one in (few, columns)
    ]
    assert records[0] == records[1]
    assert records[0]["cells"]["toy"]["benign"]["accuracy"] == expected.mean()


# Entrances for a set of images: (model, images).
OF_SETS = {
    "evaluate": lambda model, images: evaluation.evaluate(model, {"m": model}, images, [ONE_STEP]),
    "evaluate, judged": lambda model, images: evaluation.evaluate(
        abs_of(images), {"m": model}, images, [], threat_model="transfer"
    ),
    "shard": lambda model, images: shards.evaluate(
        shards.Shard(1, 2), model, {"m": model}, images, [ONE_STEP]
    ),
    "craft": lambda model, images: evaluation.craft(ONE_STEP, model, images),
    "run_autoattack": lambda model, images: evaluation.run_autoattack(
        attacks.AutoAttack(0.1, few_classes=True), model, images
    ),
    "with_labels": lambda model, images: evaluation.with_labels("true", ONE_STEP, model, images),
    "checks.run": lambda model, images: checks.run(model, images, 0.1),
    "checks.run, surrogate": lambda model, images: checks.run(abs_of(images), images, 0.1, model),
    "binarisation.run": lambda model, images: binarisation.run(ONE_STEP, model, images),
}


def abs_of(images):
    """A function that is a model of three classes."""
    return lambda x: tf.reduce_mean(x, axis=(1, 2, 3))[:, None] * tf.constant([[1.0, 2.0, -3.0]])


@pytest.mark.parametrize("entrance", OF_SETS)
def test_a_set_without_images_or_of_another_kind_is_refused(entrance, model, few):
    function = OF_SETS[entrance]
    refused(
        function, model, few.take(slice(0, 0)), match=r"there are no images in a batch of shape \(0, 8, 8"
    )
    refused(
        function, model, few.x, match=r"are a ndarray, expected \(x, y\).*labels are missing, give \(x, y\)"
    )
    refused(function, model, (few.x,), match=r"are a tuple of 1, expected \(x, y\), a tf.data.Dataset")
    beyond = set_of(few.x, few.y + 1, classes=10)
    refused(function, model, beyond, match="the labels range from 1 to 3, expected 0 to 2")


@pytest.mark.parametrize("entrance", [e for e in OF_SETS if e not in ("with_labels", "binarisation.run")])
def test_labels_beyond_what_a_function_returns_are_refused(entrance, model, few):
    beyond = set_of(few.x, few.y + 1, classes=10)
    refused(OF_SETS[entrance], lambda x: model(x, training=False), beyond, match="expected 0 to 2")


def test_images_of_a_set_belong_together(few):
    part = {"x": few.x, "y": few.y, "classes": 3, "source": "mine", "indices": few.indices}
    bad = {
        "indices are int64 of shape": {"indices": np.arange(11)},
        "indices are float64": {"indices": np.arange(12) / 2},
        "indices range from -1": {"indices": np.arange(12) - 1},
        "classes is 1, expected an integer >= 2": {"classes": 1},
        "classes is 3.0": {"classes": 3.0},
        "labels range": {"classes": 2},
    }
    for message, change in bad.items():
        refused(lambda change=change: data.Images(**part | change), match=message)
    assert data.Images(**part | {"indices": range(12)}).indices.tolist() == list(range(12))
    refused(few.take, 3, match=r"the images have shape \(8, 8, 1\)")


def test_parts_of_a_large_set_are_not_looked_at_again(few, monkeypatch):
    monkeypatch.setattr("pssr_keras.data.images.check_range", pytest.fail)
    np.testing.assert_array_equal(few.take(np.array([3, 5])).x, few.x[[3, 5]])


# --- images --------------------------------------------------------------------------------------

BAD_IMAGES = {
    "pixels": (lambda x: (255 * x).astype(np.uint8), r"uint8, expected float32.*\(x / 255\).astype"),
    "integers": (lambda x: np.ones_like(x, int), "int64, expected float32 in"),
    "double": (lambda x: x.astype(np.float64), r"float64, expected float32 in .* x.astype\('float32'\)"),
    "half": (lambda x: x.astype(np.float16), "float16, expected float32"),
    "text": (lambda x: x.astype(str), "expected float32"),
    "a list": (lambda x: x.tolist(), "float64, expected float32"),
    "ragged": (lambda x: [[0.0], [0.0, 1.0]], "the images are no array of numbers"),
    "0 to 255": (lambda x: 255 * x, "expected .0, 1.: rescale them, as x / 255"),
    "-1 to 1": (lambda x: 2 * x - 1, "images range from -.*rescale them$"),
    "NaN": (lambda x: np.where(x > 0.5, np.float32("nan"), x), "contain NaN or infinite values"),
    "infinite": (lambda x: np.where(x > 0.5, np.float32("inf"), x), "contain NaN or infinite values"),
    "channels first": (lambda x: x.transpose(0, 3, 1, 2), "the channels are first, move them last"),
    "no channels": (lambda x: x[..., 0], r"expected \(images, height, width, channels\): of grey images"),
    "one image": (lambda x: x[0], r"expected \(images, height, width, channels\): of one image, give x.None"),
    "another size": (lambda x: x[:, :4], r"shape \(4, 8, 1\), expected \(8, 8, 1\)"),
    "another colour": (lambda x: np.repeat(x, 3, axis=-1), r"shape \(8, 8, 3\), expected \(8, 8, 1\)"),
    "flat": (lambda x: x.reshape(12, 64), r"shape \(12, 64\), expected \(images, height"),
    "empty": (lambda x: x[:0], "there are no images in a batch of shape"),
}
OWN_SHAPE = ("channels first", "another size", "another colour")  # of a model: known to whoever has one

# Entrances for images: (model, x).
OF_IMAGES = {
    "attack": lambda model, x: ONE_STEP(model, x, np.zeros(len(x), int)),
    "FABT.smallest": lambda model, x: attacks.FABT(0.1).smallest(model, x, np.zeros(len(x), int)),
    "HopSkipJump.smallest": lambda model, x: attacks.HopSkipJump(0.1).smallest(
        model, x, np.zeros(len(x), int)
    ),
    "trajectory": lambda model, x: trajectory(attacks.BIM(0.1), model, x, np.zeros(len(x), int)),
    "logits_of": evaluation.logits_of,
    "correct": lambda model, x: evaluation.correct(model, x, np.zeros(len(x), int)),
    "purify": lambda model, x: PSSR(model, PixelSurgery()).purify(x),
    "remove": lambda model, x: PSSR(model, PixelSurgery()).remove(x),
    "restore": lambda model, x: PSSR(model, None).restore(x),
    "PixelSurgery.remove": lambda model, x: PixelSurgery().remove(model, x),
    "fit_mean": lambda model, x: PixelSurgery(threshold="dataset").fit_mean(model, [x]),
    "grad_cam": lambda model, x: explain.grad_cam(model, x, "channels"),
    "features": lambda model, x: explain.features(model, x, "channels"),
    "Images": lambda model, x: set_of(x, np.zeros(len(x), int)),
}
KNOW_NO_MODEL = ("Images", "PixelSurgery.remove", "fit_mean")


@pytest.mark.parametrize("bad", BAD_IMAGES)
@pytest.mark.parametrize("entrance", OF_IMAGES)
def test_bad_images_are_refused_at_every_entrance(entrance, bad, model, few):
    if (entrance in KNOW_NO_MODEL and bad in OWN_SHAPE) or (entrance, bad) == ("Images", "empty"):
        pytest.skip("fits another model; a set may be empty until it is judged")
    if entrance == "PixelSurgery.remove" and bad in ("double", "a list"):
        pytest.skip("computes in float64 what is given so")
    change, message = BAD_IMAGES[bad]
    refused(OF_IMAGES[entrance], model, change(few.x), match=message)


@pytest.mark.parametrize("entrance", ["purify", "remove", "restore", "PixelSurgery.remove"])
def test_a_tensor_is_refused_like_an_array(entrance, model, few):
    for bad in ("pixels", "0 to 255", "-1 to 1", "NaN", "no channels", "empty"):
        change, message = BAD_IMAGES[bad]
        refused(OF_IMAGES[entrance], model, tf.constant(change(few.x)), match=message)


@pytest.mark.parametrize("entrance", OF_IMAGES)
def test_tensors_are_taken_as_arrays(entrance, model, few):
    expected, found = (OF_IMAGES[entrance](model, x) for x in (few.x, tf.constant(few.x)))
    for one, other in zip(tf.nest.flatten(parts_of(found)), tf.nest.flatten(parts_of(expected)), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def parts_of(found):
    if isinstance(found, data.Images):
        return found.x, found.y
    return found.dataset_mean if isinstance(found, PixelSurgery) else found


def test_within_a_graph_dtype_and_rank_are_refused_and_values_unknown(model, few):
    pssr = PSSR(model, PixelSurgery())
    traced = tf.function(pssr.purify, autograph=False)
    np.testing.assert_allclose(traced(few.x), pssr.purify(few.x), atol=1e-6)
    assert traced(tf.constant(2 * few.x)).shape == few.x.shape
    refused(traced, tf.constant((255 * few.x).astype(np.uint8)), match="uint8, expected float32")
    refused(traced, tf.constant(few.x[..., 0]), match="of grey images")


def test_a_model_may_be_asked_around_an_image_also_where_nothing_is_traced(model, few):
    """Differences need that, and run_functions_eagerly makes everything eager."""
    for guide in (None, "pipeline", PSSR(model, PixelSurgery())):
        assert np.isfinite(PSSR(model, PixelSurgery(), guide=guide)(few.x - 0.5)).all()


def test_a_color_model_takes_grey_images_of_no_shape_but_its_own():
    """(None, None, 3) fits any size, and three channels."""
    assert inputs.fits((32, 48, 3), (None, None, 3))
    assert not inputs.fits((32, 48, 1), (None, None, 3))
    assert not inputs.fits((32, 48), (None, None, 3))
    refused(
        inputs.check_images,
        np.zeros((2, 3, 32, 32), np.float32),
        (None, None, 3),
        match=r"shape \(3, 32, 32\), expected \(None, None, 3\): the channels are first",
    )
    refused(
        inputs.check_images,
        np.zeros((2, 28, 28, 1), np.float32),
        (784,),
        match=r"expected \(784,\): begin the model with keras.layers.Reshape\(\(784,\)\)",
    )


BAD_PIXELS = {
    "floats in [0, 1]": (lambda x: x, r"from .* to .*, expected whole numbers from 0 to 255: multiply"),
    "fractions": (lambda x: 100 * x, "fractions, expected whole numbers"),
    "negative": (lambda x: np.round(100 * x).astype(int) - 50, "range from -50"),
    "beyond": (lambda x: np.round(500 * x).astype(int), "range from 0 to 4.., expected whole"),
    "NaN": (lambda x: x * np.nan, "range from nan"),
    "booleans": (lambda x: x > 0.5, "the pixels are bool"),
    "text": (lambda x: x.astype(str), "the pixels are <U"),
    "no channels": (lambda x: np.round(255 * x)[..., 0], "of grey images"),
}


@pytest.mark.parametrize("bad", BAD_PIXELS)
def test_bad_pixels_are_refused(bad, few):
    change, message = BAD_PIXELS[bad]
    refused(data.from_pixels, change(few.x), few.y, 3, "mine", few.indices, match=message)


def test_good_pixels_become_the_images_that_they_are(few):
    levels = np.round(255 * few.x)
    for kind in (np.uint8, np.int64, np.float32, np.float64):
        found = data.from_pixels(levels.astype(kind), few.y[:, None], 3, "mine", few.indices)
        np.testing.assert_array_equal(found.x, levels / np.float32(255))
        np.testing.assert_array_equal(found.y, few.y)
    black = data.from_pixels(np.zeros_like(levels), few.y, 3, "mine", few.indices)
    assert black.x.max() == 0
    np.testing.assert_array_equal(data.to_pixels(few.x), levels)
    refused(data.to_pixels, levels.astype(np.uint8), match="uint8, expected float32")
    refused(data.to_pixels, levels, match="rescale them")


# --- models --------------------------------------------------------------------------------------


def made(outputs):
    """A Keras model of 8x8 images with what `outputs` makes of the flattened ones."""
    image = keras.Input((8, 8, 1))
    return keras.Model(image, outputs(layers.Flatten()(image)))


class Untold(keras.Model):
    """A model that says nothing of its shapes."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def call(self, x, training=False):
        return self.inner(x, training=training)


def of_two_inputs():
    image, other = keras.Input((8, 8, 1), name="image"), keras.Input((3,), name="other")
    return keras.Model(
        [image, other], layers.Dense(3)(layers.Concatenate()([layers.Flatten()(image), other]))
    )


ONE = r"shape \((None|\d+), 1\), one output for each image.*concatenate\(\[0 \* z, z\], -1\)"
TWO = r"returns 2 outputs, {} and .*, expected one tensor of logits \(images, classes\): choose it, as "
BAD_MODELS = {
    "one logit": (lambda: made(layers.Dense(1)), ONE),
    "one probability": (lambda: made(layers.Dense(1, activation="sigmoid")), ONE),
    "one logit, untold": (lambda: Untold(made(layers.Dense(1))), ONE),
    "a number": (lambda: made(lambda z: layers.Reshape(())(layers.Dense(1)(z))), r"shape \((None|\d+),\)"),
    "a map": (
        lambda: made(layers.Reshape((8, 8, 1))),
        r"shape \((None|\d+), 8, 8, 1\), expected one tensor",
    ),
    "two outputs": (
        lambda: made(lambda z: [layers.Dense(4, name="other")(z), layers.Dense(3, name="logits")(z)]),
        TWO.format(r"other \((None|\d+), 4\)") + r"keras.Model\(model.inputs, model.outputs\[0\]\)",
    ),
    "a map and logits": (
        lambda: made(lambda z: [layers.Reshape((8, 8, 1))(z), layers.Dense(3)(z)]),
        r"choose it, as keras.Model\(model.inputs, model.outputs\[1\]\)",
    ),
    "named outputs, untold": (
        lambda: Untold(made(lambda z: {"z": layers.Dense(1)(z), "logits": layers.Dense(3)(z)})),
        r"logits \((None|\d+), 3\).* as lambda x: model\(x, training=False\)\['logits'\]",
    ),
    "two inputs": (
        of_two_inputs,
        r"takes 2 inputs, image \(None, 8, 8, 1\) and other \(None, 3\), expected one",
    ),
    "no model": (lambda: "model.keras", "is 'model.keras', expected a Keras model"),
}

# Entrances for models: (model, images).
OF_MODELS = {
    name: lambda model, images, function=function: function(model, images.x)
    for name, function in OF_IMAGES.items()
    if name not in ("Images", "restore", "features", "grad_cam")
} | {
    **{n: function for n, function in OF_SETS.items() if n not in ("with_labels", "binarisation.run")},
    "predicted labels": lambda m, images: evaluation.with_labels("predicted", ONE_STEP, m, images),
    "PSSR called": lambda model, images: PSSR(model, None)(images.x),
    "saliency": lambda model, images: surgery.saliency(model, images.x),
    "expectation": lambda model, images: Expectation(model, 2)(images.x),
}
SEE_CALLS_ONLY = ("PixelSurgery.remove", "fit_mean", "saliency", "expectation")


@pytest.mark.parametrize("bad", BAD_MODELS)
@pytest.mark.parametrize("entrance", OF_MODELS)
def test_a_model_without_logits_is_refused_at_every_entrance(entrance, bad, few):
    if entrance in SEE_CALLS_ONLY and bad in ("two inputs", "no model"):
        pytest.skip("takes any function, and what Python says of a call is plain")
    make, message = BAD_MODELS[bad]
    refused(OF_MODELS[entrance], make(), few, match=message)


@pytest.mark.parametrize("entrance", ["attack", "logits_of", "correct", "evaluate", "checks.run", "craft"])
def test_a_function_without_logits_is_refused(entrance, few):
    def flat(x):
        return tf.reshape(x, (-1, 64))

    bad = {
        ONE: lambda x: flat(x)[:, :1],
        r"returns 2 outputs, 0 \(None, 3\) and 1 \(None, 64\).* as lambda x: model\(x\)\[0\]": lambda x: (
            flat(x)[:, :3],
            flat(x),
        ),
        r"returns 1 output, a \(None, 3\).*model\(x\)\['a'\]": lambda x: {"a": flat(x)[:, :3]},
        "returns a NoneType, expected one tensor": lambda x: None,
        r"returns 6 rows of logits for 12 images": lambda x: flat(x)[::2, :3] - 1,
    }
    for message, model in bad.items():
        refused(OF_MODELS[entrance], model, few, match=message)


@pytest.mark.parametrize("bad", ["one logit", "two outputs", "two inputs", "a map"])
def test_a_training_refuses_a_classifier_without_logits(bad, model, few):
    make, message = BAD_MODELS[bad]
    refused(lambda: CAE(model, model, make()), match=message)
    refused(lambda: HardenedCAE(model, make(), 0.1), match=message)
    refused(lambda: RobustTraining(make(), parse("adversarial_training"), 0.1), match=message)
    refused(lambda: PSSR(model, PixelSurgery(), None, make()), match=message)


def test_two_logits_of_one_are_attacked(few):
    """What the error advises: then the gradient is there, and images fall."""
    one = made(layers.Dense(1))
    two = keras.Model(
        one.inputs, keras.layers.Lambda(lambda z: keras.ops.concatenate([0 * z, z], -1))(one.outputs[0])
    )
    y = (np.asarray(one(few.x))[:, 0] > 0).astype(np.int32)
    assert evaluation.correct(two, few.x, y).all()
    assert not evaluation.correct(two, attacks.FGSM(1.0)(two, few.x, y), y).any()


# --- models that take any size -------------------------------------------------------------------


@pytest.fixture(scope="module")
def of_any_size():
    keras.utils.set_random_seed(0)
    image = keras.Input((None, None, 1))
    x = layers.Conv2D(4, 3, activation="tanh")(image)
    return keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))


def twin_of(model):
    """The same weights with a fixed size."""
    image = keras.Input((8, 8, 1))
    twin = keras.Model(image, model.layers[-1](model.layers[-2](model.layers[1](image))))
    return twin


def test_a_model_of_any_size_is_attacked_and_judged_as_one_of_that_size(of_any_size, few):
    fixed = twin_of(of_any_size)
    for attack in (attacks.BIM(0.1, steps=2), attacks.Square(0.1, queries=5)):
        found, expected = (attack(model, few.x, few.y) for model in (of_any_size, fixed))
        np.testing.assert_allclose(found, expected, atol=1e-6)
    defenses = [PSSR(model, PixelSurgery()) for model in (of_any_size, fixed)]
    np.testing.assert_allclose(*(defense.purify(few.x) for defense in defenses), atol=1e-6)
    found, expected = (
        evaluation.evaluate(model, {"m": model, "d": defense}, few, [ONE_STEP])["cells"]
        for model, defense in zip((of_any_size, fixed), defenses, strict=True)
    )
    assert found == expected
    measured = checks.Measurements(of_any_size, few, 0.1)
    np.testing.assert_allclose(measured.answers, fixed(few.x), atol=1e-5)
    evaluation.correct(of_any_size, few.x[:, :5], few.y)  # and another size
    refused(evaluation.correct, of_any_size, np.repeat(few.x, 3, axis=-1), few.y, match=r"\(None, None, 1\)")


ENTRY = types.SimpleNamespace(name="toys", shape=(8, 8, 1), classes=3)


def test_a_classifier_of_any_size_fits_a_data_set(of_any_size, model, tmp_path):
    of_any_size.save(tmp_path / "any.keras")
    assert training.classifier_of(tmp_path / "any.keras", ENTRY).input_shape == (None, None, None, 1)
    colour = types.SimpleNamespace(name="toys", shape=(8, 8, 3), classes=3)
    refused(
        training.classifier_of,
        tmp_path / "any.keras",
        colour,
        match=r"takes images \(None, None, 1\), expected \(8, 8, 3\)",
    )
    evaluate.check_alike("any", of_any_size, PSSR(model, None))
    evaluate.check_alike("any", model, PSSR(of_any_size, None))


@pytest.mark.parametrize("bad", ["one logit", "two outputs", "two inputs", "a map"])
def test_a_file_without_logits_is_refused_by_its_name(bad, model, tmp_path):
    make, message = BAD_MODELS[bad]
    make().save(tmp_path / "own.keras")
    refused(
        training.classifier_of, tmp_path / "own.keras", ENTRY, match=f"own.keras does not fit: .*{message}"
    )
    refused(evaluate.check_alike, "own", make(), PSSR(model, None), match=f"own does not fit: .*{message}")


# --- seeds ---------------------------------------------------------------------------------------

BAD_SEEDS = (-1, 2**31, True, np.bool_(True), 1.0, "1", None)
OF_SEEDS = {
    "attack": lambda model, images, seed: attacks.PGD(0.1, steps=1)(model, images.x, images.y, seed),
    "smallest": lambda model, images, seed: attacks.HopSkipJump(0.1, iterations=1, starts=1).smallest(
        model, images.x, images.y, seed
    ),
    "trajectory": lambda model, images, seed: trajectory(
        attacks.PGD(0.1, steps=1), model, images.x, images.y, seed
    )[0],
    "evaluate": lambda model, images, seed: evaluation.evaluate(
        model, {"m": model}, images, [attacks.PGD(0.1, steps=1)], seed=seed
    ),
    "craft": lambda model, images, seed: evaluation.craft(attacks.PGD(0.1, steps=1), model, images, seed),
    "random targets": lambda model, images, seed: (
        evaluation.with_labels("random target", ONE_STEP, model, images, seed)[1].y
    ),
    "split_validation": lambda model, images, seed: data.split_validation(images, 3, seed)[1].indices,
    "measurements": lambda model, images, seed: checks.Measurements(model, images, 0.1, seed=seed).seed,
}


@pytest.mark.parametrize("entrance", OF_SEEDS)
def test_seeds_are_integers_of_python_or_numpy(entrance, model, few):
    function = OF_SEEDS[entrance]
    for seed in BAD_SEEDS:
        refused(function, model, few, seed, match=re.escape(f"seed is {seed!r}, expected an integer from 0"))
    expected = function(model, few, 7)
    for seed in (np.int64(7), np.uint8(7)):
        found = function(model, few, seed)
        if entrance == "evaluate":
            assert type(found["seed"]) is int
            assert found == expected
        else:
            np.testing.assert_array_equal(found, expected)


@pytest.fixture
def no_data(monkeypatch):
    """Whoever looks for data fails the test."""
    for name in ("load", "resolve_source"):
        monkeypatch.setattr(data, name, pytest.fail)


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        (train, ["--seed", "-1"], "seed is -1"),
        (train, ["--set", "seed=-1"], "seed"),
        (train, ["--set", "attack.training=pdg"], "unknown attack 'pdg'"),
        (train, ["--classifier", "none.keras"], "none.keras cannot be read"),
        (evaluate, ["--seed", "-1"], "seed is -1"),
        (evaluate, ["--n", "0"], "n is 0"),
        (evaluate, ["--batch-size", "0"], "batch size is 0"),
        (evaluate, ["--eps", "2", "--attacks", "cw"], "eps is '2'"),
        (reproduce, ["--set", "seed=-1"], "seed is not changed by --set"),
        (reproduce, ["--set", "cae.epochs=-1"], "cae.epochs is -1"),
        (reproduce, ["--set", "objective=magic"], "objective is 'magic'"),
    ],
)
def test_mistakes_are_refused_before_any_data_are_looked_for(
    command, arguments, message, no_data, capsys, tmp_path
):
    if command is not evaluate:
        arguments = ["--dataset", "mnist", *arguments, "--out", str(tmp_path / "out")]
    assert command.main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
