"""What a model is, and that nothing compiled, cached or recorded takes one model for another."""

import dataclasses
import functools
import json
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from pssr_keras import PSSR, InputError, PixelSurgery, attacks, clear_compiled, evaluation, identity
from pssr_keras.attacks import adaptive, base

WIDTH = 1  # a global number that a model of the tests reads


class Blur(keras.Model):
    """A defense as users write it: a number, no configuration."""

    def __init__(self, classifier, width, policy=None):
        super().__init__(dtype=policy)
        self.classifier, self.width, self.built = classifier, width, True

    @property
    def input_shape(self):
        return self.classifier.input_shape

    def purify(self, x):
        return tf.nn.avg_pool2d(x, self.width, 1, "SAME")

    def call(self, x, training=False):
        return self.classifier(self.purify(x), training=False)


class ReadsGlobal(Blur):
    def purify(self, x):
        return tf.nn.avg_pool2d(x, WIDTH, 1, "SAME")


class Otherwise(Blur):
    def purify(self, x):
        return tf.nn.max_pool2d(x, self.width, 1, "SAME")


@dataclasses.dataclass  # so it has no hash
class Callable:
    classifier: object
    shift: float

    def __call__(self, x):
        return self.classifier(x + self.shift, training=False)


def small(front=None, activation="tanh", filters=4, seed=0):
    keras.utils.set_random_seed(seed)
    x = inputs = keras.Input((8, 8, 1))
    x = x if front is None else front(x)
    x = layers.Conv2D(filters, 3, padding="same", activation=activation)(x)
    return keras.Model(inputs, layers.Dense(3)(layers.Flatten()(x)))


def stacked(order):
    """Two layers without weights, in one order or the other: the same layers and weights."""
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input((8, 8, 1))
    for layer in order:
        x = layer(x)
    return keras.Model(inputs, layers.Dense(3)(layers.Flatten()(x)))


