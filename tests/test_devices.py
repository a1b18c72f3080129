"""Training on two devices, and on two workers, ends with the weights of one device but for rounding.

Float32 sums of a few hundred numbers near 1 differ by some 1e-7 with their order, and plain descent hands
that on without magnifying it: 1e-6. Float64 sums differ by 1e-16, of which Adam makes 1e-14: 1e-11.
"""

import contextlib
import csv
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
import train_on_devices

from pssr_keras import InputError, cae, losses, training
from pssr_keras.training import device_layers, devices

PROGRAM = pathlib.Path(train_on_devices.__file__)
PACKAGE = PROGRAM.parents[1]
TOLERANCE = {"cae": 1e-5, "hardened": 1e-5}  # where losses oppose each other; 1e-6 elsewhere


def start(*arguments, **environment):
    """A process of Python that has this package."""
    found = os.environ | {"PYTHONPATH": str(PACKAGE), "TF_CPP_MIN_LOG_LEVEL": "2"} | environment
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        env=found,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(*processes, seconds=300):
    """What the processes print, once all have ended well."""
    try:
        printed = [process.communicate(timeout=seconds)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, text in zip(processes, printed, strict=True):
        assert process.returncode == 0, text[-3000:]
    return printed


@contextlib.contextmanager
def two_ports():
    """Two addresses on this machine that are given to nobody else for the time being.

    A socket that is bound but does not listen keeps others from being given its port, while a server that
    asks for that very port gets it: both have SO_REUSEADDR.
    """
    with socket.socket() as first, socket.socket() as second:
        for held in (first, second):
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            held.bind(("127.0.0.1", 0))
        yield [f"127.0.0.1:{held.getsockname()[1]}" for held in (first, second)]


@pytest.fixture(scope="module")
def one_device(tmp_path_factory):
    """Function: the folder, the untrained weights and the weights of a kind, trained here on one device."""
    folder = tmp_path_factory.mktemp("one")
    found = {}

    def train(kind):
        if kind not in found:
            found[kind] = train_on_devices.train(kind, devices.ONE_DEVICE, folder)
        return folder, *found[kind]

    return train


@pytest.fixture(scope="module")
def two_devices(tmp_path_factory):
    """The folder of a process with two devices."""
    folder = tmp_path_factory.mktemp("two")
    finish(start(PROGRAM, folder, "cpu:2"))
    return folder


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory):
    """The folder of two processes of one device each, and what both print."""
    folder = tmp_path_factory.mktemp("workers")
    with two_ports() as addresses:
        tasks = [
            {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}} for index in (0, 1)
        ]
        printed = finish(*[start(PROGRAM, folder, TF_CONFIG=json.dumps(task)) for task in tasks])
    return folder, printed


def assert_same_training(kind, folder, one_device):
    """The weights are those of one device within rounding, which is little of the way that they went."""
    atol = TOLERANCE.get(kind, 1e-6)
    reference, untrained, trained = one_device(kind)
    with np.load(folder / f"{kind}.npz") as file:
        weights = [file[name] for name in file.files]
    for before, expected, found in zip(untrained, trained, weights, strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=atol)
        assert np.abs(expected - before).max() > 100 * atol
    logs = [list(csv.reader((path / f"{kind}_log.csv").open())) for path in (reference, folder)]
    assert logs[0][0] == logs[1][0]
    assert [row[0] for row in logs[1][1:]] == ["0", "1", "2"]
    columns = [index for index, name in enumerate(logs[0][0]) if not name.startswith("val_")]  # empty ones
    numbers = [np.array(log[1:])[:, columns].astype(float) for log in logs]
    np.testing.assert_allclose(numbers[1], numbers[0], rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", train_on_devices.UNINTERRUPTED)
def test_two_devices_train_as_one(kind, two_devices, one_device):
    assert_same_training(kind, two_devices, one_device)


@pytest.mark.slow
@pytest.mark.parametrize("kind", train_on_devices.CHANGING)
def test_a_training_goes_on_on_two_devices_and_then_on_one(kind, two_devices, one_device):
    assert_same_training(kind, two_devices, one_device)


@pytest.mark.slow
@pytest.mark.parametrize("kind", train_on_devices.ON_WORKERS)
def test_two_workers_train_as_one_device_and_the_chief_alone_writes(kind, two_workers, one_device):
    folder, _ = two_workers
    assert_same_training(kind, folder, one_device)
    assert len(list((folder / "tensorboard" / kind).rglob("events*"))) == 1


def without_numbers(settings):
    """Settings of a model without those numbers in layers' names that count the models built before."""
    return re.sub(r"_\d+", "", json.dumps(settings, sort_keys=True))


@pytest.mark.slow
def test_a_run_of_two_workers_leaves_the_files_of_one_device(two_workers, tmp_path):
    experiment, folders = train_on_devices.tiny(), (tmp_path, two_workers[0] / "run")
    training.prepare_folder(tmp_path, experiment)
    train, validation, _ = training.load_splits(experiment)
    first = training.train_classifier(experiment, tmp_path, train, validation)
    second = training.load_model(folders[1] / "classifier.keras")
    for expected, found in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)

    # Under the same classifier from here on: an attack follows the sign of gradients that are but rounding.
    shutil.copy(folders[1] / "classifier.keras", tmp_path)
    training.run(experiment, tmp_path)
    files = [{path.name for path in folder.iterdir()} for folder in folders]
    assert files[0] == files[1]
    logs = [np.genfromtxt(folder / "cae_log.csv", delimiter=",", skip_header=1) for folder in folders]
    np.testing.assert_allclose(logs[1], logs[0], rtol=1e-5)
    one, two = (training.load_model(folder / "pssr.keras") for folder in folders)
    assert without_numbers(one.get_config()) == without_numbers(two.get_config())
    records = [json.loads((folder / "evaluation.json").read_text()) for folder in folders]
    assert records[0]["crafted_on"] == records[1]["crafted_on"]
    assert list(records[0]["cells"]) == list(records[1]["cells"])
    assert records[0]["cells"]["+PS"] == records[1]["cells"]["+PS"]


