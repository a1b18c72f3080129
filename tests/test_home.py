"""The tests have a home of their own: they read nothing in the user's, and change nothing there."""

import json
import os
import pathlib
import subprocess
import sys

import keras
import matplotlib

from pssr_keras import data

WORKER = "PYTEST_XDIST_WORKER"  # such a process shares a folder with the first one
ROOT = pathlib.Path(__file__).parents[1]
PROGRAM = """
import importlib.util, json, os, subprocess, sys
specification = importlib.util.spec_from_file_location("tested", sys.argv[1])
tested = importlib.util.module_from_spec(specification)
specification.loader.exec_module(tested)
asked = "import json, os; print(json.dumps([os.path.expanduser('~'), dict(os.environ)]))"
print(subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True).stdout)
tested.pytest_unconfigure()
"""


def within(path, folder):
    return pathlib.Path(folder) in pathlib.Path(path).parents


def test_this_process_has_a_home_of_its_own():
    home = pathlib.Path.home()
    assert home.name.startswith("pssr-tests-")
    assert data.sources.folder_of() == home / "tensorflow_datasets"
    assert within(keras.src.backend.config.keras_home(), home)
    for place in (matplotlib.get_configdir(), matplotlib.get_cachedir()):  # those of the first process
        assert any(parent.name.startswith("pssr-tests-") for parent in pathlib.Path(place).parents)


def test_what_lies_in_the_home_of_the_user_is_neither_read_nor_changed(tmp_path):
    """A canary: the programs that tests start are led past a home with a half-prepared data set."""
    canary = tmp_path / "home"
    half = canary / "tensorflow_datasets" / "mnist" / "3.0.1"
    half.mkdir(parents=True)
    before = sorted(canary.rglob("*"))
    environment = {"HOME": str(canary), "USERPROFILE": str(canary), "TFDS_DATA_DIR": str(half.parents[1])}
    environment |= {"KERAS_HOME": str(canary), "MPLCONFIGDIR": str(canary), "XDG_CACHE_HOME": str(canary)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(ROOT / "conftest.py")],
        env={name: value for name, value in os.environ.items() if name != WORKER} | environment,
        capture_output=True,
        text=True,
    )
    home, found = json.loads(done.stdout)
    assert home == found["HOME"] != str(canary)
    led_there = {name for name, value in found.items() if str(canary) in value}
    assert led_there <= {"PYTHONUSERBASE", "PLAYWRIGHT_BROWSERS_PATH"}
    assert sorted(canary.rglob("*")) == before
    assert not os.path.exists(home)  # and nothing is left behind
