"""A data set, a classifier, an attack, an objective, a purifier and a table are each one file and one line.

Here the file is a few lines of this module, and the line is put into the registry by a fixture; an evaluation
and a small study then run on toys of every kind at once.
"""

import dataclasses
import json
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from pssr_keras import (
    InputError,
    attacks,
    baselines,
    classifiers,
    config,
    data,
    evaluation,
    reproduction,
    training,
)
from pssr_keras.attacks.base import Attack, ball, cross_entropy, project
from pssr_keras.attacks.names import REGISTRY as ATTACKS
from pssr_keras.experiments import EXPERIMENTS, Experiments
from pssr_keras.reproduction import making, report
from pssr_keras.settings import (
    AttackSettings,
    CAESettings,
    ClassifierSettings,
    DataSettings,
    Experiment,
    Reproduction,
)

# --- a data set ----------------------------------------------------------------------------------


def bands(split):
    """96 images of 8x8 pixels in 4 classes, each a bright band at its own height."""
    generator = np.random.default_rng({"train": 1, "test": 2}[split])
    y = np.arange(96) % 4
    pixels = generator.integers(0, 60, (96, 8, 8, 1))
    for image, label in zip(pixels, y, strict=True):
        image[2 * label : 2 * label + 2] += 150
    return data.from_pixels(pixels, y, 4, f"bundled bands {split}", np.arange(96))


BANDS = data.DataSet(
    name="bands",
    shape=(8, 8, 1),
    classes=4,
    train=96,
    test=96,
    bundled=data.Bundled(load=bands, words="the bands"),
)
EXPERIMENTS_ON_BANDS = Experiments(
    Experiment(
        "bands",
        data=DataSettings(validation_size=16),
        classifier=ClassifierSettings(architecture="toy", epochs=40, batch_size=16, learning_rate=0.01),
        attack=AttackSettings(eps=0.2, training=("fgsm",), evaluation=("fgsm", "toy_noise")),
        cae=CAESettings(extrapolator_channels=4, epochs=2, batch_size=16),
    ),
    presets={"smoke": {}, "cpu": {}},
    rows={"undefended": "cross_entropy", "noise": "toy_objective"},
    reproductions={
        "smoke": Reproduction(
            n=32, n_strong=8, strong_attacks=("toy_noise",), adaptive_attacks=("pgd:steps=3", "toy_noise")
        )
    },
    defenses={"blur": "toy_blur"},
)


# --- a classifier, an attack, an objective, a purifier, a table ----------------------------------


def toy_classifier(input_shape, classes, width, statistics):
    inputs = keras.Input(input_shape)
    return keras.Model(inputs, layers.Dense(classes)(layers.Flatten()(inputs)), name="toy")


@dataclasses.dataclass(frozen=True)
class ToyNoise(Attack):
    """Corners of the eps-ball at random."""

    name = "toy_noise"

    @property
    def draws(self):
        return 1

    def perturb(self, logits, x, y, noise):
        return project(x + self.eps * tf.sign(noise[0]), ball(x, self.eps))


@dataclasses.dataclass(frozen=True)
class ToyObjective(baselines.Objective):
    """The cross-entropy under noise."""

    name = "toy_objective"

    def loss(self, logits, x, y, noise, inner):
        return cross_entropy(y, logits(x + inner["eps"] * noise))


@keras.saving.register_keras_serializable("test_extension")
class ToyBlur(keras.Model):
    """A purifier that averages neighbours: anything with `classifier` and `purify` will do."""

    def __init__(self, classifier, **kwargs):
        super().__init__(**kwargs)
        classifier.trainable = False
        self.classifier = classifier
        self.built = True

    @property
    def input_shape(self):
        return self.classifier.input_shape

    def purify(self, x):
        return tf.nn.avg_pool2d(x, 3, 1, "SAME")

    def call(self, x, training=False):
        return self.classifier(self.purify(x), training=False)

    def get_config(self):
        return {"name": self.name, "classifier": keras.saving.serialize_keras_object(self.classifier)}

    @classmethod
    def from_config(cls, config):
        return cls(keras.saving.deserialize_keras_object(config["classifier"]), name=config["name"])


def train_blur(experiment, folder, classifier, train, validation, cache=None, devices=None):
    model = ToyBlur(classifier, name="blur")
    model.save(folder / "toy_blur.keras")
    return model


def make_toy_table(study):
    return {"parts": [study.evaluate(study.classifier(), {"blur": study.defense("blur")})]}


def toy_section(record, paper):
    return ["## A toy table", report.grid(["row"], [[row] for row in report.rows_of(record)])]


