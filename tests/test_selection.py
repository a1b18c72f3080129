"""Robust trainings of tiny perceptrons: held-out accuracy, selection, and going on after an interruption."""

import csv
import json

import numpy as np
import pytest

from pssr_keras import InputError, attacks, config, evaluation, training
from pssr_keras.training import classifier as stage
from pssr_keras.training import selection

TINY = {
    "train_limit": 300,
    "validation_size": 40,
    "source": "bundled",
    "classifier.architecture": "multilayer_perceptron",
    "classifier.width": 0.05,
    "classifier.epochs": 3,
    "classifier.batch_size": 50,
    "inner_steps": 2,
    "held_out": 30,
    "held_out_steps": 3,
}
OBJECTIVES = (
    "early_stopping",
    "bag_of_tricks",
    "prototype_conformity:attacked=true",
    "pseudo_labels:labels=50",
    "few_labels:labels=100",
)


def tiny(objective, **changes):
    return config.experiment("mnist", "cpu", objective=objective, **TINY | changes)


@pytest.fixture(scope="module")
def splits():
    return training.load_splits(tiny("trades"))[:2]


def train(objective, folder, splits, **changes):
    experiment = tiny(objective, **changes)
    folder = training.prepare_folder(folder, experiment)
    return stage.train_classifier(experiment, folder, *splits)


def log_of(folder):
    with (folder / "classifier_log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("objective", "warm"),
    [*((name, False) for name in OBJECTIVES), (OBJECTIVES[2], True), ("pseudo_labels:labels=50", True)],
)
def test_an_interrupted_training_ends_as_an_uninterrupted_one(objective, warm, splits, tmp_path, monkeypatch):
    changes = {"warm_start": warm}
    whole = train(objective, tmp_path / "whole", splits, **changes)
    original = training.Checkpoint.on_epoch_end

    def interrupt(self, epoch, logs=None):
        original(self, epoch, logs)
        if epoch == 1 and self.path.parent.name == "parts":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training.Checkpoint, "on_epoch_end", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(objective, tmp_path / "parts", splits, **changes)
    assert (tmp_path / "parts" / "start" / "classifier.keras").is_file() == warm
    assert not (tmp_path / "parts" / "classifier.keras").exists()
    parts = train(objective, tmp_path / "parts", splits, **changes)
    for expected, found in zip(whole.get_weights(), parts.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert log_of(tmp_path / "parts") == log_of(tmp_path / "whole")
    notes = [json.loads((tmp_path / name / "classifier.json").read_text()) for name in ("whole", "parts")]
    assert notes[0] == notes[1]
    assert len(notes[0]["held_out"]) == 3
    assert ("pseudo_label_accuracy" in notes[0]) == objective.startswith("pseudo")


def test_the_best_epoch_counts_and_the_last_one_is_kept(splits, tmp_path, monkeypatch):
    accuracies, seen = iter([0.2, 0.6, 0.6, 0.4]), []

    def measure(self):
        self.judged.set_weights(self.trained.get_weights())
        seen.append(self.trained.get_weights())
        return next(accuracies), 0.9

    monkeypatch.setattr(training.HeldOut, "measure", measure)
    best = train("early_stopping", tmp_path / "run", splits, **{"classifier.epochs": 4})
    last = training.load_model(tmp_path / "run" / "classifier_last.keras")
    for model, epoch in (
        (best, 1),
        (training.load_model(tmp_path / "run" / "classifier.keras"), 1),
        (last, 3),
    ):
        for found, expected in zip(model.get_weights(), seen[epoch], strict=True):
            np.testing.assert_array_equal(found, expected)
    notes = json.loads((tmp_path / "run" / "classifier.json").read_text())
    assert (notes["best_epoch"], notes["held_out"], notes["selected"]) == (2, [0.2, 0.6, 0.6, 0.4], True)
    training.remove_intermediate(tmp_path / "run")
    kept = {path.name for path in (tmp_path / "run").iterdir()}
    assert kept == {
        "config.json", "classifier.keras", "classifier_last.keras", "classifier.json", "classifier_log.csv",
        "tensorboard",
    }  # fmt: skip
    training.prepare_folder(tmp_path / "run", tiny("trades"), overwrite=True)
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"config.json"}


def test_other_objectives_keep_their_last_epoch(splits, tmp_path):
    last = train("adversarial_training", tmp_path / "run", splits)
    assert not (tmp_path / "run" / "classifier_last.keras").exists()
    notes = json.loads((tmp_path / "run" / "classifier.json").read_text())
    assert not notes["selected"]
    held_out = splits[1].take(slice(0, 30))
    attack = training.held_out_attack(tiny("trades").robust, 0.3)
    assert attack == attacks.PGD(0.3, steps=3, step_size=0.075)
    flags = evaluation.correct(last, evaluation.craft(attack, last, held_out), held_out.y)
    assert notes["held_out"][-1] == pytest.approx(flags.mean())
    rows = log_of(tmp_path / "run")
    assert [float(row["held_out"]) for row in rows] == notes["held_out"]
    benign = evaluation.correct(last, held_out.x, held_out.y).mean()
    assert float(rows[-1]["held_out_benign"]) == pytest.approx(benign)


def test_a_warm_start_begins_with_the_weights_it_is_given(splits, tmp_path):
    start = train("cross_entropy", tmp_path / "start", splits)
    experiment = tiny("adversarial_training", warm_start=True, **{"classifier.learning_rate": 0.0})
    folder = training.prepare_folder(tmp_path / "run", experiment)
    found = stage.train_classifier(experiment, folder, *splits, start=lambda: start)
    for expected, weights in zip(start.get_weights(), found.get_weights(), strict=True):
        np.testing.assert_array_equal(weights, expected)
    assert not (folder / "start").exists()


def test_a_warm_start_is_trained_on_the_labels_that_are_left(splits, tmp_path, monkeypatch):
    asked, original = [], stage.train_classifier

    def note(experiment, folder, train, *others, **options):
        asked.append((folder.name, experiment.classifier.objective, len(np.unique(train.indices))))
        return original(experiment, folder, train, *others, **options)

    monkeypatch.setattr(stage, "train_classifier", note)
    train("few_labels:labels=100", tmp_path / "run", splits, warm_start=True)
    assert asked[1:] == [("start", "cross_entropy", 100)]
    training.prepare_folder(tmp_path / "run", tiny("trades"), overwrite=True)
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"config.json"}


def test_a_plain_training_is_not_attacked(splits, tmp_path):
    train("cross_entropy", tmp_path / "run", splits)
    assert not (tmp_path / "run" / "classifier.json").exists()
    assert selection.ACCURACY not in log_of(tmp_path / "run")[0]


def test_a_damaged_file_of_the_best_epoch_is_named(tmp_path):
    (tmp_path / "best.npz").write_bytes(b"something else")
    with pytest.raises(InputError, match=r"best.npz is damaged"):
        training.best_of(tmp_path / "best.npz")


def test_the_rate_falls_in_steps():
    schedule = training.step_decay(0.1, 100)
    found = [float(schedule(step)) for step in (0, 49, 52, 74, 77, 99)]
    assert found == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001])
    with pytest.raises(InputError, match="schedule is 'stairs', expected one of cycle, steps"):
        stage.check_names(tiny("trades", schedule="stairs").classifier)
