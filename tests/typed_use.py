"""The five tasks as a user types them, for mypy: nothing here is executed."""

import typing

import keras
import numpy as np

import pssr_keras
from pssr_keras import PSSR, attacks, data, evaluation, training


def attack_a_model(model: keras.Model, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    attack: attacks.Attack = attacks.PGD("8/255")
    x_adv: np.ndarray = attack(model, x, y, batch_size=128)
    return x_adv


def evaluate_a_model(model: keras.Model, x: np.ndarray, y: np.ndarray) -> str:
    suite: list[attacks.Attack] = [attacks.AutoAttack("8/255"), attacks.parse("pgd:steps=5", 0.3)]
    record: dict = evaluation.evaluate(model, (x, y), suite, threat_model="white-box")
    remarks: list[str] = evaluation.remarks(record)
    return "\n".join([evaluation.table(record), *remarks])


def purify_with_a_trained_pssr(x: np.ndarray) -> typing.Any:
    pssr: PSSR = pssr_keras.load_pretrained("cifar10")
    return pssr.purify(x, batch_size=128)


def protect_a_classifier(classifier: keras.Model, x: np.ndarray, y: np.ndarray) -> PSSR:
    by_arrays: PSSR = training.fit_to(classifier, x, y, eps="8/255", epochs=8, dropout=0.1)
    by_class: PSSR = PSSR.fit_to(by_arrays.classifier, x, y, eps=0.3)
    return by_class


def evaluate_a_purifier(pssr: PSSR) -> float:
    images: data.Images = data.load("mnist", "test", source="bundled").take(slice(0, 20))
    flags: np.ndarray = evaluation.correct(pssr, images.x, images.y)
    record: dict = evaluation.evaluate_adaptively(pssr, images, eps="8/255")
    findings: list[evaluation.checks.Finding] = evaluation.checks.run(pssr, images, 0.3)
    assert len(findings) > 0
    return float(flags.mean()) - float(record["cells"]["pssr"]["worst case"]["accuracy"])
