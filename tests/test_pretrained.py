import hashlib
import json

import numpy as np
import pytest

from pssr_keras import PSSR, InputError, attacks, evaluation, load_pretrained, pretrained, training


@pytest.fixture(scope="module")
def pssr():
    return load_pretrained("mnist")


@pytest.fixture(scope="module")
def card():
    return pretrained.model_card("mnist")


def test_the_card_tells_what_the_weights_are(card):
    path = pretrained.FOLDER / "mnist.keras"
    assert card["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert path.stat().st_size < 8_000_000
    assert card["configuration"]["dataset"] == "mnist"
    assert card["configuration"]["exclude_bundled"] is True
    assert card["n"] == 10_000
    assert card["data"].startswith("tfds mnist")
    assert card["seed"] == card["configuration"]["seed"]
    assert {"keras", "tensorflow", "cleverhans"} <= set(card["versions"])
    assert set(card["cells"]["PSSR"]) == {"benign", "fgsm", "bim", "mim", "pgd"}


def test_the_weights_are_those_the_card_measured(pssr, card):
    assert isinstance(pssr, PSSR)
    assert evaluation.weights_hash(pssr) == card["weights"]["PSSR"]
    assert evaluation.weights_hash(pssr.classifier) == card["crafted_on"]
    assert pssr.surgery.alpha == card["configuration"]["alpha"]


def test_the_bundled_images_confirm_the_card(pssr, card, bundled_test):
    """1,000 images that the weights have not seen: each accuracy lies near the one of the card.

    Three standard errors of 1,000 images, at accuracies near 98%, are 1.4 points.
    """
    record = evaluation.evaluate(
        pssr.classifier,
        {"undefended": PSSR(pssr.classifier, None), "PSSR": pssr},
        bundled_test,
        [attacks.FGSM(0.3), attacks.PGD(0.3)],
    )
    for column in ("benign", "fgsm", "pgd"):
        for row, tolerance in (("PSSR", 0.015), ("undefended", 0.04)):
            expected = card["cells"][row][column]["accuracy"]
            assert record["cells"][row][column]["accuracy"] == pytest.approx(expected, abs=tolerance)


def test_restored_images_resemble_the_clean_ones(pssr, bundled_test):
    images = bundled_test.take(slice(0, 200))
    x_adv = evaluation.craft(attacks.PGD(0.3), pssr.classifier, images)
    attacked = np.abs(x_adv - images.x).mean()
    removed = np.abs(np.asarray(pssr.remove(x_adv)) - images.x).mean()
    restored = np.abs(np.asarray(pssr.purify(x_adv)) - images.x).mean()
    assert restored < 0.5 * min(attacked, removed)


def test_unknown_names_are_refused():
    with pytest.raises(InputError, match="expected one of mnist"):
        load_pretrained("imagenet")


def test_publishing_copies_a_finished_run(tmp_path):
    with pytest.raises(InputError, match="holds no finished run"):
        pretrained.publish(tmp_path, "toy", tmp_path / "weights")
    record = {"seed": 0, "indices": [0], "cells": {"PSSR": {"benign": {"accuracy": 1.0, "correct": "1"}}}}
    training.write_json(tmp_path / "evaluation.json", record)
    (tmp_path / "pssr.keras").write_bytes(b"weights")
    pretrained.publish(tmp_path, "toy", tmp_path / "weights")
    card = json.loads((tmp_path / "weights" / "toy.json").read_text())
    assert card["sha256"] == hashlib.sha256(b"weights").hexdigest()
    assert card["cells"] == {"PSSR": {"benign": {"accuracy": 1.0}}}
