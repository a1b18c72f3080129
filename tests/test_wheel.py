"""The wheel works outside the checkout: weights, embedded images, the paper's numbers, the commands."""

import importlib.metadata
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tomllib
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parents[1]
COMMANDS = ("pssr-train", "pssr-evaluate", "pssr-reproduce", "pssr-verify")
IN_THE_WHEEL = """
import pathlib, runpy, sys
import pssr_keras
from pssr_keras import data, pretrained, reproduction

assert pathlib.Path(pssr_keras.__file__).is_relative_to(sys.prefix), pssr_keras.__file__
for name in pretrained.names():
    pretrained.load_pretrained(name)
for name, entry in data.DATASETS.items():
    if entry.bundled:
        data.load(name, "test", "bundled")
    reproduction.published(name)
for expected, line in (
    (0, "pssr-evaluate --source bundled --n 5 --batch-size 5 --attacks fgsm --out record.json"),
    (2, "pssr-train --dataset fashion"),
    (0, "pssr-verify record.json --n 5 --quiet"),
    (2, "pssr-reproduce --dataset mnist --tables table_9"),
):
    sys.argv = line.split()
    try:
        runpy.run_path(f"{sys.prefix}/bin/{sys.argv[0]}", run_name="__main__")
    except SystemExit as end:
        assert end.code == expected, (line, end)
"""


def needed_setuptools():
    """What pyproject.toml asks for, such as 77."""
    (wanted,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    return int(wanted.rpartition("=")[2])


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy of what it is made from, without a network."""
    if int(importlib.metadata.version("setuptools").partition(".")[0]) < needed_setuptools():
        pytest.skip(f"setuptools >= {needed_setuptools()} is not installed: pip install -e '.[test]'")
    folder = tmp_path_factory.mktemp("wheel")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "pssr_keras", folder / "source" / "pssr_keras", ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "source")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index",
        "--wheel-dir", folder, folder / "source", cwd=folder)  # fmt: skip
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def environment(wheel):
    """The programs of a new environment: it has the wheel, and from this one the packages that it needs."""
    folder = wheel.parent / "environment"
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=wheel.parent)
    python = folder / "bin" / "python"
    run(sys.executable, "-m", "pip", "--quiet", "--python", python, "install", "--no-deps", "--no-index",
        wheel, cwd=wheel.parent)  # fmt: skip
    # A line in a .pth file adds a folder, but reads none of the .pth files there, as that of a checkout.
    (packages,) = folder.glob("lib/python*/site-packages")
    others = [path for path in sys.path if path.endswith("-packages")]
    (packages / "others.pth").write_text("\n".join(others))
    return python.parent


def run(*command, cwd):
    """Run a program that knows nothing of the checkout: (what it prints, what it complains of)."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = list(map(str, command))
    done = subprocess.run(command, cwd=cwd, env=outside, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout, done.stderr


@pytest.mark.slow
def test_the_wheel_is_small_and_has_what_it_needs(wheel):
    assert wheel.stat().st_size <= 40_000_000
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert wheel.name.startswith(f"pssr_keras-{version}-")
    names = set(zipfile.ZipFile(wheel).namelist())
    checkout = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "pssr_keras").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert checkout <= names
    assert {name.partition("/")[0] for name in names} == {"pssr_keras", f"pssr_keras-{version}.dist-info"}


@pytest.mark.slow
def test_the_wheel_works_outside_the_checkout(environment, tmp_path):
    """One process runs the programs of all commands, for TensorFlow takes seconds to start."""
    table, refusals = run(environment / "python", "-c", IN_THE_WHEEL, cwd=tmp_path)
    assert "threat model oblivious" in table
    assert json.loads((tmp_path / "record.json").read_text())["n"] == 5
    first, second = refusals.splitlines()
    assert first.startswith("error: unknown data set 'fashion'")
    assert second.startswith("error: unknown table 'table_9'")
    for command in COMMANDS:
        assert os.access(environment / command, os.X_OK)
        assert (environment / command).read_text().startswith(f"#!{environment / 'python'}\n")


def test_the_commands_are_those_of_the_scripts():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert set(scripts) == set(COMMANDS)
    for command, target in scripts.items():
        name = command.removeprefix("pssr-")
        assert target == f"pssr_keras.commands.{name}:main"
        assert f"from pssr_keras.commands.{name} import main" in (ROOT / "scripts" / f"{name}.py").read_text()
