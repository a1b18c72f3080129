"""Promises of the project as a whole: its dependencies, the direction of its imports, its settings."""

import ast
import graphlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tomllib

import pytest
import yaml

import pssr_keras
from pssr_keras import InputError, config, data, pretrained
from pssr_keras.experiments import EXPERIMENTS, Experiments
from pssr_keras.settings import Experiment

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "pssr_keras"


def layers():
    """The layers of the package as docs/architecture.md names them: {module or room: level}."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    (block,) = re.findall(r"^```layers\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return {name: level for level, line in enumerate(block.splitlines()) for name in line.split()}


def level_of(module, ranks):
    """The level of a module such as "attacks.adaptive": its own, or that of its room."""
    while module not in ranks:
        assert "." in module, f"docs/architecture.md gives no layer to {module}"
        module = module.rpartition(".")[0]
    return ranks[module]


def module_name(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path):
    """The modules of the package that a file of it imports, by their names within the package."""
    modules = {module_name(other) for other in PACKAGE.rglob("*.py")}
    own = path.relative_to(PACKAGE).parts[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = [*own[: len(own) + 1 - node.level], *(node.module.split(".") if node.module else [])]
            for alias in node.names:
                full = ".".join([*base, alias.name])
                found.add(full if full in modules else ".".join(base))
        elif isinstance(node, ast.ImportFrom | ast.Import):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            assert not any(name.split(".")[0] in ("scripts", "tutorials") for name in names)
    return found


def test_environment_and_pyproject_agree():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = set(project["dependencies"]) | set(extras["test"]) | set(extras["tutorials"])
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert set(environment[-1]["pip"]) == wanted | {"-e ."}
    assert f"python{project['requires-python']}" in environment


WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def supported_pythons(project):
    """["3.11", ...]: the versions of `requires-python`."""
    first, last = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", project["requires-python"]).groups()
    return [f"3.{minor}" for minor in range(int(first), int(last))]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_is_bounded_and_may_write_nothing_but_pages(path):
    workflow = yaml.safe_load(path.read_text())
    assert workflow[True]  # YAML 1.1 reads the key "on" so
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["group"]
    for job in workflow["jobs"].values():
        assert 0 < job["timeout-minutes"] <= 90
        assert job.get("permissions", {}) in ({}, {"pages": "write", "id-token": "write"})
        for step in job["steps"]:
            assert re.fullmatch(r"actions/[\w-]+@v\d+", step.get("uses", "actions/none@v1"))


def test_workflows_use_supported_pythons_and_commands_that_exist():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    supported = supported_pythons(project)
    assert {path.stem for path in WORKFLOWS} == {"ci", "gpu", "pages", "release"}
    jobs = {path.stem: yaml.safe_load(path.read_text())["jobs"].values() for path in WORKFLOWS}
    (tests,) = jobs["ci"]
    assert tests["strategy"]["matrix"]["python"] == supported
    steps = [step for found in jobs.values() for job in found for step in job["steps"]]
    versions = {
        str(step["with"]["python-version"]) for step in steps if "setup-python" in step.get("uses", "")
    }
    assert versions <= {*supported, "${{ matrix.python }}"}
    commands = "\n".join(step["run"] for step in steps if "run" in step)
    assert ".ci/run" in commands.splitlines()
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert set(re.findall(r"\bpssr-\w+", commands)) <= set(project["scripts"])
    extras = [name for group in re.findall(r"\.\[([\w,]+)\]", commands) for name in group.split(",")]
    assert extras
    assert set(extras) <= set(project["optional-dependencies"])


def test_the_container_has_the_course_and_the_tests_and_no_root():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = (ROOT / "Dockerfile").read_text()
    (version,) = re.findall(r"^FROM python:([\d.]+)-slim$", text, re.MULTILINE)
    assert version in supported_pythons(project)
    (extras,) = re.findall(r'pip install .*-e "\.\[(.*)\]"', text)
    assert {"tutorials", "test"} <= set(extras.split(",")) <= set(project["optional-dependencies"])
    (user,) = re.findall(r"^USER (.*)$", text, re.MULTILINE)
    assert user != "root"
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    assert (ROOT / ".devcontainer" / container["build"]["dockerfile"]).resolve() == ROOT / "Dockerfile"
    assert container["remoteUser"] == user


FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_go_one_way(path):
    ranks, module = layers(), module_name(path)
    for name in imports_of(path):
        if name.partition(".")[0] != module.partition(".")[0] or {name, module} & ranks.keys():
            inside = name.partition(".")[0] == module.partition(".")[0]
            allowed = (
                level_of(name, ranks) <= level_of(module, ranks)
                if inside
                else (level_of(name, ranks) < level_of(module, ranks))
            )
            assert allowed, f"{module} imports {name}"


def test_no_two_modules_of_a_room_import_each_other():
    graph = {module_name(path): imports_of(path) - {module_name(path)} for path in FILES}
    for module, imported in graph.items():  # a room's __init__ gathers what is in it
        graph[module] = {name for name in imported if not module.startswith(f"{name}.")}
    graphlib.TopologicalSorter(graph).prepare()  # raises where there is a circle


def test_a_data_set_needs_no_number_of_its_own(monkeypatch):
    """One line of experiments is enough; rows make tables."""
    monkeypatch.setitem(EXPERIMENTS, "toys", Experiments(Experiment("toys")))
    assert config.experiment("toys", "cpu") == Experiment("toys")
    assert config.experiment("toys", "smoke").data.train_limit == 1_000
    assert "toys" in config.presets()
    assert "toys" not in config.reproductions()
    entry = Experiments(Experiment("toys"), rows={"undefended": "cross_entropy"})
    monkeypatch.setitem(EXPERIMENTS, "toys", entry)
    assert list(config.reproductions()["toys"]) == ["smoke", "cpu"]
    for numbers in config.reproductions()["toys"].values():
        for changes in (numbers.main, numbers.robust, numbers.variant, numbers.other):
            config.experiment("toys", "cpu", **config.parse_changes(changes))
    assert entry.purifiers == {"PSSR": "pssr"}


def test_every_entry_is_found_by_its_name():
    assert list(EXPERIMENTS) == list(data.DATASETS)
    for entries, name_of in (
        (EXPERIMENTS, lambda e: e.experiment.dataset),
        (data.DATASETS, lambda e: e.name),
    ):
        assert all(name == name_of(entry) for name, entry in entries.items())


def test_images_without_experiments_are_told_from_an_unknown_name(monkeypatch):
    monkeypatch.setitem(data.DATASETS, "toys", data.DATASETS["mnist"])
    for name, problem in (("toys", "data set 'toys' has no experiments"), ("toy", "unknown data set 'toy'")):
        with pytest.raises(InputError, match=f"^{problem}, expected one of mnist, cifar10"):
            config.experiment(name, "cpu")


def test_presets_are_the_promised_ones():
    assert config.presets()["mnist"] == ["smoke", "cpu", "paper"]
    paper = config.experiment("mnist", "paper")
    assert (paper.classifier.epochs, paper.cae.epochs) == (200, 100)
    cae = paper.cae
    assert (cae.lambda_query, cae.lambda_pixel, cae.lambda_r_drop, cae.passes) == (1, 1, 0.5, 2)
    assert (paper.surgery.alpha, paper.attack.eps) == (1.5, 0.3)
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
        [
            "cae.epochs=5",
            "dropout=0.1",
            "score=signed",
            "saturating=false",
            "test_limit=9",
            "attack.training=fgsm,pgd:steps=3,step_size=0.1",
        ]
    )
    assert changes == {
        "cae.epochs": 5,
        "cae.dropout": 0.1,
        "surgery.score": "signed",
        "cae.saturating": False,
        "data.test_limit": 9,
        "attack.training": ("fgsm", "pgd:steps=3,step_size=0.1"),
    }
    for setting in ("speed=5", "cae_epochs", "cae_epochs=many", "saturating=perhaps", "dataset=cifar10"):
        with pytest.raises(InputError, match=setting.split("=")[0].replace("cae_epochs", "cae.epochs")):
            config.parse_changes([setting])
    with pytest.raises(
        InputError, match=r"'epochs=5' is ambiguous, expected one of classifier.epochs, cae.ep"
    ):
        config.parse_changes(["epochs=5"])


def test_former_names_go_on_or_say_what_to_type_instead():
    former = ["cae_epochs=5", "classifier_learning_rate=0.1", "surgery=false", "training_attacks=fgsm"]
    assert config.parse_changes(former) == {
        "cae.epochs": 5,
        "classifier.learning_rate": 0.1,
        "surgery.enabled": False,
        "attack.training": ("fgsm",),
    }
    for setting, advice in (
        ("augment_shift=1", "type classifier.augmentation=shift:1"),
        ("one_over_lambda=3", "type classifier.objective=trades:one_over_lambda=3"),
    ):
        with pytest.raises(InputError, match=advice):
            config.parse_changes([setting])


def test_the_configuration_of_an_older_record_is_read():
    """The card of the shipped digits is from before the numbers had groups."""
    card = pretrained.model_card("mnist")["configuration"]
    found = config.read(card)
    expected = config.flat(config.experiment("mnist", "cpu", exclude_bundled=True))
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == (list(value) if isinstance(value, tuple) else value), name


@pytest.mark.parametrize(
    "change",
    [
        {"seed": -1},
        {"cae.epochs": 0},
        {"cae.passes": -2},
        {"cae.benign_share": 1.5},
        {"data.train_limit": 0},
        {"cae.dropout": 1.0},
    ],
)
def test_impossible_experiments_are_refused(change):
    with pytest.raises(InputError, match=f"{next(iter(change))} is"):
        config.experiment("mnist", "cpu", **change)


def test_one_version_everywhere():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == pssr_keras.__version__ == version
    assert citation["cff-version"] == "1.2.0"
    paper = citation["preferred-citation"]
    readme = " ".join((ROOT / "README.md").read_text().split())
    assert paper["title"] in readme
    for author in paper["authors"]:
        assert f"{author['given-names']} {author['family-names']}" in readme
    assert re.search(
        rf"^## (\[Unreleased\]: )?\[?{re.escape(version)}", (ROOT / "CHANGELOG.md").read_text(), re.M
    )


TEXTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *(path for room in ("docs", "results", "tutorials") for path in (ROOT / room).rglob("*.md")),
    *(PACKAGE / "weights").glob("*.json"),
]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_text_sends_nobody_to_a_script_that_has_gone(path):
    """Other than to its history, `git log -- scripts/...`."""
    named = re.findall(r"(?<!git log --\s)\bscripts/[\w/.]*\w", path.read_text())
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_a_folder_of_the_same_name_does_not_hide_the_package(tmp_path):
    """As in the folder that somebody cloned the project into."""
    (tmp_path / "pssr_keras").mkdir()
    code = "import importlib.util; print(importlib.util.find_spec('pssr_keras').origin)"
    found = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert found.stdout.strip().endswith("__init__.py"), found.stdout + found.stderr
