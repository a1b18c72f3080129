"""The tables of a study, made one after the other; what is finished is read, not repeated."""

import time

from ..files import read_json, write_json
from ..inputs import InputError
from .study import open_study
from .tables import TABLES


def estimate(study, missing):
    """How long the missing tables will take, in words."""
    begun = f"{len(missing)} of {len(TABLES)} tables to make"
    if not missing or not study.settings.minutes:
        return begun if not missing else f"{begun}; nobody has measured how long preset {study.preset} takes"
    minutes = sum(study.settings.minutes.get(name, 0) for name in missing)
    unknown = [name for name in missing if name not in study.settings.minutes]
    if not study.shipped and not (study.folder / "models" / "pssr-main" / "pssr.keras").is_file():
        minutes += study.settings.main_minutes
    return (
        f"{begun}: about {minutes:.0f} minutes on two cores, less where models and images are there already"
        + (f"; nobody has measured {', '.join(unknown)}" if unknown else "")
    )


def run(dataset, preset, folder, source="auto", data_dir=None, shipped=False, tables=None, changes=()):
    """Make the records of all tables, or read those that are finished.

    Args:
        dataset, preset: see `config.reproductions`.
        folder: of the study; it is made if need be.
        source, data_dir: of the data, see `data.load`.
        shipped: take classifier and PSSR from the shipped weights instead of training them.
        tables: names of `TABLES`; all if None.
        changes: to the numbers of every training, as a user types them: "cae.epochs=5".

    Returns:
        {table: record}.

    Raises:
        InputError: for an unknown data set, preset, table or setting, or a folder of another study.
    """
    names = list(TABLES) if tables is None else list(tables)
    for name in names:
        if name not in TABLES:
            raise InputError(f"unknown table {name!r}, expected one of {', '.join(TABLES)}")
    study = open_study(dataset, preset, folder, source, data_dir, shipped, changes)
    print(estimate(study, [name for name in names if not is_finished(study, name)]), flush=True)
    return {name: finished(study, name) for name in names}


def path_of(study, name):
    """The file of a table's record."""
    return study.folder / "records" / f"{name}.json"


def missing_rows(study, name):
    """{row: function} of a table made row by row, as far as its record lacks them."""
    path = path_of(study, name)
    parts = read_json(path)["parts"] if path.is_file() else []
    known = {row for part in parts for row in part["cells"]}
    return {row: make for row, make in TABLES[name].rows(study).items() if row not in known}


def is_finished(study, name):
    """Whether the record of a table is there, with all its rows."""
    return path_of(study, name).is_file() and not (TABLES[name].rows and missing_rows(study, name))


def finished(study, name):
    """The record of a table: read, made, or made as far as it lacks rows."""
    path, table = path_of(study, name), TABLES[name]
    if is_finished(study, name):
        return read_json(path)
    print(f"\n{name.replace('_', ' ')}", flush=True)
    head = {"table": name, "dataset": study.dataset, "preset": study.preset, "shipped": study.shipped}
    if table.rows is None:
        start = time.perf_counter()
        write_json(path, head | table.make(study) | {"seconds": round(time.perf_counter() - start)})
        return read_json(path)
    record = read_json(path) if path.is_file() else head | {"parts": [], "seconds": 0}
    for row, make in missing_rows(study, name).items():
        print(f"{name.replace('_', ' ')}: {row}", flush=True)
        start = time.perf_counter()
        record["parts"] += make()
        for key, told in table.make(study).items() if table.make else ():
            record[key] = record.get(key, {}) | told  # models of former rows may be gone by now
        record["seconds"] += round(time.perf_counter() - start)
        write_json(path, record)
    return read_json(path)
