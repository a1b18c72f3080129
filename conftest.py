"""How the tests share the cores of a machine: one process for each, and some files whole."""

import os
import pathlib

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # Several processes, each with threads for all cores, would wait for each other. TensorFlow reads this
    # when it is imported; programs that tests start inherit it.
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")


# Files whose tests share what takes long to start.
TOGETHER = ("*.ipynb", "test_devices.py", "test_site.py", "test_wheel.py", "test_demo_browser.py")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """The tests of some files go to one process, all others one by one to any.

    By the names of files: xdist's own groups are marks that it hides in the names of tests, where pytest 9.2
    does not read them.
    """
    if config.getvalue("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class Together(LoadScopeScheduling):
        def _split_scope(self, name):
            path = pathlib.PurePath(name.partition("::")[0])
            return str(path) if any(map(path.match, TOGETHER)) else name

    return Together(config, log)


def pytest_ignore_collect(collection_path, config):
    """Solved notebooks are run where they are named; tests/test_teaching.py judges their answers sooner."""
    solved = collection_path.match("tutorials/teaching/solutions/*.ipynb")
    return True if solved and not any("solutions" in argument for argument in config.args) else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Slow tests first, so that no process is left with one at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
