"""The translation into PyTorch: the same answers, the same steps. Skipped where PyTorch is not installed."""

import importlib
import pathlib
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from pssr_keras import attacks, cae, classifiers, load_pretrained, surgery, training
from pssr_keras.data import DATASETS

torch = pytest.importorskip("torch")
SCRIPTS = pathlib.Path(__file__).parents[1] / "scripts"


@pytest.fixture(scope="module")
def translation():
    sys.path.insert(0, str(SCRIPTS))
    yield importlib.import_module("translation")
    sys.path.remove(str(SCRIPTS))


def part(translation, name):
    return importlib.import_module(f"{translation.__name__}.{name}")


def to_torch(x):
    return torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))


def assert_same_answers(translation, model, translated, *x, atol=1e-5):
    weights = part(translation, "weights")
    rng = np.random.default_rng(1)
    for name, variable in weights.of_keras(model).items():
        if name.startswith("normalisation"):  # otherwise zeros and ones, which hide a mix-up
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
    arrays = weights.from_keras(model)
    translated = weights.to_torch(translated.eval(), arrays)
    expected = np.asarray(model(list(x) if len(x) > 1 else x[0]))
    found = translated(*map(to_torch, x)).detach().numpy()
    found = found.transpose(0, 2, 3, 1) if found.ndim == 4 else found
    assert np.std(expected) > 1e-4
    np.testing.assert_allclose(found, expected, atol=atol * max(1.0, np.abs(expected).max()))
    for name, array in weights.from_torch(translated).items():
        np.testing.assert_array_equal(array, arrays[name])


@pytest.mark.parametrize("name", ["lenet5", "resnet18", "densenet121", "densenet121_strided"])
def test_classifiers_answer_alike(translation, name):
    shape, dataset = ((28, 28, 1), "mnist") if name == "lenet5" else ((32, 32, 3), "cifar10")
    statistics = DATASETS[dataset].statistics
    x = np.random.default_rng(0).uniform(size=(3, *shape)).astype(np.float32)
    model = classifiers.create(name, shape, 10, 1.0 if name == "lenet5" else 0.125, statistics)
    width = 1.0 if name == "lenet5" else 0.125
    translated = part(translation, "models").classifier(name, 10, width, statistics)
    assert_same_answers(translation, model, translated, x, atol=1e-4)


@pytest.mark.parametrize("kind", cae.EXTRAPOLATORS)
@pytest.mark.parametrize("start", cae.STARTS)
@pytest.mark.parametrize("contrast", [0.0, 20.0])
def test_extrapolators_answer_alike(translation, kind, start, contrast):
    shape = (12, 8, 3)
    x = np.random.default_rng(0).uniform(size=(3, *shape)).astype(np.float32)
    x[:, 2:5, 3:7] = 0
    numbers = (4, 6, 0.2, start, contrast)
    translated = part(translation, "models").extrapolator(kind, shape, *numbers)
    assert_same_answers(translation, cae.create(kind, shape, *numbers), translated, x)


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3)])
def test_discriminators_answer_alike(translation, shape):
    x = np.random.default_rng(0).uniform(size=(2, *shape)).astype(np.float32)
    translated = part(translation, "models").Discriminator(shape, 4)
    assert_same_answers(translation, cae.discriminator(shape, 4), translated, x, x[::-1].copy())


@pytest.mark.parametrize("channels", surgery.CHANNELS[::2])
@pytest.mark.parametrize("mean", [None, 0.05])
def test_surgery_removes_the_same_pixels(translation, channels, mean):
    x = np.random.default_rng(0).uniform(size=(8, 32, 32, 3)).astype(np.float32)
    classifier = load_pretrained("cifar10").classifier
    statistics = DATASETS["cifar10"].statistics
    translated = part(translation, "models").classifier("resnet18", 10, 0.25, statistics).eval()
    weights = part(translation, "weights")
    weights.to_torch(translated, weights.from_keras(classifier))
    threshold = "image" if mean is None else "dataset"
    reading = surgery.PixelSurgery(channels=channels, threshold=threshold, dataset_mean=mean)
    _, expected = reading.masks(classifier, tf.constant(x))
    found = part(translation, "attacks").trivial_mask(translated, to_torch(x), 1.5, channels, mean)
    assert 0.1 < np.mean(expected) < 0.99
    assert np.mean(found.numpy().transpose(0, 2, 3, 1) != np.asarray(expected)) < 1e-3


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_optimizers_take_the_same_steps(translation, kind):
    fitting = part(translation, "fitting")
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=7).astype(np.float32), rng.normal(size=(5, 7)).astype(np.float32)
    variable, weight = keras.Variable(start), torch.tensor(start)
    if kind == "sgd":
        ours = training.SGDWithDecayInGradient(0.1, momentum=0.9, nesterov=True, decay=0.01)
        theirs = fitting.SGD([weight], 0.01)
    else:
        ours, theirs = keras.optimizers.Adam(0.1, beta_1=0.5), fitting.Adam([weight], 0.5)
    theirs.rate.fill_(0.1)
    for gradient in gradients:
        ours.apply([tf.constant(gradient)], [variable])
        theirs.step([torch.tensor(gradient)])
    np.testing.assert_allclose(weight.numpy(), variable.numpy(), atol=1e-6)
    for step in (0, 3, 10, 50, 99):
        expected = training.warmup_cosine(0.1, 100, 10)(step)
        assert fitting.warmup_cosine(0.1, 100, 10, step) == pytest.approx(float(expected), abs=1e-7)


def test_attacks_of_the_pairs_have_the_packages_numbers(translation):
    steps_of = part(translation, "training").attack_steps
    for text in ("fgsm", "pgd", "pgd:steps=10", "pgd:steps=1", "pgd:steps=10,step_size=2/255"):
        attack = attacks.parse(text, 8 / 255)
        size, steps, is_random = steps_of(text, 8 / 255)
        assert is_random == bool(attack.draws)
        assert (steps, size) == (getattr(attack, "steps", 1), getattr(attack, "step_size", attack.eps))
    with pytest.raises(ValueError, match="'mim' is not translated"):
        steps_of("mim", 8 / 255)


@pytest.mark.slow
@pytest.mark.parametrize("changes", [(), ("defense=hardened", "hardened.averaging=0.9")])
def test_a_run_is_exported_trained_and_evaluated(translation, tmp_path, changes):
    command = importlib.import_module("train_in_torch")
    numbers = ("data.train_limit=64", "data.test_limit=20", "classifier.epochs=1", "classifier.batch_size=16")
    small = ("cae.epochs=1", "cae.batch_size=16", "hardened.epochs=1", "hardened.batch_size=16")
    options = ["--dataset", "mnist", "--preset", "smoke", "--source", "bundled"]
    changed = ["--set", *numbers, *small, *changes]
    assert not command.main(["export", str(tmp_path / "run.npz"), *options, *changed])
    assert not command.main(["train", str(tmp_path / "run.npz"), str(tmp_path / "weights.npz")])
    assert not command.main(["import", str(tmp_path / "weights.npz"), "--out", str(tmp_path / "run")])
    from pssr_keras.commands import train

    assert not train.main([*options, "--out", str(tmp_path / "run"), *changed])
    assert (tmp_path / "run" / "evaluation.json").is_file()
