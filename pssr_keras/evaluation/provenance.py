"""What a number was measured with: weights, settings, images and versions, for a record or a cache."""

import functools
import hashlib
import importlib.metadata
import importlib.resources
import platform
import typing

import numpy as np

from .. import identity as models
from ..surgery import PixelSurgery
from ..version import __version__

PACKAGES = ("keras", "tensorflow", "tensorflow-datasets", "cleverhans", "numpy")


def weights_hash(model: typing.Any) -> str | None:
    """SHA-256 of a model's weights, of shapes and bytes, in order; None for a function, which has none."""
    if not hasattr(model, "get_weights"):
        return None
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(str(weight.shape).encode())
        digest.update(np.ascontiguousarray(weight, "<f4").tobytes())
    return digest.hexdigest()


def identity(model: typing.Any, known: dict | None = None) -> typing.Any:
    """What determines a model's answers and gradients, for a record or the key of a cache.

    `digest` is a hash of all of it, see `identity.digest`, or None where `unidentified` says which part has
    none; the other entries are for readers.

    Args:
        known: {id of a model: its identity} of models that have not changed since, which is filled.
    """
    known = {} if known is None else known
    if id(model) not in known:
        known[id(model)] = _identity(model, known)
    return known[id(model)]


def _identity(model, others):
    known = {"kind": type(model).__name__, "weights": weights_hash(model)}
    try:
        known["digest"] = models.digest(model)
    except models.Unidentified as error:
        known |= {"digest": None, "unidentified": str(error)}
    if isinstance(getattr(model, "surgery", None), PixelSurgery):
        known["surgery"] = model.surgery.get_config()
    if getattr(model, "guide", None) is not None:
        known["guide"] = model.guide if isinstance(model.guide, str) else type(model.guide).__name__
    if hasattr(model, "defense"):  # what stands before another model, such as an expectation over it
        known["defense"] = identity(model.defense, others)
    return known | {
        name: value
        for name in ("temperature", "radius", "draws")
        if isinstance(value := getattr(model, name, None), int | float)
    }


@functools.cache
def code_hash():
    """SHA-256 of the code that makes adversarial examples, which may change while the version stays."""
    package = importlib.resources.files(__package__.partition(".")[0])
    folders = [package, package / "attacks", package / "classifiers"]
    files = [file for folder in folders for file in folder.iterdir() if file.name.endswith(".py")]
    digest = hashlib.sha256()
    for file in sorted(files, key=str):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that a result depends on."""
    found = {"python": platform.python_version(), "pssr-keras": __version__}
    return found | {package: importlib.metadata.version(package) for package in PACKAGES}


def images_hash(images: typing.Any) -> str:
    """SHA-256 of `data.Images`: of pixels, labels and positions, in order."""
    digest = hashlib.sha256(str(images.x.shape).encode())
    for array, kind in ((images.x, "<f4"), (images.y, "<i4"), (images.indices, "<i8")):
        digest.update(np.ascontiguousarray(array, kind).tobytes())
    return digest.hexdigest()


def text_of_indices(indices: typing.Any) -> str:
    """Positions in a data set as text, such as "0-9" or "0-9,12"."""
    breaks = np.flatnonzero(np.diff(indices) != 1) + 1
    parts = [(part[0], part[-1]) for part in np.split(np.asarray(indices), breaks)]
    return ",".join(f"{first}" if first == last else f"{first}-{last}" for first, last in parts)


def indices_of(text: str) -> np.ndarray:
    """The positions (N,) that `text_of_indices` wrote."""
    ends = [[int(end) for end in part.split("-")] for part in text.split(",")]
    return np.concatenate([np.arange(part[0], part[-1] + 1) for part in ends])
