"""Any number of images, batch by batch, so that every batch has one shape."""

import typing

import numpy as np

from .inputs import check_integer


def batches(count: int, batch_size: int) -> list[slice]:
    """Slices of at most batch_size that cover range(count)."""
    return [slice(start, min(start + batch_size, count)) for start in range(0, count, batch_size)]


def pad(array: np.ndarray, length: int) -> np.ndarray:
    """Repeat the last row until there are `length` rows, so that every batch has one shape."""
    missing = length - len(array)
    return array if missing == 0 else np.concatenate([array, np.repeat(array[-1:], missing, axis=0)])


def size_of_batches(count: int, batch_size: int, fixed_size: bool = False) -> int:
    """How many images every batch holds, the last one padded; no more than there are unless fixed."""
    batch_size = check_integer("batch_size", batch_size, 1)
    return batch_size if fixed_size else min(batch_size, count)


def in_batches(
    function: typing.Callable,
    arrays: tuple[np.ndarray, ...],
    batch_size: int,
    padded: bool = True,
    done: typing.Callable[[int], None] = lambda count: None,
) -> np.ndarray:
    """What a function makes of arrays (N, ...), row by row, in batches: (N, ...).

    Args:
        function: of one batch of each array, (B, ...) -> (B, ...).
        arrays: at least one row each.
        batch_size: B.
        padded: give the last batch B rows too, and drop what the added ones become.
        done: is told after each batch how many rows are done.
    """
    parts = []
    for rows in batches(len(arrays[0]), batch_size):
        count = rows.stop - rows.start
        part = [pad(array[rows], batch_size if padded else count) for array in arrays]
        parts.append(np.asarray(function(*part))[:count])
        done(rows.stop)
    return np.concatenate(parts)
