"""CIFAR-10 and CIFAR-100 end to end, on the embedded images and with tiny networks."""

import dataclasses
import os
import pathlib

import keras
import numpy as np
import pytest

from pssr_keras import InputError, classifiers, config, data, evaluation, training

NAMES = ("cifar10", "cifar100")
TINY = {
    "data.train_limit": 128,
    "data.validation_size": 32,
    "data.test_limit": 20,
    "classifier.epochs": 2,
    "classifier.batch_size": 32,
    "classifier.width": 0.0625,
    "cae.epochs": 2,
    "cae.batch_size": 32,
    "cae.extrapolator_channels": 4,
    "cae.extrapolator_bottleneck": 8,
    "attack.training": ("fgsm",),
    "attack.evaluation": ("fgsm", "pgd:steps=2"),
}


@pytest.fixture
def embedded(monkeypatch):
    """The data sets as if their embedded test images were 800 training and 200 test images."""
    for name in NAMES:
        entry = data.DATASETS[name]
        images = entry.bundled.load("test")
        splits = {"train": images.take(slice(0, 800)), "test": images.take(slice(800, 1000))}
        bundled = dataclasses.replace(entry.bundled, load=splits.__getitem__, splits=("train", "test"))
        monkeypatch.setitem(data.DATASETS, name, dataclasses.replace(entry, bundled=bundled))


@pytest.mark.parametrize("name", [pytest.param("cifar10", marks=pytest.mark.slow), "cifar100"])
def test_a_run_from_data_to_table(name, embedded, tmp_path):
    perceptron = {"classifier.architecture": "multilayer_perceptron", "classifier.learning_rate": 0.01}
    small = {  # a DenseNet takes long to compile
        "cifar10": {"train_limit": 640, "classifier.epochs": 8, "test_limit": 200},
        "cifar100": perceptron,
    }[name]
    experiment = config.experiment(name, "smoke", **TINY | small | {"source": "bundled"})
    record = training.run(experiment, tmp_path)
    assert list(record["cells"]) == ["undefended", "+PS", "+CAE", "PSSR"]
    assert set(record["cells"]["PSSR"]) == {"benign", "fgsm", "pgd"}
    assert record["attacks"]["pgd"]["eps"] == pytest.approx(8 / 255)
    assert record["data"].startswith(f"bundled {name}")
    test = data.load(name, "test", "bundled").take(slice(0, record["n"]))
    assert record["images_sha256"] == evaluation.images_hash(test)
    pssr = keras.saving.load_model(tmp_path / "pssr.keras")
    flags = evaluation.correct(pssr, test.x, test.y)
    assert record["cells"]["PSSR"]["benign"]["correct"] == evaluation.text_of(flags)
    assert pssr.classifier.output_shape == (None, data.DATASETS[name].classes)
    if name == "cifar10":  # by guessing, at most 14% of 200 images
        assert record["cells"]["undefended"]["benign"]["accuracy"] > 0.2


@pytest.mark.parametrize("name", NAMES)
def test_the_numbers_are_those_of_the_paper_where_it_has_them(name):
    assert config.presets()[name] == ["smoke", "cpu", "paper"]
    paper = config.experiment(name, "paper")
    assert (paper.classifier.epochs, paper.cae.epochs, paper.classifier.width) == (200, 100, 1)
    assert paper.classifier.architecture == {"cifar10": "resnet18", "cifar100": "densenet121"}[name]
    assert paper.attack.eps == 8 / 255
    cae = paper.cae
    assert (cae.lambda_query, cae.lambda_r_drop, cae.passes) == (1, 0.5, 2)


@pytest.mark.parametrize("name", NAMES)
def test_classes_have_names(name):
    entry = data.DATASETS[name]
    assert len(set(entry.class_names)) == entry.classes
    assert list(entry.class_names) == sorted(entry.class_names)
    assert data.MNIST.name_of(7) == "7"
    assert (str(data.CIFAR10), data.CIFAR10.name_of(3)) == ("CIFAR-10", "cat")


def test_a_classifier_of_other_images_or_classes_is_refused(embedded, tmp_path):
    experiment = config.experiment("cifar10", "smoke", **TINY | {"source": "bundled"})
    for arguments, message in (
        (((32, 32, 3), 100), r"returns \(100,\), expected \(10,\): a logit"),
        (((28, 28, 1), 10), r"takes images \(28, 28, 1\), expected \(32, 32, 3\)"),
    ):
        file = tmp_path / "other.keras"
        classifiers.create("multilayer_perceptron", *arguments).save(file)
        with pytest.raises(InputError, match=message):
            training.run(experiment, tmp_path / "run", classifier_file=file, overwrite=True)


def test_the_strided_densenet_has_the_same_weights_at_half_the_resolution():
    whole, half = (
        classifiers.create(name, (32, 32, 3), 100, width=0.125)
        for name in ("densenet121", "densenet121_strided")
    )
    assert [w.shape for w in whole.get_weights()] == [w.shape for w in half.get_weights()]
    shapes = [
        next(layer.output.shape for layer in model.layers if isinstance(layer, keras.layers.Concatenate))
        for model in (whole, half)
    ]
    assert [shape[1:3] for shape in shapes] == [(32, 32), (16, 16)]


def test_embedded_images_are_a_part_of_the_test_split():
    """The n smallest hashes of each class: bundled and full data give the same first images."""
    folder = os.environ.get("PSSR_TEST_DATA")
    for name in NAMES:
        if folder is None or not (pathlib.Path(folder) / name).is_dir():
            pytest.skip(f"PSSR_TEST_DATA names no folder of tensorflow-datasets with a prepared {name}")
        embedded, full = (data.load(name, "test", source, folder) for source in ("bundled", "tfds"))
        np.testing.assert_array_equal(embedded.x, full.x[: len(embedded)])
        np.testing.assert_array_equal(embedded.y, full.y[: len(embedded)])
