"""How the tests share the cores of a machine: one process for each, and the cells of a notebook together."""

import os

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # Several processes, each with threads for all cores, would wait for each other. TensorFlow reads this
    # when it is imported; programs that tests start inherit it.
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """A notebook is one piece of work: its cells need each other, and nbval's names of them hide a group."""
    from xdist.scheduler import LoadGroupScheduling

    class Scheduling(LoadGroupScheduling):
        def _split_scope(self, nodeid):
            notebook, found, _ = nodeid.partition(".ipynb::")
            return notebook if found else super()._split_scope(nodeid)

    return Scheduling(config, log)


def pytest_collection_modifyitems(items):
    """Slow tests first, so that no process is left with one at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
