import concurrent.futures
import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
import threading
import time

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from pssr_keras import InputError, data

REACHABLE = data.sources.reachable


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Nobody else writes here but where a test says so."""
    monkeypatch.setattr(data.sources, "WATCHED", 0.1)
    monkeypatch.setattr(data.sources, "QUIET", 1.0)


@pytest.fixture(autouse=True)
def a_server(no_server, monkeypatch):
    """The question whether a server answers is asked in earnest; each test gives the answer."""
    monkeypatch.setattr(data.sources, "reachable", REACHABLE)


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
    expected = r"(half-prepared|damaged|expected 30).*may be in use by another.*rename .*3\.0\.1 .*--data-dir"
    with pytest.raises(InputError, match=expected) as caught:
        data.load("mnist", "train", data_dir=copy)
    assert "delete" not in str(caught.value)
    version(copy).rename(version(copy).with_name("3.0.1.damaged"))  # as the advice says
    assert data.resolve_source("mnist", "auto", copy) == "bundled"


@pytest.fixture(scope="module")
def in_array_record(prepared, tmp_path_factory):
    """The same data set in the format ArrayRecord."""
    folder = tmp_path_factory.mktemp("array_record")
    builder = tfds.builder_from_directory(str(version(prepared)))
    tfds.dataset_builders.store_as_tfds_dataset(
        name="mnist",
        version="3.0.1",
        features=builder.info.features,
        split_datasets={split: builder.as_dataset(split=split) for split in ("train", "test")},
        data_dir=folder,
        disable_shuffling=True,
        file_format="array_record",
    )
    return folder


def test_array_record_is_read_as_the_same_images(offline, copy, in_array_record):
    for split in ("train", "test"):
        expected = data.load("mnist", split, data_dir=copy)
        found = data.load("mnist", split, data_dir=in_array_record)
        np.testing.assert_array_equal(found.x, expected.x)
        np.testing.assert_array_equal(found.y, expected.y)
        assert (found.x.dtype, found.y.dtype, found.source) == (np.float32, np.int32, expected.source)


@pytest.mark.parametrize("error", [ImportError("No module named 'array_record'"), NotImplementedError("no")])
def test_a_format_whose_reader_is_missing_is_not_called_damaged(
    error, offline, copy, in_array_record, monkeypatch
):
    def missing(*_, **__):
        raise error

    monkeypatch.setattr(tfds.core.DatasetBuilder, "as_data_source", missing)
    with pytest.raises(
        InputError, match=r"whole, but in the format array_record .*pip install array_rec"
    ) as caught:
        data.load("mnist", "test", data_dir=in_array_record)
    assert not {"damaged", "delete", "rename"} & set(str(caught.value).split())


def test_a_damaged_array_record_is_an_error(offline, copy, in_array_record, tmp_path):
    shutil.copytree(in_array_record, tmp_path / "damaged")
    path = next(version(tmp_path / "damaged").glob("*train*array_record*"))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match="damaged"):
        data.load("mnist", "train", data_dir=tmp_path / "damaged")


def bring_in_pieces(whole, folder, pieces):
    """Prepare a data set as tensorflow-datasets does, in a folder beside its own, or copy it file by file."""
    place = version(folder) if pieces == "copied" else folder / "mnist" / "incomplete.ABCDEF_3.0.1"
    place.mkdir(parents=True, exist_ok=True)
    if pieces == "downloaded":
        (folder / "downloads").mkdir()
        for size in range(5):
            (folder / "downloads" / "images.tmp.1").write_bytes(bytes(size))
            time.sleep(0.1)
    for path in sorted(version(whole).iterdir(), reverse=True):
        shutil.copy(path, place)
        time.sleep(0.1)
    if place != version(folder):
        place.rename(version(folder))


@pytest.mark.parametrize("pieces", ["prepared", "downloaded", "copied"])
def test_who_prepares_a_data_set_is_waited_for(pieces, offline, copy, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(data.sources, "WATCHED", 1.0)
    folder = tmp_path / "shared"
    other = threading.Thread(target=bring_in_pieces, args=(copy, folder, pieces))
    (folder / "mnist" / "incomplete.ABCDEF_3.0.1").mkdir(parents=True)
    if pieces == "copied":
        (folder / "mnist" / "incomplete.ABCDEF_3.0.1").rmdir()
        version(folder).mkdir()
    other.start()
    images = data.load("mnist", "test", "auto", folder)
    other.join()
    assert images.source == "tfds mnist 3.0.1 test"
    assert "another process is preparing mnist in" in capsys.readouterr().out


def test_waiting_has_an_end(offline, copy, tmp_path, monkeypatch):
    monkeypatch.setattr(data.sources, "changing", lambda *_: True)
    monkeypatch.setattr(data.sources, "PATIENCE", 0.05)
    (tmp_path / "busy" / "mnist" / "3.0.1").mkdir(parents=True)
    with pytest.raises(InputError, match="still being prepared by another process after 0 minutes: wait"):
        data.load("mnist", "test", "auto", tmp_path / "busy")


def test_old_leftovers_are_not_waited_for(offline, tmp_path):
    (tmp_path / "mnist" / "incomplete.ABC_3.0.1").mkdir(parents=True)
    for path in (tmp_path / "mnist" / "incomplete.ABC_3.0.1", tmp_path / "mnist"):
        os.utime(path, (0, 0))
    start = time.perf_counter()
    assert not data.sources.changing("mnist", tmp_path, seconds=60)
    assert time.perf_counter() - start < 5


def test_two_that_need_the_same_data_download_them_once(copy, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(data.sources, "reachable", lambda name: True)
    monkeypatch.setattr(data.sources.locks, "SECONDS", 0.01)
    folder, downloads = tmp_path / "shared", []

    class Builder:
        def download_and_prepare(self):
            downloads.append(1)
            time.sleep(0.3)
            shutil.copytree(copy / "mnist", folder / "mnist")

    monkeypatch.setattr(tfds, "builder", lambda *_, **__: Builder())
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        tasks = [pool.submit(data.resolve_source, "mnist", "tfds", folder) for _ in range(3)]
        assert [task.result() for task in tasks] == ["tfds"] * 3
    assert len(downloads) == 1
    assert capsys.readouterr().out.count("is downloading mnist to") == 2


def test_a_download_that_another_program_finished_first_is_taken(copy, tmp_path, monkeypatch):
    monkeypatch.setattr(data.sources, "reachable", lambda name: True)

    class Builder:
        def download_and_prepare(self):
            shutil.copytree(copy / "mnist", tmp_path / "shared" / "mnist")
            raise OSError("Directory not empty")

    monkeypatch.setattr(tfds, "builder", lambda *_, **__: Builder())
    assert data.resolve_source("mnist", "tfds", tmp_path / "shared") == "tfds"


@pytest.fixture
def without_home(monkeypatch):
    """No home folder is known, as in a container whose user has no entry in the list of users."""

    def unknown(path):
        if str(path).startswith("~"):
            raise RuntimeError("Could not determine home directory.")
        return path

    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    monkeypatch.setattr(pathlib.Path, "expanduser", unknown)


def test_without_a_home_the_bundled_images_are_taken_with_one_line(without_home, capsys):
    assert len(data.load("mnist", "test")) == 1_000
    told = capsys.readouterr().out
    assert told.count("\n") == 1
    assert "no home folder is known: using the 5,000 bundled images" in told
    with pytest.raises(InputError, match="no home folder is known: name the folder of a prepared copy"):
        data.load("mnist", "test", "tfds")
    with pytest.raises(InputError, match="the home folder in ~/data is not known: name the whole path"):
        data.load("mnist", "test", data_dir="~/data")


def test_without_a_home_named_data_are_read(without_home, offline, copy):
    assert data.load("mnist", "test", data_dir=copy).source == "tfds mnist 3.0.1 test"


def forbid(monkeypatch, folder):
    """As root may read everything, whatever looks into the folder is told that it may not."""
    listed = pathlib.Path.is_dir

    def is_dir(path):
        if folder in (path, *path.parents):
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(pathlib.Path, "is_dir", is_dir)


def test_data_that_may_not_be_read_are_not_called_damaged(offline, copy, monkeypatch, capsys):
    forbid(monkeypatch, copy)
    with pytest.raises(InputError, match=r"tfds may not be read by this user: ask its owner"):
        data.load("mnist", "test", data_dir=copy)
    monkeypatch.setenv("TFDS_DATA_DIR", str(copy))  # as that of another user may be by default
    assert data.resolve_source("mnist", "auto") == "bundled"
    assert "may not be read by this user: using the 5,000 bundled images" in capsys.readouterr().out


def test_where_nothing_can_be_written_nothing_is_downloaded(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(data.sources.os, "access", lambda *_: False)
    monkeypatch.setattr(data.sources, "reachable", lambda name: pytest.fail("asked the server"))
    assert data.resolve_source("mnist", "auto", tmp_path / "no" / "folder") == "bundled"
    assert "that folder cannot be written: using the 5,000 bundled images" in capsys.readouterr().out


def test_other_names_beside_a_version_are_no_versions(offline, copy):
    for name in ("3.0.1.old", "3.0.1 (copy)", "9.9.9_damaged"):
        (copy / "mnist" / name).mkdir()
    assert data.load("mnist", "test", data_dir=copy).source == "tfds mnist 3.0.1 test"


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
    with pytest.raises(
        InputError, match=r"half-prepared mnist.*in use by another process.*rename it"
    ) as caught:
        data.resolve_source("mnist", "auto", tmp_path)
    assert "delete" not in str(caught.value)


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
