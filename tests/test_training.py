import csv
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf

from pssr_keras import InputError, config, data, evaluation, pretrained, training
from pssr_keras.data import augmentation
from pssr_keras.training.pssr import make_cae

TINY = {
    "train_limit": 128,
    "validation_size": 32,
    "test_limit": 32,
    "classifier.epochs": 2,
    "cae.epochs": 3,
    "cae.batch_size": 32,
    "extrapolator_channels": 4,
    "extrapolator_bottleneck": 8,
    "width": 0.5,
    "source": "bundled",
    "attack.evaluation": ("fgsm", "pgd"),
}


def tiny(**changes):
    return config.experiment("mnist", "smoke", **TINY | changes)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "uninterrupted"
    return folder, training.run(tiny(), folder)


def weights(folder):
    return keras.saving.load_model(folder / "pssr.keras").get_weights()


def assert_same_run(folder, other):
    for first, second in zip(weights(folder), weights(other), strict=True):
        np.testing.assert_array_equal(first, second)
    records = [json.loads((f / "evaluation.json").read_text()) for f in (folder, other)]
    for record in records:
        del record["evaluation_seconds"]
    assert records[0] == records[1]
    logs = [(f / "cae_log.csv").read_text() for f in (folder, other)]
    assert logs[0] == logs[1]


def test_an_extrapolator_may_begin_as_a_shipped_one(toy_network):
    numbers = {"extrapolator_weights": "mnist", "extrapolator_channels": 32, "extrapolator_bottleneck": 256}
    begun, _ = make_cae(tiny(**numbers), toy_network, (28, 28, 1))
    shipped = pretrained.load_pretrained("mnist").extrapolator
    for first, second in zip(begun.get_weights(), shipped.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)
    with pytest.raises(InputError, match="'mnist', whose E has"):
        make_cae(tiny(extrapolator_weights="mnist"), toy_network, (28, 28, 1))
    with pytest.raises(InputError, match="'mnist', whose E has"):  # before anything is crafted
        training.check_names(tiny(extrapolator_weights="mnist"))


def test_a_run_leaves_its_results_and_nothing_else(finished):
    folder, record = finished
    names = {path.name for path in folder.iterdir()}
    results = {"config.json", "classifier.keras", "pssr.keras", "evaluation.json"}
    assert names == results | {"classifier_log.csv", "cae_log.csv", "tensorboard"}
    assert list(record["cells"]) == ["undefended", "+PS", "+CAE", "PSSR"]
    assert record["configuration"]["seed"] == 0
    assert "bundled" in record["data"]
    with (folder / "cae_log.csv").open(newline="") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["0", "1", "2"]
    assert list((folder / "tensorboard" / "cae").rglob("events*"))


def test_a_finished_run_is_read_not_repeated(finished, monkeypatch):
    folder, record = finished
    monkeypatch.setattr(data, "load", None)
    assert training.run(tiny(), folder) == json.loads(json.dumps(record))


def test_another_seed_gives_another_run(finished, tmp_path):
    training.run(tiny(seed=1), tmp_path)
    assert any(not np.array_equal(a, b) for a, b in zip(weights(finished[0]), weights(tmp_path), strict=True))


INTERRUPT = textwrap.dedent("""
    import os, signal, sys
    from pssr_keras import cae, config, evaluation, training
    import keras

    stage, epoch, number = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])

    def strike(*_, **__):
        os.kill(os.getpid(), number)

    if stage in ("classifier", "cae"):
        original = training.Checkpoint.on_epoch_end
        def on_epoch_end(self, at, logs=None):
            original(self, at, logs)
            if stage in self.path.name and at == epoch:
                strike()
        training.Checkpoint.on_epoch_end = on_epoch_end
    elif stage == "saving":  # half of a checkpoint is written
        original_save = cae.CAE.save_weights
        def save_weights(self, path, *arguments, **keywords):
            original_save(self, path, *arguments, **keywords)
            if int(self.extrapolator_optimizer.iterations) == 8:
                with open(path, "r+b") as file:
                    file.truncate(1000)
                strike()
        cae.CAE.save_weights = save_weights
    elif stage == "crafting":
        original_craft = evaluation.craft
        def craft(attack, *arguments, **keywords):
            if attack.name == "pgd":
                strike()
            return original_craft(attack, *arguments, **keywords)
        evaluation.craft = craft
    elif stage == "evaluation":
        evaluation.evaluate = strike
    training.run(config.experiment("mnist", "smoke", **eval(sys.argv[4])), sys.argv[5])
""")


