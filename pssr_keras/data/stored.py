"""A data set as tensorflow-datasets stores it: whether it is whole, and reading it.

Nothing here ever returns less data than there should be, and what may be good is never called bad: another
process may be preparing it at this moment, or it may be in a format whose reader is not installed.
"""

import functools
import os
import pathlib
import re

import numpy as np

from ..inputs import InputError
from .images import from_pixels


class Unfinished(InputError):
    """A data set that is there in part: left so, or being prepared or copied by another process."""


class Forbidden(InputError):
    """A folder that this user may not read."""


def _versions(name, folder):
    """Folders that hold, or should hold, a prepared version of the data set, the latest last."""
    if not (folder / name).is_dir():
        return []
    found = [path for path in (folder / name).iterdir() if re.fullmatch(r"\d+\.\d+\.\d+", path.name)]
    return sorted(filter(pathlib.Path.is_dir, found), key=lambda path: tuple(map(int, path.name.split("."))))


def check_folder(name, folder):
    """Refuse a folder that is one data set's own, where the folder of all of them is expected.

    Raises:
        InputError: if it is, or if it is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file, expected the folder of tensorflow-datasets: name another")
    if (folder / "dataset_info.json").is_file() or any(folder.glob("[0-9]*/dataset_info.json")):
        raise InputError(
            f"{folder} is the folder of one data set, expected the one that holds a folder {name}: name it "
            "with --data-dir"
        )


def _repair(version):
    """What to do about a damaged or half-prepared folder; it may be good, so nothing is to be deleted."""
    return (
        f"it may be in use by another process that prepares or copies it, then wait for it; else rename "
        f"{version} and run again with a network, or name another folder with --data-dir"
    )


def prepared(entry, folder):
    """Whether the data set is there in full, as far as its own description tells.

    Raises:
        InputError: if it is there in part, or if another one is there, or if the folder is that of one, or
            may not be read.
    """
    try:
        return _prepared(entry, folder)
    except PermissionError as error:
        raise Forbidden(forbidden(error.filename or folder)) from error


def forbidden(path):
    """What a folder or a file that may not be read means, and what to do."""
    return (
        f"{path} may not be read by this user: ask its owner for the permission, or name another folder with "
        "--data-dir"
    )


def _prepared(entry, folder):
    name = entry.name
    check_folder(name, folder)
    versions = _versions(name, folder)
    if not versions:
        return False
    version = versions[-1]
    advice = _repair(version)
    os.scandir(version).close()  # raises where it may not be read
    if not (version / "dataset_info.json").is_file():
        raise Unfinished(f"{version} is a half-prepared {name}, without a dataset_info.json: {advice}")
    builder = _builder(version)
    if builder.info.name != name:
        raise InputError(
            f"{version} holds {builder.info.name}, expected {name}: move it to where it belongs, or name "
            "another folder with --data-dir"
        )
    for split in ("train", "test"):
        expected = entry.count(split)
        found = builder.info.splits[split].num_examples if split in builder.info.splits else 0
        if found != expected:
            raise InputError(f"{version} describes {found:,} {split} images, expected {expected:,}: {advice}")
        for path in builder.info.splits[split].filepaths:
            if not pathlib.Path(path).is_file():
                raise Unfinished(f"{path} is missing, so {name} is half-prepared: {advice}")
    return True


@functools.cache
def _builder(version):
    import tensorflow_datasets as tfds

    try:
        return tfds.builder_from_directory(str(version))
    except PermissionError:
        raise
    except Exception as error:  # whatever a damaged description makes the reader raise
        reason = first_line(error)
        raise Unfinished(
            f"the description of the data set in {version} is damaged ({reason}): {_repair(version)}"
        ) from error


def first_line(error):
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__


def read(entry, split, folder):
    """One split of a prepared data set, in the order in which it is stored.

    Raises:
        InputError: if it is damaged, may not be read or is in a format that cannot be read here, or holds
            other images than the data set.
    """
    import tensorflow as tf

    version = _versions(entry.name, folder)[-1]
    expected = entry.count(split)
    advice = _repair(version)
    builder = _builder(version)
    unread = f"the {split} images in {version} cannot be read"
    try:
        x, y = arrays_of(builder, split)
    except (ImportError, NotImplementedError) as error:
        kind = builder.info.file_format.value
        raise InputError(
            f"{unread}: they are whole, but in the format {kind} ({first_line(error)}); install the package "
            f"that reads it (pip install {PACKAGES.get(kind, kind)}), or name a copy in the format tfrecord "
            "with --data-dir"
        ) from error
    except (PermissionError, tf.errors.PermissionDeniedError) as error:
        raise InputError(forbidden(version)) from error
    except (MemoryError, tf.errors.ResourceExhaustedError) as error:
        raise InputError(f"{unread}, as the memory is full: free some of it") from error
    except Exception as error:  # damaged records surface as many kinds of error
        raise InputError(
            f"the {split} images in {version} are damaged ({first_line(error)}): {advice}"
        ) from error
    if x.shape != (expected, *entry.shape):
        raise InputError(
            f"{version} holds {split} images of shape {x.shape}, expected {expected:,}: {advice}"
        )
    source = f"tfds {entry.name} {builder.version} {split}"
    return from_pixels(x, y, entry.classes, source, np.arange(expected))


# What reads the formats of tensorflow-datasets beside its own tfrecord.
PACKAGES = {"array_record": "array_record", "parquet": "pyarrow", "riegeli": "riegeli"}


def arrays_of(builder, split):
    """The images (N, H, W, C) and labels (N,) of a split, as they are stored."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    if builder.info.file_format in tfds.core.FileFormat.with_tf_data():
        arrays = builder.as_dataset(split=split, batch_size=-1)
    else:  # ArrayRecord, which TensorFlow itself does not read
        raw = tfds.decode.DeserializeMethod.RAW_BYTES
        records = builder.as_data_source(split=split, deserialize_method=raw)
        records = records.__getitems__(range(len(records)))
        dataset = tf.data.Dataset.from_tensor_slices(records)
        dataset = dataset.map(builder.info.features.deserialize_example, tf.data.AUTOTUNE)
        arrays = dataset.batch(len(records)).get_single_element()
    return arrays["image"].numpy(), arrays["label"].numpy()
