"""A data set of a user's own: an .npz file, or a folder of pictures by class, from training to evaluation."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from pssr_keras import PSSR, InputError, config, data, settings, training
from pssr_keras.commands import evaluate, train
from pssr_keras.data import own
from pssr_keras.experiments import EXPERIMENTS


@pytest.fixture(autouse=True)
def registries():
    """What a test registers is gone after it."""
    before = [(registry, dict(registry)) for registry in (data.DATASETS, EXPERIMENTS)]
    yield
    for registry, content in before:
        registry.clear()
        registry.update(content)


def arrays(count=24, size=8, channels=1, classes=3):
    """Bands, each class at its own height, as x_train, y_train, x_test, y_test."""
    generator = np.random.default_rng(0)
    y = np.arange(count) % classes
    x = generator.integers(0, 60, (count, size, size, channels)).astype(np.uint8)
    for image, label in zip(x, y, strict=True):
        image[2 * label : 2 * label + 2] += 150
    return {"x_train": x, "y_train": y, "x_test": x[:9] // 2, "y_test": y[:9]}


def npz(path, **changes):
    """A file of `arrays`, some of them others; None leaves one out."""
    content = {name: value for name, value in (arrays() | changes).items() if value is not None}
    np.savez(path, **content)
    return path


def picture(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(tf.io.encode_png(pixels).numpy())


def folder(path, count=5, split=("",), classes=("cat", "dog"), channels=3):
    generator = np.random.default_rng(0)
    for part in split:
        for name in classes:
            for number in range(count):
                pixels = generator.integers(0, 256, (8, 8, channels)).astype(np.uint8)
                picture(path / part / name / f"{number}.png", pixels)
    return path


def test_pixels_and_floats_are_the_same_data_set(tmp_path):
    given = arrays()
    pixels = own.read(npz(tmp_path / "pixels.npz"))
    floats = {name: (given[name] / 255).astype(np.float32) for name in ("x_train", "x_test")}
    columns = {"y_train": given["y_train"][:, None]}
    assert own.read(npz(tmp_path / "floats.npz", **floats, **columns)).sha256 == pixels.sha256
    assert own.read(npz(tmp_path / "other.npz", x_test=given["x_test"] + 1)).sha256 != pixels.sha256
    np.testing.assert_array_equal(data.to_pixels(pixels.train.x), given["x_train"])
    assert (len(pixels.train), len(pixels.test), pixels.train.classes) == (24, 9, 3)


def test_a_folder_is_split_where_it_does_not_say_how(tmp_path):
    images = own.read(folder(tmp_path / "pictures", count=10))
    assert (len(images.train), len(images.test), images.class_names) == (16, 4, ("cat", "dog"))
    assert list(images.test.y) == [0, 0, 1, 1]
    assert own.read(tmp_path / "pictures").sha256 == images.sha256
    together = np.concatenate([images.train.x, images.test.x])
    assert len(np.unique(together, axis=0)) == 20  # no image is in both
    assert any("drawn with seed 0" in note for note in images.notes)


def test_a_folder_that_says_how_is_taken_so(tmp_path):
    path = folder(tmp_path / "pictures", count=2, split=("train", "test"), channels=1)
    (path / "train" / "cat" / "notes.txt").write_text("")
    (path / "train" / "cat" / ".DS_Store").write_text("")
    images = own.read(path)
    assert (len(images.train), len(images.test), images.train.x.shape[-1]) == (4, 4, 1)
    assert [note for note in images.notes if "notes.txt" in note and note.startswith("1 files")]


X, Y = arrays()["x_train"], arrays()["y_train"]
NAN = (X / 255).astype(np.float32)
NAN[0] = np.nan


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"y_test": None}, "has no y_test, expected the arrays x_train"),
        ({"x_train": X[..., 0]}, r"x_train: .* give x\[..., None\]"),
        ({"x_train": X[:, :7], "x_test": X[:9, :7]}, "images of 7x8, .* divisible by 4: .* to 8x8"),
        ({"x_test": X[:9, :4]}, "expected one shape"),
        ({"x_train": X[..., [0, 0]], "x_test": X[:9][..., [0, 0]]}, "of 2 channels, expected 1"),
        ({"y_train": Y * 2}, r"y_train: the labels are 0, 2, 4, expected 0 to 2"),
        ({"y_train": Y + 1}, r"y_train: the labels are 1, 2, 3, expected 0 to 2"),
        ({"y_train": Y[:-1]}, r"y_train: the labels have shape \(23,\)"),
        ({"y_train": 0 * Y}, "name 1 class, expected at least 2"),
        ({"y_test": np.full(9, 3)}, "y_test: the labels range from 3 to 3, expected 0 to 2"),
        ({"x_train": NAN}, "x_train: the images contain NaN"),
        ({"x_train": X.astype(np.float32)}, "x_train: the images range from 0 to .*, as x / 255"),
        ({"x_train": X.astype(int)}, "x_train: the images are int64, expected uint8"),
        ({"x_train": X // 128}, "uint8 from 0 to 1, expected 0 to 255"),
        ({"x_test": X[:0], "y_test": Y[:0]}, "x_test: there are no images"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(changes, line, tmp_path):
    with pytest.raises(InputError, match=line):
        own.read(npz(tmp_path / "bad.npz", **changes))


def test_what_is_no_data_set_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"is not there, expected an .npz file or a folder"):
        own.read(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("text")
    with pytest.raises(InputError, match=r"text.npz is no whole .npz file with x_train"):
        own.read(tmp_path / "text.npz")


def grown(path):
    picture(path / "dog" / "9.png", np.zeros((8, 12, 3), np.uint8))


def transparent(path):
    picture(path / "dog" / "9.png", np.zeros((8, 8, 4), np.uint8))


def grey(path):
    picture(path / "dog" / "9.png", np.zeros((8, 8, 1), np.uint8))


def damaged(path):
    (path / "dog" / "3.png").write_bytes((path / "dog" / "3.png").read_bytes()[:40])


def empty(path):
    (path / "hen").mkdir()


def alone(path):
    shutil.rmtree(path / "dog")


def half(path):
    shutil.rmtree(path / "dog")
    (path / "cat").rename(path / "train")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (grown, r"9.png is 8x12 of 3 channels and .*cat.*png is 8x8 of 3 channels"),
        (transparent, "9.png has 4 channels, .* without transparency"),
        (grey, "9.png is 8x8 of 1 channel and .*cat.*of 3 channels"),
        (damaged, "3.png cannot be read as a picture"),
        (empty, "hen holds no picture, expected at least 2"),
        (alone, "only the class folder 'cat', expected at least 2"),
        (half, "test is missing, expected it beside"),
    ],
)
def test_pictures_that_do_not_fit_are_refused(change, line, tmp_path):
    change(folder(tmp_path / "pictures"))
    with pytest.raises(InputError, match=line):
        own.read(tmp_path / "pictures")


def test_a_class_must_be_in_both_splits(tmp_path):
    path = folder(tmp_path / "pictures", count=1, split=("train", "test"))
    (path / "test" / "dog").rename(path / "test" / "hen")
    with pytest.raises(InputError, match=r"has a class 'dog' and .* has none"):
        own.read(path)


def test_defaults_go_by_channels_and_size(tmp_path):
    name, _ = config.add_own(npz(tmp_path / "grey.npz", **arrays(size=16)))
    grey_experiment = config.experiment(name, "smoke")
    assert (grey_experiment.classifier.architecture, grey_experiment.attack.eps) == ("lenet5", 0.3)
    assert (grey_experiment.data.validation_size, grey_experiment.data.train_limit) == (2, 22)
    name, _ = config.add_own(npz(tmp_path / "colour.npz", **arrays(channels=3)))
    experiment = config.experiment(name, "cpu")
    assert (experiment.classifier.architecture, experiment.attack.eps) == ("resnet18", 8 / 255)
    flips = {n for n, value in settings.flat(experiment).items() if str(value).startswith("crop_and_flip")}
    assert flips == set()  # nobody said that these images may be mirrored
    assert config.presets()[name] == ["smoke", "cpu"]
    with pytest.raises(InputError, match="without a source 'bundled': leave it out"):
        data.load(name, "test", "bundled")


def train_nothing(experiment, folder, classifier, train, validation, cache=None, devices=None):
    """A purifier that changes nothing, as only the way of the data is looked at."""
    model = PSSR(classifier, None, name="arn")
    model.save(folder / "nothing.keras")
    return model


def test_a_run_is_trained_evaluated_and_continued_where_the_data_lie(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(training.DEFENSES, "nothing", training.Defense(train_nothing))
    quick = ["defense=nothing", "classifier.epochs=1", "attack.evaluation=fgsm"]
    path, run = npz(tmp_path / "bands.npz"), str(tmp_path / "run")
    command = ["--preset", "smoke", "--out", run, "--set", *quick]
    assert train.main(["--data", str(path), *command]) == 0
    told = capsys.readouterr().out
    assert "24 training and 9 test images of 8x8, grey, 3 classes" in told
    assert "classifier multilayer_perceptron, eps 0.3, 2 training images for validation" in told
    recorded = json.loads((tmp_path / "run" / "config.json").read_text())["own"]
    assert recorded["path"] == str(path)
    assert recorded["sha256"] == own.read(path).sha256
    assert (recorded["shape"], recorded["classes"], recorded["train"]) == ([8, 8, 1], 3, 24)

    judged = ["--run", run, "--attacks", "fgsm", "--n", "4"]
    moved = path.rename(tmp_path / "moved.npz")
    forget()
    assert evaluate.main(judged) != 0
    assert "bands.npz, is not there: name its new place, --data PATH" in capsys.readouterr().err
    forget()
    assert evaluate.main([*judged, "--data", str(moved)]) == 0
    assert "own moved.npz test" in capsys.readouterr().out

    forget()
    assert train.main(["--data", str(moved), *command]) == 0  # and knows the new place from then on
    assert json.loads((tmp_path / "run" / "config.json").read_text())["own"]["path"] == str(moved)
    capsys.readouterr()

    npz(moved, x_test=arrays()["x_test"] + 1)
    forget()
    assert evaluate.main(judged) != 0
    assert "holds other images than those of the run" in capsys.readouterr().err
    assert train.main(["--data", str(moved), *command]) != 0
    assert "holds a run of another configuration (dataset" in capsys.readouterr().err


def forget():
    """As a new process begins."""
    for name in [name for name in data.DATASETS if name.startswith("own-")]:
        del data.DATASETS[name], EXPERIMENTS[name]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--source", "bundled"], "--source belongs to --dataset"),
        (["--exclude-bundled"], "--exclude-bundled belongs to --dataset"),
        (["--preset", "paper"], "unknown preset 'paper', expected one of smoke, cpu"),
        (["--set", "own.path=x"], "use the option --data"),
        (["--set", "classifier.architecture=vgg"], "unknown classifier 'vgg'"),
    ],
)
def test_options_that_do_not_fit_are_refused(arguments, line, tmp_path, capsys):
    path = npz(tmp_path / "bands.npz")
    assert train.main(["--data", str(path), "--out", str(tmp_path / "run"), *arguments]) != 0
    assert line in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_data_are_not_deleted_with_the_run_that_they_lie_in(tmp_path):
    path = folder(tmp_path / "run" / "pictures", count=4)
    name, _ = config.add_own(path)
    with pytest.raises(InputError, match=r"--data .*pictures lies in .*run, which is to be overwritten"):
        training.run(config.experiment(name, "smoke"), tmp_path / "run", overwrite=True)
    assert path.is_dir()


def test_a_damaged_description_is_refused(tmp_path):
    name, _ = config.add_own(npz(tmp_path / "bands.npz"))
    record = json.loads(json.dumps(dataclasses.asdict(config.experiment(name, "cpu"))))
    assert config.own_data(record).dataset == name
    del record["own"]["path"]
    assert config.own_data(record) is None
    with pytest.raises(InputError, match=r"bands.npz is not described in full"):
        config.own_data({"own": {"path": "bands.npz", "colour": "red"}})
