"""What a researcher types who has a model and arrays, with nothing registered and no run folder."""

import dataclasses
import importlib
import json
import pathlib
import pkgutil

import keras
import numpy as np
import pytest
import tensorflow as tf

import pssr_keras
from pssr_keras import PSSR, InputError, PixelSurgery, attacks, checks, data, defense, evaluation, training
from pssr_keras.attacks import adaptive
from pssr_keras.evaluation import binarisation, shards

QUICK = attacks.FGSM("8/255")


# --- attack my model -----------------------------------------------------------------------------

BATCHED = [
    attacks.PGD("8/255", steps=3),
    attacks.FGSM(0.1, targeted=True),
    attacks.CarliniWagner(steps=3, searches=1),
    attacks.APGDCE(0.1, steps=3),
    attacks.Square(0.1, queries=5),
    attacks.AutoAttack(0.05, few_classes=True),
]


@pytest.mark.parametrize("attack", BATCHED[:5], ids=lambda attack: attack.name)
def test_batches_change_nothing(attack, toy_network, toy_images):
    x, y = toy_images.x[:11], toy_images.y[:11]
    whole = attack(toy_network, x, y, seed=3)
    for size in (4, 64):
        found = attack(toy_network, x, y, seed=3, batch_size=size)
        np.testing.assert_allclose(found, whole, atol=1e-5)
    other = attack(toy_network, x, y, seed=3, indices=np.arange(11) + 7, batch_size=4)
    np.testing.assert_allclose(other, attack(toy_network, x, y, seed=3, indices=np.arange(11) + 7), atol=1e-5)


def test_autoattack_takes_batches(toy_network, toy_images):
    x, y = toy_images.x[:6], toy_images.y[:6]
    found = BATCHED[-1](toy_network, x, y, batch_size=4)
    np.testing.assert_array_equal(
        evaluation.correct(toy_network, found, y),
        evaluation.correct(toy_network, BATCHED[-1](toy_network, x, y), y),
    )


def test_every_batch_has_one_shape(toy_network, toy_images):
    seen = []

    class Watched(attacks.FGSM):
        def _one_batch(self, model, x, y, seed, indices):
            seen.append((len(x), len(y), len(indices)))
            return super()._one_batch(model, x, y, seed, indices)

    Watched(0.1)(toy_network, toy_images.x[:10], toy_images.y[:10], batch_size=4)
    assert seen == [(4, 4, 4)] * 3


def test_all_images_are_looked_at_before_the_first_batch(toy_network, toy_images, monkeypatch):
    monkeypatch.setattr(attacks.FGSM, "attack", lambda *_: pytest.fail("an attack began"))
    x, y = toy_images.x[:8].copy(), toy_images.y[:8].copy()
    x[7] = np.nan
    with pytest.raises(InputError, match="NaN"):
        QUICK(toy_network, x, y, batch_size=2)
    y[7] = 3
    with pytest.raises(InputError, match="labels range from 0 to 3, expected 0 to 2"):
        QUICK(toy_network, toy_images.x[:8], y, batch_size=2)
    with pytest.raises(InputError, match="batch_size is 0"):
        QUICK(toy_network, toy_images.x[:8], toy_images.y[:8], batch_size=0)


# --- arrays and datasets -------------------------------------------------------------------------


def forms(images):
    x, y = images.x, images.y
    dataset = tf.data.Dataset.from_tensor_slices((x, y))
    return {
        "arrays": (x, y),
        "list": [x, y[:, None]],
        "tensors": (tf.constant(x), tf.constant(y, tf.int64)),
        "examples": dataset,
        "batches": dataset.batch(5),
        "columns": tf.data.Dataset.from_tensor_slices((x, y[:, None].astype(np.uint8))).batch(5),
        "unknown shapes": tf.data.Dataset.from_generator(
            lambda: zip(x, y, strict=True), output_types=(tf.float32, tf.int32)
        ),
    }


@pytest.fixture
def few(toy_images):
    return toy_images.take(slice(0, 12))