INTERRUPTIONS = [
    ("classifier", 0, signal.SIGKILL),
    ("crafting", 0, signal.SIGKILL),
    ("cae", 0, signal.SIGINT),
    ("saving", 1, signal.SIGKILL),
    ("cae", 1, signal.SIGKILL),
    ("evaluation", 0, signal.SIGKILL),
]


@pytest.mark.slow
def test_a_run_interrupted_at_every_stage_ends_as_an_uninterrupted_one(finished, tmp_path):
    folder = tmp_path / "interrupted"
    for stage, epoch, number in INTERRUPTIONS:
        arguments = map(str, (stage, epoch, int(number), TINY, folder))
        program = [sys.executable, "-c", INTERRUPT, *arguments]
        killed = subprocess.run(program, capture_output=True, text=True)
        assert killed.returncode == -number, (stage, killed.stderr[-2000:])
        assert not (folder / "evaluation.json").exists()
    training.run(tiny(), folder)
    assert_same_run(finished[0], folder)


def test_a_folder_of_another_configuration_is_refused_and_kept(finished):
    folder, _ = finished
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    with pytest.raises(InputError, match=r"another configuration \(seed 0 -> 7\).*--overwrite"):
        training.run(tiny(seed=7), folder)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_a_folder_in_which_nothing_was_begun_takes_another_configuration(tmp_path):
    with pytest.raises(InputError, match=r"data.train_limit is 9,999, expected 1 to 3,968"):
        training.run(tiny(train_limit=9999), tmp_path / "run")
    training.prepare_folder(tmp_path / "run", tiny())
    assert training.readable(tmp_path / "run" / "config.json")["data.train_limit"] == 128
    (tmp_path / "run" / "classifier.keras").write_text("begun")
    with pytest.raises(InputError, match="another configuration"):
        training.prepare_folder(tmp_path / "run", tiny(seed=7))


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="is a file, expected a folder"):
        training.run(tiny(), tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_with_other_things_is_refused_even_to_overwrite(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="is not empty and holds no run"):
            training.run(tiny(), tmp_path, overwrite=overwrite)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        training.run(tiny(), tmp_path / "file" / "run")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="cannot be written"):
        training.run(tiny(), tmp_path / "run")


def test_overwriting_deletes_the_files_of_the_run_only(tmp_path):
    folder = training.prepare_folder(tmp_path / "run", tiny())
    for name in ("pssr.keras", "cae_log.csv", "notes.txt"):
        (folder / name).write_text("old")
    (folder / "tensorboard" / "cae").mkdir(parents=True)
    training.prepare_folder(folder, tiny(seed=3), overwrite=True)
    assert {path.name for path in folder.iterdir()} == {"config.json", "notes.txt"}
    assert json.loads((folder / "config.json").read_text())["seed"] == 3


@pytest.mark.parametrize("name", ["classifier.keras", "config.json"])
@pytest.mark.parametrize("content", ["cut", "foreign"])
def test_damaged_files_of_a_run_are_named(name, content, finished, tmp_path):
    folder = training.prepare_folder(tmp_path / "run", tiny())
    whole = (finished[0] / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2] if content == "cut" else b"something else")
    with pytest.raises(InputError, match=name):
        training.run(tiny(), folder)


def test_a_damaged_checkpoint_is_named(tmp_path):
    folder = training.prepare_folder(tmp_path / "run", tiny())
    (folder / "checkpoint-classifier.weights.h5").write_bytes(b"something else")
    with pytest.raises(InputError, match=r"checkpoint-classifier.weights.h5 is damaged"):
        training.run(tiny(), folder)


