import argparse
import functools
import json
import pathlib
import re
import runpy
import shlex
import shutil
import subprocess

import pytest

from pssr_keras import InputError, evaluation, files, pretrained
from pssr_keras.experiments import EXPERIMENTS
from pssr_keras.reproduction import model_cards, report

ROOT = pathlib.Path(__file__).parents[1]
RESULTS = ROOT / "results"
WEIGHTS = json.loads((RESULTS / "weights.json").read_text())


def test_the_record_of_the_shipped_weights_has_the_numbers_of_its_card():
    record = json.loads((RESULTS / "mnist" / "shipped_evaluation.json").read_text())
    card = pretrained.model_card("mnist")
    assert record["weights"] == card["weights"]
    for row, cells in record["cells"].items():
        for column, cell in cells.items():
            right = cell["correct"].count("1")
            assert len(cell["correct"]) == record["n"] == 10_000
            assert cell["accuracy"] == right / 10_000 == card["cells"][row][column]["accuracy"]
            assert tuple(cell["interval_95"]) == evaluation.wilson_interval(right, 10_000)


def test_the_tables_are_about_the_shipped_weights():
    card = pretrained.model_card("mnist")
    records = report.read_records(RESULTS / "mnist")
    for name in ("table_1", "table_3"):
        assert records[name]["shipped"]
        for part in records[name]["parts"]:
            if "PSSR" in part["cells"]:
                assert part["weights"]["PSSR"] == card["weights"]["PSSR"]


@pytest.mark.parametrize("path", WEIGHTS)
def test_a_published_model_is_that_of_its_row(path):
    entry = WEIGHTS[path]
    record = json.loads((ROOT / entry["record"]).read_text())
    assert {
        part["weights"][entry["row"]]
        for part in record.get("parts", [record])
        if entry["row"] in part["weights"]
    } == {entry["weights_hash"]}
    if (ROOT / path).is_file():
        assert files.file_hash(ROOT / path) == entry["sha256"]
        assert evaluation.weights_hash(files.load_model(ROOT / path)) == entry["weights_hash"]


def test_every_trained_row_of_table_1_whose_weights_were_published_is_in_the_manifest():
    """A file is called as its row is, so that none gets the numbers of another."""
    named = [path for path in WEIGHTS if "/classifiers/" in path]
    assert len(named) == 12
    for path in named:
        assert re.sub(r"\W+", "_", WEIGHTS[path]["row"].lower()) == pathlib.Path(path).stem


def test_a_command_of_the_manifest_is_one_that_exists():
    for entry in WEIGHTS.values():
        script, *arguments = shlex.split(entry["command"])[1:]
        dataset = arguments[arguments.index("--dataset") + 1]
        assert (ROOT / script).is_file()
        assert f"results/{dataset}/" in entry["record"]
        if "--rows" in arguments:
            assert arguments[arguments.index("--rows") + 1] in reproduction_rows(dataset)


def reproduction_rows(dataset):
    entry = EXPERIMENTS[dataset]
    return {*entry.rows, *entry.defenses}


@pytest.mark.skipif(shutil.which("git") is None, reason="no git")
def test_weights_come_back_from_the_history(tmp_path, capsys):
    script = runpy.run_path(str(ROOT / "scripts" / "weights.py"))
    git = functools.partial(subprocess.run, check=True, capture_output=True, text=True)
    author = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    origin, name = tmp_path / "origin", "results/mnist/a.keras"
    (origin / "results" / "mnist").mkdir(parents=True)
    (origin / name).write_bytes(b"weights\r\n\0")
    entry = {"sha256": files.file_hash(origin / name), "bytes": 10, "row": "a", "command": "train"}
    git(["git", "init", "-q", origin])
    git(["git", *author, "add", "-Af"], cwd=origin)
    git(["git", *author, "commit", "-qm", "with"], cwd=origin)
    entry["commit"] = git(["git", "rev-parse", "HEAD"], cwd=origin).stdout.strip()
    (origin / name).unlink()
    (origin / "results" / "weights.json").write_text(json.dumps({name: entry}))
    git(["git", *author, "add", "-A"], cwd=origin)
    git(["git", *author, "commit", "-qm", "without"], cwd=origin)
    whole, shallow = tmp_path / "whole", tmp_path / "shallow"
    git(["git", "clone", "-q", origin.as_uri(), whole])
    git(["git", "clone", "-q", "--depth", "1", origin.as_uri(), shallow])

    def run(action, *names, root=whole):
        capsys.readouterr()
        script["run"](argparse.Namespace(action=action, names=names), root)
        return capsys.readouterr().out

    assert run("list").startswith("absent")
    assert run("fetch", name) == f"{name}: fetched\n"
    assert (whole / name).read_bytes() == b"weights\r\n\0"
    assert run("check").startswith("here")
    assert run("fetch", "all") == f"{name}: here already\n"
    (whole / name).write_bytes(b"mine")
    for action in ("check", "fetch"):
        with pytest.raises(InputError, match=r"a\.keras.*move it"):
            run(action, name)
    assert (whole / name).read_bytes() == b"mine"
    with pytest.raises(InputError, match="git fetch --unshallow"):
        run("fetch", name, root=shallow)
    assert not (shallow / name).exists()
    git(["git", "fetch", "-q", "--unshallow"], cwd=shallow)
    assert run("fetch", name, root=shallow) == f"{name}: fetched\n"
    with pytest.raises(InputError, match=r"'b\.keras' is not in results/weights\.json, expected all, or one"):
        run("fetch", "b.keras")
    (whole / name).unlink()
    wrong = {name: entry | {"sha256": "0"}}
    with pytest.raises(InputError, match="is not the file of"):
        script["fetch"]([name], wrong, whole)
    assert not (whole / name).exists()