@pytest.mark.parametrize("form", forms(data.Images(np.zeros((2, 4, 4, 1), "f4"), [0, 1], 2, "", [0, 1])))
def test_every_form_is_the_same_images(form, few):
    found = data.images_of(forms(few)[form])
    np.testing.assert_array_equal(found.x, few.x)
    np.testing.assert_array_equal(found.y, few.y)
    np.testing.assert_array_equal(found.indices, np.arange(12))
    assert (found.classes, found.source) == (3, "arrays given")


def test_images_stay_what_they_are(few):
    assert data.images_of(few) is few


REFUSED = {
    "labels are missing, give": lambda x, y: x,
    "a tuple of 3, expected": lambda x, y: (x, y, y),
    "a str, expected": lambda x, y: "mnist",
    "a generator, expected": lambda x, y: (part for part in (x, y)),
    r"uint8.*divide by 255": lambda x, y: ((255 * x).astype(np.uint8), y),
    r"shape \(12, 3\).*argmax": lambda x, y: (x, np.eye(3)[y]),
    "labels are object": lambda x, y: (x, None),
    r"shape \(11,\), expected \(12,\)": lambda x, y: (x, y[:-1]),
    "a dict, expected images and labels": lambda x, y: tf.data.Dataset.from_tensor_slices({"image": x}),
    "3 parts, expected images and labels": lambda x, y: tf.data.Dataset.from_tensor_slices((x, y, y)),
    "no end, expected a finite one": lambda x, y: tf.data.Dataset.from_tensor_slices((x, y)).repeat(),
    "no images in the dataset": lambda x, y: tf.data.Dataset.from_tensor_slices((x, y)).take(0),
    r"several shapes, such as \(4, 8, 1\) and \(8, 8, 1\)": lambda x, y: tf.data.Dataset.from_tensor_slices(
        (x[:1], y[:1])
    ).concatenate(tf.data.Dataset.from_tensor_slices((x[:1, :4], y[:1]))),
    "there are no images in a batch": lambda x, y: (x[:0], y[:0]),
    "the images have shape": lambda x, y: (x[0], y[:8]),
    "the images are float64": lambda x, y: (3.0, y),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_are_no_labelled_images_is_one_line(message, few, toy_network):
    for function in (data.images_of, lambda images: evaluation.evaluate(toy_network, images, [QUICK])):
        with pytest.raises(InputError, match=message) as caught:
            function(REFUSED[message](few.x, few.y))
        assert "\n" not in str(caught.value)


ENTRANCES = {
    "evaluate": lambda model, images: evaluation.evaluate(model, images, [QUICK])["cells"],
    "several": lambda model, images: evaluation.evaluate({"m": model}, {"m": model}, images, [QUICK])[
        "cells"
    ],
    "craft": lambda model, images: evaluation.craft(QUICK, model, images).tolist(),
    "run_autoattack": lambda model, images: evaluation.run_autoattack(
        attacks.AutoAttack(0.01, few_classes=True), model, images
    ).x_adv.tolist(),
    "with_labels": lambda model, images: evaluation.with_labels("random target", QUICK, model, images)[
        1
    ].y.tolist(),
    "shards": lambda model, images: shards.evaluate(shards.parse("2/2"), model, images, [QUICK])["cells"],
    "checks": lambda model, images: checks.Measurements(model, images, 0.1).gradient.tolist(),
    "binarisation": lambda model, images: binarisation.run(
        QUICK, model, images, inner=20, guesses=2
    ).found.tolist(),
}


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_every_entrance_takes_arrays_and_datasets(entrance, toy_classifier, toy_images):
    few = toy_images.take(slice(0, 3))
    expected = ENTRANCES[entrance](toy_classifier, few)
    for form in ("arrays", "batches"):
        assert ENTRANCES[entrance](toy_classifier, forms(few)[form]) == expected


# --- evaluate ------------------------------------------------------------------------------------


def test_the_model_that_is_attacked_is_judged(toy_classifier, few):
    record = evaluation.evaluate(toy_classifier, (few.x, few.y), [QUICK], threat_model="white-box")
    known = evaluation.evaluate(toy_classifier, {"toy": toy_classifier}, few, [QUICK])
    assert record["cells"] == known["cells"]
    assert record["threat_model"] == known["threat_model"] == evaluation.WHITE_BOX
    assert record["data"] == "arrays given"
    assert (record["n"], record["indices"]) == (12, "0-11")
    json.dumps(record)
    by_name = evaluation.evaluate(toy_classifier, images=few, attacks=QUICK)
    assert by_name["cells"] == evaluation.evaluate(toy_classifier, few, attacks=[QUICK])["cells"]
    function = evaluation.evaluate(lambda x: toy_classifier(x, training=False), (few.x, few.y), [QUICK])
    assert list(function["cells"]) == ["model"]
    assert function["cells"]["model"] == record["cells"]["toy"]


def test_labels_beyond_the_logits_are_refused(toy_classifier, few):
    for model in (toy_classifier, lambda x: toy_classifier(x, training=False)):
        with pytest.raises(InputError, match="labels range from 1 to 3, expected 0 to 2"):
            evaluation.evaluate(model, (few.x, few.y + 1), [QUICK])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (lambda m, i: (m, m, i, [QUICK]), "what is judged is a Functional, expected {row name: model}"),
        (lambda m, i: ({"a": m}, i, [QUICK]), "several models are attacked: say which are judged"),
        (lambda m, i: (m, i), "images or attacks are missing"),
        (lambda m, i: (m, {"a": m}, i), "images or attacks are missing"),
        (lambda m, i: (m, i, ["pgd"]), "an attack is 'pgd', expected a list"),
        (lambda m, i: (m, i, [3]), "an attack is a int, expected a list"),
    ],
)
def test_other_arguments_are_refused(arguments, message, toy_classifier, few):
    with pytest.raises(InputError, match=message):
        evaluation.evaluate(*arguments(toy_classifier, few))