def test_crafted_images_of_another_number_are_named(finished, tmp_path):
    """Such as those that an older version left, which kept more in a file."""
    folder = training.prepare_folder(tmp_path / "run", tiny())
    shutil.copy(finished[0] / "classifier.keras", folder)
    np.save(folder / "adversarial-fgsm-0.npy", np.zeros((3, 28, 28, 1), np.float32))
    with pytest.raises(InputError, match=r"adversarial-fgsm-0.npy holds 3 images, expected 128: delete it"):
        training.run(tiny(), folder)


def own_classifier(outputs, shape=(28, 28, 1), activation=None):
    keras.utils.set_random_seed(0)
    inputs = keras.Input(shape)
    x = keras.layers.Flatten()(inputs)
    return keras.Model(inputs, keras.layers.Dense(outputs, activation=activation)(x))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"outputs": 10, "activation": "softmax"}, "own.keras does not fit: .*remove its final softmax"),
        ({"outputs": 10, "activation": "sigmoid"}, "own.keras does not fit: .*remove its final sigmoid"),
        ({"outputs": 7}, r"own.keras returns \(7,\), expected \(10,\): a logit for each class of mnist"),
        (
            {"outputs": 10, "shape": (1, 28, 28)},
            r"takes images \(1, 28, 28\), expected \(28, 28, 1\) of mnist: its channels are first",
        ),
    ],
)
def test_a_classifier_that_does_not_fit_is_refused_before_anything_is_made(arguments, message, tmp_path):
    own_classifier(**arguments).save(tmp_path / "own.keras")
    with pytest.raises(InputError, match=message):
        training.run(tiny(), tmp_path / "run", classifier_file=tmp_path / "own.keras")
    assert not (tmp_path / "run").exists()


STATISTICS = {"mean": (0.4,), "variance": (0.05,)}


@pytest.mark.parametrize(
    ("expects", "message"),
    [
        (keras.layers.Rescaling(1 / 255), r"where pixels are from 0 to 255: .*layers.Rescaling\(255\)"),
        (keras.layers.Rescaling(0.5, offset=0.5), r"from -1 to 1: .*layers.Rescaling\(2, offset=-1\)"),
        (keras.layers.Rescaling(0.05**0.5, offset=0.4), r"are standardised: .*Normalization\(mean=\(0.4,\)"),
    ],
)
def test_a_classifier_of_other_pixels_is_refused(expects, message, bands):
    images, classifier = bands
    assert training.check_pixels(classifier, images, STATISTICS) == "100.00% of 100 images"
    other = keras.Sequential([keras.Input(images.x.shape[1:]), expects, classifier])
    with pytest.raises(InputError, match=message):
        training.check_pixels(other, images, STATISTICS)


@pytest.fixture
def bands():
    """Images with a band of 0.7 at the height of their class, a brighter one below, and who looks for 0.7."""
    y = np.arange(100) % 4
    x = np.random.default_rng(0).uniform(0.1, 0.3, (100, 4, 4, 1)).astype(np.float32)
    x[np.arange(100), y], x[np.arange(100), (y + 1) % 4] = 0.7, 0.95
    inputs = keras.Input((4, 4, 1))
    classifier = keras.Model(inputs, -50 * keras.ops.abs(keras.ops.mean(inputs, axis=(2, 3)) - 0.7))
    return data.Images(x, y, 4, "bands", np.arange(100)), classifier


def test_a_classifier_that_knows_nothing_is_taken_with_a_warning(bands):
    images, classifier = bands
    drawn = dataclasses.replace(images, y=np.random.default_rng(1).integers(4, size=100))
    assert "% of 100 images, no better than chance" in training.check_pixels(classifier, drawn, None)


