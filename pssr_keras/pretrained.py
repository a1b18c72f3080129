"""Shipped weights: `load_pretrained("mnist")`, their model cards, and how they are published.

A model card is the record of the training run that made the weights: data, seed, configuration,
versions, accuracies with intervals, and the SHA-256 of the file.
"""

import importlib.util
import json
import os
import pathlib
import re
import shutil
import typing

from .defense import PSSR
from .files import expanded, file_hash, load_model, read_json, read_model, write_atomically, write_json
from .inputs import InputError

FOLDER = pathlib.Path(__file__).parent / "weights"
HUB = "hf://"
KINDS = "a run folder, a folder of one .keras file, or a .keras file"


def names() -> list[str]:
    """Names of the shipped models."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def model_card(name: str) -> dict[str, typing.Any]:
    """The model card of shipped weights, as a dictionary.

    Raises:
        InputError: if nothing is shipped under that name.
    """
    if name not in names():
        raise InputError(f"there are no shipped weights for {name!r}, expected one of {', '.join(names())}")
    return read_json(FOLDER / f"{name}.json")


def load_pretrained(name: str | os.PathLike[str]) -> PSSR:
    """A trained PSSR with its classifier: a shipped one by its name, or one's own by its path.

    Args:
        name: "mnist", "cifar10", a hardened one such as "mnist-hardened", or another of `names()`; the path
            of a run folder, of a folder as `publish` writes it (a .keras file and its card), or of a .keras
            file; or "hf://..." where huggingface_hub is installed. A shipped name goes before a path.

    Raises:
        InputError: if nothing is shipped under that name and nothing lies there; if a file is damaged, is not
            the one of its card, or holds no PSSR.
    """
    if name in names():
        return checked(FOLDER / f"{name}.keras", "reinstall the package")
    if str(name).startswith(HUB):
        return of_hub(str(name))
    path = expanded(name)
    if path.is_dir():
        path = file_in(path)
    elif not path.is_file():
        if path == pathlib.Path(path.name) and path.suffix != ".keras":
            model_card(str(name))  # refuses it as a name
        raise InputError(f"{name} is not there, expected {KINDS}, or one of {', '.join(names())}")
    elif path.suffix != ".keras":
        raise InputError(f"{name} is no .keras file, expected {KINDS}")
    return checked(path, "copy both anew, or remove the card")


def checked(path, advice):
    """The PSSR of a .keras file, if it is the one of the card beside it, NAME.json, where there is one.

    Raises:
        InputError: if it is not, or is damaged, or holds another model.
    """
    card = path.with_suffix(".json")
    if card.is_file():
        content, found = json_of(card), file_hash(path)
        expected = content.get("sha256")
        if expected is not None and found != expected:
            raise InputError(f"{path} has SHA-256 {found}, expected {expected}: {advice}")
    return pssr_of(load_model(path), path)


def pssr_of(model, name):
    """Refuse a model of another class."""
    if not isinstance(model, PSSR):
        raise InputError(f"{name} holds a {type(model).__name__}, expected a PSSR: read it by keras.saving")
    return model


def file_in(folder):
    """The .keras file of the defense in a run folder, or the only one of another folder.

    Raises:
        InputError: if there is none, or not one alone.
    """
    configuration = folder / "config.json"
    if configuration.is_file():
        finished = folder / f"{json_of(configuration).get('defense', 'pssr')}.keras"
        if not finished.is_file():
            raise InputError(
                f"{folder} holds no trained PSSR yet: the pssr-train command that began it goes on there"
            )
        return finished
    found = sorted(path for path in folder.glob("*.keras") if path.is_file())
    if len(found) != 1:
        there = f"{len(found)} of them, such as {found[0].name}" if found else "none"
        raise InputError(f"{folder} is no run folder, expected one, or one .keras file in it, got {there}")
    return found[0]


def json_of(path):
    """A dictionary of a JSON file.

    Raises:
        InputError: if it is none, or damaged.
    """
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} is damaged ({error}), expected the JSON of a run or a model card"
        ) from error
    if not isinstance(content, dict):
        raise InputError(
            f"{path} holds a {type(content).__name__}, expected the JSON of a run or a model card"
        )
    return content


def of_hub(name):
    """The PSSR that Keras finds on the Hugging Face Hub.

    Raises:
        InputError: without huggingface_hub, or whatever `pssr_of` and `files.read_model` refuse.
    """
    if importlib.util.find_spec("huggingface_hub") is None:
        raise InputError(
            f"{name} needs the package huggingface_hub: pip install huggingface_hub, or download the model "
            "and give its path"
        )
    return pssr_of(read_model(name), name)


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