# --- purify --------------------------------------------------------------------------------------


def test_purify_in_batches(toy_network, toy_extrapolator, toy_images, monkeypatch):
    pssr = PSSR(toy_network, PixelSurgery(), toy_extrapolator)
    x = toy_images.x[:10]
    whole = pssr.purify(x)
    assert tf.is_tensor(whole)
    for size in (4, 100):
        found = pssr.purify(x, batch_size=size)
        assert type(found) is np.ndarray
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, whole, atol=1e-6)
    found = adaptive.surrogate(pssr, "identity").purify(x, batch_size=4)
    np.testing.assert_allclose(found, whole, atol=1e-6)
    monkeypatch.setattr(defense, "AT_ONCE", 4)
    monkeypatch.setattr(PSSR, "remove", lambda self, x: x if len(x) <= 4 else pytest.fail("all at once"))
    assert tf.is_tensor(pssr.purify(x))


def test_purify_notices_another_stage(toy_network, toy_extrapolator, toy_images):
    pssr = PSSR(toy_network, PixelSurgery(), toy_extrapolator)
    before = pssr.purify(toy_images.x, batch_size=32)
    pssr.surgery = None
    np.testing.assert_allclose(pssr.purify(toy_images.x, 32), toy_extrapolator(toy_images.x), atol=1e-6)
    assert np.abs(before - pssr.purify(toy_images.x, 32)).max() > 1e-3


# --- fit_to --------------------------------------------------------------------------------------


SMALL = {
    "extrapolator_channels": 2,
    "extrapolator_bottleneck": 4,
    "attack.training": ("fgsm",),
    "cae.copies": 1,
    "cae.passes": 1,
}


