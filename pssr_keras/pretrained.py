"""Shipped weights: `load_pretrained("mnist")`, their model cards, and how they are published.

A model card is the record of the training run that made the weights: data, seed, configuration,
versions, accuracies with intervals, and the SHA-256 of the file.
"""

import pathlib
import re
import shutil

from .files import file_hash, load_model, read_json, write_atomically, write_json
from .inputs import InputError

FOLDER = pathlib.Path(__file__).parent / "weights"


def names():
    """Names of the shipped models."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def model_card(name):
    """The model card of shipped weights, as a dictionary.

    Raises:
        InputError: if nothing is shipped under that name.
    """
    if name not in names():
        raise InputError(f"there are no shipped weights for {name!r}, expected one of {', '.join(names())}")
    return read_json(FOLDER / f"{name}.json")


def load_pretrained(name):
    """The shipped PSSR for a data set, with its classifier.

    Args:
        name: "mnist", "cifar10", a hardened one such as "mnist-hardened", or another of `names()`.

    Returns:
        `defense.PSSR`.

    Raises:
        InputError: if nothing is shipped under that name, or if the file is not the one of the card.
    """
    card = model_card(name)
    path = FOLDER / f"{name}.keras"
    found = file_hash(path)
    if found != card["sha256"]:
        raise InputError(f"{path} has SHA-256 {found}, expected {card['sha256']}: reinstall the package")
    return load_model(path)


def publish(run_folder, name=None, folder=FOLDER, adaptive=None, note=None, overwrite=True):
    """Copy the defense of a finished run to the shipped weights, and write its model card.

    Args:
        run_folder: of scripts/train.py.
        name: of the shipped weights; if None, that of the data set, followed by that of the defense where it
            is not the paper's, as in "mnist-hardened".
        folder: of the shipped weights.
        adaptive: the record of scripts/evaluate.py --threat-model adaptive on this run; that of the run
            itself, if it has one, if None.
        note: what the record does not say, a sentence, such as on which machine the weights were trained.
        overwrite: replace weights of that name.

    Raises:
        InputError: for weights that are not to be replaced, or a name that is no file's; if the run is not
            finished, or for a record of other weights or another attacker.
    """
    run_folder, folder = pathlib.Path(run_folder), pathlib.Path(folder)
    finished = run_folder / "evaluation.json"
    if not finished.is_file():
        raise InputError(f"{run_folder} holds no finished run: run scripts/train.py --out {run_folder} first")
    record = read_json(finished)
    configuration = record["configuration"]
    defense = configuration.get("defense", "pssr")  # older records know no other
    name = name or (configuration["dataset"] + ("" if defense == "pssr" else f"-{defense}"))
    if adaptive is not None:
        record["adaptive"] = worst_case_of(read_json(pathlib.Path(adaptive)), record, adaptive)
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise InputError(f"the name of the weights is {name!r}, expected letters, digits, dots and dashes")
    if (folder / f"{name}.keras").exists() and not overwrite:
        raise InputError(f"weights {name} are shipped already: choose another --name, or --overwrite them")
    folder.mkdir(exist_ok=True)
    finished = run_folder / f"{defense}.keras"
    write_atomically(folder / f"{name}.keras", lambda partial: shutil.copyfile(finished, partial))
    for part in (record, record.get("adaptive", {"cells": {}})):
        for cells in part["cells"].values():
            for cell in cells.values():
                del cell["correct"]  # the flags are in the record itself
        for attack in part.get("attacks", {}).values():
            attack.pop("robust_when_crafted", None)
            attack.pop("distances", None)
        part.pop("indices", None)
    card = {"name": name, "sha256": file_hash(folder / f"{name}.keras")}
    card |= ({} if note is None else {"note": note}) | record
    write_json(folder / f"{name}.json", card)


def worst_case_of(found, record, name):
    """A record of an attacker who knows a defense, if it is about the weights of a run's record.

    Args:
        found: the record.
        record: of the run.
        name: of the first one's file, for errors.

    Raises:
        InputError: if it is no such record, or about other weights.
    """
    measured = set(found.get("weights", {}).values())
    if not any("worst case" in cells for cells in found.get("cells", {}).values()):
        raise InputError(f"{name} has no worst case: make it by scripts/evaluate.py --threat-model adaptive")
    weights = list(record["weights"].values())[-1]  # the whole defense is the last row
    if measured != {weights}:
        raise InputError(f"{name} is about other weights than those of the run: evaluate --run that run")
    return {key: value for key, value in found.items() if key not in ("configuration", "weights_from")}
