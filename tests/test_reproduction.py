"""The study behind the tables: its mistakes, its resumption; published tables follow their records."""

import concurrent.futures
import dataclasses
import functools
import json
import pathlib
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from pssr_keras import (
    PSSR,
    InputError,
    PixelSurgery,
    config,
    evaluation,
    files,
    locks,
    reproduction,
    surgery,
    training,
)
from pssr_keras.experiments import EXPERIMENTS
from pssr_keras.reproduction import report, row_of

ROOT = pathlib.Path(__file__).parents[1]
RESULTS = ROOT / "results"
COMMAND = [
    sys.executable,
    str(ROOT / "scripts" / "reproduce.py"),
    "--dataset",
    "mnist",
    "--source",
    "bundled",
]


def test_mistakes_are_refused_before_any_work(tmp_path):
    for arguments, message in (
        (("svhn", "smoke"), "no tables of data set 'svhn' yet, expected one of mnist"),
        (("mnist", "huge"), "unknown preset 'huge', expected one of smoke, cpu, paper"),
    ):
        with pytest.raises(InputError, match=message):
            reproduction.open_study(*arguments, tmp_path / "study", "bundled")
    with pytest.raises(InputError, match="unknown table 'table_9', expected one of table_1"):
        reproduction.run("mnist", "smoke", tmp_path / "study", "bundled", tables=["table_9"])
    with pytest.raises(InputError, match="figure_1 is made as a whole: rows are those of table_1, table_2"):
        reproduction.run("mnist", "smoke", tmp_path / "study", "bundled", tables=["figure_1"], rows=["PSSR"])
    assert not (tmp_path / "study").exists()


def test_a_folder_belongs_to_one_study(tmp_path):
    reproduction.open_study("mnist", "smoke", tmp_path / "study", "bundled")
    reproduction.open_study("mnist", "smoke", tmp_path / "study", "bundled")
    with pytest.raises(InputError, match=r"holds another study \(shipped differ\): choose another --out"):
        reproduction.open_study("mnist", "smoke", tmp_path / "study", "bundled", shipped=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="is not empty and holds no study"):
        reproduction.open_study("mnist", "smoke", tmp_path / "other", "bundled")
    with pytest.raises(InputError, match="is a file, expected a folder"):
        reproduction.open_study("mnist", "smoke", tmp_path / "other" / "mine.txt", "bundled")
    with pytest.raises(InputError, match="holds no records: run scripts/reproduce"):
        report.read_records(tmp_path / "study" / "records")


def test_the_parts_of_a_perturbation_by_hand(toy_classifier, toy_images):
    """ "full" is the attack itself, and what is salient in one part is missing in the other."""
    generator = np.random.default_rng(0)
    x_adv = np.clip(toy_images.x + generator.uniform(-0.3, 0.3, toy_images.x.shape), 0, 1).astype(np.float32)
    reading = PixelSurgery()
    found = reproduction.decomposed(toy_classifier, toy_images, x_adv, reading)
    salient, trivial = reading.masks(toy_classifier, x_adv)
    by_hand = {
        "full": x_adv,
        "salient perturbation": toy_images.x + (x_adv - toy_images.x) * salient,
        "trivial perturbation": x_adv - (x_adv - toy_images.x) * salient,
        "trivial component": surgery.component(x_adv, trivial),
    }
    for part, x in by_hand.items():
        flags = evaluation.correct(toy_classifier, np.asarray(x), toy_images.y)
        assert found[part]["correct"] == evaluation.text_of(flags), part


def test_pixels_and_masks_are_exchanged(toy_classifier, toy_extrapolator, toy_images):
    pssr = PSSR(toy_classifier, PixelSurgery(), toy_extrapolator)
    x, y = toy_images.x, toy_images.y
    x_adv = np.clip(x + np.random.default_rng(0).uniform(-0.3, 0.3, x.shape), 0, 1).astype("float32")
    masks = {
        name: pssr.surgery.masks(toy_classifier, z)[1].numpy()
        for name, z in (("clean", x), ("attacked", x_adv))
    }
    cells, ink = reproduction.exchanged(pssr, x, x_adv, y)
    for kind, z in {"clean": x, "attacked": x_adv}.items():
        for other, mask in masks.items():
            flags = evaluation.correct(lambda image: toy_classifier(toy_extrapolator(image)), z * mask, y)
            assert cells[f"{kind} pixels, {other} mask"]["correct"] == evaluation.text_of(flags)
        flags = evaluation.correct(pssr, z, y)
        assert cells[f"{kind} pixels, {kind} mask"]["correct"] == evaluation.text_of(flags)
    assert np.allclose(ink, [(x * (1 - mask)).sum() / x.sum() for mask in masks.values()], atol=1e-5)


