"""Where the images of tensorflow-datasets come from: a folder of prepared ones, another process, a server."""

import contextlib
import http.client
import os
import threading
import time
import urllib.error
import urllib.request

from .. import locks
from ..files import expanded, unwritable
from ..inputs import InputError
from .stored import Forbidden, Unfinished, first_line, prepared, read

__all__ = [
    "Forbidden", "Unfinished", "awaited", "download", "folder_of", "leftovers", "obstacle", "prepared",
    "reachable", "read", "writable",
]  # fmt: skip

NETWORK_SECONDS = 3.0  # the decision may take 5 and importing tensorflow-datasets is part of it


WATCHED = 1.5  # seconds in which whoever prepares a data set is seen to write something; see `changing`
QUIET = 30.0  # a download that was at work may stand still for so long
PATIENCE = 1_800.0  # seconds that another process is waited for; CIFAR-10 is prepared in a minute or two
LATELY = 600.0  # seconds; what nobody has written to for so long nobody is watched at


def folder_of(data_dir=None):
    """The folder of tensorflow-datasets, by its own rule; None where it would be in a home that is not known.

    Raises:
        InputError: for a folder that was named by a home that is not known.
    """
    named = data_dir or os.environ.get("TFDS_DATA_DIR")
    if named:
        return expanded(named)
    try:
        return expanded("~/tensorflow_datasets")
    except InputError:  # as of a container's user without an entry in the list of users
        return None


def leftovers(name, folder):
    """What downloads of a data set that were interrupted, or are at work, have begun."""
    return sorted((folder / name).glob("*incomplete*")) if (folder / name).is_dir() else []


def obstacle(entry, data_dir=None):
    """Why a data set cannot be had, in words; None if it is prepared, or downloaded now.

    Raises:
        InputError: if it is there in part, or otherwise not as it should be, or if its download fails.
    """
    name, folder = entry.name, folder_of(data_dir)
    if folder is None:
        return f"{name} has no place, as no home folder is known"
    try:
        if awaited(entry, folder):
            return None
    except Forbidden as error:
        if data_dir:
            raise
        return str(error).partition(":")[0]  # without the advice
    if not writable(folder):
        return f"{name} is not in {folder}, and that folder cannot be written"
    if reachable(name):
        download(entry, folder)
        return None
    if leftover := leftovers(name, folder):
        raise Unfinished(
            f"{leftover[0]} is a half-prepared {name}, and its server cannot be reached: it may be in use by "
            "another process that prepares it, then wait for that one; else rename it and run once with a "
            "network"
        )
    return f"{name} is not in {folder}, and its server cannot be reached"


def awaited(entry, folder):
    """As `prepared`, after waiting for another process that is preparing or copying the data set there."""
    begun, told = time.monotonic(), False
    while True:
        try:
            found, unfinished = prepared(entry, folder), None
        except Unfinished as error:
            found, unfinished = False, error
        at_work = unfinished is not None or (not found and leftovers(entry.name, folder))
        if found or not at_work or not changing(entry.name, folder, QUIET if told else WATCHED):
            break
        if time.monotonic() - begun > PATIENCE:
            raise InputError(
                f"{folder / entry.name} is still being prepared by another process after "
                f"{PATIENCE / 60:.0f} minutes: wait for that one, or name another folder with --data-dir"
            )
        if not told:
            print(
                f"another process is preparing {entry.name} in {folder}: waiting for it, at most "
                f"{PATIENCE / 60:.0f} minutes",
                flush=True,
            )
            told = True
    if unfinished is not None:
        raise unfinished
    return found


def changing(name, folder, seconds):
    """Whether somebody writes to a data set within so many seconds.

    While it is downloaded its own folder is empty and the folder of downloads grows.
    """
    before = written(name, folder)
    lately = time.time() - LATELY
    if not any(changed / 1e9 > lately for _, changed in before.values()):
        return False
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(min(0.1, seconds))
        if written(name, folder) != before:
            return True
    return False


def written(name, folder):
    """{path: (size, time of the last change)} of what is there of a data set and of downloads."""
    places = [folder / name, *(folder / name).rglob("*"), *(folder / "downloads").glob("*.tmp*")]
    places += (folder / "downloads").glob("*.tmp*/*")
    found = {}
    for path in places:
        with contextlib.suppress(OSError):  # gone meanwhile
            status = path.stat()
            found[path] = status.st_size, status.st_mtime_ns
    return found


def writable(folder):
    """Whether a data set can be put into a folder, which need not be there yet."""
    while not os.path.exists(folder) and folder != folder.parent:
        folder = folder.parent
    return os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK)


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


def download(entry, folder):
    """Download and prepare a data set, unless another process does so meanwhile.

    Raises:
        InputError: if that fails.
    """
    import tensorflow_datasets as tfds

    name = entry.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(unwritable(folder, error)) from error
    with locks.in_turn(folder / f"{name}.lock", f"is downloading {name} to {folder}"):
        if prepared(entry, folder):
            return
        print(f"downloading {name} to {folder}", flush=True)
        try:
            tfds.builder(name, data_dir=str(folder)).download_and_prepare()
        except Exception as error:  # network, disk and archive errors alike
            if prepared(entry, folder):  # by a process that knows nothing of our lock
                return
            raise InputError(
                f"downloading {name} to {folder} failed ({first_line(error)}): run again, or name the folder "
                "of a prepared copy with --data-dir"
            ) from error