def tracked():
    """The files that git knows here; the test is skipped outside a checkout."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("no git checkout")
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"git refuses this checkout: {done.stderr}")
    return [ROOT / name for name in done.stdout.split("\0") if (ROOT / name).is_file()]


def test_the_tree_is_light():
    assert sum(path.stat().st_size for path in tracked()) < 60e6


def test_the_history_holds_what_the_manifest_names():
    tracked()
    for path, entry in WEIGHTS.items():
        known = subprocess.run(["git", "cat-file", "-e", entry["commit"]], cwd=ROOT, capture_output=True)
        if known.returncode:
            pytest.skip("a clone without that history")
        command = ["git", "cat-file", "-s", f"{entry['commit']}:{path}"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        assert int(done.stdout) == entry["bytes"]


@pytest.mark.parametrize(
    "name", ["cifar10/longer_adversarial_training", "cifar10/random_start", "cifar100/random_start"]
)
def test_a_training_of_another_schedule_is_that_of_its_record_and_of_the_text(name):
    record = json.loads((RESULTS / f"{name}.json").read_text())
    published = WEIGHTS.get(f"results/{name}.keras", {}).get("weights_hash")
    text = " ".join((RESULTS.parent / "docs" / "reproduction" / "schedules.md").read_text().split())
    for part in record["parts"]:
        ((row, cells),) = part["cells"].items()
        assert published in (None, part["weights"][row])
        for cell in cells.values():
            assert cell == evaluation.measurement(evaluation.flags_of(cell["correct"]))
    (strong,) = (part for part in record["parts"] if "autoattack" in part["attacks"])
    told = report.percent(strong["cells"][row]["autoattack"], 1).replace(" (", "% (")
    assert f"AutoAttack leaves {told}" in text


@pytest.mark.parametrize("dataset", EXPERIMENTS)
def test_the_tables_of_a_data_set_are_about_the_same_weights(dataset):
    records = report.read_records(RESULTS / dataset)
    found = {}
    for name in ("table_1", "table_2", "table_3", "table_4"):
        for part in records.get(name, {"parts": []})["parts"]:
            for row, weights in part["weights"].items():
                found.setdefault(row.removesuffix(", other architecture"), set()).add(weights)
    assert [row for row, weights in found.items() if len(weights) > 1] == []


@pytest.mark.parametrize("path", sorted(RESULTS.rglob("*.json")), ids=lambda path: path.stem)
def test_a_record_names_no_path_of_a_machine(path):
    record = json.loads(path.read_text())
    assert not str(record.get("weights_from", "")).startswith(("/", "~"))


def test_the_worst_case_is_that_of_all_attacks_within_the_budget():
    parts = report.read_records(RESULTS / "mnist")["table_3"]["parts"]
    assert {row for part in parts for row in part["cells"]} == set(EXPERIMENTS["mnist"].purifiers)
    for part in parts:
        for cells in part["cells"].values():
            others = {column: cell for column, cell in cells.items() if column != evaluation.WORST_CASE}
            assert cells[evaluation.WORST_CASE] == evaluation.worst_case(others)


def test_the_adaptive_record_condemns_the_oblivious_attacker():
    for part in report.read_records(RESULTS / "mnist")["table_3"]["parts"]:
        failed = {
            source
            for source, findings in part["checks"].items()
            if any(finding["verdict"] == "FAIL" for finding in findings)
        }
        assert "classifier" in failed
        assert "frozen_mask" not in failed
        if "hardened E" not in part["cells"]:
            assert "identity" in failed


def test_the_cards_in_words_are_those_of_their_records():
    script = runpy.run_path(str(RESULTS.parent / "scripts" / "model_cards.py"))
    texts = script["texts"]()
    assert {path.stem for path in texts} == set(pretrained.names())
    assert set(texts) == set((RESULTS.parent / "docs" / "models").glob("*.md"))
    for path, text in texts.items():
        assert path.read_text() == text


def test_a_card_warns_with_the_record_of_its_own_weights_alone():
    card = pretrained.model_card("mnist")
    record = report.read_records(RESULTS / "mnist")["table_3"]
    assert "## Warning: in the worst case nothing stands" in model_cards.markdown(card, record)
    assert "0.0%** (0.0 to 0.4)" in model_cards.markdown(card, record)
    part = next(part for part in record["parts"] if "PSSR" in part["cells"])
    cell = part["cells"]["PSSR"][evaluation.WORST_CASE] | {"accuracy": 0.5, "interval_95": [0.4, 0.6]}
    held = record | {"parts": [part | {"cells": {"PSSR": {evaluation.WORST_CASE: cell}}}]}
    assert "## Warning: in the worst case 50.0% stand" in model_cards.markdown(card, held)
    others = record | {"parts": [part | {"weights": {"PSSR": "of another model"}}]}
    for found in (others, None):
        assert "## Warning: nobody has measured the worst case" in model_cards.markdown(card, found)
