"""How the tests share the cores of a machine: one process for each, and the cells of a notebook together."""

import os

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # Several processes, each with threads for all cores, would wait for each other. TensorFlow reads this
    # when it is imported; programs that tests start inherit it.
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Slow tests first, so that no process is left with one at the end; a notebook is one piece of work."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
    for item in items:
        if item.path.suffix == ".ipynb":
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
