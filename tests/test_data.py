import dataclasses
import hashlib
import json
import shutil
import time

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from pssr_keras import InputError, data


@pytest.fixture
def offline(monkeypatch):
    """No server answers: names do not resolve, and the folder of data sets is a fresh one."""

    def refuse(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(data.sources.urllib.request, "urlopen", refuse)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A data set of 30 + 10 images, stored as tensorflow-datasets stores one."""
    folder = tmp_path_factory.mktemp("tfds")
    generator = np.random.default_rng(0)
    splits = {
        split: tf.data.Dataset.from_tensor_slices(
            {
                "image": generator.integers(0, 256, (count, 28, 28, 1), dtype=np.uint8),
                "label": np.arange(count) % 10,
            }
        )
        for split, count in {"train": 30, "test": 10}.items()
    }
    features = {
        "image": tfds.features.Image(shape=(28, 28, 1)),
        "label": tfds.features.ClassLabel(num_classes=10),
    }
    tfds.dataset_builders.store_as_tfds_dataset(
        name="mnist",
        version="3.0.1",
        features=tfds.features.FeaturesDict(features),
        split_datasets=splits,
        data_dir=folder,
        disable_shuffling=True,
    )
    return folder


@pytest.fixture
def copy(prepared, tmp_path, monkeypatch):
    """A copy of the small data set to damage, with its sizes taken for those of MNIST."""
    monkeypatch.setitem(
        data.DATASETS, "mnist", dataclasses.replace(data.DATASETS["mnist"], train=30, test=10)
    )
    shutil.copytree(prepared, tmp_path / "tfds")
    return tmp_path / "tfds"


def test_bundled_images_are_real_mnist_with_a_fixed_split(bundled_test):
    train = data.load("mnist", "train", source="bundled")
    assert (len(train), len(bundled_test)) == (4_000, 1_000)
    assert np.bincount(train.y).tolist() == [400] * 10
    assert np.bincount(bundled_test.y).tolist() == [100] * 10
    assert not set(train.indices) & set(bundled_test.indices)
    assert train.x.shape == (4_000, 28, 28, 1)
    assert (train.x.dtype, train.y.dtype) == (np.float32, np.int32)
    assert (train.x.min(), train.x.max()) == (0, 1)
    assert "bundled" in train.source
    digest = hashlib.sha256(np.asarray(bundled_test.indices, "<i8").tobytes()).hexdigest()
    assert digest[:16] == "7f2506b6de262bfe"


def test_bundled_digits_look_like_their_labels(bundled_test):
    # zeros are hollow, ones are a vertical stroke through the centre
    centre = bundled_test.x[:, 12:16, 12:16].mean(axis=(1, 2, 3))
    assert centre[bundled_test.y == 0].mean() < 0.2 < 0.5 < centre[bundled_test.y == 1].mean()


def test_offline_mnist_falls_back_within_seconds_and_says_so(offline, tmp_path, capsys):
    start = time.perf_counter()
    assert data.resolve_source("mnist", "auto", tmp_path) == "bundled"
    assert time.perf_counter() - start < 5
    assert "using the 5,000 bundled images" in capsys.readouterr().out


def test_a_server_that_never_answers_is_given_up_within_five_seconds(monkeypatch, tmp_path):
    def hang(*_, **__):
        time.sleep(10)
        raise OSError("no answer")

    monkeypatch.setattr(data.sources.urllib.request, "urlopen", hang)
    start = time.perf_counter()
    with pytest.raises(InputError, match="cannot be reached"):
        data.resolve_source("mnist", "tfds", tmp_path)
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize(("name", "source"), [("mnist", "tfds"), ("cifar10", "auto"), ("cifar100", "auto")])
def test_offline_without_a_copy_says_what_to_do(name, source, offline, tmp_path):
    with pytest.raises(InputError, match=f"{name} is not in .*--data-dir.*once with a network"):
        data.resolve_source(name, source, tmp_path, ("train", "test"))


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_some_test_images_of_cifar_are_bundled(name, offline, tmp_path, capsys):
    images = data.load(name, "test", data_dir=tmp_path)
    assert "using the 1,000 bundled test images instead of 60,000" in capsys.readouterr().out
    assert images.x.shape == (1_000, 32, 32, 3)
    assert (images.x.dtype, images.y.dtype) == (np.float32, np.int32)
    assert np.bincount(images.y).tolist() == [1_000 // images.classes] * images.classes
    assert images.source.startswith(f"bundled {name}")
    # They are in the order of their content, and all different.
    again = data.by_content(images.take(np.random.default_rng(0).permutation(1_000)))
    np.testing.assert_array_equal(again.x, images.x)
    assert len({image.tobytes() for image in images.x}) == 1_000
    for source in ("auto", "bundled"):
        with pytest.raises(InputError, match=f"(bundled train images of {name}|not enough here)"):
            data.load(name, "train", source, data_dir=tmp_path)


def test_the_order_by_content_is_that_of_any_copy_and_stratified(toy_images):
    order = np.random.default_rng(1).permutation(len(toy_images))
    first, second = data.by_content(toy_images), data.by_content(toy_images.take(order))
    np.testing.assert_array_equal(first.x, second.x)
    np.testing.assert_array_equal(first.y, second.y)
    np.testing.assert_array_equal(first.indices, np.arange(len(toy_images)))
    assert (np.bincount(first.y[:30]) == 10).all()
    assert "ordered by content" in first.source
    assert sorted(image.tobytes() for image in first.x) == sorted(image.tobytes() for image in toy_images.x)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fashion", "test"), "unknown data set 'fashion', expected one of mnist"),
        (("mnist", "validation"), "unknown split"),
        (("mnist", "test", "internet"), "unknown source 'internet', expected one of auto"),
    ],
)
def test_unknown_names_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        data.load(*arguments)


def test_a_prepared_data_set_is_read_without_a_network(offline, copy):
    images = data.load("mnist", "train", data_dir=copy)
    assert images.x.shape == (30, 28, 28, 1)
    assert images.y.tolist() == [i % 10 for i in range(30)]
    expected = np.random.default_rng(0).integers(0, 256, (30, 28, 28, 1), dtype=np.uint8)
    np.testing.assert_allclose(images.x, expected / 255, atol=1e-7)
    assert images.source == "tfds mnist 3.0.1 train"


def version(folder):
    return folder / "mnist" / "3.0.1"


def lose_a_record_file(folder):
    next(version(folder).glob("*train*tfrecord*")).unlink()


def cut_a_record_file(folder):
    path = next(version(folder).glob("*train*tfrecord*"))
    path.write_bytes(path.read_bytes()[:-100])


def flip_a_byte(folder):
    path = next(version(folder).glob("*train*tfrecord*"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(bytes(content))


def lose_the_description(folder):
    (version(folder) / "dataset_info.json").unlink()


def damage_the_description(folder):
    (version(folder) / "dataset_info.json").write_text("{")


def describe_fewer_images(folder):
    path = version(folder) / "dataset_info.json"
    description = json.loads(path.read_text())
    for split in description["splits"]:
        if split["name"] == "train":
            split["shardLengths"] = ["20"]
    path.write_text(json.dumps(description))


@pytest.mark.parametrize(
    "damage",
    [
        lose_a_record_file,
        cut_a_record_file,
        flip_a_byte,
        lose_the_description,
        damage_the_description,
        describe_fewer_images,
    ],
)
def test_a_damaged_data_set_is_an_error_not_less_data(damage, offline, copy):
    damage(copy)
    with pytest.raises(
        InputError, match=r"(half-prepared|damaged|expected 30).*delete .*3\.0\.1.*--data-dir"
    ):
        data.load("mnist", "train", data_dir=copy)


def test_the_folder_of_another_data_set_is_refused(offline, copy):
    with pytest.raises(InputError, match=r"3\.0\.1 is the folder of one data set.*holds a folder mnist"):
        data.load("mnist", "train", data_dir=version(copy))
    with pytest.raises(InputError, match=r"mnist is the folder of one data set.*--data-dir"):
        data.load("cifar10", "train", data_dir=copy / "mnist")
    (copy / "mnist").rename(copy / "cifar10")
    with pytest.raises(InputError, match="holds mnist, expected cifar10: move it to where it belongs"):
        data.load("cifar10", "train", data_dir=copy)


def test_an_interrupted_download_is_an_error_offline(offline, tmp_path):
    (tmp_path / "mnist" / "incomplete.ABC_3.0.1").mkdir(parents=True)
    with pytest.raises(InputError, match=r"half-prepared mnist.*delete that folder"):
        data.resolve_source("mnist", "auto", tmp_path)


def test_a_failing_download_is_one_clear_error(monkeypatch, tmp_path):
    monkeypatch.setattr(data.sources, "reachable", lambda name: True)

    def fail(*_, **__):
        raise RuntimeError("connection reset\nand a long traceback")

    monkeypatch.setattr(tfds, "builder", fail)
    with pytest.raises(InputError, match=r"downloading mnist to .* failed \(connection reset\)"):
        data.resolve_source("mnist", "auto", tmp_path)


def test_excluding_the_bundled_images(offline, copy, monkeypatch):
    everything = data.load("mnist", "train", data_dir=copy)
    pixels = np.round(everything.x * 255).astype(np.uint8)
    bundled = dataclasses.replace(data.MNIST.bundled, training_pixels=lambda: pixels[[3, 7]])
    entry = dataclasses.replace(data.DATASETS["mnist"], bundled=bundled)
    monkeypatch.setitem(data.DATASETS, "mnist", entry)
    rest = data.load("mnist", "train", data_dir=copy, exclude_bundled=True)
    assert rest.indices.tolist() == [i for i in range(30) if i not in (3, 7)]
    assert "without the 2 bundled" in rest.source


def test_validation_is_disjoint_and_fixed(toy_images):
    train, validation = data.split_validation(toy_images, 10, seed=1)
    assert (len(train), len(validation)) == (54, 10)
    assert not set(train.indices) & set(validation.indices)
    again = data.split_validation(toy_images, 10, seed=1)[1]
    np.testing.assert_array_equal(validation.indices, again.indices)
