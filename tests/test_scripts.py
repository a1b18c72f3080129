import dataclasses
import errno
import functools
import importlib
import importlib.util
import json
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

from pssr_keras import (
    PSSR,
    cae,
    checks,
    classifiers,
    command_line,
    config,
    data,
    evaluation,
    pretrained,
    surgery,
    training,
)

SCRIPTS = pathlib.Path(__file__).parents[1] / "scripts"


def script(name):
    """The script as a module; its `main` takes the arguments and returns the exit status."""
    specification = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def refused(capsys):
    """Function: run a script that must end with one clear line on stderr and status 2."""

    def run(name, *arguments):
        status = script(name).main([str(argument) for argument in arguments])
        error = capsys.readouterr().err
        assert status == 2
        assert error.startswith("error: ")
        assert error.count("\n") == 1
        assert "Traceback" not in error
        return error

    return run


TRAIN_MISTAKES = [
    (["--dataset", "fashion"], "unknown data set 'fashion', expected one of mnist"),
    (["--dataset", "mnist", "--preset", "huge"], "unknown preset 'huge', expected one of smoke, cpu, paper"),
    (["--dataset", "mnist", "--source", "web"], "unknown source 'web'"),
    (["--dataset", "mnist", "--eps", "-0.1"], "eps is '-0.1'"),
    (["--dataset", "mnist", "--eps", "1.5"], "eps is '1.5'"),
    (["--dataset", "mnist", "--eps", "much"], "eps is 'much', expected a number such as 0.3 or 8/255"),
    (["--dataset", "mnist", "--eps", "nan"], "eps is 'nan'"),
    (["--dataset", "mnist", "--seed", "-1"], "seed is -1"),
    (["--dataset", "mnist", "--source", "bundled", "--set", "training_attacks=pdg"], "unknown attack 'pdg'"),
    (["--dataset", "mnist", "--source", "bundled", "--set", "score=loud"], "score is 'loud'"),
    (  # each --set counts, not the last alone
        ["--dataset", "mnist", "--source", "bundled", "--set", "score=loud", "--set", "cae.epochs=1"],
        "score is 'loud'",
    ),
    (["--dataset", "mnist", "--source", "bundled", "--set", "objective=magic"], "objective is 'magic'"),
    (
        ["--dataset", "mnist", "--source", "bundled", "--set", "extrapolator_weights=svhn"],
        "there are no shipped weights for 'svhn'",
    ),
    (["--dataset", "mnist", "--source", "bundled", "--set", "attack_labels=none"], "labels are 'none'"),
    (["--dataset", "mnist", "--source", "bundled", "--set", "speed=9"], "unknown setting 'speed=9'"),
    (["--dataset", "mnist", "--source", "bundled", "--set", "cae.epoch=9"], "with one such as cae.epochs"),
    (["--dataset", "mnist", "--source", "bundled", "--set", "cae.epochs=9.5"], "'9.5', expected an integer"),
    (["--dataset", "mnist", "--source", "bundled", "--set", "attack.eps=8"], "8 of 255 levels are 8/255"),
    (["--dataset", "mnist", "--set", "classifier.architecture=resnet18"], "use the option --classifier"),
]


@pytest.mark.parametrize(("arguments", "message"), TRAIN_MISTAKES)
def test_train_refuses(arguments, message, refused, tmp_path):
    assert message in refused("train", *arguments, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_train_refuses_a_file_as_its_folder(refused, tmp_path):
    (tmp_path / "file").write_text("mine")
    arguments = ("--dataset", "mnist", "--preset", "smoke", "--source", "bundled", "--out", tmp_path / "file")
    assert "is a file, expected a folder" in refused("train", *arguments)


def test_train_refuses_a_foreign_classifier(refused, tmp_path):
    (tmp_path / "foreign.keras").write_bytes(b"PK\x03\x04 something else")
    arguments = ("--dataset", "mnist", "--preset", "smoke", "--source", "bundled", "--out", tmp_path / "run")
    error = refused("train", *arguments, "--classifier", tmp_path / "foreign.keras")
    assert "foreign.keras is not a whole Keras model" in error
    assert "none.keras cannot be read" in refused(
        "train", *arguments, "--classifier", tmp_path / "none.keras"
    )


REPRODUCE_MISTAKES = [
    (["--dataset", "svhn"], "no tables of data set 'svhn' yet, expected one of mnist"),
    (["--dataset", "mnist", "--preset", "huge"], "unknown preset 'huge'"),
    (["--dataset", "mnist", "--tables", "table_9"], "unknown table 'table_9'"),
    (["--dataset", "mnist", "--source", "web"], "unknown source 'web'"),
    (["--dataset", "mnist", "--source", "bundled", "--set", "speed=5"], "unknown setting 'speed=5'"),
    (
        ["--dataset", "mnist", "--source", "bundled", "--shipped", "--out", __file__],
        "is a file, expected a folder",
    ),
]


@pytest.mark.parametrize(("arguments", "message"), REPRODUCE_MISTAKES)
def test_reproduce_refuses(arguments, message, refused):
    assert message in refused("reproduce", *arguments)


def test_report_refuses_and_overwrites_nothing(refused, tmp_path):
    assert "no tables of data set 'svhn' yet" in refused("report", "--dataset", "svhn")
    assert "holds no records" in refused("report", "--dataset", "mnist", "--study", tmp_path)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "records").mkdir()
    shutil.copy(SCRIPTS.parent / "results" / "mnist" / "figure_1.json", tmp_path / "records")
    arguments = ("--dataset", "mnist", "--study", tmp_path, "--out", tmp_path / "file")
    assert "cannot be written" in refused("report", *arguments)
    assert (tmp_path / "file").read_text() == "mine"


