"""A run is a folder: whose configuration it is, who works in it, what a run leaves there and what is deleted.

Only what a run makes itself is ever deleted, by its exact name; whatever else lies in the folder stays.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import re

from .. import config, locks
from ..attacks.names import REGISTRY
from ..files import expanded, file_hash, read_json, write_json
from ..inputs import InputError
from .defenses import DEFENSES

CONFIGURATION, LOCK = "config.json", "run.lock"
MOVED = "own.path"  # of a data set that is the same in another place


def prepare_folder(folder, experiment, classifier_file=None, overwrite=False):
    """Make the run folder, or check that it belongs to this configuration; return its path."""
    folder = expanded(folder)
    wanted = json.loads(json.dumps(dataclasses.asdict(experiment)))
    if classifier_file is not None:
        wanted["classifier_sha256"] = file_hash(classifier_file)
    settings = folder / CONFIGURATION
    try:
        check_place(folder)
        folder.mkdir(parents=True, exist_ok=True)
        if settings.is_file() and overwrite:
            check_inputs(folder, {"--classifier": classifier_file})
            remove_run(folder, experiment.defense)
            write_json(settings, wanted)
        if not settings.is_file():
            write_json(settings, wanted)
        entries = {path.name for path in folder.iterdir()} - {LOCK}
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror}): choose another --out") from error
    found, asked = readable(settings), config.flat(wanted)
    other = found["dataset"] != asked["dataset"]
    names = ["dataset"] if other else sorted(found.keys() | asked.keys())
    changes = [name for name in names if found.get(name) != asked.get(name)]
    changed = [f"{name} {found.get(name)!r} -> {asked.get(name)!r}" for name in changes]
    if changed and (entries == {CONFIGURATION} or changes == [MOVED]):
        # What was refused before its first stage, a wrong number or classifier, leaves nothing to protect;
        # and a data set that is the same in another place is the same.
        write_json(settings, wanted)
    elif changed:
        raise InputError(
            f"{folder} holds a run of another configuration ({'; '.join(changed)}): choose another --out, "
            "or --overwrite it"
        )
    return folder


def check_place(folder):
    """Refuse a file in place of a run folder, and a folder of other things.

    Raises:
        InputError: for either.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError(f"{folder} is a file, expected a folder: choose another --out")
    names = {PARTIAL.sub("", path.name) for path in folder.iterdir()}
    if CONFIGURATION not in names and names - {LOCK}:
        raise InputError(f"{folder} is not empty and holds no run: choose another --out")


def check_free(folder):
    """Refuse a run folder in which another process is at work.

    Raises:
        InputError: if there is one.
    """
    if (expanded(folder) / LOCK).exists():
        with working_in(folder):
            pass


@contextlib.contextmanager
def working_in(folder, wait=False):
    """Keep a run folder, which is made if need be, to this process.

    Args:
        folder: the run folder.
        wait: wait for another process that works there, and say so; it is refused otherwise.

    Raises:
        InputError: for another process, or a folder that is none, holds other things or cannot be written.
    """
    folder = expanded(folder)
    try:
        check_place(folder)
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror}): choose another --out") from error
    lock, at_work = folder / LOCK, f"is at work in {folder}"
    if wait:
        held = locks.in_turn(lock, at_work)
    else:
        held = locks.alone(lock, f"{at_work}: wait for it, or choose another --out")
    with held:
        yield


def check_inputs(folder, inputs):
    """Refuse files that a run is to read where they lie in the folder that it is to overwrite.

    Args:
        folder: the run folder.
        inputs: {option: path, or None where it is not given}.

    Raises:
        InputError: if one does, also by way of a link.
    """
    given = {option: path for option, path in inputs.items() if path is not None} if folder.exists() else {}
    for option, path in given.items():
        path = expanded(path)
        for place in (pathlib.Path(os.path.abspath(path)), path.resolve()):
            if any(parent.exists() and parent.samefile(folder) for parent in (place, *place.parents)):
                raise InputError(
                    f"{option} {path} lies in {folder}, which is to be overwritten: move it out of there, or "
                    "choose another --out"
                )