def test_a_pssr_is_fitted_to_a_classifier_on_arrays(
    toy_classifier, toy_images, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    before, x, y = toy_classifier.get_weights(), toy_images.x, toy_images.y
    options = {"eps": "8/255", "epochs": 1, "validation": (x[:8], y[:8])} | SMALL
    pssr = PSSR.fit_to(toy_classifier, x, y, **options)
    said = capsys.readouterr().out
    assert "training the CAE on 64 images" in said
    assert "of 8 benign images held out" in said
    assert type(pssr) is PSSR
    assert pssr.classifier is toy_classifier
    assert pssr.surgery == PixelSurgery()
    assert pssr(x).shape == (64, 3)
    assert toy_classifier.trainable
    assert len(toy_classifier.trainable_weights) == 4
    for weight, old in zip(toy_classifier.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)
    assert not list(tmp_path.iterdir())
    pssr.save(tmp_path / "pssr.keras")
    np.testing.assert_allclose(keras.saving.load_model(tmp_path / "pssr.keras")(x), pssr(x), atol=1e-5)


def test_colours_any_size_and_any_number_of_classes(capsys):
    keras.utils.set_random_seed(0)
    x, y = np.random.default_rng(0).random((6, 12, 8, 3), np.float32), np.array([0, 1, 4, 3, 2, 0])
    model = keras.Sequential(
        [keras.Input((12, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(5, name="logits")]
    )
    options = {"eps": 0.1, "epochs": 1, "surgery": False, "verbose": False, "seed": 1} | SMALL
    pssr = training.fit_to(model, tf.data.Dataset.from_tensor_slices((x, y)), **options)
    assert capsys.readouterr().out == ""
    assert pssr.surgery is None
    assert pssr.purify(x).shape == x.shape


WRONG = {
    "the classifier is a function, expected a Keras model": {"classifier": lambda x: x},
    "divisible by 4": {"x": np.zeros((64, 8, 6, 1), np.float32)},
    "labels range from 1 to 3, expected 0 to 2": {"y": np.arange(64) % 3 + 1},
    "eps is 'much'": {"eps": "much"},
    "eps is 8, .*8/255": {"eps": 8},
    "cae.epochs is 0": {"epochs": 0},
    "cae.epochs is 1.5": {"epochs": 1.5},
    "seed is -1": {"seed": -1},
    "surgery is 'hard', expected a PixelSurgery": {"surgery": "hard"},
    "unknown setting 'epoch'": {"epoch": 3},
    "are a tuple of 1": {"validation": (1,)},
    "the images are uint8": {"x": np.zeros((64, 8, 8, 1), np.uint8)},
}


@pytest.mark.parametrize("message", WRONG)
def test_what_does_not_fit_is_refused_before_any_work(message, toy_classifier, toy_images, monkeypatch):
    monkeypatch.setattr(training.arrays, "fitted_pssr", lambda *_: pytest.fail("a training began"))
    given = {"classifier": toy_classifier, "x": toy_images.x, "y": toy_images.y, "eps": 0.1} | WRONG[message]
    with pytest.raises(InputError, match=message) as caught:
        PSSR.fit_to(given.pop("classifier"), given.pop("x"), given.pop("y"), **given)
    assert "\n" not in str(caught.value)


def test_a_classifier_of_other_pixels_or_of_probabilities_is_refused(toy_classifier, toy_images):
    scaled = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Rescaling(1 / 255), toy_classifier])
    shifted = keras.Sequential([scaled, keras.layers.Rescaling(1.0, [0.2, 0.0, 0.0])])
    with pytest.raises(InputError, match="where pixels are from 0 to 255"):
        PSSR.fit_to(shifted, toy_images.x, toy_images.y, eps=0.1, verbose=False)
    sure = keras.Sequential([toy_classifier, keras.layers.Softmax()])
    with pytest.raises(InputError, match="remove its final softmax"):
        PSSR.fit_to(sure, toy_images.x, toy_images.y, eps=0.1, verbose=False)


# --- evaluate_adaptively -------------------------------------------------------------------------


@pytest.fixture
def pssr(toy_classifier, toy_extrapolator):
    return PSSR(toy_classifier, PixelSurgery(), toy_extrapolator, name="mine")


def test_a_defense_is_judged_by_who_knows_it(pssr, few):
    suite = [attacks.FGSM(0.1), attacks.Square(0.1, queries=3)]
    record = evaluation.evaluate_adaptively(pssr, (few.x, few.y), "0.1", attacks=suite)
    sources = ["classifier", *adaptive.SURROGATES]
    assert list(record["attacks"]) == [*(f"{name} fgsm" for name in sources), "mine square"]
    assert record["threat_model"] == evaluation.ADAPTIVE
    assert list(record["cells"]) == ["mine"]
    cells = record["cells"]["mine"]
    everything = np.array([evaluation.flags_of(cells[column]["correct"]) for column in list(cells)[:-1]])
    worst = evaluation.flags_of(cells[evaluation.WORST_CASE]["correct"])
    np.testing.assert_array_equal(worst, everything.all(axis=0))
    json.dumps(record)


def test_every_default_is_the_adaptive_one(pssr, few, monkeypatch):
    asked = {}

    def evaluate(crafted_on, judged, images, suite, **options):
        asked.update(options, sources=list(crafted_on), suite=suite, judged=judged)
        return {}

    monkeypatch.setattr(evaluation.records, "evaluate", evaluate)
    evaluation.evaluate_adaptively(pssr, few, "8/255")
    assert asked["sources"] == ["classifier", *adaptive.SURROGATES]
    names = pssr_keras.config.ADAPTIVE_ATTACKS
    assert asked["suite"] == [attacks.parse(name, "8/255") for name in names]
    assert asked["black_box"] == asked["judged"] == {"mine": pssr}
    assert asked["threat_model"] == evaluation.ADAPTIVE
    evaluation.evaluate_adaptively(pssr, few, 0.1, attacks="fgsm", surrogates={"exact": pssr}, name="row")
    assert (asked["sources"], asked["suite"], list(asked["judged"])) == (
        ["exact"],
        [attacks.FGSM(0.1)],
        ["row"],
    )


def test_checks_are_in_the_record(pssr, few, monkeypatch):
    asked = []
    finding = checks.Finding(checks.PASS, "0 of 12", "none", "a check")
    monkeypatch.setattr(checks, "run", lambda *given, **_: asked.append(given) or [finding])
    monkeypatch.setattr(evaluation.adaptively, "CHECKED_IMAGES", 5)
    surrogates = {"frozen": adaptive.surrogate(pssr, "frozen_mask")}
    record = evaluation.evaluate_adaptively(
        pssr, few, 0.1, attacks=["fgsm"], surrogates=surrogates, checks=True
    )
    assert list(record["checks"]) == ["frozen"]
    assert record["checks"]["frozen"] == [dataclasses.asdict(finding)]
    ((model, images, eps, surrogate, _),) = asked
    assert (model, len(images), eps, surrogate) == (pssr, 5, 0.1, surrogates["frozen"])
    json.dumps(record)


def test_a_classifier_is_no_defense(toy_classifier, few):
    with pytest.raises(
        InputError, match=r"a Functional without a classifier and purify: judge .* evaluate\("
    ):
        evaluation.evaluate_adaptively(toy_classifier, few, 0.1)
    with pytest.raises(InputError, match="eps is 8"):
        evaluation.evaluate_adaptively(PSSR(toy_classifier, None), few, 8)


# --- what is there -------------------------------------------------------------------------------

PACKAGE = pathlib.Path(pssr_keras.__file__).parent
MODULES = [
    name
    for _, name, _ in pkgutil.walk_packages([str(PACKAGE)], "pssr_keras.")
    if "demo" not in name  # which needs what is not always installed
]


def test_every_name_of_every_all_exists():
    found = 0
    for name in ["pssr_keras", *MODULES]:
        module = importlib.import_module(name)
        listed = getattr(module, "__all__", ())
        assert len(set(listed)) == len(listed), name
        missing = [one for one in listed if not hasattr(module, one)]
        assert not missing, (name, missing)
        found += len(listed)
    assert found > 200


def test_the_rooms_are_there_after_one_import():
    rooms = {"attacks", "checks", "classifiers", "data", "evaluation", "training"}
    assert rooms <= set(pssr_keras.__all__)
    assert {"images_of", "Images", "load"} <= set(data.__all__)
    assert {"evaluate", "evaluate_adaptively"} <= set(evaluation.__all__)
    assert "fit_to" in training.__all__
    assert (PACKAGE / "py.typed").is_file()