EVALUATE_MISTAKES = [
    (["--attacks", "pdg"], "unknown attack 'pdg', expected one of apgd-ce"),
    (["--eps", "9/8"], "eps is '9/8'"),
    (["--n", "1001"], "n is 1,001, expected 1 to 1,000"),
    (["--n", "0"], "n is 0"),
    (["--batch-size", "0"], "batch size is 0"),
    (
        ["--pretrained", "imagenet"],
        "no shipped weights for 'imagenet', expected one of cifar10, cifar100, mnist",
    ),
    (["--run", "nowhere"], "nowhere holds no trained PSSR"),
    (["--run", "nowhere", "--pretrained", "mnist"], "--run and --pretrained name two defenses"),
    (["--images", "none.npz"], "none.npz is no whole .npz file"),
    (["--attacks", "pgd:stps=3"], "pgd has no field 'stps', expected one of eps"),
    (["--attacks", "pgd:steps=many"], "steps of pgd is 'many', expected an integer"),
    (["--attacks", "pgd:best=yes"], "best of pgd is 'yes', expected true or false"),
    (["--attacks", "pgd:step_size=0"], "step_size is 0.0, expected a number > 0"),
    (["--attacks", "pgd:restarts=0"], "restarts"),
    (["--attacks", "autoattack:mode=quick"], "mode is 'quick', expected one of fast, strict"),
    (["--attacks", "cw:eps=-1"], "eps is -1.0, expected a finite L2 distance"),
    (["--attacks", "pgd", "pgd:steps=40"], "pgd is there twice with the same fields"),
    (["--surrogate", "identity"], "--surrogate belongs to --threat-model adaptive"),
    (["--threat-model", "adaptive", "--surrogate", "magic"], "unknown surrogate 'magic', expected one of id"),
    (["--transfer-from", "mnist"], "--transfer-from belongs to --threat-model adaptive"),
    (["--draws", "5"], "--draws belongs to --threat-model adaptive"),
    (["--threat-model", "adaptive", "--draws", "0"], "draws is 0, expected at least 1"),
    (["--threat-model", "adaptive", "--transfer-from", "no.keras"], "no.keras cannot be read"),
    (["--threat-model", "adaptive", "--transfer-from", "cifar10"], "expected (28, 28, 1)"),
    (["--threat-model", "adaptive", "--transfer-from", str(SCRIPTS)], "scripts is no run folder"),
    (["--threat-model", "transfer"], "--threat-model transfer and --substitute belong together"),
    (["--substitute", "mine.keras"], "--threat-model transfer and --substitute belong together"),
    (["--threat-model", "transfer", "--substitute", "no.keras"], "no.keras cannot be read"),
    (["--cache", str(SCRIPTS / "evaluate.py")], "evaluate.py"),
]


@pytest.mark.parametrize(("arguments", "message"), EVALUATE_MISTAKES)
def test_evaluate_refuses(arguments, message, refused):
    assert message in refused("evaluate", "--source", "bundled", *arguments)


def good_images():
    images = data.load("mnist", "test", source="bundled").take(slice(0, 20))
    return images.x, images.y


BAD_IMAGES = {
    "NaN": lambda x, y: (x * np.float32("nan"), y),
    "expected [0, 1]: rescale": lambda x, y: (x * 255, y),
    "uint8, expected float32 in [0, 1]: divide by 255": lambda x, y: ((x * 255).astype(np.uint8), y),
    "expected (28, 28, 1): the channels are first": lambda x, y: (x.transpose(0, 3, 1, 2), y),
    "expected (images, height, width, channels)": lambda x, y: (x[..., 0], y),
    "labels range from 10 to 19, expected 0 to 9": lambda x, y: (x, np.arange(10, 30) % 10 + 10),
    "one for each image": lambda x, y: (x, y[1:]),
}


