"""What lies in a folder of submissions: which files, by whom, and of which tutorial."""

import hashlib
import os
import pathlib
import re
import stat

from ...inputs import InputError

LARGEST = 20 * 2**20  # bytes of a notebook; the tutorials keep to one mebibyte
NO_SUBMISSIONS = {"__MACOSX", "desktop.ini", "Thumbs.db"}
MOODLE = re.compile(r"_\d+_assignsubmission_.*$")  # its downloads have a folder for each student


def find(folder):
    """All files of a folder and what is below it, but hidden ones; each may be a submission.

    Raises:
        InputError: if there is no such folder, or nothing in it.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder, expected one with submitted notebooks")
    found = []
    for where, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name[0] != "." and name not in NO_SUBMISSIONS)
        notebooks = [name for name in folders if name.endswith(".ipynb")]  # a row each, though they are none
        names = [name for name in files if name[0] != "." and name not in NO_SUBMISSIONS]
        found += [pathlib.Path(where, name) for name in sorted(names + notebooks)]
    if not found:
        raise InputError(f"{folder} is empty, expected submitted notebooks")
    return found


def student_of(path, folder, tutorials):
    """Whose submission it is: the folder it lies in, or its name without that of the tutorial."""
    inside = path.relative_to(folder)
    if len(inside.parts) > 1:
        return MOODLE.sub("", inside.parts[0])
    name = inside.stem
    for tutorial in tutorials:
        name = name.replace(tutorial, "")
    name = re.sub(r"^[\W_]+|[\W_]+$", "", name)
    return name or inside.stem


def refusal(path):
    """Why a file is not even opened; None if it is."""
    try:
        status = os.stat(path)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if not stat.S_ISREG(status.st_mode):
        return "no file"
    if status.st_size > LARGEST:
        return f"{status.st_size / 2**20:.0f} MiB, expected at most {LARGEST / 2**20:.0f}"
    if not os.access(path, os.R_OK):
        return "cannot be read: permission denied"
    return None


def fingerprint(path):
    """SHA-256 of a file, or of nothing where it is not opened."""
    try:
        content = b"" if refusal(path) else path.read_bytes()
    except OSError:  # taken away meanwhile
        content = b""
    return hashlib.sha256(content).hexdigest()


def recognise(names, exercises):
    """The tutorial whose checks a notebook names most often; None if it names none.

    Args:
        names: {name of a check: how often the code of the notebook names it}.
        exercises: {name of a check: `Exercise`}.
    """
    counts = {}
    for name, count in names.items():
        tutorial = exercises[name].tutorial
        # Different checks count more than one that is named often.
        different, often = counts.get(tutorial, (0, 0))
        counts[tutorial] = (different + (count > 0), often + count)
    best = max(counts, key=counts.get)
    return best if counts[best] > (0, 0) else None
