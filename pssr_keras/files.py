"""Files that are whole or not there: JSON, Keras models, and the hash of any file."""

import hashlib
import json
import os
import pathlib

import keras

from .inputs import InputError


def read_json(path):
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise InputError(
            f"{path} is damaged ({error}): choose another --out, or --overwrite the run"
        ) from error


def write_atomically(path, write):
    """Call write(temporary path), then move the result into place: a file is whole or not there.

    The temporary name keeps the suffix, by which Keras and numpy choose a format.
    """
    path = pathlib.Path(path)
    stem, dot, suffix = path.name.partition(".")
    partial = path.with_name(f"{stem}.partial{dot}{suffix}")
    write(partial)
    os.replace(partial, path)


def write_json(path, content):
    text = json.dumps(content, indent=1) + "\n"
    write_atomically(path, lambda partial: partial.write_text(text))


def load_model(path):
    """A `.keras` file, or an error that names it."""
    if not pathlib.Path(path).is_file():
        raise InputError(f"{path} cannot be read: there is no such file")
    try:
        return keras.saving.load_model(path, compile=False)
    except Exception as error:  # Keras raises many kinds of error for a damaged archive
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise InputError(
            f"{path} is not a whole Keras model that this package can read ({reason})"
        ) from error


def file_hash(path):
    """SHA-256 of a file.

    Raises:
        InputError: if it cannot be read.
    """
    try:
        return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from error
