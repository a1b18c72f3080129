"""The study behind the tables: its mistakes, its resumption; published tables follow their records."""

import json
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from pssr_keras import PSSR, InputError, PixelSurgery, config, evaluation, report, reproduction, surgery
from pssr_keras.reproduction import row_of

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


def test_every_preset_reads_its_own_changes():
    for preset, settings in config.reproductions()["mnist"].items():
        study = reproduction.Study("mnist", preset, settings, None, "bundled", None, False, None)
        for changes in (settings.main, settings.robust, (*settings.main, *settings.variant)):
            study.experiment(changes)
        assert [attack.name for attack in study.suite(strong=False)] == list(reproduction.WEAK)
    assert [attack.name for attack in study.suite(strong=True)] == ["autoattack", "cw"]


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
    assert "Not made in this study" not in text
    for name in report.FIGURES:
        assert (folder / f"{name}.png").stat().st_size > 10_000

    # Numbers in the text are those of the flags.
    cell = row_of(records["table_1"], "PSSR")["pgd"]
    assert f"{100 * cell['correct'].count('1') / 40:.2f} (" in text
    third = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert third.returncode == 0
    assert "0 of 10 tables to make" in third.stdout


@pytest.fixture(scope="module")
def published():
    return report.read_records(RESULTS / "mnist")


def test_published_tables_follow_their_records(published):
    paper = json.loads((RESULTS / "paper.json").read_text())["mnist"]
    assert report.report(published, paper) == (RESULTS / "mnist" / "tables.md").read_text()


def test_published_cells_add_up(published):
    for record in published.values():
        for part in record.get("parts", []):
            for cells in part["cells"].values():
                for cell in cells.values():
                    assert len(cell["correct"]) == part["n"]
                    assert cell == evaluation.measurement(evaluation.flags_of(cell["correct"]))
