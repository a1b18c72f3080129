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
    missing = [name for name in names if not (study.folder / "records" / f"{name}.json").is_file()]
    print(estimate(study, missing), flush=True)
    records = {}
    for name in names:
        path = study.folder / "records" / f"{name}.json"
        if path.is_file():
            records[name] = read_json(path)
            continue
        print(f"\n{name.replace('_', ' ')}", flush=True)
        start = time.perf_counter()
        record = {"table": name, "dataset": dataset, "preset": preset, "shipped": shipped} | TABLES[
            name
        ].make(study)
        record["seconds"] = round(time.perf_counter() - start)
        write_json(path, record)
        records[name] = record
    return records
