"""Adversarial images on disk, so that what was crafted once is not crafted again.

The name of a file is a hash of everything that determines its content: weights and settings of the
model, attack, seed, images, indices, versions. A changed ingredient is another file.
"""

import hashlib
import json
import os
import pathlib
import tempfile
import warnings

import numpy as np

from ..files import BAD_ARCHIVE, expanded, unwritable
from ..inputs import InputError


def key(ingredients):
    """Hash of a dictionary of texts, numbers, lists and arrays."""

    def plain(value):
        if isinstance(value, np.ndarray):
            digest = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
            return [str(value.dtype), list(value.shape), digest]
        return str(value)

    text = json.dumps(ingredients, sort_keys=True, default=plain)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def check_folder(folder):
    """Make the folder of a cache, or refuse one that cannot be written.

    Raises:
        InputError: if it is a file or cannot be written.
    """
    folder = expanded(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be used as a cache ({error.strerror})") from error
    if not os.access(folder, os.W_OK):
        raise InputError(f"{folder} cannot be written: choose another cache")
    return folder


def remember(folder, ingredients, make):
    """The array of these ingredients: read from the folder, or made by `make()` and kept there.

    Each file carries a hash of its array; a damaged one is made anew, with a warning.
    """
    path = check_folder(folder) / f"{key(ingredients)}.npz"
    if path.exists():
        try:
            with np.load(path, allow_pickle=False) as stored:
                array = stored["array"]
                if str(stored["sha256"]) == hashlib.sha256(array.tobytes()).hexdigest():
                    return array
        except BAD_ARCHIVE:
            pass
        warnings.warn(f"{path} is damaged and is made anew", stacklevel=2)
    array = np.ascontiguousarray(make())
    digest, partial = hashlib.sha256(array.tobytes()).hexdigest(), None
    try:
        handle, partial = tempfile.mkstemp(dir=path.parent, suffix=".part")
        with os.fdopen(handle, "wb") as file:
            np.savez_compressed(file, array=array, sha256=digest)
        os.replace(partial, path)  # all or nothing, also when interrupted
    except OSError as error:
        if partial is not None:
            pathlib.Path(partial).unlink(missing_ok=True)
        raise InputError(unwritable(path, error)) from error
    return array
