"""The tables of a study, made one after the other; what is finished is read, not repeated."""

import time

from .. import locks
from ..files import read_json, write_json
from ..inputs import InputError
from .study import open_study
from .tables import TABLES


def estimate(study, missing):
    """How long the missing tables will take, in words."""
    begun = f"{len(missing)} of {len(TABLES)} tables to make"
    if not missing or not study.settings.minutes:
        return begun if not missing else f"{begun}; nobody has measured how long preset {study.preset} takes"
    known = [name for name in missing if name in study.settings.minutes]
    unknown = [name for name in missing if name not in study.settings.minutes]
    minutes = sum(study.settings.minutes[name] for name in known)
    if not study.shipped and not (study.folder / "models" / "pssr-main" / "pssr.keras").is_file():
        minutes += study.settings.main_minutes
    told = []
    if minutes:
        duration = f"{minutes:.0f} minutes" if minutes < 180 else f"{minutes / 60:.0f} hours"
        cores = study.settings.measured_on
        told.append(f"about {duration} on {cores}, less where models and images are there already")
    if unknown:
        told.append(f"nobody has measured {', '.join(unknown)}")
    return f"{begun}: {'; '.join(told)}"


def run(
    dataset,
    preset,
    folder,
    source="auto",
    data_dir=None,
    shipped=False,
    tables=None,
    changes=(),
    rows=None,
):
    """Make the records of all tables, or read those that are finished.

    Several processes may make different rows in one folder; what one of them trains, the others wait for.

    Args:
        dataset, preset: see `config.reproductions`.
        folder: of the study; it is made if need be.
        source, data_dir: of the data, see `data.load`.
        shipped: take classifier and PSSR from the shipped weights instead of training them.
        tables: names of `TABLES`; all if None.
        changes: to the numbers of every training, as a user types them: "cae.epochs=5".
        rows: of the tables that are made row by row, make these alone; all rows of all tables if None.

    Returns:
        {table: record}.

    Raises:
        InputError: for an unknown data set, preset, table, row or setting, or a folder of another study.
    """
    by_row = [name for name, table in TABLES.items() if table.rows]
    every = TABLES if rows is None else by_row
    names = list(every if tables is None else tables)
    for name in names:
        if name not in TABLES:
            raise InputError(f"unknown table {name!r}, expected one of {', '.join(TABLES)}")
        if rows is not None and name not in by_row:
            raise InputError(f"{name} is made as a whole: rows are those of {', '.join(by_row)}")
    study = open_study(dataset, preset, folder, source, data_dir, shipped, changes)
    if rows is not None:
        return chosen(study, names, rows)
    print(estimate(study, [name for name in names if not is_finished(study, name)]), flush=True)
    return {name: finished(study, name) for name in names}


def chosen(study, names, rows):
    """{table: record} of those tables that have any of the rows, with these rows made."""
    known = {name: TABLES[name].rows(study) for name in names}
    for row in rows:
        if not any(row in made for made in known.values()):
            expected = "; ".join(dict.fromkeys(row for made in known.values() for row in made))
            raise InputError(f"unknown row {row!r} of {', '.join(names)}, expected one of {expected}")
    return {name: finished(study, name, rows) for name, made in known.items() if made.keys() & set(rows)}


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


def finished(study, name, rows=None):
    """The record of a table: read, made, or made as far as it lacks rows, or those of `rows` alone."""
    path, table = path_of(study, name), TABLES[name]
    if is_finished(study, name):
        return read_json(path)
    print(f"\n{name.replace('_', ' ')}", flush=True)
    head = {"table": name, "dataset": study.dataset, "preset": study.preset, "shipped": study.shipped}
    if table.rows is None:
        start = time.perf_counter()
        write_json(path, head | table.make(study) | {"seconds": round(time.perf_counter() - start)})
        return read_json(path)
    for row, make in table.rows(study).items():
        # Looked up anew for each row: another process may have made it in the hours of the last one.
        if (rows is not None and row not in rows) or row not in missing_rows(study, name):
            continue
        print(f"{name.replace('_', ' ')}: {row}", flush=True)
        start = time.perf_counter()
        parts = make()
        told = table.make(study) if table.make else {}
        # Read only now, for the same reason, and by one process at a time, as each writes back what it read.
        with locks.in_turn(path.with_name(f"{name}.lock")):
            if row not in missing_rows(study, name):
                continue
            record = read_json(path) if path.is_file() else head | {"parts": [], "seconds": 0}
            record["parts"] += parts
            for key, words in told.items():
                record[key] = record.get(key, {}) | words  # models of former rows may be gone by now
            record["seconds"] += round(time.perf_counter() - start)
            write_json(path, record)
    return read_json(path)
