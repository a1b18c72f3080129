"""The how-to pages do what they say: their code and their commands run, in the order of the page."""

import pathlib
import re
import shlex

import pytest

from pssr_keras import data, training
from pssr_keras.attacks.names import REGISTRY
from pssr_keras.commands import evaluate, train
from pssr_keras.experiments import EXPERIMENTS

FOLDER = pathlib.Path(__file__).parents[1] / "docs" / "howto"
LONG = ("add", "protect")  # they train
COMMANDS = {"pssr-train": train.main, "pssr-evaluate": evaluate.main}
BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def registries():
    """What a page adds is gone afterwards."""
    kept = [
        (registry, dict(registry)) for registry in (data.DATASETS, EXPERIMENTS, training.DEFENSES, REGISTRY)
    ]
    yield
    for registry, content in kept:
        registry.clear()
        registry.update(content)


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=pytest.mark.slow if page.stem in LONG else ())
        for page in sorted(FOLDER.glob("*.md"))
    ],
    ids=lambda page: page.stem,
)
def test_the_blocks_of_a_page_run(page, registries, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": f"page_{page.stem}"}
    blocks = BLOCK.findall(page.read_text())
    assert blocks
    for kind, block in blocks:
        if kind == "python":
            exec(compile(block, f"{page.name}", "exec"), names)
            continue
        for line in block.splitlines():
            command, *arguments = shlex.split(line)
            assert COMMANDS[command](arguments) == 0, f"{line}\n{capsys.readouterr().err}"
