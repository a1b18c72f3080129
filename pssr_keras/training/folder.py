"""A run is a folder: whose configuration it is, what a run leaves there, and what is deleted at its end."""

import dataclasses
import json
import pathlib
import shutil

from .. import config
from ..files import file_hash, read_json, write_json
from ..inputs import InputError


def prepare_folder(folder, experiment, classifier_file=None, overwrite=False):
    """Make the run folder, or check that it belongs to this configuration; return its path."""
    folder = pathlib.Path(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file, expected a folder: choose another --out")
    wanted = json.loads(json.dumps(dataclasses.asdict(experiment)))
    if classifier_file is not None:
        wanted["classifier_sha256"] = file_hash(classifier_file)
    settings = folder / "config.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not settings.is_file() and any(folder.iterdir()):
            raise InputError(f"{folder} is not empty and holds no run: choose another --out")
        if settings.is_file() and overwrite:
            remove_run(folder)
        if not settings.is_file():
            write_json(settings, wanted)
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror}): choose another --out") from error
    found, asked = readable(settings), config.flat(wanted)
    other = found["dataset"] != asked["dataset"]
    names = ["dataset"] if other else sorted(found.keys() | asked.keys())
    changed = [
        f"{name} {found.get(name)!r} -> {asked.get(name)!r}"
        for name in names
        if found.get(name) != asked.get(name)
    ]
    if changed and [*folder.iterdir()] == [settings]:
        # What was refused before its first stage, a wrong number or classifier, leaves nothing to protect.
        write_json(settings, wanted)
    elif changed:
        raise InputError(
            f"{folder} holds a run of another configuration ({'; '.join(changed)}): choose another --out, "
            "or --overwrite it"
        )
    return folder


INTERMEDIATE_FILES = ("adversarial-*.npy", "checkpoint-*.weights.h5", "checkpoint-*.npz", "*.partial*")
RUN_FILES = (
    *INTERMEDIATE_FILES,
    "classifier.keras",
    "classifier_last.keras",
    "classifier.json",
    "pseudo_labels.npy",
    "*_log.csv",
    "evaluation.json",
    "config.json",
)


def remove_run(folder):
    """Delete the files of a run, the configuration last, and nothing else that may lie in the folder."""
    try:
        defense = readable(folder / "config.json")["defense"]
    except InputError:  # a damaged configuration is a reason to overwrite
        defense = "pssr"
    for name in ("tensorboard", "start", "teacher"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for pattern in (f"{defense}.keras", *RUN_FILES):
        for path in folder.glob(pattern):
            path.unlink()


def readable(path):
    """The numbers of a run's configuration file: {dotted name: value}.

    Raises:
        InputError: if it is damaged.
    """
    content = read_json(path)
    try:
        return config.read(content)
    except (InputError, AttributeError) as error:
        raise InputError(f"{path} is no configuration of a run ({error}): choose another --out") from error


def remove_intermediate(folder):
    """Delete the files that a finished run no longer needs."""
    for pattern in INTERMEDIATE_FILES:
        for path in folder.glob(pattern):
            path.unlink()