@pytest.fixture
def toys(monkeypatch):
    """One line in each registry."""
    monkeypatch.setitem(data.DATASETS, "bands", BANDS)
    monkeypatch.setitem(EXPERIMENTS, "bands", EXPERIMENTS_ON_BANDS)
    monkeypatch.setitem(classifiers.CLASSIFIERS, "toy", toy_classifier)
    monkeypatch.setitem(ATTACKS, "toy_noise", ToyNoise)
    monkeypatch.setitem(baselines.OBJECTIVES, "toy_objective", ToyObjective)
    monkeypatch.setitem(training.DEFENSES, "toy_blur", training.Defense(train_blur))
    monkeypatch.setitem(reproduction.TABLES, "toy_table", reproduction.Table(make_toy_table, toy_section))


def test_toys_of_every_kind_run_through_training_and_evaluation(toys, tmp_path):
    experiment = config.experiment(
        "bands", "smoke", source="bundled", defense="toy_blur", objective="toy_objective"
    )
    record = training.run(experiment, tmp_path / "run")
    assert list(record["cells"]) == ["undefended", "blur"]
    assert set(record["cells"]["blur"]) == {"benign", "fgsm", "toy_noise"}
    assert record["cells"]["undefended"]["benign"]["accuracy"] > 0.9
    again = training.load_model(tmp_path / "run" / "toy_blur.keras")
    images = data.load("bands", "test", "bundled")
    flags = evaluation.correct(again, images.x, images.y)
    assert record["cells"]["blur"]["benign"] == evaluation.measurement(flags)
    assert attacks.parse("toy_noise", 0.2) == ToyNoise(0.2)

    training.prepare_folder(tmp_path / "run", config.experiment("bands", "smoke"), overwrite=True)
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"config.json"}
    (tmp_path / "run" / "classifier.keras").write_text("begun")
    with pytest.raises(InputError, match=r"another configuration \(dataset 'bands' -> 'mnist'\)"):
        training.prepare_folder(tmp_path / "run", config.experiment("mnist", "smoke"))


def test_a_table_whose_time_nobody_measured_is_announced_as_such(toys, tmp_path):
    settings = config.reproductions()["mnist"]["cpu"]
    study = reproduction.Study("mnist", "cpu", settings, tmp_path, "bundled", None, True, None)
    text = making.estimate(study, ["table_3", "toy_table"])
    assert "about 25 minutes" in text
    assert text.endswith("; nobody has measured toy_table")
    assert making.estimate(study, ["toy_table"]).endswith("tables to make: nobody has measured toy_table")
    everything = making.estimate(study, list(settings.minutes))
    assert re.search(r": about [34] hours on two cores, less where [^;]*$", everything)
    study = dataclasses.replace(study, settings=config.reproductions()["cifar10"]["cpu"])
    assert re.search(r": about \d hours on one core, less where [^;]*$", making.estimate(study, ["table_1"]))


@pytest.mark.parametrize("dataset", ["mnist", "cifar10", "cifar100"])
def test_a_smoke_study_says_how_long_all_of_it_takes(dataset, tmp_path):
    settings = config.reproductions()[dataset]["smoke"]
    study = reproduction.Study(dataset, "smoke", settings, tmp_path, "bundled", None, True, None)
    text = making.estimate(study, list(reproduction.tables.TABLES))
    assert text.startswith("10 of 10 tables to make: about 3 minutes on two cores")
    assert "nobody" not in text


@pytest.mark.slow
def test_a_small_study_of_toys(toys, tmp_path):
    tables = ["table_1", "table_3", "toy_table"]
    records = reproduction.run("bands", "smoke", tmp_path / "study", "bundled", tables=tables)
    first, third, toy = (records[name] for name in tables)
    assert set(report.rows_of(first)) == {"undefended", "noise", "blur"}
    assert {part["threat_model"] for part in first["parts"] if "blur" in part["cells"]} == {
        evaluation.OBLIVIOUS
    }
    assert report.rows_of(first)[-1] == "blur"  # a purifier comes after what it is compared with
    (part,) = third["parts"]
    assert {"exact pgd", "identity pgd", "worst case"} <= part["cells"]["blur"].keys()
    assert {"exact", "identity", "classifier"} == part["checks"].keys()
    assert report.rows_of(toy) == ["blur"]

    paper = {"columns": [], "table 1": {}, "table 3": {}}
    report.write(records, tmp_path / "report", paper)
    text = (tmp_path / "report" / "tables.md").read_text()
    assert "## A toy table" in text
    assert "blur alone, crafted through surrogates" in text
    record = json.loads((tmp_path / "report" / "toy_table.json").read_text())
    assert record == json.loads(json.dumps(toy))