def test_a_classifier_that_fits_is_protected_unchanged(tmp_path):
    own = own_classifier(10)
    own.save(tmp_path / "own.keras")
    record = training.run(tiny(**{"cae.epochs": 1}), tmp_path / "run", classifier_file=tmp_path / "own.keras")
    assert record["crafted_on"] == evaluation.weights_hash(own)


@pytest.mark.parametrize("n", [0, -5, 1001])
def test_more_images_than_the_split_has_are_refused(n, bundled_test):
    with pytest.raises(InputError, match=f"n is {n:,}, expected 1 to 1,000"):
        training.first(bundled_test, n, "test")


def test_every_epoch_is_another_permutation_and_a_later_start_continues_it():
    whole = [
        rows.numpy() for rows, _ in training.epochs_of_batches(10, 5, seed=3, first_epoch=0, last_epoch=3)
    ]
    epochs = np.concatenate(whole).reshape(3, 10)
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    later = [
        rows.numpy() for rows, _ in training.epochs_of_batches(10, 5, seed=3, first_epoch=1, last_epoch=3)
    ]
    np.testing.assert_array_equal(later, whole[2:])


def test_pairs_match_and_their_shares_are_those_asked_for(toy_images):
    # a version v of image i is marked by the constant v + i / 100
    versions = np.concatenate(
        [np.full_like(toy_images.x, v) + toy_images.indices[:, None, None, None] / 100 for v in range(3)]
    )
    experiment = tiny(**{"benign_share": 0.5, "cae.epochs": 100})
    dataset = training.pairs_dataset(experiment, versions.astype(np.float32), toy_images, 3, 16)(0)
    counts = np.zeros(3)
    for x_t, x, y in dataset:
        marks = x_t.numpy()[:, 0, 0, 0]
        version, image = np.floor(marks + 1e-4).astype(int), np.rint((marks % 1) * 100).astype(int)
        np.testing.assert_array_equal(x, toy_images.x[image])
        np.testing.assert_array_equal(y, toy_images.y[image])
        counts += np.bincount(version, minlength=3)
    np.testing.assert_allclose(counts / counts.sum(), [0.5, 0.25, 0.25], atol=0.03)


def test_shifts_move_whole_images_within_their_bounds():
    x = np.zeros((200, 9, 9, 1), np.float32)
    x[:, 4, 4] = 1
    shifted = augmentation.parse("shift:2")(tf.constant(x), tf.constant([0, 1], tf.int64)).numpy()
    assert (shifted.sum(axis=(1, 2, 3)) == 1).all()
    _, rows, columns, _ = np.nonzero(shifted)
    assert set(rows) == set(columns) == {2, 3, 4, 5, 6}


def test_augmented_copies_are_moved_and_keep_their_labels(toy_images):
    augmented = training.augment(toy_images, 3, "shift:1", seed=0)
    assert len(augmented) == 3 * 64
    np.testing.assert_array_equal(augmented.x[:64], toy_images.x)
    np.testing.assert_array_equal(augmented.y, np.tile(toy_images.y, 3))
    assert len(set(augmented.indices)) == 3 * 64
    for i in range(3 * 64):
        candidates = [
            np.pad(toy_images.x[i % 64], ((1, 1), (1, 1), (0, 0)))[row : row + 8, column : column + 8]
            for row in range(3)
            for column in range(3)
        ]
        assert any(np.array_equal(augmented.x[i], candidate) for candidate in candidates)
    assert not np.array_equal(augmented.x[64:128], augmented.x[128:])


def test_learning_rate_warms_up_and_ends_at_zero():
    schedule = training.learning_rate(0.1, steps=1000, warmup_steps=50)
    values = [float(schedule(step)) for step in (0, 25, 50, 525, 1000)]
    assert values == pytest.approx([0, 0.05, 0.1, 0.05, 0], abs=1e-3)


def test_a_log_is_cut_back_to_the_checkpoint(tmp_path):
    log = tmp_path / "log.csv"
    log.write_text("epoch,loss\n0,3\n1,2\n2,")
    training.keep_epochs(log, 1)
    assert log.read_text().split() == ["epoch,loss", "0,3"]