def skipped(which):
    """The same layers and weights, and one of two branches is subtracted from the other."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 1))
    branches = [inputs, layers.Conv2D(1, 3, padding="same")(inputs)]
    x = layers.Subtract()(branches if which == 0 else branches[::-1])
    return keras.Model(inputs, layers.Dense(3)(layers.Flatten()(x)))


def with_weights_of(model, other):
    model.set_weights(other.get_weights())
    return model


PAIRS = {
    "a number of a class of a user": lambda c: (Blur(c, 1), Blur(c, 5)),
    "code of a class of a user": lambda c: (Blur(c, 3), Otherwise(c, 3)),
    "another layer without weights": lambda c: (
        keras.Sequential([keras.Input((8, 8, 1)), layers.Rescaling(2.0), c]),
        keras.Sequential([keras.Input((8, 8, 1)), layers.AveragePooling2D(3, 1, "same"), c]),
    ),
    "a number of a layer": lambda c: (small(layers.Rescaling(1.0)), small(layers.Rescaling(2.0))),
    "an activation": lambda c: (small(activation="tanh"), small(activation="relu")),
    "the order of layers": lambda c: (
        stacked([layers.MaxPooling2D(2, 1, "same"), layers.Rescaling(-1.0)]),
        stacked([layers.Rescaling(-1.0), layers.MaxPooling2D(2, 1, "same")]),
    ),
    "connections": lambda c: (skipped(0), skipped(1)),
    "weights": lambda c: (small(seed=0), small(seed=1)),
    "a dtype": lambda c: (Blur(c, 1), Blur(c, 1, "float64")),
    "a stage of a PSSR": lambda c: (PSSR(c, PixelSurgery()), PSSR(c, PixelSurgery(alpha=1.3))),
    "E": lambda c: (
        PSSR(c, None, keras.Sequential([keras.Input((8, 8, 1)), layers.Rescaling(1.0)])),
        PSSR(c, None, keras.Sequential([keras.Input((8, 8, 1)), layers.Rescaling(0.9)])),
    ),
    "a guide": lambda c: (PSSR(c, PixelSurgery()), PSSR(c, PixelSurgery(), guide="pipeline")),
    "a surrogate": lambda c: (
        adaptive.surrogate(PSSR(c, PixelSurgery()), "soft_mask", temperature=0.2),
        adaptive.surrogate(PSSR(c, PixelSurgery()), "soft_mask", temperature=0.3),
    ),
    "draws of an expectation": lambda c: (adaptive.Expectation(c, 2), adaptive.Expectation(c, 3)),
    "what an expectation is of": lambda c: (
        adaptive.Expectation(Blur(c, 1), 2), adaptive.Expectation(Blur(c, 3), 2),
    ),
    "a number in a closure": lambda c: tuple(
        functools.partial(lambda s, x: c(s * x, training=False), s) for s in (1.0, 0.5)
    ),
    "a number of a callable": lambda c: (Callable(c, 0.0), Callable(c, 0.1)),
    "code of a Lambda layer": lambda c: (
        small(layers.Lambda(lambda x: x * x)), small(layers.Lambda(lambda x: x * x * x)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", PAIRS)
def test_models_that_differ_have_other_digests(kind, toy_classifier):
    first, second = PAIRS[kind](toy_classifier)
    if isinstance(first, keras.Model) and kind not in ("weights", "what an expectation is of"):
        assert evaluation.weights_hash(first) == evaluation.weights_hash(second)
    assert identity.digest(first) != identity.digest(second)
    assert identity.structure(first) != identity.structure(second)
    assert identity.digest(first) == identity.digest(first)
    assert identity.structure(first) == identity.structure(first)


def test_a_model_built_again_or_read_from_a_file_is_the_same(toy_classifier, toy_extrapolator, tmp_path):
    model = PSSR(toy_classifier, PixelSurgery(), toy_extrapolator)
    model.save(tmp_path / "pssr.keras")
    assert identity.digest(keras.saving.load_model(tmp_path / "pssr.keras")) == identity.digest(model)
    assert identity.digest(small()) == identity.digest(small())  # whatever names its layers got
    model.compile(loss="mse")
    before = identity.digest(model)
    model.predict(np.zeros((1, 8, 8, 1), np.float32), verbose=0)
    assert identity.digest(model) == before


def test_what_cannot_be_told_from_others_is_not_cached(toy_classifier, toy_images, tmp_path):
    images, attack = toy_images.take(slice(0, 6)), attacks.FGSM(0.1)
    model = Blur(toy_classifier, 1)
    model.handle = object()  # which nobody can look into
    with pytest.raises(identity.Unidentified, match=r"model\.handle is a .*object"):
        identity.digest(model)
    for _ in range(2):
        with pytest.warns(UserWarning, match="crafted on this Blur is not cached.*handle"):
            evaluation.craft(attack, model, images, cache=tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_cache_keeps_two_defenses_apart(toy_classifier, toy_images, tmp_path):
    images, attack = toy_images.take(slice(0, 16)), attacks.PGD(0.2, steps=3, step_size=0.1)
    crafted = {}
    for width in (1, 5):
        for cache in (tmp_path, None):
            crafted[width, cache] = evaluation.craft(attack, Blur(toy_classifier, width), images, cache=cache)
        np.testing.assert_array_equal(crafted[width, tmp_path], crafted[width, None])
    assert np.abs(crafted[1, None] - crafted[5, None]).max() > 0.05
    assert len(list(tmp_path.iterdir())) == 2
    again = evaluation.craft(attack, Blur(toy_classifier, 5), images, cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    np.testing.assert_array_equal(again, crafted[5, None])


def test_the_cache_and_the_record_know_the_version_and_the_code(
    toy_classifier, toy_images, tmp_path, monkeypatch
):
    images, attack = toy_images.take(slice(0, 4)), attacks.FGSM(0.1)
    evaluation.craft(attack, toy_classifier, images, cache=tmp_path)
    for name in ("versions", "code_hash"):
        monkeypatch.setattr(f"pssr_keras.evaluation.crafting.{name}", lambda: {"pssr-keras": "99"})
        evaluation.craft(attack, toy_classifier, images, cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 3
    assert evaluation.versions()["pssr-keras"] == "0.2.0"


# --- what is compiled ------------------------------------------------------------------------------


def accuracy(model, images):
    """By the model itself, nothing compiled."""
    logits = model(images.x, training=False) if isinstance(model, keras.Model) else model(images.x)
    return (np.asarray(logits).argmax(axis=-1) == images.y).mean()


def softmax_network():
    model = small()
    return keras.Sequential([keras.Input((8, 8, 1)), *model.layers[1:-1], layers.Dense(3, "softmax")])


def set_surgery(model):
    model.surgery = dataclasses.replace(model.surgery, alpha=0.2)


def set_width(model):
    model.width = 7


def set_global(model):
    global WIDTH
    WIDTH = 7


def set_activation(model):
    model.layers[1].activation = keras.activations.relu


def add_layer(model):
    model.pop()
    model.add(layers.Rescaling(-1.0))


def other_classifier(model):
    model.classifier = small(seed=5)


CHANGES = {
    "a stage of a PSSR": (lambda c: PSSR(c, PixelSurgery()), set_surgery),
    "another classifier": (lambda c: PSSR(c, None), other_classifier),
    "a number": (lambda c: Blur(c, 1), set_width),
    "a global number": (lambda c: ReadsGlobal(c, 1), set_global),
    "an activation": (lambda c: with_weights_of(small(), c), set_activation),
    "a layer": (
        lambda c: keras.Sequential([keras.Input((8, 8, 1)), c, layers.Rescaling(2.0)]), add_layer,
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", CHANGES)
def test_a_model_changed_in_place_is_attacked_and_judged_as_it_is(kind, toy_classifier, toy_images):
    make, change = CHANGES[kind]
    model, attack = make(toy_classifier), attacks.PGD(0.1, steps=2, step_size=0.06)
    survivor = attacks.APGDCE(0.1, steps=4)
    before = [attack(model, toy_images.x, toy_images.y), survivor(model, toy_images.x, toy_images.y)]
    evaluation.correct(model, toy_images.x, toy_images.y)
    change(model)
    found = evaluation.correct(model, toy_images.x, toy_images.y).mean()
    assert found == pytest.approx(accuracy(model, toy_images))
    after = [attack(model, toy_images.x, toy_images.y), survivor(model, toy_images.x, toy_images.y)]
    clear_compiled()
    fresh = [attack(model, toy_images.x, toy_images.y), survivor(model, toy_images.x, toy_images.y)]
    for new, right in zip(after, fresh, strict=True):
        np.testing.assert_array_equal(new, right)
    assert np.abs(before[0] - after[0]).max() > 0.01


def test_the_advice_on_probabilities_can_be_followed(toy_images):
    model = softmax_network()
    with pytest.raises(InputError, match="probabilities"):
        attacks.FGSM(0.1)(model, toy_images.x, toy_images.y)
    model.layers[-1].activation = keras.activations.linear  # as docs/howto/protect.md says
    attacks.FGSM(0.1)(model, toy_images.x, toy_images.y)


def test_functions_over_models_that_change(toy_classifier, toy_images):
    held = {"model": toy_classifier, "shift": np.zeros(3, np.float32)}

    def closed(x):
        return held["model"](x, training=False) + held["shift"]

    def check():
        found = evaluation.correct(closed, toy_images.x, toy_images.y).mean()
        assert found == pytest.approx(accuracy(closed, toy_images))
        return found

    first = check()
    held["model"] = small(seed=7)
    assert check() != first
    held["model"] = toy_classifier
    held["shift"][:] = (0, 1e3, 0)  # in place
    assert check() == pytest.approx((toy_images.y == 1).mean())
    held["shift"][:] = 0
    weights = toy_classifier.get_weights()
    try:
        toy_classifier.set_weights(small(seed=9).get_weights())  # trained again
        assert check() != first
    finally:
        toy_classifier.set_weights(weights)


def test_a_function_that_hides_what_it_reads_is_caught_by_its_answers(toy_classifier, toy_images, tmp_path):
    (tmp_path / "shift").write_text("0")

    def hidden(x):
        shift = float((tmp_path / "shift").read_text())
        return toy_classifier(x, training=False) + tf.constant([shift, 0.0, 0.0])

    attack = attacks.FGSM(0.1)
    for shift, right in (("0", accuracy(hidden, toy_images)), ("1000", (toy_images.y == 0).mean())):
        (tmp_path / "shift").write_text(shift)
        assert evaluation.correct(hidden, toy_images.x, toy_images.y).mean() == pytest.approx(right)
        attack(hidden, toy_images.x, toy_images.y)


def test_a_random_function_is_not_compiled_again_and_again(toy_classifier, toy_images):
    traced = []

    def random(x):
        traced.append(1)
        return toy_classifier(x, training=False) + 10 * tf.random.normal((tf.shape(x)[0], 3))

    for _ in range(3):
        evaluation.correct(random, toy_images.x, toy_images.y)
    assert len(traced) <= 4  # two traces, and its own answers at the first call


def test_attacks_that_differ_in_numbers_share_a_trace_until_the_model_changes(toy_classifier, toy_images):
    model = Blur(toy_classifier, 1)
    programs = set()
    for eps in (0.1, 0.2):
        attacks.FGSM(eps)(model, toy_images.x, toy_images.y)
        programs.add(base.program_of(attacks.FGSM(eps), model))
    assert len(programs) == 1
    model.width = 3
    assert base.program_of(attacks.FGSM(0.1), model) not in programs


# --- functions and callables in an evaluation ---------------------------------------------------------


def test_functions_and_callables_are_evaluated_and_recorded(toy_classifier, toy_images, tmp_path):
    def function(x):
        return toy_classifier(x, training=False)

    images, suite = toy_images.take(slice(0, 12)), [attacks.FGSM(0.1)]
    right = evaluation.evaluate(toy_classifier, {"it": toy_classifier}, images, suite)
    for model in (function, Callable(toy_classifier, 0.0), functools.partial(toy_classifier, training=False)):
        record = evaluation.evaluate(model, {"it": model}, images, suite, cache=tmp_path)
        assert record["cells"] == right["cells"]
        assert record["weights"] == {"it": None}
        assert record["crafted_on"] is None
        assert record["digests"]["it"] != right["digests"]["it"] is not None
        assert json.loads(json.dumps(record)) == record


# --- gradients that are none ---------------------------------------------------------------------------


@keras.saving.register_keras_serializable("tests")
class Gamma(layers.Layer):
    def call(self, x):
        return tf.where(x > 2, tf.math.log(0 * x), x)  # forward x, backward 0 times infinity


GRADIENT_ATTACKS = [
    attacks.FGSM(0.3), attacks.BIM(0.3, steps=2), attacks.MIM(0.3, steps=2), attacks.PGD(0.3, steps=2),
    attacks.PGD(0.3, steps=2, best=True), attacks.APGDCE(0.3, steps=3), attacks.APGDDLR(0.3, steps=3),
    attacks.FABT(0.3, steps=3), attacks.CarliniWagner(steps=3, searches=1),
]  # fmt: skip


@pytest.mark.parametrize("attack", GRADIENT_ATTACKS, ids=lambda attack: attack.name)
def test_a_gradient_that_is_nan_is_told_with_its_layer(attack, toy_images):
    model = small(Gamma(name="gamma"))
    x = toy_images.x[:12]
    y = np.asarray(model(x)).argmax(axis=-1)  # so that no image has fallen before the attack
    with pytest.raises(InputError, match="model is NaN or infinite, first in Log of the layer 'gamma'"):
        attack(model, x, y)


def test_the_place_of_a_bad_gradient_in_a_function(toy_classifier, toy_images):
    def masked_log(x):  # 0 times infinity, where tf.where hides the logarithm
        safe = tf.where(x > 0, tf.math.log(x), tf.zeros_like(x))
        return toy_classifier(x, training=False) + 1e-6 * tf.reduce_sum(safe, axis=(1, 2, 3))[:, None]

    x = np.where(toy_images.x < 0.1, 0, toy_images.x).astype(np.float32)
    with pytest.raises(InputError, match="NaN or infinite, first in Log"):
        attacks.FGSM(0.1)(masked_log, x, toy_images.y)


def test_a_gradient_that_is_bad_on_the_way_only(toy_classifier, toy_images):
    def at_black(x):  # finite on these images, which have no black pixel, and infinite once one is clipped
        return toy_classifier(x, training=False) + 1e-9 * tf.reduce_sum(tf.sqrt(x), axis=(1, 2, 3))[:, None]

    x = np.maximum(toy_images.x, 0.05)
    with pytest.raises(InputError, match="first in Sqrt"):
        attacks.PGD(0.3, steps=3, step_size=0.2)(at_black, x, toy_images.y)
    attacks.PGD(0.01, steps=3, step_size=0.01)(at_black, x, toy_images.y)


# --- columns -------------------------------------------------------------------------------------------


def test_attacks_of_one_class_have_a_column_each(toy_classifier, toy_images):
    images = toy_images.take(slice(0, 30))
    strong, weak = attacks.PGD(0.3, steps=40, best=True), attacks.PGD(0.3, steps=1, step_size=0.001)
    alone = evaluation.evaluate(toy_classifier, {"it": toy_classifier}, images, [strong])["cells"]["it"]
    record = evaluation.evaluate(
        {"it": toy_classifier}, {"it": toy_classifier}, images,
        [strong, weak, *(attacks.FGSM(eps) for eps in (0.05, "8/255", 0.3))],
    )  # fmt: skip
    cells = record["cells"]["it"]
    names = [name for name in cells if name not in ("benign", evaluation.WORST_CASE)]
    assert len(names) == 5 == len(record["attacks"])
    assert {"it fgsm:eps=0.05", "it fgsm:eps=8/255", "it fgsm:eps=0.3"} <= set(names)
    (first,) = (name for name in names if "steps=40" in name)
    assert cells[first]["correct"] == alone["pgd"]["correct"]
    assert cells[evaluation.WORST_CASE]["accuracy"] <= cells[first]["accuracy"] < cells["benign"]["accuracy"]


def test_names_of_attacks_are_what_a_user_types():
    suite = [attacks.FGSM(0.1), attacks.PGD(0.1, steps=40), attacks.PGD(0.1, steps=50, best=True)]
    names = attacks.names_of(suite)
    assert names == ["fgsm", "pgd:steps=40,best=false", "pgd:steps=50,best=true"]
    assert [attacks.parse(name, 0.1) for name in names] == suite
    with pytest.raises(InputError, match="fgsm is there twice with the same fields"):
        attacks.names_of([attacks.FGSM(0.1), attacks.FGSM(0.1)])
    assert all("/" not in attacks.file_name(name) for name in ["fgsm:eps=8/255"])
    budgets = [attacks.FGSM(k / 255) for k in (1, 2, 8)] + [attacks.FGSM(math.pi / 10)]
    again = [attacks.parse(name) for name in attacks.names_of(budgets)]
    assert [a.eps for a in again] == [a.eps for a in budgets]


# --- the threat model ------------------------------------------------------------------------------------


def test_the_threat_model_is_said_or_follows(toy_classifier, toy_images, tmp_path):
    images, suite = toy_images.take(slice(0, 6)), [attacks.FGSM(0.1)]
    pssr, other = PSSR(toy_classifier, PixelSurgery()), small(seed=3)

    def said(crafted_on, judged, **options):
        return evaluation.evaluate(crafted_on, judged, images, suite, **options)["threat_model"]

    assert said(toy_classifier, {"it": toy_classifier}) == evaluation.WHITE_BOX
    assert said(toy_classifier, {"undefended": toy_classifier, "PSSR": pssr}) == evaluation.OBLIVIOUS
    assert said(other, {"it": toy_classifier}, threat_model="transfer") == evaluation.TRANSFER
    assert said(other, {"it": toy_classifier}, threat_model="in words") == "in words"
    assert said(adaptive.sources(pssr), {"PSSR": pssr}) == evaluation.ADAPTIVE
    pssr.save(tmp_path / "pssr.keras")
    read = keras.saving.load_model(tmp_path / "pssr.keras")  # with a copy of the classifier
    assert said(toy_classifier, {"undefended": toy_classifier, "PSSR": read}) == evaluation.OBLIVIOUS
    assert said({"exact": pssr, "identity": adaptive.Through(pssr)}, {"it": pssr}) == evaluation.ADAPTIVE
    for crafted_on, judged in ((other, toy_classifier), (pssr, toy_classifier), ({"a": other}, pssr)):
        with pytest.raises(InputError, match="threat_model is not given"):
            said(crafted_on, {"it": judged})