@pytest.mark.slow
def test_what_stops_the_chief_stops_the_other_worker(two_workers):
    chief, other = two_workers[1]
    assert re.search("refused: .* is a file, expected a folder", chief)
    assert "refused: another worker stopped, see what it printed" in other
    assert "undefended" not in other  # the chief alone evaluates


def test_one_device_is_tensorflows_own():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    dataset = tf.data.Dataset.range(3)
    for name in (None, "1", "all"):
        chosen = devices.select(name)
        assert chosen is devices.ONE_DEVICE
        assert chosen.mirrored(model) is model
        assert chosen.distribute(dataset) is dataset
        assert chosen.chief_first(lambda: 7) == 7
    assert float(losses.per_replica_loss(tf.constant(0.3))) == np.float32(0.3)


@pytest.mark.parametrize("name", ["none", "0", "-1", "1.5", "", "cpu:", "cpu:0", "cpu:all", "gpu:2", ":2"])
def test_unknown_devices_are_refused(name):
    with pytest.raises(InputError, match=f"devices is '{name}', expected all, a number from 1 on, or cpu:"):
        devices.select(name)


def test_more_devices_than_there_are_are_refused():
    expected = r"devices is 99, but TensorFlow sees \d+ GPUs on this machine: .* or cpu:99 to try it"
    with pytest.raises(InputError, match=expected):
        devices.select("99")


def test_parts_of_a_processor_that_is_at_work_are_refused():
    tf.ones(1) + 1
    with pytest.raises(InputError, match="must be chosen before TensorFlow computes"):
        devices.select("cpu:2")


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"cluster": 3}',
        '{"cluster": {"worker": ["a:1", "b:1"]}}',
        '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 2}}',
    ],
)
def test_a_damaged_cluster_is_refused(text, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(InputError, match=r"TF_CONFIG is .* cannot be read"):
        devices.select()


def test_parts_of_a_processor_are_no_worker(monkeypatch):
    task = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(task))
    with pytest.raises(InputError, match="devices is 'cpu:2' under TF_CONFIG"):
        devices.select("cpu:2")


def test_a_cluster_of_one_is_one_machine(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": {"worker": ["a:1"]}}))
    assert devices.select() is devices.ONE_DEVICE


def test_batches_that_cannot_be_cut_equally_are_refused():
    three = devices.Devices()
    three.count = 3
    three.check_batch(129)
    with pytest.raises(InputError, match="a batch of 128 images cannot be cut into equal parts"):
        three.check_batch(128)


def test_a_file_that_remains_unseen_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(devices, "VISIBLE_AFTER", 0.2)
    with pytest.raises(InputError, match=r"config.json, of the first worker, is not seen by this one"):
        devices.ONE_DEVICE.wait_for(tmp_path / "config.json")


@pytest.fixture(scope="module")
def mirror():
    """Devices of one part, with all that several have."""
    return devices.Devices(tf.distribute.MirroredStrategy(["CPU:0"]))


def test_copies_change_what_is_trained_only(mirror):
    extrapolator = cae.extrapolator((8, 8, 1), channels=2, bottleneck=4)
    keras.utils.set_random_seed(3)
    expected = cae.discriminator((8, 8, 1)).get_weights()
    keras.utils.set_random_seed(3)
    copy = mirror.mirrored(extrapolator, passes=2)
    for first, second in zip(expected, cae.discriminator((8, 8, 1)).get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)  # a copy leaves the seeds of later models alone
    kinds = [type(layer) for layer in copy.layers]
    assert kinds.count(device_layers.BatchNormalization) == 8
    assert kinds.count(device_layers.PartOfDropout) == 2
    assert [weight.path for weight in copy.weights] == [weight.path for weight in extrapolator.weights]
    x = np.random.default_rng(0).uniform(size=(4, 8, 8, 1)).astype(np.float32)
    np.testing.assert_array_equal(copy(x, training=False), extrapolator(x, training=False))


def test_copies_reach_into_models_within_a_model(mirror):
    copy = mirror.mirrored(keras.Sequential([keras.Input((8, 8, 1)), train_on_devices.network()]))
    (inner,) = copy.layers
    assert device_layers.BatchNormalization in map(type, inner.layers)


def test_models_that_cannot_be_copied_are_refused(mirror):
    noisy = keras.Sequential([keras.Input((2,)), keras.layers.GaussianNoise(0.1)], name="noisy")
    with pytest.raises(InputError, match=r"noisy cannot be copied to several devices .* draw the same"):
        mirror.mirrored(noisy)