PARTIAL = re.compile(r"\.partial(-[0-9a-f]{8})?(?=\.|$)")  # what `files.write_atomically` adds; see there
WITHIN = ("start", "teacher")  # folders of classifiers that are trained for this one
TENSORBOARD = "tensorboard"


def files_of(folder, defenses, finished=True):
    """Those files in a folder that a run made there: a set of paths; links to other folders are not followed.

    Args:
        folder: of a run, or of a classifier within it.
        defenses: names of the defenses that were trained there; none in the folder of a classifier.
        finished: with what a finished run keeps, or only what it no longer needs.
    """
    stages = ("classifier", *(stage for name in defenses for stage in stages_of(name)))
    stage, model = (
        "|".join(map(re.escape, names)) for names in (stages, ("classifier", "classifier_last", *defenses))
    )
    needless = [
        rf"checkpoint-({stage})\.weights\.h5",
        r"checkpoint-classifier\.npz",
        rf"adversarial-({'|'.join(map(re.escape, REGISTRY))})(-\d+)?\.npy",
    ]
    kept = [rf"({model})\.keras", rf"({stage})_log\.csv", r"classifier\.json"]
    if defenses:
        kept += [r"(config|evaluation)\.json", r"pseudo_labels\.npy"]

    def is_own(name):
        whole = PARTIAL.sub("", name)
        patterns = needless + kept if finished or whole != name else needless
        return any(re.fullmatch(pattern, whole) for pattern in patterns)

    found = {path for path in folder.iterdir() if is_own(path.name) and not path.is_dir()}
    if finished:
        for stage in stages:
            logs = folder / TENSORBOARD / stage
            if not any(map(os.path.islink, (logs.parent, logs))):
                found |= {
                    *logs.glob("train/events.out.tfevents.*"),
                    *logs.glob("validation/events.out.tfevents.*"),
                }
    return found


def stages_of(defense):
    """The names under which a defense trains; those of an unknown one are guessed."""
    return DEFENSES[defense].stages or (defense,) if defense in DEFENSES else (defense,)


def remove_run(folder, defense):
    """Delete the files of a run but for its configuration, and nothing else that may lie in the folder.

    Args:
        folder: the run folder.
        defense: of the run that is to follow.

    Raises:
        InputError: before anything is deleted, if something would stay that this run would take for its own.
    """
    try:
        former = readable(folder / CONFIGURATION)["defense"]
    except InputError:  # a damaged configuration is a reason to overwrite
        former = defense
    inner = [folder / name for name in WITHIN if (folder / name).is_dir()]
    for path in inner:
        if path.is_symlink():
            raise InputError(
                f"{path} is a link, expected a folder of the run: remove it, or choose another --out"
            )
    own = files_of(folder, (former,)).union(*(files_of(path, ()) for path in inner))
    for path in sorted(files_of(folder, (defense,)) - own):
        if path.parent == folder:
            raise InputError(
                f"{path} is not of the run that is to be overwritten: move it out of there, or choose "
                "another --out"
            )
    for path in sorted(own - {folder / CONFIGURATION}):
        path.unlink()
    for path in (*inner, folder / TENSORBOARD):
        remove_empty(path)


def remove_empty(folder):
    """Remove a folder and those within it, but not one that holds a file."""
    if folder.is_symlink() or not folder.is_dir():
        return
    for path in folder.iterdir():
        remove_empty(path)
    with contextlib.suppress(OSError):  # something of the user's is in it
        folder.rmdir()


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
    """Delete the files that a finished run, or a classifier within one, no longer needs."""
    settings = folder / CONFIGURATION
    defenses = (readable(settings)["defense"],) if settings.is_file() else ()
    for path in files_of(folder, defenses, finished=False):
        path.unlink()
