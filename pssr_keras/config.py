"""Every experiment by name: `experiment("mnist", "cpu")` is one frozen set of numbers.

The numbers of a data set stand in `experiments`; what they mean is told in `settings`, how they are called in
`setting_names`. Here is the way from
names to experiments.
"""

from . import setting_names
from .data import DATASETS
from .experiments import EXPERIMENTS
from .inputs import InputError
from .setting_names import parse_changes
from .settings import ADAPTIVE_ATTACKS, CHECKED_IMAGES, TRANSFER_ATTACKS, Experiment, Reproduction, flat

__all__ = [
    "ADAPTIVE_ATTACKS",
    "CHECKED_IMAGES",
    "TRANSFER_ATTACKS",
    "Experiment",
    "Reproduction",
    "experiment",
    "flat",
    "parse_changes",
    "presets",
    "read",
    "reproductions",
]


def presets():
    """The data sets that there are experiments for, each with its presets: {data set: names}."""
    return {name: list(entry.presets) for name, entry in EXPERIMENTS.items()}


def reproductions():
    """The data sets whose tables can be made: {data set: {preset: Reproduction}}."""
    return {name: entry.reproductions for name, entry in EXPERIMENTS.items() if entry.rows}


def experiment(dataset, preset, **changes):
    """The experiment of a data set and a preset, with some numbers changed.

    Args:
        dataset: a name of `experiments.EXPERIMENTS`.
        preset: "smoke", "cpu" or "paper".
        changes: {name: value}, names as `setting_names.full_name` takes them.

    Raises:
        InputError: for a data set without experiments, or an unknown preset or name.
    """
    known = presets()
    if dataset not in known:
        problem = (
            f"data set {dataset!r} has no experiments"
            if dataset in DATASETS
            else f"unknown data set {dataset!r}"
        )
        raise InputError(f"{problem}, expected one of {', '.join(known)}")
    if preset not in known[dataset]:
        raise InputError(f"unknown preset {preset!r}, expected one of {', '.join(known[dataset])}")
    entry = EXPERIMENTS[dataset]
    return setting_names.changed(entry.experiment, {"preset": preset} | entry.presets[preset] | changes)


def read(content):
    """The numbers of an experiment from its record in a run's folder or a model card: {dotted name: value}.

    Those that the record lacks, as it is older than they are, are the data set's.

    Raises:
        InputError: if the record is none of an experiment.
    """
    found = setting_names.from_record(content)
    if "dataset" not in found or found["dataset"] not in presets():
        raise InputError(f"data set {found.get('dataset')!r} has no experiments here")
    defaults = flat(experiment(found["dataset"], found.get("preset", "cpu")))
    missing = {name: value for name, value in defaults.items() if name not in found}
    # As a record holds them, so that a run of before goes on.
    return {name: list(v) if isinstance(v, tuple) else v for name, v in missing.items()} | found
