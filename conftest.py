"""The home of the tests, and how they share the cores of a machine: a process for each, some files whole."""

import importlib
import os
import pathlib
import shutil
import site
import sys
import tempfile

import pytest


def own_home():
    """Give this process, and all that it starts, a home and folders of data and settings that are new.

    So no test reads or changes what lies in the user's home, such as data sets that another program is
    preparing there. It is done when this file is imported, as libraries read these variables when they are.
    """
    home = pathlib.Path(tempfile.mkdtemp(prefix="pssr-tests-"))
    # Packages, browsers and hooks that are installed in the user's home are still to be found.
    os.environ.setdefault("PYTHONUSERBASE", site.getuserbase())
    cache = {"linux": ".cache", "darwin": "Library/Caches"}.get(sys.platform, "AppData/Local")
    browsers = pathlib.Path(os.path.expanduser("~"), cache, "ms-playwright")
    os.environ.setdefault("PLAYWRIGHT_BROWSERS_PATH", str(browsers))
    os.environ |= {"HOME": str(home), "USERPROFILE": str(home)}
    folders = dict(FOLDERS)
    if "PYTEST_XDIST_WORKER" in os.environ:
        del folders["MPLCONFIGDIR"]  # of the first process: its list of fonts takes seconds to make
    for name, folder in folders.items():
        (home / folder).mkdir(parents=True, exist_ok=True)
        os.environ[name] = str(home / folder)
    return home


FOLDERS = {
    "TFDS_DATA_DIR": "tensorflow_datasets",
    "KERAS_HOME": ".keras",
    "MPLCONFIGDIR": ".config/matplotlib",
    "XDG_CACHE_HOME": ".cache",
    "XDG_CONFIG_HOME": ".config",
    "XDG_DATA_HOME": ".local/share",
    "JUPYTER_CONFIG_DIR": ".jupyter",
    "JUPYTER_DATA_DIR": ".local/share/jupyter",
    "JUPYTER_RUNTIME_DIR": ".local/share/jupyter/runtime",
    "IPYTHONDIR": ".ipython",
}
HOME = own_home()


def pytest_configure(config):
    if config.getoption("nbval", False) and "PYTEST_XDIST_WORKER" not in os.environ:
        importlib.import_module(
            "matplotlib.font_manager"
        )  # it would tell the notebooks that it makes its list


def pytest_unconfigure():
    shutil.rmtree(HOME, ignore_errors=True)


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
