"""Images of tensorflow-datasets: whether they are prepared, whole and reachable, and reading them.

Nothing here ever returns less data than asked for without saying so.
"""

import functools
import http.client
import os
import pathlib
import threading
import urllib.error
import urllib.request

import numpy as np

from ..inputs import InputError
from .images import from_pixels

NETWORK_SECONDS = 3.0  # ours, because the decision may take 5 and importing tensorflow-datasets is part of it


def folder_of(data_dir):
    """The folder of tensorflow-datasets, by its own rule."""
    folder = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return pathlib.Path(folder).expanduser()


def _versions(name, folder):
    """Folders that hold, or should hold, a prepared version of the data set."""
    if not (folder / name).is_dir():
        return []
    return [path for path in sorted((folder / name).iterdir()) if path.is_dir() and path.name[0].isdigit()]


def leftovers(name, folder):
    """What interrupted downloads of a data set left behind."""
    return sorted((folder / name).glob("*incomplete*")) if (folder / name).is_dir() else []


def check_folder(name, folder):
    """Refuse a folder that is one data set's own, where the folder of all of them is expected.

    Raises:
        InputError: if it is.
    """
    if (folder / "dataset_info.json").is_file() or any(folder.glob("[0-9]*/dataset_info.json")):
        raise InputError(
            f"{folder} is the folder of one data set, expected the one that holds a folder {name}: name it "
            "with --data-dir"
        )


def _repair(version):
    """What to do about a damaged or half-prepared folder."""
    return f"delete {version} and run again with a network, or name another folder with --data-dir"


def prepared(entry, folder):
    """Whether the data set is there in full, as far as its own description tells.

    Raises:
        InputError: if it is there in part, or if another one is there, or if the folder is that of one.
    """
    name = entry.name
    check_folder(name, folder)
    versions = [path for path in _versions(name, folder) if "incomplete" not in path.name]
    if not versions:
        return False
    version = versions[-1]
    advice = _repair(version)
    if not (version / "dataset_info.json").is_file():
        raise InputError(f"{version} is a half-prepared {name}: {advice}")
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
                raise InputError(f"{path} is missing, so {name} is half-prepared: {advice}")
    return True


@functools.cache
def _builder(version):
    import tensorflow_datasets as tfds

    try:
        return tfds.builder_from_directory(str(version))
    except Exception as error:  # whatever a damaged description makes the reader raise
        raise InputError(
            f"the description of the data set in {version} is damaged ({error}): {_repair(version)}"
        ) from error


def read(entry, split, folder):
    """One split of a prepared data set, in the order in which it is stored.

    Raises:
        InputError: if it is damaged, or holds other images than the data set.
    """
    version = _versions(entry.name, folder)[-1]
    expected = entry.count(split)
    advice = _repair(version)
    builder = _builder(version)
    try:
        arrays = builder.as_dataset(split=split, batch_size=-1)
        x, y = arrays["image"].numpy(), arrays["label"].numpy()
    except Exception as error:  # damaged records surface as many kinds of error
        reason = str(error).splitlines()[0][:200]
        raise InputError(f"the {split} images in {version} are damaged ({reason}): {advice}") from error
    if x.shape != (expected, *entry.shape):
        raise InputError(
            f"{version} holds {split} images of shape {x.shape}, expected {expected:,}: {advice}"
        )
    source = f"tfds {entry.name} {builder.version} {split}"
    return from_pixels(x, y, entry.classes, source, np.arange(expected))


def reachable(name):
    """Whether the server of the data set answers within `NETWORK_SECONDS`.

    tensorflow-datasets itself would try for minutes. The request runs in a thread, as looking up a name
    may hang longer than any timeout of a connection; it honours proxy settings.
    """
    import tensorflow_datasets as tfds

    url = next(iter(tfds.builder_cls(name).url_infos))
    answered = threading.Event()

    def ask():
        try:
            request = urllib.request.Request(url, method="HEAD")
            with urllib.request.urlopen(request, timeout=NETWORK_SECONDS):
                answered.set()
        except urllib.error.HTTPError:
            answered.set()  # an answer all the same: let the download say what is wrong
        except (OSError, http.client.HTTPException):
            pass

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(NETWORK_SECONDS)
    return answered.is_set()


def download(name, folder):
    """Download and prepare a data set.

    Raises:
        InputError: if that fails.
    """
    import tensorflow_datasets as tfds

    print(f"downloading {name} to {folder}", flush=True)
    try:
        tfds.builder(name, data_dir=str(folder)).download_and_prepare()
    except Exception as error:  # network, disk and archive errors alike
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise InputError(
            f"downloading {name} to {folder} failed ({reason}): run again, or name the folder of a "
            "prepared copy with --data-dir"
        ) from error
