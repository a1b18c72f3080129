"""Every experiment by name: `experiment("mnist", "cpu")` is one frozen set of numbers.

The numbers of a data set stand in `experiments`; what they mean is told in `settings`, how they are called in
`setting_names`. Here is the way from
names to experiments.
"""

import typing

from . import setting_names
from .data import DATASETS, own
from .experiments import EXPERIMENTS, experiments_of
from .files import expanded
from .inputs import InputError
from .setting_names import parse_changes
from .settings import (
    ADAPTIVE_ATTACKS,
    CHECKED_IMAGES,
    TRANSFER_ATTACKS,
    Experiment,
    OwnSettings,
    Reproduction,
    flat,
)

__all__ = [
    "ADAPTIVE_ATTACKS",
    "CHECKED_IMAGES",
    "TRANSFER_ATTACKS",
    "Experiment",
    "OwnSettings",
    "Reproduction",
    "add_own",
    "experiment",
    "flat",
    "own_data",
    "parse_changes",
    "presets",
    "read",
    "register",
    "reproductions",
]


def presets():
    """The data sets that there are experiments for, each with its presets: {data set: names}."""
    return {name: list(entry.presets) for name, entry in EXPERIMENTS.items()}


def reproductions():
    """The data sets whose tables can be made: {data set: {preset: Reproduction}}."""
    return {name: entry.reproductions for name, entry in EXPERIMENTS.items() if entry.rows}


def experiment(dataset: str, preset: str, **changes: typing.Any) -> Experiment:
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
    described = own_data(content)
    if described is not None and described.dataset not in DATASETS:
        register(described)
    if "dataset" not in found or found["dataset"] not in presets():
        raise InputError(f"data set {found.get('dataset')!r} has no experiments here")
    defaults = flat(experiment(found["dataset"], found.get("preset", "cpu")))
    missing = {name: value for name, value in defaults.items() if name not in found}
    # As a record holds them, so that a run of before goes on.
    return {name: list(v) if isinstance(v, tuple) else v for name, v in missing.items()} | found


# --- data sets of a user's own -------------------------------------------------------------------


def add_own(path):
    """Read a user's data set, and make experiments on it possible; return its name, and notes for the user.

    Args:
        path: see `data.own.read`.

    Raises:
        InputError: for whatever is wrong with it.
    """
    images = own.read(path)
    train, test = images.train, images.test
    shape, counts = train.x.shape[1:], (len(train), len(test))
    place = str(expanded(path).absolute())  # found from any folder
    described = OwnSettings(place, images.sha256, shape, train.classes, *counts, images.class_names)
    register(described, images)
    return described.dataset, images.notes


def register(described, images=None):
    """Make a described data set of a user's one of those that there are experiments for.

    Args:
        described: `settings.OwnSettings`.
        images: `data.own.OwnImages`; read when they are asked for, if None.
    """
    name = described.dataset
    DATASETS[name] = own.entry_of(
        name,
        described.path,
        described.sha256,
        described.shape,
        described.classes,
        (described.train, described.test),
        described.class_names,
        images,
    )
    EXPERIMENTS[name] = experiments_of(described)


def own_data(content):
    """What the record of an experiment tells of a user's data set, `settings.OwnSettings`; None of any other.

    Raises:
        InputError: if that is damaged.
    """
    found = content.get("own") if isinstance(content, dict) else None
    if not found or not found.get("path"):
        return None
    try:
        return OwnSettings(**found)
    except TypeError as error:
        raise InputError(f"the data set {found['path']} is not described in full ({error})") from error
