"""Shipped weights: `load_pretrained("mnist")`, their model cards, and how they are published.

A model card is the record of the training run that made the weights: data, seed, configuration,
versions, accuracies with intervals, and the SHA-256 of the file.
"""

import pathlib
import shutil

from .files import file_hash, load_model, read_json, write_json
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
        name: "mnist", "cifar10" or another of `names()`.

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


def publish(run_folder, name=None, folder=FOLDER):
    """Copy the defense of a finished run to the shipped weights, and write its model card.

    Args:
        run_folder: of scripts/train.py.
        name: of the shipped weights; that of the data set if None.
        folder: of the shipped weights.

    Raises:
        InputError: if the run is not finished.
    """
    run_folder, folder = pathlib.Path(run_folder), pathlib.Path(folder)
    finished = run_folder / "evaluation.json"
    if not finished.is_file():
        raise InputError(f"{run_folder} holds no finished run: run scripts/train.py --out {run_folder} first")
    record = read_json(finished)
    folder.mkdir(exist_ok=True)
    configuration = record["configuration"]
    name = name or configuration["dataset"]
    defense = configuration.get("defense", "pssr")  # older records know no other
    shutil.copyfile(run_folder / f"{defense}.keras", folder / f"{name}.keras")
    for cells in record["cells"].values():
        for cell in cells.values():
            del cell["correct"]  # the flags are in the run's own record
    del record["indices"]
    card = {"name": name, "sha256": file_hash(folder / f"{name}.keras"), **record}
    write_json(folder / f"{name}.json", card)
