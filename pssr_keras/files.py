"""Files that are whole or not there: JSON, Keras models, and the hash of any file."""

import contextlib
import hashlib
import json
import os
import pathlib
import secrets
import typing
import zipfile
import zlib

import keras
import numpy as np

from .building import building_in
from .inputs import InputError

# What numpy raises for an archive that is not there, none, or damaged.
BAD_ARCHIVE = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error)


def expanded(path):
    """A path with the home folder in place of ~.

    Raises:
        InputError: if no home folder is known, as for a user without an entry in the system's list.
    """
    try:
        return pathlib.Path(path).expanduser()
    except RuntimeError as error:
        raise InputError(
            f"the home folder in {path} is not known: name the whole path, or set HOME"
        ) from error


def read_json(path):
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise InputError(
            f"{path} is damaged ({error}): choose another --out, or --overwrite the run"
        ) from error


def write_atomically(path, write):
    """Call write(temporary path), then move the result into place: a file is whole or not there.

    The temporary name keeps the suffix, by which Keras and numpy choose a format. It is used once, as other
    processes may write the same file.

    Raises:
        InputError: if it cannot be written, as where a disk is full.
    """
    path = expanded(path)
    stem, dot, suffix = path.name.partition(".")
    partial = path.with_name(f"{stem}.partial-{secrets.token_hex(4)}{dot}{suffix}")
    try:
        write(partial)
        os.replace(partial, path)
    except OSError as error:
        raise InputError(unwritable(path, error)) from error
    finally:
        _remove(partial)


def _remove(partial):
    """Delete what is left of a file that was not finished, if that can be done."""
    with contextlib.suppress(OSError):
        partial.unlink(missing_ok=True)


def check_not_input(out, inputs):
    """Refuse to write to a file that is read.

    Args:
        out: path of the file that is to be written, or None.
        inputs: paths of files; None stands for nothing.

    Raises:
        InputError: if it is one of them.
    """
    if out is None or not expanded(out).exists():
        return
    for path in (expanded(path) for path in inputs if path is not None):
        if path.exists() and path.samefile(expanded(out)):
            raise InputError(f"{out} is an input too, and would be lost: choose another --out")


def unwritable(path, error):
    """What an error on writing a file means, and what to do."""
    reason = os.strerror(error.errno) if error.errno else error
    return f"{path} cannot be written ({reason}): make room, or name another place"


def write_json(path, content):
    text = json.dumps(content, indent=1) + "\n"
    write_atomically(path, lambda partial: partial.write_text(text))


def load_model(path: str | os.PathLike[str]) -> typing.Any:
    """A `.keras` file, or an error that names it."""
    place = expanded(path)
    if not place.is_file():
        raise InputError(f"{place} cannot be read: there is no such file")
    return read_model(place)


def read_model(path):
    """As `load_model`, of whatever Keras itself finds under a name, such as "hf://..."."""
    try:
        with building_in("float32"):  # for what a file leaves open; a layer's own type is in the file
            return keras.saving.load_model(path, compile=False)
    except Exception as error:  # Keras raises many kinds of error for a damaged archive
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise InputError(
            f"{path} is not a whole Keras model that this package can read ({reason})"
        ) from error


def load_arrays(path, *names):
    """Arrays of an `.npz` file, by their names.

    Raises:
        InputError: if it cannot be read, is damaged, or lacks one of them.
    """
    try:
        with np.load(expanded(path), allow_pickle=False) as arrays:
            return [arrays[name] for name in names]
    except BAD_ARCHIVE as error:
        wanted = " and ".join(f"`{name}`" for name in names)
        raise InputError(f"{path} is no whole .npz file with {wanted} ({error})") from error


def file_hash(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file.

    Raises:
        InputError: if it cannot be read.
    """
    try:
        return hashlib.sha256(expanded(path).read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from error
