import importlib.util
import json
import pathlib
import sys

import keras
import pytest
from keras import layers

ROOT = pathlib.Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    """A module of benchmarks/ by its name; they import each other as scripts in one folder do."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))

    def load(name):
        spec = importlib.util.spec_from_file_location(f"benchmark_{name}", BENCHMARKS / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    yield load
    for name in ("measuring", "libraries", "modes", "defense", "table", "run"):
        sys.modules.pop(name, None)


def test_the_page_shows_the_record(benchmark):
    record = json.loads((ROOT / "results" / "benchmarks.json").read_text())
    assert (ROOT / "docs" / "speed.md").read_text() == benchmark("table").page(record)


def test_the_record_names_no_machine_and_finds_nothing_less():
    text = (ROOT / "results" / "benchmarks.json").read_text()
    for subject, parts in json.loads(text).items():
        for part, measured in parts.items():
            machine = measured["machine"]
            assert set(machine) == {"processor", "cores", "date", "versions"}, (subject, part)
            assert "/" not in machine["processor"]
        for row in parts.get("modes", {"figures": []})["figures"]:
            # Both modes ask Square in batches of other sizes, and rounding may decide an image.
            assert row["verdicts_that_differ"] <= 0.02 * row["images"], row["part"]


def test_operations_of_a_step_by_hand(benchmark):
    """One convolution of 3x3 and one dense layer in each network; see `step_operations`."""
    defense = benchmark("defense")

    def network():
        inputs = keras.Input((4, 4, 1))
        x = layers.Conv2D(2, 3, padding="same")(inputs)
        return keras.Model(inputs, layers.Dense(5)(layers.Flatten()(x)))

    convolution, dense = 2 * 9 * 1 * 2 * 16, 2 * 32 * 5
    assert defense.multiplications(network()) == (convolution + dense, convolution)

    class Step:
        passes = 2
        extrapolator, classifier, discriminator = network(), network(), network()

    forward = convolution + dense
    expected = 2 * (3 * forward - convolution) + 5 * forward + 2 * forward + 2 * (3 * forward - convolution)
    assert defense.step_operations(Step, 7) == 7 * expected


def test_a_layer_that_pools_counts_as_the_convolution_it_means(benchmark):
    from pssr_keras import classifiers

    total, first = benchmark("defense").multiplications(classifiers.lenet5())
    assert first == 2 * 25 * 6 * 28 * 28
    assert total == first + 2 * 150 * 16 * 10 * 10 + 2 * (400 * 120 + 120 * 84 + 84 * 10)


def test_the_command_measures_records_and_adds(benchmark, tmp_path, capsys, monkeypatch):
    run = benchmark("run")
    inputs = keras.Input((8, 8, 1))
    keras.Model(inputs, layers.Dense(5)(layers.Flatten()(inputs))).save(tmp_path / "toy.keras")
    out, page = tmp_path / "record.json", tmp_path / "speed.md"
    machine = {"processor": "any", "cores": 1, "date": "today", "versions": {"tensorflow": "2"}}
    monkeypatch.setattr(run, "machine", lambda: machine)
    given = ["--model", str(tmp_path / "toy.keras"), "--n", "8", "--n-modes", "4", "--queries", "5"]
    given += ["--eps", "0.02", "--repetitions", "1", "--out", str(out), "--page", str(page)]
    assert run.main([*given, "--parts", "modes"]) == 0
    assert list(json.loads(out.read_text())["toy.keras"]) == ["modes"]
    monkeypatch.setattr(run.libraries.importlib.util, "find_spec", lambda name: None)
    assert run.main([*given, "--parts", "libraries"]) == 0
    record = json.loads(out.read_text())
    assert list(record["toy.keras"]) == ["modes", "libraries"]
    rows = {(row["attack"], row["library"]): row for row in record["toy.keras"]["libraries"]["figures"]}
    assert rows["PGD-40", "pssr_keras"]["times_ours"] == 1
    assert rows["PGD-40", "cleverhans"]["times_ours"] > 0
    assert "| apgd-ce |" in page.read_text()
    assert "not installed" in capsys.readouterr().out


def test_an_unknown_model_is_refused(benchmark, capsys):
    assert benchmark("run").main(["--model", "alexnet"]) == 2
    assert "expected lenet5, resnet18 or a .keras file" in capsys.readouterr().err
