import json
import pathlib

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
