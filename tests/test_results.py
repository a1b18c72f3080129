import json
import pathlib
import re
import runpy

import pytest

from pssr_keras import data, evaluation, model_cards, pretrained, report
from pssr_keras.experiments import EXPERIMENTS
from pssr_keras.files import load_model

RESULTS = pathlib.Path(__file__).parents[1] / "results"


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


@pytest.mark.parametrize(
    "path",
    sorted(
        [
            *RESULTS.glob("*/classifiers/*.keras"),
            *RESULTS.glob("*/arn.keras"),
            *RESULTS.glob("*/hardened.keras"),
        ]
    ),
    ids=lambda path: path.stem,
)
def test_a_published_model_is_that_of_its_row(path):
    dataset = path.relative_to(RESULTS).parts[0]
    records = report.read_records(RESULTS / dataset)
    tables = [records[name] for name in ("table_1", "table_3") if name in records]
    parts = [part for record in tables for part in record["parts"]]
    weights = {row: found for part in parts for row, found in part["weights"].items()}
    of_row = {re.sub(r"\W+", "_", row.lower()): found for row, found in weights.items()}
    of_row |= {kind: weights.get(row) for row, kind in EXPERIMENTS[dataset].purifiers.items()}
    assert evaluation.weights_hash(load_model(path)) == of_row[path.stem]


@pytest.mark.parametrize(
    "name", ["cifar10/longer_adversarial_training", "cifar10/random_start", "cifar100/random_start"]
)
def test_a_training_of_another_schedule_is_that_of_its_record_and_of_the_text(name):
    record, weights = json.loads((RESULTS / f"{name}.json").read_text()), RESULTS / f"{name}.keras"
    published = evaluation.weights_hash(load_model(weights)) if weights.is_file() else None
    text = " ".join((RESULTS.parent / "docs" / "reproduction.md").read_text().split())
    for part in record["parts"]:
        ((row, cells),) = part["cells"].items()
        assert published in (None, part["weights"][row])
        for cell in cells.values():
            assert cell == evaluation.measurement(evaluation.flags_of(cell["correct"]))
    (strong,) = (part for part in record["parts"] if "autoattack" in part["attacks"])
    told = report.percent(strong["cells"][row]["autoattack"], 1).replace(" (", "% (")
    assert f"AutoAttack leaves {told}" in text


@pytest.mark.parametrize("dataset", data.DATASETS)
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
