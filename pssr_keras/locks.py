"""Locks between processes: one works, the others are refused or wait.

The operating system drops a lock with the process that holds it, however that ends, so a file that is left
behind locks nobody out. Between machines a lock holds where their file system keeps it for all of them: NFS 4
does, NFS 3 with its lock service; on one without locks a warning says that nobody is kept out.
"""

import contextlib
import errno
import json
import os
import pathlib
import socket
import time
import warnings

from .inputs import InputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]  # and is looked at before it is used
    import msvcrt

BUSY = {errno.EAGAIN, errno.EACCES, errno.EDEADLK}
SECONDS = 0.5  # between two looks at a lock that somebody else holds
BEYOND = 2**30  # the byte that is locked on Windows, where others cannot read a locked one


@contextlib.contextmanager
def alone(path, at_work):
    """Hold the lock of a file, which is removed at the end.

    Args:
        path: of the file, in a folder that is there.
        at_work: what its holder does, and what to do about it, such as "is at work in runs/a: wait for it".

    Raises:
        InputError: if another process holds it, or if the file cannot be made.
    """
    handle = _taken(path)
    if handle is None:
        raise InputError(f"{holder(path)} {at_work}")
    try:
        yield
    finally:
        _release(path, handle)


@contextlib.contextmanager
def in_turn(path, at_work=None):
    """As `alone`, but wait until no other process holds the lock; one line says so, if `at_work` is given."""
    told = at_work is None
    while (handle := _taken(path)) is None:
        if not told:
            print(f"{holder(path)} {at_work}: waiting for it", flush=True)
            told = True
        time.sleep(SECONDS)
    try:
        yield
    finally:
        _release(path, handle)


def holder(path):
    """Who holds a lock, in words."""
    try:
        found = json.loads(pathlib.Path(path).read_text())
        return f"another process (pid {found['pid']} on {found['host']}, since {found['since']})"
    except (OSError, ValueError, KeyError, TypeError):  # it has not said so yet, or may not
        return "another process"


def _taken(path):
    """The open file of a lock that is ours now, or None if another process holds it."""
    while True:
        try:
            handle = _opened(path)
        except OSError as error:
            raise InputError(f"{path} cannot be written ({error.strerror}): name another place") from error
        try:
            _lock(handle)
        except OSError as error:
            if error.errno in BUSY:
                os.close(handle)
                return None
            warnings.warn(
                f"{path} cannot be locked ({error.strerror}): let no other process work there", stacklevel=3
            )
        if not _is_still(path, handle):  # its former holder has removed it meanwhile
            os.close(handle)
            continue
        with contextlib.suppress(OSError):  # the lock of another user can be held, but not written
            os.truncate(handle, 0)
            since = time.strftime("%Y-%m-%d %H:%M:%S")
            told = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
            os.write(handle, json.dumps(told).encode())
        return handle


def _opened(path):
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except PermissionError:
        if not os.path.exists(path):
            raise
        return os.open(path, os.O_RDONLY)  # of another user, in a folder that both may write


def _lock(handle):
    if fcntl is not None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    os.lseek(handle, BEYOND, os.SEEK_SET)
    try:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
    finally:
        os.lseek(handle, 0, os.SEEK_SET)


def _is_still(path, handle):
    try:
        return os.path.samestat(os.stat(path), os.fstat(handle))
    except FileNotFoundError:
        return False


def _release(path, handle):
    if fcntl is None:  # Windows removes no file that is open, and drops the lock with it
        os.close(handle)
    with contextlib.suppress(OSError):
        os.unlink(path)
    if fcntl is not None:
        os.close(handle)