def study_of(dataset, preset, folder=ROOT, test=None, **changes):
    """A study that has nothing yet."""
    settings = dataclasses.replace(config.reproductions()[dataset][preset], **changes)
    return reproduction.Study(dataset, preset, settings, folder, "tfds", None, False, test)


def test_a_warm_start_is_the_undefended_classifier_of_the_same_seed_that_knows_no_more_labels(monkeypatch):
    study = study_of("cifar10", "smoke")
    monkeypatch.setattr(type(study), "classifier", lambda self, *asked: asked)
    assert study.start_of("TRADES", 1, None)() == ("undefended", 1, None)
    assert study.start_of("UAT++, 4,000 labels", 0, None) is None
    assert study.start_of("adversarial training, 4,000 labels", 0, None) is None


@pytest.mark.parametrize("dataset", ["mnist", "cifar10", "cifar100"])
def test_every_preset_reads_its_own_changes(dataset):
    assert list(config.reproductions()[dataset]) == ["smoke", "cpu", "paper"]
    for preset, settings in config.reproductions()[dataset].items():
        study = study_of(dataset, preset)
        for changes in (settings.main, settings.robust, (*settings.main, *settings.variant)):
            study.experiment(changes)
        assert [attack.name for attack in study.suite(strong=False)] == list(reproduction.WEAK)
        entry = study.entry
        folders = {study.training_of(row)[1] for row in entry.rows}
        assert len(folders) == len(entry.rows)  # no training in the folder of another
        for row in entry.rows:
            training.check_names(study.training_of(row)[0])
        for kind in entry.purifiers.values():
            training.check_names(study.experiment(settings.main, defense=kind))
        transfer = {*(entry.transfer_rows or ()), *(settings.transfer_rows or ())}
        assert transfer | set(entry.last_epochs.values()) | set(settings.rows) <= set(entry.rows)
    assert [attack.name for attack in study.suite(strong=True)] == ["autoattack", "cw"]


@pytest.mark.parametrize("dataset", ["mnist", "cifar10", "cifar100"])
def test_every_row_of_the_paper_is_made(dataset):
    entry, paper = EXPERIMENTS[dataset], reproduction.published(dataset)
    rows = (*entry.rows, *entry.last_epochs, *entry.defenses)
    made = {entry.published_as.get(row, row) for row in rows}
    assert set(paper["table 1"]) <= made
    transfer = reproduction.TABLES["table_2"].rows(study_of(dataset, "cpu"))
    assert set(paper["table 2"]) <= {entry.published_as.get(row, row) for row in transfer}
    assert set(paper["table 3"]) <= set(entry.defenses)
    for name in ("table_1", "table_2", "table_3"):
        assert list(reproduction.TABLES[name].rows(study_of(dataset, "cpu")))  # without training anything
    assert set(reproduction.TABLES["table_1"].rows(study_of(dataset, "cpu"))) == set(rows)


def test_a_row_that_is_added_costs_no_other(tmp_path, monkeypatch):
    made = []

    def row(name):
        def make():
            made.append(name)
            if name == "broken" and made.count(name) == 1:
                raise KeyboardInterrupt
            return [part(name, "1100")]

        return make

    names = ["undefended", "broken"]
    table = reproduction.Table(
        lambda study: {"told": {made[-1]: len(made)}},  # as if the models of other rows were gone
        lambda record, paper: [],
        rows=lambda study: {name: row(name) for name in names},
    )
    monkeypatch.setitem(reproduction.TABLES, "table_1", table)
    arguments = ("mnist", "smoke", tmp_path / "study", "bundled")
    with pytest.raises(KeyboardInterrupt):
        reproduction.run(*arguments, tables=["table_1"])
    reproduction.run(*arguments, tables=["table_1"])
    names.append("new")
    record = reproduction.run(*arguments, tables=["table_1"])["table_1"]
    assert made == ["undefended", "broken", "broken", "new"]
    assert [row for part in record["parts"] for row in part["cells"]] == ["undefended", "broken", "new"]
    assert record["told"] == {"undefended": 1, "broken": 3, "new": 4}
    assert record["dataset"] == "mnist"
    reproduction.run(*arguments, tables=["table_1"])
    assert len(made) == 4


