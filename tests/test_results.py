import json
import pathlib

import pytest

from pssr_keras import evaluation, pretrained

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


@pytest.mark.parametrize("name", ["oblivious_strong", "oblivious_cw", "adaptive"])
def test_records_of_stronger_attackers_add_up(name):
    record = json.loads((RESULTS / "mnist" / f"{name}.json").read_text())
    assert record["weights"]["PSSR"] == pretrained.model_card("mnist")["weights"]["PSSR"]
    for cells in record["cells"].values():
        for cell in cells.values():
            assert len(cell["correct"]) == record["n"] == 1000
            assert cell == evaluation.measurement(evaluation.flags_of(cell["correct"]))
        if evaluation.WORST_CASE in cells:
            linf = {c: cell for c, cell in cells.items() if c not in (evaluation.WORST_CASE, "cw")}
            assert cells[evaluation.WORST_CASE] == evaluation.worst_case(linf)


def test_the_adaptive_record_condemns_the_oblivious_attacker():
    record = json.loads((RESULTS / "mnist" / "adaptive.json").read_text())
    failed = {
        source
        for source, findings in record["checks"].items()
        if any(finding["verdict"] == "FAIL" for finding in findings)
    }
    assert {"classifier", "identity"} <= failed
    assert "frozen_mask" not in failed
