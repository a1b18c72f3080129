"""Promises of the project as a whole: its dependencies, the direction of its imports, its numbers."""

import ast
import dataclasses
import inspect
import pathlib
import re
import tomllib

import pytest
import yaml

from pssr_keras import InputError, config

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "pssr_keras"

# A module may import those that come before it.
ORDER = [
    ["inputs", "startup"],
    ["files", "progress"],
    ["config", "data", "classifiers", "losses", "attacks"],
    ["surgery", "baselines", "explain"],
    ["cae"],
    ["defense"],
    ["evaluation", "cache", "checks"],  # the last two are rooms of the first
    ["training"],
    ["pretrained"],
    ["reproduction", "plotting"],
    ["report", "exercises"],
    ["command_line"],
]


def test_environment_and_pyproject_agree():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = set(project["dependencies"]) | set(extras["test"]) | set(extras["tutorials"])
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert set(environment[-1]["pip"]) == wanted
    assert f"python{project['requires-python']}" in environment


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*.py")), ids=lambda path: path.stem)
def test_imports_go_one_way(path):
    if path.stem == "__init__":
        return
    rank = {name: level for level, names in enumerate(ORDER) for name in names}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            for name in [node.module.split(".")[0]] if node.module else [alias.name for alias in node.names]:
                assert rank[name] < rank[path.stem], f"{path.stem} imports {name}"
        if isinstance(node, ast.ImportFrom | ast.Import):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            assert not any(name.split(".")[0] in ("scripts", "tutorials") for name in names)


@pytest.mark.parametrize("numbers", [config.Experiment, config.Reproduction])
def test_every_number_of_an_experiment_says_where_it_comes_from(numbers):
    source = inspect.getsource(numbers)
    fields = [field.name for field in dataclasses.fields(numbers)]
    exempt = {"dataset", "preset", "source", "seed"}
    for name in set(fields) - exempt:
        (line,) = re.findall(rf"^    {name}: .*$", source, re.MULTILINE)
        assert re.search(r"# (paper, (section|eq\.|Fig\.|Table) ?\d|ours, because )", line), line


def test_presets_are_the_promised_ones():
    assert list(config.PRESETS["mnist"]) == ["smoke", "cpu", "paper"]
    paper = config.experiment("mnist", "paper")
    assert (paper.classifier_epochs, paper.cae_epochs) == (200, 100)
    assert (paper.lambda_query, paper.lambda_pixel, paper.lambda_r_drop, paper.passes) == (1, 1, 0.5, 2)
    assert (paper.alpha, paper.eps) == (1.5, 0.3)
    for arguments in (("svhn", "cpu"), ("mnist", "huge")):
        with pytest.raises(InputError, match="expected one of"):
            config.experiment(*arguments)


def test_no_pickle_and_no_path_of_a_machine():
    for path in [*PACKAGE.rglob("*.py"), *(ROOT / "scripts").glob("*.py")]:
        text = path.read_text()
        assert "import pickle" not in text
        assert "allow_pickle=True" not in text


def test_settings_are_parsed_by_their_type_and_checked():
    changes = config.parse_changes(
        ["cae_epochs=5", "dropout=0.1", "score=signed", "saturating=false", "test_limit=9"]
    )
    assert changes == {
        "cae_epochs": 5,
        "dropout": 0.1,
        "score": "signed",
        "saturating": False,
        "test_limit": 9,
    }
    for setting in ("epochs=5", "cae_epochs", "cae_epochs=many", "saturating=perhaps", "dataset=cifar10"):
        with pytest.raises(InputError, match=setting.split("=")[0]):
            config.parse_changes([setting])


@pytest.mark.parametrize(
    "change",
    [
        {"seed": -1},
        {"cae_epochs": 0},
        {"passes": -2},
        {"benign_share": 1.5},
        {"train_limit": 0},
        {"dropout": 1.0},
    ],
)
def test_impossible_experiments_are_refused(change):
    with pytest.raises(InputError, match=f"{next(iter(change))} is"):
        config.experiment("mnist", "cpu", **change)