def test_some_rows_alone_beside_another_process(tmp_path, monkeypatch):
    made = []
    folder = tmp_path / "study"
    arguments = ("mnist", "smoke", folder, "bundled")

    def row(name, meanwhile=None):
        def make():
            made.append(name)
            if meanwhile:
                reproduction.run(*arguments, tables=["table_1"], rows=[meanwhile])
            return [part(name, "1100")]

        return make

    def table(**rows):
        return reproduction.Table(None, lambda record, paper: [], rows=lambda study: rows)

    first = table(undefended=row("undefended"), TRADES=row("TRADES", meanwhile="PSSR"), PSSR=row("PSSR"))
    monkeypatch.setitem(reproduction.TABLES, "table_1", first)
    monkeypatch.setitem(reproduction.TABLES, "table_2", table(PSSR=row("PSSR, transfer")))
    monkeypatch.setitem(reproduction.TABLES, "table_3", table(ARN=row("ARN")))
    with pytest.raises(InputError, match="unknown row 'trades' of table_1, expected one of undefended"):
        reproduction.run(*arguments, tables=["table_1"], rows=["trades"])
    record = reproduction.run(*arguments, tables=["table_1"], rows=["TRADES"])["table_1"]
    assert made == ["TRADES", "PSSR"]
    assert [*reproduction.row_of(record, "PSSR")], "the row of the other process is lost"
    # without names of tables: wherever the row is
    assert reproduction.run(*arguments, rows=["PSSR"]).keys() == {"table_1", "table_2"}
    assert made[2:] == ["PSSR, transfer"]
    reproduction.run(*arguments, tables=["table_1"])
    assert made[3:] == ["undefended"]


def at_once(*functions):
    """Call functions in threads of their own, and hand on what they raise."""
    with concurrent.futures.ThreadPoolExecutor(len(functions)) as pool:
        for task in [pool.submit(function) for function in functions]:
            task.result()


def test_rows_that_are_finished_at_the_same_moment_are_all_kept_and_none_twice(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "SECONDS", 0.01)
    names = ["undefended", "TRADES", "PSSR"]
    rows = {name: functools.partial(lambda name: [part(name, "1100")], name) for name in names}
    table = reproduction.Table(None, lambda record, paper: [], rows=lambda study: rows)
    monkeypatch.setitem(reproduction.TABLES, "table_1", table)
    study = reproduction.open_study("mnist", "smoke", tmp_path / "study", "bundled")

    def slowly(path):
        content = files.read_json(path)
        time.sleep(0.05)
        return content

    monkeypatch.setattr(reproduction.making, "read_json", slowly)
    asked = [["undefended"], ["TRADES"], ["PSSR"], ["PSSR"]]
    at_once(*(functools.partial(reproduction.making.finished, study, "table_1", row) for row in asked))
    record = json.loads((tmp_path / "study" / "records" / "table_1.json").read_text())
    assert sorted(row for made in record["parts"] for row in made["cells"]) == sorted(names)
    assert [path.name for path in (tmp_path / "study" / "records").iterdir()] == ["table_1.json"]