@pytest.mark.parametrize("message", BAD_IMAGES)
def test_evaluate_refuses_bad_images(message, refused, tmp_path):
    x, y = BAD_IMAGES[message](*good_images())
    np.savez(tmp_path / "own.npz", images=x, labels=y)
    assert message in refused("evaluate", "--images", tmp_path / "own.npz")


DAMAGES = {
    "empty": lambda whole: b"",
    "cut": lambda whole: whole[: len(whole) // 2],
    "changed": lambda whole: whole[:9000] + bytes(byte ^ 255 for byte in whole[9000:9100]) + whole[9100:],
    "another": lambda whole: b"PK\x03\x04 something else",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_evaluate_refuses_a_damaged_archive_of_images(damage, refused, tmp_path):
    x, y = good_images()
    np.savez(tmp_path / "own.npz", images=x, labels=y)
    (tmp_path / "own.npz").write_bytes(DAMAGES[damage]((tmp_path / "own.npz").read_bytes()))
    assert "own.npz is no whole .npz file with `images` and `labels`" in refused(
        "evaluate", "--images", tmp_path / "own.npz"
    )


def test_evaluate_refuses_an_array_that_is_no_archive(refused, tmp_path):
    np.save(tmp_path / "own.npy", good_images()[0])
    assert "own.npy is no whole .npz file" in refused("evaluate", "--images", tmp_path / "own.npy")


def test_evaluate_names_the_file_that_has_too_few_images(refused, tmp_path):
    x, y = good_images()
    np.savez(tmp_path / "own.npz", images=x, labels=y)
    error = refused("evaluate", "--images", tmp_path / "own.npz", "--n", "21")
    assert f"n is 21, expected 1 to 20, the images of {tmp_path / 'own.npz'}" in error


@pytest.mark.parametrize("option", ["--substitute", "--transfer-from"])
def test_evaluate_refuses_a_model_of_other_classes(option, refused, tmp_path):
    classifiers.create("multilayer_perceptron", (28, 28, 1), 7).save(tmp_path / "other.keras")
    threat_model = "transfer" if option == "--substitute" else "adaptive"
    arguments = ("--source", "bundled", "--threat-model", threat_model, option, tmp_path / "other.keras")
    message = "other.keras takes images (28, 28, 1) and returns (7,), expected (28, 28, 1) and (10,)"
    assert message in refused("evaluate", *arguments)


def test_a_transfer_tells_how_good_its_substitute_is(tmp_path, capsys):
    keras.utils.set_random_seed(0)
    classifiers.lenet5().save(tmp_path / "untrained.keras")
    arguments = ["--source", "bundled", "--n", 20, "--attacks", "fgsm", "--out", tmp_path / "record.json"]
    arguments += ["--threat-model", "transfer", "--substitute", tmp_path / "untrained.keras"]
    assert script("evaluate").main(list(map(str, arguments))) == 0
    cells = json.loads((tmp_path / "record.json").read_text())["cells"]
    assert list(cells) == ["substitute", "undefended", "+PS", "+CAE", "PSSR"]
    assert cells["substitute"]["benign"]["accuracy"] < 0.5 < cells["undefended"]["benign"]["accuracy"]


def test_a_purifier_is_judged_before_another_classifier(tmp_path, refused, capsys):
    keras.utils.set_random_seed(0)
    classifiers.lenet5().save(tmp_path / "classifier.keras")
    arguments = ["--source", "bundled", "--n", 20, "--attacks", "fgsm", "--out", tmp_path / "record.json"]
    arguments += ["--pretrained", "mnist", "--before", tmp_path]  # its former name
    assert script("evaluate").main(list(map(str, arguments))) == 0
    assert capsys.readouterr().err.startswith("--before is now called --with-classifier")
    record = json.loads((tmp_path / "record.json").read_text())
    assert record["weights_from"] == f"shipped mnist, with classifier {tmp_path}"
    assert record["cells"]["undefended"]["benign"]["accuracy"] < 0.5  # an untrained one
    classifiers.create("multilayer_perceptron", (28, 28, 1), 7).save(tmp_path / "other.keras")
    assert "returns (7,), expected" in refused("evaluate", "--with-classifier", tmp_path / "other.keras")


FULL = OSError(errno.ENOSPC, "No space left on device")


def test_a_disk_that_is_full_is_one_line(refused, tmp_path, monkeypatch):
    def write_text(path, text):
        raise FULL

    monkeypatch.setattr(pathlib.Path, "write_text", write_text)
    arguments = ("--source", "bundled", "--n", 5, "--attacks", "fgsm", "--out", tmp_path / "record.json")
    error = refused("evaluate", *arguments)
    assert "record.json cannot be written (No space left on device): make room" in error
    assert not list(tmp_path.iterdir())


def test_only_errors_of_the_disk_are_a_user_s_to_mend(capsys):
    def broken():
        raise OSError(errno.EBADF, "Bad file descriptor")

    def full():
        raise FULL

    assert command_line.run(full) == 2
    assert "a file cannot be written (No space left on device)" in capsys.readouterr().err
    with pytest.raises(OSError, match="Bad file descriptor"):
        command_line.run(broken)


def test_evaluate_refuses_an_output_it_could_not_write(refused, tmp_path):
    (tmp_path / "there.json").write_text("mine")
    assert "exists: choose another --out" in refused("evaluate", "--out", tmp_path / "there.json")
    assert (tmp_path / "there.json").read_text() == "mine"
    assert "is a folder" in refused("evaluate", "--out", tmp_path)
    assert "cannot be written" in refused("evaluate", "--out", tmp_path / "no" / "folder.json")


def test_evaluate_refuses_to_test_a_run_on_its_training_images(refused, tmp_path):
    pssr = pretrained.load_pretrained("mnist")
    pssr.save(tmp_path / "pssr.keras")
    settings = pretrained.model_card("mnist")["configuration"]
    (tmp_path / "config.json").write_text(json.dumps({**settings, "exclude_bundled": False}))
    assert "was trained on the bundled images too" in refused(
        "evaluate", "--run", tmp_path, "--source", "bundled"
    )


def test_evaluate_measures_the_shipped_weights_on_own_images(tmp_path, capsys):
    x, y = good_images()
    np.savez(tmp_path / "own.npz", images=x, labels=y)
    arguments = [
        "--images",
        tmp_path / "own.npz",
        "--attacks",
        "fgsm",
        "--n",
        12,
        "--out",
        tmp_path / "record.json",
    ]
    assert script("evaluate").main(list(map(str, arguments))) == 0
    output = capsys.readouterr().out
    assert "n = 12" in output
    assert "oblivious: crafted on the classifier alone" in output
    record = json.loads((tmp_path / "record.json").read_text())
    assert record["weights_from"] == "shipped mnist"
    assert len(record["cells"]["PSSR"]["fgsm"]["correct"]) == 12


def test_a_substitute_must_fit_and_be_another_model(refused, tmp_path):
    inputs = keras.Input((8, 8, 1))
    foreign = keras.Model(inputs, keras.layers.Dense(10)(keras.layers.Flatten()(inputs)))
    pssr = pretrained.load_pretrained("mnist")
    for name, model, message in (
        ("foreign", foreign, "takes images (8, 8, 1) and returns (10,), expected (28, 28, 1)"),
        ("own", pssr.classifier, "is the PSSR's own classifier"),
    ):
        model.save(tmp_path / f"{name}.keras")
        assert message in refused(
            "evaluate", "--threat-model", "transfer", "--substitute", tmp_path / f"{name}.keras"
        )


def test_a_transfer_attack_is_crafted_on_the_substitute(tmp_path, capsys):
    substitute = classifiers.lenet5()
    substitute.save(tmp_path / "classifier.keras")
    arguments = ["--source", "bundled", "--n", 20, "--attacks", "fgsm", "--out", tmp_path / "record.json"]
    arguments += ["--threat-model", "transfer", "--substitute", tmp_path]
    assert script("evaluate").main(list(map(str, arguments))) == 0
    assert "threat model transfer" in capsys.readouterr().out
    record = json.loads((tmp_path / "record.json").read_text())
    assert record["crafted_on"] == evaluation.weights_hash(substitute)
    assert record["cells"]["undefended"]["fgsm"]["accuracy"] > 0.5  # an untrained substitute tells little


def test_an_adaptive_evaluation_names_what_failed_and_goes_on_where_it_stopped(tmp_path, capsys):
    arguments = ["--source", "bundled", "--n", 10, "--threat-model", "adaptive", "--surrogate", "frozen_mask"]
    arguments += ["--attacks", "pgd:steps=20,best=true", "square:queries=5", "--cache", tmp_path / "cache"]
    arguments += ["--out", tmp_path / "record.json", "--overwrite"]
    arguments = list(map(str, arguments))
    assert script("evaluate").main(arguments) == 0
    first = capsys.readouterr().out
    assert "threat model adaptive" in first
    assert "frozen_mask pgd, 10 images" in first
    cells = json.loads((tmp_path / "record.json").read_text())["cells"]["PSSR"]
    assert cells["frozen_mask pgd"]["accuracy"] < 0.3 < 0.7 < cells["classifier pgd"]["accuracy"]
    assert cells["worst case"]["accuracy"] <= cells["frozen_mask pgd"]["accuracy"]

    assert script("evaluate").main(arguments) == 0
    second = capsys.readouterr().out
    assert "10 images" not in second  # nothing is crafted again
    assert json.loads((tmp_path / "record.json").read_text())["cells"]["PSSR"] == cells


@pytest.mark.slow
def test_checks_tell_a_failed_attack_from_a_working_one(tmp_path, capsys, monkeypatch):
    less = {"steps": 30, "queries": 150, "draws": 20, "planted": 5}  # enough here, in a third of the time
    monkeypatch.setattr(checks, "run", functools.partial(checks.run, **less))
    arguments = ["--source", "bundled", "--n", 50, "--threat-model", "adaptive", "--surrogate", "frozen_mask"]
    arguments += ["--attacks", "pgd:steps=10", "--checks", "--out", tmp_path / "record.json"]
    assert script("evaluate").main(list(map(str, arguments))) == 0
    output = capsys.readouterr().out
    assert "UNRELIABLE where crafted on the classifier: failed" in output
    assert "UNRELIABLE where crafted on the frozen_mask" not in output
    assert len(json.loads((tmp_path / "record.json").read_text())["checks"]["frozen_mask"]) == 19


def test_a_truncated_file_of_shipped_weights_is_refused(monkeypatch, tmp_path, refused):
    for path in pretrained.FOLDER.iterdir():
        content = path.read_bytes()
        (tmp_path / path.name).write_bytes(content[:5000] if path.suffix == ".keras" else content)
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    assert "reinstall the package" in refused("evaluate", "--source", "bundled")


@pytest.mark.slow
def test_smoke_preset_from_the_shell_interrupted_and_continued(tmp_path):
    command = [sys.executable, str(SCRIPTS / "train.py"), "--dataset", "mnist", "--preset", "smoke"]
    command += ["--source", "bundled", "--out", str(tmp_path / "run"), "--set", "train_limit=500"]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "run" / "classifier.keras").exists():
        assert first.poll() is None
        time.sleep(0.1)
    first.send_signal(signal.SIGINT)
    _, error = first.communicate(timeout=60)
    assert first.returncode == 130, error  # which tells of an interrupt that Python ignored
    assert error.strip().endswith("the same command goes on from here")
    second = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert second.returncode == 0, second.stderr[-2000:]
    assert "training lenet5" not in second.stdout
    assert "threat model oblivious" in second.stdout
    third = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert third.stdout.splitlines()[-3:] == second.stdout.splitlines()[-3:]
    assert "crafting" not in third.stdout


@pytest.mark.parametrize(
    ("page", "tables"), [("README.md", 1), ("docs/numbers.md", 3), ("docs/reproduction.md", 1)]
)
def test_the_pages_of_numbers_say_what_the_records_say(page, tables):
    text = (SCRIPTS.parent / page).read_text()
    assert text.count(": begin -->") >= tables
    updated = script("update_readme").PAGES[page]
    assert updated(text) == text
    worn = re.sub(r"(?<=\| )(\*\*)?\d", r"\g<1>7", text)  # a number of a table is not left as it was
    assert worn != text
    assert updated(worn) == text
    with pytest.raises(ValueError, match="no place for the table"):
        updated("no table")


def test_the_readme_is_read_in_two_minutes():
    """It shows what is shipped, the worst case too, and leads to the pages for all else."""
    readme = (SCRIPTS.parent / "README.md").read_text()
    assert len(readme.splitlines()) <= 120
    assert len(readme.split()) <= 900
    assert "worst case" in readme
    docs = SCRIPTS.parent / "docs"
    reached, ahead = set(), [docs / "index.md", *re.findall(r"\]\((docs/[\w/.-]+\.md)", readme)]
    while ahead:  # every page can be come to by links
        page = (SCRIPTS.parent / ahead.pop()).resolve()
        if page not in reached and page.is_relative_to(docs.resolve()):
            reached.add(page)
            ahead += [page.parent / link for link in re.findall(r"\]\(([\w/.-]+\.md)", page.read_text())]
    assert set(docs.resolve().rglob("*.md")) == reached


RECORDS_OF_READINGS = sorted((SCRIPTS.parent / "results").glob("*/surgery_readings.json"))


@pytest.mark.parametrize("path", RECORDS_OF_READINGS, ids=lambda path: path.parent.name)
def test_the_table_of_readings_is_that_of_its_record(path):
    text = script("surgery_readings").markdown(json.loads(path.read_text()))
    assert text == path.with_suffix(".md").read_text()


def test_every_reading_of_the_surgery_is_judged():
    """Images of one channel have no reading of channels."""
    readings_of = script("surgery_readings").readings_of
    assert list(readings_of(1)) == [f"{a}, {b}" for a in surgery.SCORES for b in surgery.THRESHOLDS]
    assert len(readings_of(3)) == 3 * len(readings_of(1))
    assert readings_of(3)["signed, each, dataset"] == surgery.PixelSurgery(
        score="signed", channels="each", threshold="dataset"
    )


def test_figure_8_shows_each_stage_and_marks_wrong_answers(toy_classifier, toy_extrapolator, toy_images):
    pssr = PSSR(toy_classifier, surgery.PixelSurgery(), toy_extrapolator)
    images = toy_images.take(slice(0, 6))
    entry = dataclasses.replace(data.MNIST, class_names=("low", "middle", "high"))
    rows, texts = script("figure_8").stages(pssr, images, 1 - images.x, entry)
    assert list(rows) == ["$x$", "$x^{adv}$", "$M_t$", "$x_t^{adv}$", "$E(x_t^{adv})$", "$E(x_t)$"]
    np.testing.assert_array_equal(rows["$x_t^{adv}$"], (1 - images.x) * rows["$M_t$"])
    answers = np.asarray(toy_classifier(images.x)).argmax(axis=1)
    assert [text.removesuffix(" !") for text in texts["$x$"]] == [entry.name_of(k) for k in answers]
    assert [text.endswith(" !") for text in texts["$x$"]] == list(answers != images.y)


def test_a_curve_over_budgets_never_rises_and_goes_on_where_it_stopped(refused, tmp_path, toy_classifier):
    """Two models, a purifier and a classifier; a larger budget keeps what a smaller one broke."""
    own = classifiers.lenet5()
    own.save(tmp_path / "own.keras")
    out = tmp_path / "curve.json"
    arguments = [
        "--models",
        "purifier=mnist-hardened",
        str(tmp_path / "own.keras"),
        "--source",
        "bundled",
        "--n",
        "6",
    ]
    arguments += ["--attacks", "fgsm", "--out", str(out)]
    assert script("budget_curve").main([*arguments, "--eps", "0.3", "0"]) == 0
    before = json.loads(out.read_text())
    assert before["n"] == 6
    assert "adaptive" in before["threat_model"]
    assert list(before["lines"]) == ["purifier", "own.keras"]
    assert script("budget_curve").main([*arguments, "--eps", "0", "0.05", "0.3"]) == 0
    after = json.loads(out.read_text())
    for name, line in after["lines"].items():
        assert {eps: line[eps] for eps in ("0", "0.3")} == before["lines"][name]
        flags = [evaluation.flags_of(line[eps]["correct"]) for eps in ("0", "0.05", "0.3")]
        assert np.all(flags[1] <= flags[0])
        assert np.all(flags[2] <= flags[1])
    assert (out.with_suffix(".png")).stat().st_size > 10_000
    assert "was made with another n: give another --out" in refused("budget_curve", *arguments, "--n", "5")
    assert "eps is '3', expected a number from 0 to 1" in refused("budget_curve", *arguments, "--eps", "3")
    toy_classifier.save(tmp_path / "toy.keras")
    answer = refused("budget_curve", "--models", tmp_path / "toy.keras", "--source", "bundled")
    assert "takes images (8, 8, 1), expected (28, 28, 1)" in answer


def test_shards_are_merged_by_script_into_the_record_of_one_process(tmp_path, capsys, monkeypatch):
    """With --checks for all, the first shard checks the first images of the whole set, as one process."""
    checked = []

    def run(model, images, *arguments, **options):
        checked.append(images.indices.tolist())
        return [checks.Finding("loss rises", "PASS", "100%", ">= 99%")]

    monkeypatch.setattr(checks, "run", run)
    monkeypatch.setattr(config, "CHECKED_IMAGES", 8)
    x, y = good_images()
    np.savez(tmp_path / "own.npz", images=x, labels=y)
    arguments = ["--images", tmp_path / "own.npz", "--attacks", "fgsm", "--n", 12]
    arguments = [*map(str, arguments), "--checks", "--out"]
    for shard in ("2/2", "1/2"):
        assert (
            script("evaluate").main([*arguments, f"{tmp_path}/part-{shard[0]}.json", "--shard", shard]) == 0
        )
    output = capsys.readouterr().out
    assert "shard 2/2: the checks are run with shard 1/2" in output
    assert "shard 2/2 of 12 images:" in output
    assert script("evaluate").main([*arguments, f"{tmp_path}/one.json"]) == 0
    assert checked == [list(range(8))] * 2
    files = [f"{tmp_path}/part-{i}.json" for i in (2, 1)]
    assert script("merge").main([*files, "--out", f"{tmp_path}/whole.json"]) == 0
    assert "n = 12" in capsys.readouterr().out
    assert (tmp_path / "whole.json").read_text() == (tmp_path / "one.json").read_text()


def test_a_shard_that_cannot_be_is_refused(refused, tmp_path):
    out = ("--out", tmp_path / "part.json")
    assert "--shard needs --out" in refused("evaluate", "--shard", "1/2")
    assert "shard is '3/2', expected a number of 1" in refused("evaluate", "--shard", "3/2", *out)
    arguments = ("--source", "bundled", "--n", 5, "--shard", "2/8", *out)
    assert "shard 2/8 of 5 images leaves shards empty: use at most 5" in refused("evaluate", *arguments)
    assert not (tmp_path / "part.json").exists()


def test_merge_refuses_and_overwrites_nothing(refused, tmp_path):
    (tmp_path / "there.json").write_text("mine")
    arguments = (tmp_path / "part.json", "--out", tmp_path / "there.json")
    assert "exists: choose another --out, or --overwrite it" in refused("merge", *arguments)
    assert "part.json cannot be read as a record" in refused("merge", *arguments, "--overwrite")
    shutil.copy(SCRIPTS.parent / "results" / "mnist" / "shipped_evaluation.json", tmp_path / "part.json")
    assert "part.json is no shard" in refused("merge", *arguments, "--overwrite")
    assert (tmp_path / "there.json").read_text() == "mine"


def test_who_claims_to_stand_is_attacked_by_all_and_by_what_transfers(tmp_path, capsys, monkeypatch):
    """The defaults of a hardened run: each attack on each surrogate, and other models' images besides."""
    defense = PSSR(classifiers.lenet5(), None, cae.extrapolator((28, 28, 1), 2, 4), name="hardened")
    defense.save(tmp_path / "hardened.keras")
    settings = config.experiment("mnist", "smoke", defense="hardened", source="bundled")
    (tmp_path / "config.json").write_text(json.dumps(dataclasses.asdict(settings)))
    short = ("pgd:steps=2,best=true", "square:queries=2")
    entry = dataclasses.replace(training.DEFENSES["hardened"], adaptive_attacks=short)
    monkeypatch.setitem(training.DEFENSES, "hardened", entry)
    monkeypatch.setattr(config, "TRANSFER_ATTACKS", ("fgsm",))
    arguments = ["--run", tmp_path, "--source", "bundled", "--n", 12, "--threat-model", "adaptive"]
    arguments += ["--transfer-from", "mnist", "--out", tmp_path / "record.json"]
    assert script("evaluate").main(list(map(str, arguments))) == 0
    assert "UNRELIABLE" not in capsys.readouterr().out
    record = json.loads((tmp_path / "record.json").read_text())
    ((row, cells),) = record["cells"].items()
    by_gradient = {f"{name} pgd" for name in ("classifier", "identity", "frozen_mask")}
    assert row == "hardened"
    assert set(cells) == {"benign", "worst case", "hardened square", "from mnist fgsm", *by_gradient}
    assert record["attacks"]["from mnist fgsm"]["crafted_on"] == "from mnist"
    assert record["crafted_on"]["from mnist"]["kind"] == "FrozenMask"


def test_a_hardened_defense_is_attacked_by_the_field_s_standard_by_default():
    names = [text.partition(":")[0] for text in training.DEFENSES["hardened"].adaptive_attacks]
    assert names == ["pgd", "autoattack", "cw", "hop-skip-jump"]
    evaluate = importlib.import_module("pssr_keras.commands.evaluate")
    settings = config.flat(config.experiment("mnist", "cpu"))
    assert evaluate.default_attacks(settings, True) == config.ADAPTIVE_ATTACKS
    assert evaluate.default_attacks(settings, False) == ("fgsm", "bim", "mim", "pgd")


def test_an_input_is_no_output(refused, tmp_path):
    """What would be read and then replaced is kept, however it is named."""
    x, y = good_images()
    np.savez(tmp_path / "own.npz", images=x, labels=y)
    (tmp_path / "link.npz").symlink_to(tmp_path / "own.npz")
    before = (tmp_path / "own.npz").read_bytes()
    for out in ("own.npz", "link.npz"):
        arguments = ("--images", tmp_path / "own.npz", "--out", tmp_path / out, "--overwrite")
        assert f"{out} is an input too, and would be lost" in refused("evaluate", *arguments)
    assert (tmp_path / "own.npz").read_bytes() == before
    run = tmp_path / "run"
    run.mkdir()
    for name in ("config.json", "pssr.keras", "pgd.json"):
        (run / name).write_text("{}")
    for name in ("config.json", "pssr.keras"):
        out = ("--out", run / name, "--overwrite")
        assert "is an input too" in refused("evaluate", "--run", run, *out)
        assert "is an input too" in refused("evaluate", "--transfer-from", "mnist", run, *out)
    # a result that lies in the folder of a run is no part of it
    assert "input too" not in refused("evaluate", "--run", run, "--out", run / "pgd.json", "--overwrite")
    merged = (run / "pgd.json", "--out", run / "pgd.json", "--overwrite")
    assert "is an input too" in refused("merge", *merged)
    assert {path.read_text() for path in run.iterdir()} == {"{}"}


def test_a_report_replaces_reports_only(refused, tmp_path):
    (tmp_path / "records").mkdir()
    shutil.copy(SCRIPTS.parent / "results" / "mnist" / "figure_1.json", tmp_path / "records")
    arguments = ("--dataset", "mnist", "--study", tmp_path, "--out", tmp_path / "out")
    assert script("report").main(list(map(str, arguments))) == 0
    assert script("report").main(list(map(str, arguments))) == 0  # in place of the earlier one
    assert "figure_1 in" in refused("report", "--dataset", "cifar10", *arguments[2:])
    for name, text in (("tables.md", "# Mine"), ("figure_1.json", "[1]"), ("figure_1.json", "mine")):
        before = (tmp_path / "out" / name).read_text()
        (tmp_path / "out" / name).write_text(text)
        assert f"{name} is no" in refused("report", *arguments)
        assert (tmp_path / "out" / name).read_text() == text
        (tmp_path / "out" / name).write_text(before)
    (tmp_path / "out" / "figure_1.json").unlink()
    assert "figure_1.png is no figure of a report" in refused("report", *arguments)


def test_scripts_ask_before_they_replace_a_file(refused, tmp_path):
    mine = tmp_path / "mine.png"
    mine.write_text("mine")
    assert "exists: choose another --out" in refused("figure_8", "--out", mine)
    curve = ("budget_curve", "--models", "mnist", "--source", "bundled", "--n", 2, "--out")
    assert "mine.png exists, of another record" in refused(*curve, tmp_path / "mine.json")
    assert "is to be the record, a JSON file" in refused(*curve, mine, "--overwrite")
    (tmp_path / "list.json").write_text("[1, 2]")
    assert "list.json is no record of a curve" in refused(*curve, tmp_path / "list.json")
    assert mine.read_text() == "mine"


def test_shipped_weights_are_replaced_only_when_asked(refused, tmp_path, monkeypatch):
    training.write_json(tmp_path / "evaluation.json", {"configuration": {"dataset": "mnist"}, "cells": {}})
    (tmp_path / "pssr.keras").write_bytes(b"weights")
    for path in pretrained.FOLDER.glob("mnist.*"):
        (tmp_path / "weights").mkdir(exist_ok=True)
        shutil.copy(path, tmp_path / "weights")
    before = {path: path.read_bytes() for path in (tmp_path / "weights").iterdir()}
    publish = functools.partial(pretrained.publish, folder=tmp_path / "weights")
    monkeypatch.setattr(pretrained, "publish", publish)
    assert "weights mnist are shipped already" in refused("publish_weights", tmp_path)
    assert "expected letters, digits" in refused("publish_weights", tmp_path, "--name", "../mnist")
    assert {path: path.read_bytes() for path in (tmp_path / "weights").iterdir()} == before
    assert script("publish_weights").main([str(tmp_path), "--overwrite"]) == 0
    assert (tmp_path / "weights" / "mnist.keras").read_bytes() == b"weights"


def test_a_tilde_in_an_option_is_the_home_folder(tmp_path, monkeypatch, refused):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    arguments = ["--source", "bundled", "--n", "5", "--attacks", "fgsm", "--out", "~/record.json"]
    assert script("evaluate").main([*arguments, "--cache", "~/cache"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"record.json", "cache"}
    assert "home folder in ~nobody-there/a.json is not known" in refused(
        "evaluate", "--out", "~nobody-there/a.json"
    )
