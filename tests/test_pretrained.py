import copy
import dataclasses
import hashlib
import json
import shutil

import keras
import numpy as np
import pytest

from pssr_keras import (
    PSSR,
    InputError,
    attacks,
    classifiers,
    config,
    data,
    evaluation,
    load_pretrained,
    pretrained,
    training,
)
from pssr_keras.attacks import adaptive
from pssr_keras.reproduction import model_cards

NAMES = pretrained.names()
SLOW = pytest.mark.slow


def whole(card):
    """The row of the whole defense: the last one."""
    return list(card["cells"])[-1]


@pytest.fixture(scope="module")
def pssr():
    return load_pretrained("mnist")


@pytest.mark.parametrize("name", NAMES)
def test_the_card_tells_what_the_weights_are(name):
    card = pretrained.model_card(name)
    settings = config.read(card["configuration"])
    path = pretrained.FOLDER / f"{name}.keras"
    assert card["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert settings["classifier.architecture"] in classifiers.CLASSIFIERS
    assert settings["classifier.width"] > 0
    assert card["n"] >= (10_000 if settings["dataset"] == "mnist" else 1_000)
    assert card["data"].startswith(f"tfds {settings['dataset']}")
    assert card["seed"] == settings["seed"]
    assert {"keras", "tensorflow", "cleverhans"} <= set(card["versions"])
    assert set(card["cells"][whole(card)]) == {"benign", "fgsm", "bim", "mim", "pgd"}
    if (
        settings["defense"] == "hardened"
    ):  # it claims robustness, so it says who attacked it, and what was left
        known = card["adaptive"]
        assert known["threat_model"] == evaluation.ADAPTIVE
        assert known["n"] > 0
        assert 0 <= known["cells"][whole(known)][evaluation.WORST_CASE]["accuracy"] <= 1
        assert known["weights"][whole(known)] == card["weights"][whole(card)]
    if data.DATASETS[settings["dataset"]].bundled.training_pixels and not settings["data.exclude_bundled"]:
        assert "has seen the bundled digits" in card["note"]


@pytest.mark.parametrize("name", NAMES)
def test_the_weights_are_those_the_card_measured(name):
    defense, card = load_pretrained(name), pretrained.model_card(name)
    settings = config.read(card["configuration"])
    assert isinstance(defense, PSSR)
    assert evaluation.weights_hash(defense) == card["weights"][whole(card)]
    assert evaluation.weights_hash(defense.classifier) == card["crafted_on"]
    if settings["defense"] == "pssr" or settings["hardened.mask"] != "none":
        assert defense.surgery.alpha == settings["surgery.alpha"]
    else:
        assert defense.surgery is None
    entry = data.DATASETS[settings["dataset"]]
    assert defense.input_shape[1:] == entry.shape
    assert defense.classifier.output_shape == (None, entry.classes)


def test_all_weights_together_stay_small():
    """The wheel is to stay below 40 MB, embedded images and all."""
    assert sum(path.stat().st_size for path in pretrained.FOLDER.iterdir()) < 34_000_000


@pytest.mark.parametrize(
    ("name", "suite"),
    [
        pytest.param(
            name, ("fgsm", "pgd") if name == "mnist" else ("fgsm",), marks=SLOW if "cifar" in name else ()
        )
        for name in NAMES
    ],
)
def test_the_bundled_images_confirm_the_card(name, suite):
    """1,000 images that the weights have not seen: each accuracy lies near the one of the card.

    Three standard errors of 1,000 images are 1.4 points at accuracies near 98%, and 4.7 at one half.
    """
    defense, card = load_pretrained(name), pretrained.model_card(name)
    settings = config.read(card["configuration"])
    record = evaluation.evaluate(
        defense.classifier,
        {"undefended": PSSR(defense.classifier, None), whole(card): defense},
        data.load(settings["dataset"], "test", "bundled"),
        [attacks.create(attack, eps=settings["attack.eps"]) for attack in suite],
    )
    for column in ("benign", *suite):
        for row in (whole(card), "undefended"):
            expected = card["cells"][row][column]["accuracy"]
            tolerance = 3 * max(0.005, (expected * (1 - expected) / 1_000) ** 0.5)
            assert record["cells"][row][column]["accuracy"] == pytest.approx(expected, abs=tolerance)


def test_restored_images_resemble_the_clean_ones(pssr, bundled_test):
    images = bundled_test.take(slice(0, 200))
    x_adv = evaluation.craft(attacks.PGD(0.3), pssr.classifier, images)
    attacked = np.abs(x_adv - images.x).mean()
    removed = np.abs(np.asarray(pssr.remove(x_adv)) - images.x).mean()
    restored = np.abs(np.asarray(pssr.purify(x_adv)) - images.x).mean()
    assert restored < 0.5 * min(attacked, removed)


def test_unknown_names_are_refused():
    with pytest.raises(InputError, match=f"expected one of {', '.join(NAMES)}"):
        load_pretrained("imagenet")


def test_publishing_copies_a_finished_run(tmp_path):
    with pytest.raises(InputError, match="holds no finished run"):
        pretrained.publish(tmp_path, "toy", tmp_path / "weights")
    record = {
        "configuration": {"dataset": "toy"},
        "seed": 0,
        "indices": [0],
        "cells": {"PSSR": {"benign": {"accuracy": 1.0, "correct": "1"}}},
    }
    training.write_json(tmp_path / "evaluation.json", record)
    (tmp_path / "pssr.keras").write_bytes(b"weights")
    pretrained.publish(tmp_path, folder=tmp_path / "weights")
    card = json.loads((tmp_path / "weights" / "toy.json").read_text())
    assert card["sha256"] == hashlib.sha256(b"weights").hexdigest()
    assert card["cells"] == {"PSSR": {"benign": {"accuracy": 1.0}}}
    assert "note" not in card
    pretrained.publish(tmp_path, folder=tmp_path / "weights", note="Trained elsewhere.")
    assert json.loads((tmp_path / "weights" / "toy.json").read_text())["note"] == "Trained elsewhere."


def test_a_card_in_words_has_the_note_and_the_kind_of_e():
    card = pretrained.model_card("cifar10")
    words = model_cards.markdown({**card, "note": "Trained elsewhere."})
    assert "\n\nTrained elsewhere.\n\n" in words
    kind = config.read(card["configuration"])["cae.extrapolator"]
    assert ("a U-Net of 32 channels" in words) == (kind == "unet")
    phrases = {
        "unet": "a U-Net of 32 channels",
        "bottleneck": "E of 32 channels, bottleneck 256",
        "autoencoder": "E, an autoencoder of 32 channels, bottleneck 256",
    }
    for other, phrase in phrases.items():
        changed = {**config.read(card["configuration"]), "cae.extrapolator": other}
        assert phrase in model_cards.markdown({**card, "configuration": changed})


@pytest.fixture
def hardened_run(tmp_path, toy_classifier, toy_extrapolator, toy_images):
    """A finished run whose defense is a hardened E, and the record of an attacker who knows it."""
    defense = PSSR(toy_classifier, None, toy_extrapolator, name="hardened")
    judged = training.stages(defense)
    assert list(judged) == ["undefended", "hardened"]
    suite = [attacks.FGSM(0.2)]
    record = evaluation.evaluate(toy_classifier, judged, toy_images, suite)
    known = evaluation.evaluate(
        adaptive.surrogates(defense),
        {"hardened": defense},
        toy_images,
        [attacks.PGD(0.2, steps=2, best=True), attacks.Square(0.2, queries=2)],
        threat_model=evaluation.ADAPTIVE,
        seed=3,
    )
    settings = dataclasses.asdict(config.experiment("mnist", "smoke", defense="hardened"))
    training.write_json(tmp_path / "evaluation.json", {"configuration": settings, **record})
    training.write_json(tmp_path / "known.json", {"weights_from": "a folder", "configuration": {}, **known})
    defense.save(tmp_path / "hardened.keras")
    return tmp_path, defense, known


def test_a_hardened_run_is_published_with_its_worst_case(hardened_run, monkeypatch):
    folder, defense, known = hardened_run
    pretrained.publish(folder, folder=folder / "weights", adaptive=folder / "known.json")
    monkeypatch.setattr(pretrained, "FOLDER", folder / "weights")
    assert pretrained.names() == ["mnist-hardened"]
    loaded, card = load_pretrained("mnist-hardened"), pretrained.model_card("mnist-hardened")
    assert evaluation.weights_hash(loaded) == evaluation.weights_hash(defense)
    assert (loaded.name, loaded.surgery) == ("hardened", None)
    cell = known["cells"]["hardened"]["worst case"]
    assert card["adaptive"]["cells"]["hardened"]["worst case"]["accuracy"] == cell["accuracy"]
    assert "correct" not in json.dumps(card)
    assert "a folder" not in json.dumps(card)

    text = model_cards.markdown(card)
    assert f"## In the worst case {100 * cell['accuracy']:.1f}% stand" in text
    for part in ("n = 64", "seed 3", f"Threat model {evaluation.ADAPTIVE}", "eps 0.2 (Linf)"):
        assert part in text
    assert "PGD on identity, frozen_mask; Square on identity." in text
    assert "3 steps of PGD inside each step" in text
    assert "no pixel surgery" in text


def test_a_worst_case_of_other_weights_is_refused(hardened_run, toy_network):
    folder, _, known = hardened_run
    other = copy.deepcopy(known)
    other["weights"]["hardened"] = evaluation.weights_hash(toy_network)
    del known["cells"]["hardened"]["worst case"]
    for record, message in ((other, "other weights than those of the run"), (known, "has no worst case")):
        training.write_json(folder / "other.json", record)
        with pytest.raises(InputError, match=message):
            pretrained.publish(folder, folder=folder / "weights", adaptive=folder / "other.json")
    assert not list((folder / "weights").glob("*"))


def test_a_card_without_a_worst_case_says_so(hardened_run, monkeypatch):
    folder = hardened_run[0]
    pretrained.publish(folder, name="mine", folder=folder / "weights")
    card = json.loads((folder / "weights" / "mine.json").read_text())
    assert "nobody has measured the worst case" in model_cards.markdown(card)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A `.keras` file of a PSSR without stages, and the classifier."""
    inputs = keras.Input((8, 8, 1))
    classifier = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(inputs)))
    folder = tmp_path_factory.mktemp("small")
    PSSR(classifier, None).save(folder / "pssr.keras")
    classifier.save(folder / "classifier.keras")
    return folder


def test_a_path_is_read_as_well_as_a_name(small, tmp_path):
    file = small / "pssr.keras"
    (tmp_path / "run").mkdir()
    shutil.copy(file, tmp_path / "run" / "pssr.keras")
    shutil.copy(small / "classifier.keras", tmp_path / "run")
    (tmp_path / "run" / "config.json").write_text('{"dataset": "mnist", "defense": "pssr"}')
    (tmp_path / "preset").mkdir()
    shutil.copy(file, tmp_path / "preset" / "mine.keras")
    card = {"sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    (tmp_path / "preset" / "mine.json").write_text(json.dumps(card))
    expected = evaluation.weights_hash(load_pretrained(file))
    for path in (str(file), tmp_path / "run", tmp_path / "preset", tmp_path / "preset" / "mine.keras"):
        assert evaluation.weights_hash(load_pretrained(path)) == expected

    (tmp_path / "preset" / "mine.json").write_text('{"sha256": "0"}')
    with pytest.raises(InputError, match="expected 0: copy both anew, or remove the card"):
        load_pretrained(tmp_path / "preset")
    (tmp_path / "run" / "pssr.keras").unlink()
    with pytest.raises(InputError, match="run holds no trained PSSR yet: the pssr-train command"):
        load_pretrained(tmp_path / "run")


def test_what_is_no_trained_pssr_is_refused(small, tmp_path):
    (tmp_path / "damaged.keras").write_bytes((small / "pssr.keras").read_bytes()[:400])
    (tmp_path / "text.txt").write_text("")
    (tmp_path / "empty").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text("[]")
    for path, line in (
        (small / "classifier.keras", "holds a Functional, expected a PSSR"),
        (tmp_path / "damaged.keras", "is not a whole Keras model"),
        (tmp_path / "text.txt", r"is no \.keras file, expected a run folder"),
        (tmp_path / "empty", r"is no run folder, expected one, or one \.keras file in it, got none"),
        (small, "got 2 of them, such as classifier.keras"),
        (tmp_path / "run", "config.json holds a list"),
        (tmp_path / "none.keras", "is not there, expected a run folder"),
        (str(tmp_path / "none"), "is not there, expected a run folder"),
        ("imagenet", f"expected one of {', '.join(NAMES)}"),
    ):
        with pytest.raises(InputError, match=line):
            load_pretrained(path)


def test_the_hub_is_asked_by_keras_where_its_package_is(small, monkeypatch):
    monkeypatch.setattr(pretrained.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="hf://me/mine needs the package huggingface_hub: pip install"):
        load_pretrained("hf://me/mine")
    asked = []

    def load(path, compile):
        asked.append(path)
        return saved

    saved = load_pretrained(small / "pssr.keras")
    monkeypatch.setattr(pretrained.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(keras.saving, "load_model", load)
    assert load_pretrained("hf://me/mine") is saved
    assert asked == ["hf://me/mine"]