def test_a_model_that_two_need_is_trained_once_and_waited_for(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(locks, "SECONDS", 0.01)
    study = study_of("mnist", "smoke", tmp_path)
    experiment, finished = study.experiment(()), tmp_path / "models" / "pssr-main" / "pssr.keras"
    trained = []

    def train():
        trained.append(1)
        time.sleep(0.2)
        finished.write_text("weights")

    at_once(*[lambda: study.make_once(experiment, finished, train)] * 3)
    assert len(trained) == 1
    told = capsys.readouterr().out.splitlines()
    assert len(told) == 2
    assert all("is at work in" in line and line.endswith("pssr-main: waiting for it") for line in told)
    assert {path.name for path in finished.parent.iterdir()} == {"config.json", "pssr.keras"}
    with pytest.raises(InputError, match="another configuration"):
        study.make_once(study.experiment((), seed=5), finished, train)


def test_a_study_that_several_begin_at_once_is_one(tmp_path):
    arguments = ("mnist", "smoke", tmp_path / "study", "bundled")
    at_once(*[lambda: reproduction.open_study(*arguments)] * 4)
    assert {path.name for path in (tmp_path / "study").iterdir()} == {"study.json", "records"}


@pytest.mark.parametrize(
    "path", sorted(RESULTS.glob("*/table_[123].json")), ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_any_row_alone_can_be_told(path):
    table, dataset, record = path.stem, path.parent.name, json.loads(path.read_text())
    for row in dict.fromkeys(row for part in record["parts"] for row in part["cells"]):
        alone = record | {"parts": [part for part in record["parts"] if row in part["cells"]]}
        assert row in report.report({table: alone}, reproduction.published(dataset))


def test_names_of_trainings_stay_those_of_earlier_studies():
    study = study_of("mnist", "cpu")
    names = [study.training_of(row)[1].name for row in study.entry.rows]
    assert names[1:3] == ["lenet5-gradient_regularisation-seed0", "lenet5-trades-seed0"]
    assert names[-1] == "lenet5-prototype_conformity-attacked-true-weight-1e-5-seed0"


def test_attacks_that_cost_more_have_fewer_images(toy_images):
    def sizes(study, strong):
        return [([attack.name for attack in suite], len(images)) for images, suite in study.groups(strong)]

    numbers = {"n": 60, "n_strong": 5, "strong_attacks": ("apgd-ce",)}
    study = study_of("cifar10", "smoke", test=toy_images, n_iterated=12, **numbers)
    assert sizes(study, False) == [(["fgsm"], 60), (["bim", "mim", "pgd"], 12)]
    assert sizes(study, True)[2:] == [(["apgd-ce"], 5)]
    for n_iterated in (None, 60):
        study = study_of("cifar10", "smoke", test=toy_images, n_iterated=n_iterated, **numbers)
        assert sizes(study, False) == [(["fgsm", "bim", "mim", "pgd"], 60)]


def test_an_earlier_study_goes_on_and_its_settings_are_its_own(tmp_path):
    reproduction.open_study("mnist", "smoke", tmp_path / "study", "bundled")
    described = tmp_path / "study" / "study.json"
    settings = json.loads(described.read_text())
    for younger in ("rows", "other", "architecture", "n_iterated"):
        del settings[younger]
    settings |= {"minutes": {"table_1": 1e6}, "measured_on": "a laptop"}  # an estimate of another day
    described.write_text(json.dumps(settings))
    reproduction.open_study("mnist", "smoke", tmp_path / "study", "bundled")
    with pytest.raises(InputError, match=r"another study \(main, robust, variant differ\)"):
        reproduction.open_study(
            "mnist", "smoke", tmp_path / "study", "bundled", changes=("classifier.width=0.5",)
        )
    with pytest.raises(InputError, match="unknown setting 'speed=5'"):
        reproduction.open_study("mnist", "smoke", tmp_path / "other", "bundled", changes=("speed=5",))
    study = study_of("cifar10", "smoke")
    assert study.experiment(study.settings.main).classifier.architecture == "lenet5"


def part(row, correct, attack="pgd"):
    """A part of a table's record with one row of equal cells."""
    cell = evaluation.measurement(evaluation.flags_of(correct))
    return {
        "cells": {row: {"benign": cell, attack: cell}},
        "attacks": {attack: {"attack": attack, "eps": 0.03, "norm": "Linf"}},
        "n": len(correct),
        "data": "toy",
        "seed": 0,
    }


def test_table_1_tells_how_its_rows_were_trained():
    notes = {
        "attack": {"steps": 10},
        "held_out_images": 500,
        "held_out": [0.2, 0.31, 0.05],
        "best_epoch": 2,
        "selected": True,
    }
    steady = notes | {"held_out": [0.2, 0.3, 0.29], "selected": False}
    taught = steady | {"labels": 4_000, "pseudo_labels": 16_000, "pseudo_label_accuracy": 0.612}
    record = {
        "dataset": "cifar10",
        "preset": "cpu",
        "parts": [
            part(row, flags)
            for row, flags in {
                "ARN": "0000",
                "PSSR": "1000",
                "PCL_p": "1100",
                "UAT++, 4,000 labels": "1100",
                "adversarial training": "1100",
                "TRADES": "1100",
                "undefended": "1110",
            }.items()
        ],
        "schedule": {
            "architecture": "resnet18", "width": 0.25, "train_limit": 20_000, "epochs": 3, "inner_steps": 4,
            "warm_start": True,
        },
        "trainings": {"UAT++, 4,000 labels": taught, "adversarial training": notes},
    }  # fmt: skip
    paper = {"table 1": {"Semi-SL": [62.3, 0, 0, 0, 64.44, 0, 0], "PSSR": [0] * 7, "PCL": [0] * 7}}
    assert report.rows_of(record) == [
        "undefended", "TRADES", "adversarial training", "UAT++, 4,000 labels", "PCL_p", "PSSR", "ARN",
    ]  # fmt: skip
    text = "\n".join(reproduction.TABLES["table_1"].section(record, paper))
    assert "| *Semi-SL, paper* | *62.30* | *64.44* |" in text
    assert "Not made here: PCL." in text
    assert "ResNet18 with 0.25 times its width" in text
    assert (
        "began with the weights of the undefended one and were trained on 20,000 images for 3 epochs" in text
    )
    record["schedule"].pop("warm_start")  # of an older record
    text = "\n".join(reproduction.TABLES["table_1"].section(record, paper))
    assert "All robust classifiers were trained on 20,000 images for 3 epochs, with 4 steps" in text
    assert "for PSSR and ARN on the undefended one" in text
    told = "adversarial training: 20, 31, 5; epoch 2 is kept. UAT++, 4,000 labels: 20, 30, 29."
    assert told in text, "trainings in the order of the rows"
    assert "adversarial training lost 26 points after its best epoch" in text
    assert "of the teacher's 16,000, 61.2% were right" in text
    record["trainings"] = {"PCL_p": steady | {"held_out": [0.11, 0.0, 0.24]}}
    text = "\n".join(reproduction.TABLES["table_1"].section(record, paper))
    assert "PCL_p lost 11 points on the way, and won them back" in text
    record["trainings"] = {"TRADES": steady}
    text = "\n".join(reproduction.TABLES["table_1"].section(record, paper))
    assert "none lost more than ten points" in text


def test_table_2_tells_only_of_rows_that_it_has():
    substitute = {"substitute": "resnet18 of seed 1, trained by cross_entropy"}
    record = {"dataset": "cifar10", "parts": [substitute | part("undefended", "1100")]}
    paper = {"table 2": {"undefended": [0] * 7, "PSSR": [0] * 7, "PCL_p": [0] * 7}}
    text = "\n".join(reproduction.TABLES["table_2"].section(record, paper))
    assert "Not made here: PSSR and PCL_p." in text
    assert "Table 4" not in text
    assert "ther architecture" not in text
    rows = ("PSSR", "PCL_p", "+CAE&ARD", "+PS&CAE&ARD")
    record["parts"] += [substitute | part(row, "1000") for row in rows]
    text = "\n".join(reproduction.TABLES["table_2"].section(record, paper))
    assert "Not made here" not in text
    assert "+CAE&ARD and +PS&CAE&ARD are those of Table 4" in text


KILLED = textwrap.dedent("""
    import dataclasses, os, signal, sys
    from pssr_keras import data, reproduction
    from pssr_keras.experiments import EXPERIMENTS
    from pssr_keras.training import fitting

    class Killing(fitting.Checkpoint):
        # nothing from outside meets the gap between two epochs of a few images

        def on_epoch_end(self, epoch, logs=None):
            super().on_epoch_end(epoch, logs)
            if "bag_of_tricks" in str(self.path):
                os.kill(os.getpid(), signal.SIGKILL)

    if sys.argv[2:] == ["killed"]:
        fitting.Checkpoint = Killing
    entry = data.CIFAR100
    images = entry.bundled.load("test")
    splits = {"train": images.take(slice(0, 800)), "test": images.take(slice(800, 1000))}
    bundled = dataclasses.replace(entry.bundled, load=splits.__getitem__, splits=("train", "test"))
    chosen = ("undefended", "RO", "BagT")
    data.DATASETS["cifar100"] = dataclasses.replace(entry, bundled=bundled)
    entry = EXPERIMENTS["cifar100"]
    rows = {row: entry.rows[row] for row in chosen}
    EXPERIMENTS["cifar100"] = dataclasses.replace(entry, rows=rows)
    tiny = ["classifier.width=0.25", "validation_size=100", "data.train_limit=100", "classifier.epochs=2"]
    arguments = {"source": "bundled", "tables": ["table_1"], "changes": tiny}
    reproduction.run("cifar100", "smoke", sys.argv[1], **arguments)
""")


@pytest.mark.slow
def test_a_study_of_cifar100_killed_and_continued(tmp_path):
    """Selection, best and last epoch, PSSR: on the embedded images, as if they were training and test."""
    command = [sys.executable, "-c", KILLED, str(tmp_path / "study")]
    models = tmp_path / "study" / "models"
    first = subprocess.run([*command, "killed"], capture_output=True, text=True, timeout=900)
    assert first.returncode == -signal.SIGKILL, first.stderr[-2000:]
    assert (models / "lenet5-bag_of_tricks-seed0" / "checkpoint-classifier.weights.h5").exists()
    finished = {path: path.stat().st_mtime_ns for path in models.glob("*/classifier*.keras")}
    assert {path.parent.name for path in finished} == {
        "lenet5-cross_entropy-seed0",
        "lenet5-early_stopping-seed0",
    }

    second = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert second.returncode == 0, second.stderr[-2000:]
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    assert "by early_stopping" not in second.stdout
    assert "by bag_of_tricks on 100 images, 2 epochs, from epoch 2" in second.stdout
    record = report.read_records(tmp_path / "study" / "records")["table_1"]
    rows = ["undefended", "PSSR", "RO", "RO, last epoch", "BagT", "BagT, last epoch"]
    assert list(dict.fromkeys(row for part in record["parts"] for row in part["cells"])) == rows
    assert {len(cell["correct"]) for cell in row_of(record, "RO").values()} == {40, 20, 10}
    assert set(record["trainings"]) == {"RO", "BagT"}
    assert len(record["trainings"]["RO"]["held_out"]) == 2
    text = "\n".join(reproduction.TABLES["table_1"].section(record, reproduction.published("cifar100")))
    assert "Not made here: TRADES." in text


@pytest.mark.slow
def test_smoke_study_killed_and_continued(tmp_path):
    command = [*COMMAND, "--preset", "smoke", "--out", str(tmp_path / "study")]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "study" / "records" / "figure_1.json").exists():
        assert first.poll() is None
        time.sleep(0.2)
    time.sleep(5)  # into the next tables
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=60)
    finished = {path: path.stat().st_mtime_ns for path in (tmp_path / "study" / "records").glob("*.json")}

    second = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert second.returncode == 0, second.stderr[-2000:]
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    assert "table 1\n" not in second.stdout  # a finished table is not made again
    records = report.read_records(tmp_path / "study" / "records")
    assert set(records) == set(reproduction.TABLES)
    folder = tmp_path / "study" / "report"
    text = (folder / "tables.md").read_text()
    assert "Not made yet" not in text
    for name in report.FIGURES:
        assert (folder / f"{name}.png").stat().st_size > 10_000

    parts = records["table_3"]["parts"]
    assert [list(part["cells"]) for part in parts] == [["PSSR"], ["ARN"], ["hardened E"]]
    for part in parts:
        assert list(part["checks"]) == ["classifier", "identity", "frozen_mask"]

    # Numbers in the text are those of the flags.
    cell = row_of(records["table_1"], "PSSR")["pgd"]
    assert f"{100 * cell['correct'].count('1') / 40:.2f} (" in text
    third = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert third.returncode == 0
    assert "0 of 10 tables to make" in third.stdout


@pytest.fixture(scope="module", params=sorted(path.parent.name for path in RESULTS.glob("*/tables.md")))
def published(request):
    return report.read_records(RESULTS / request.param)


def test_published_tables_follow_their_records(published):
    (dataset,) = {record["dataset"] for record in published.values()}
    text = report.report(published, reproduction.published(dataset))
    assert text == (RESULTS / dataset / "tables.md").read_text()


def test_published_cells_add_up(published):
    for record in published.values():
        for part in record.get("parts", []):
            for cells in part["cells"].values():
                for cell in cells.values():
                    assert len(cell["correct"]) == part["n"]
                    assert cell == evaluation.measurement(evaluation.flags_of(cell["correct"]))
