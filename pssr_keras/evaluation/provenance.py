"""What a number was measured with: weights, settings, images and versions, for a record or a cache."""

import hashlib
import importlib.metadata
import platform

import numpy as np

PACKAGES = ("keras", "tensorflow", "tensorflow-datasets", "cleverhans", "numpy")


def weights_hash(model):
    """SHA-256 of a model's weights: of shapes and bytes, in order."""
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(str(weight.shape).encode())
        digest.update(np.ascontiguousarray(weight, "<f4").tobytes())
    return digest.hexdigest()


def identity(model):
    """What determines a model's answers and gradients, for a record or the key of a cache."""
    known = {"kind": type(model).__name__, "weights": weights_hash(model)}
    if getattr(model, "surgery", None) is not None:
        known["surgery"] = model.surgery.get_config()
    if getattr(model, "guide", None) is not None:
        known["guide"] = model.guide if isinstance(model.guide, str) else type(model.guide).__name__
    if hasattr(model, "defense"):  # what stands before another model, such as an expectation over it
        known["defense"] = identity(model.defense)
    return known | {n: getattr(model, n) for n in ("temperature", "radius", "draws") if hasattr(model, n)}


def versions():
    """Versions of Python and of the packages that a result depends on."""
    return {"python": platform.python_version()} | {p: importlib.metadata.version(p) for p in PACKAGES}


def images_hash(images):
    """SHA-256 of `data.Images`: of pixels, labels and positions, in order."""
    digest = hashlib.sha256(str(images.x.shape).encode())
    for array, kind in ((images.x, "<f4"), (images.y, "<i4"), (images.indices, "<i8")):
        digest.update(np.ascontiguousarray(array, kind).tobytes())
    return digest.hexdigest()


def text_of_indices(indices):
    """Positions in a data set as text, such as "0-9" or "0-9,12"."""
    breaks = np.flatnonzero(np.diff(indices) != 1) + 1
    parts = [(part[0], part[-1]) for part in np.split(np.asarray(indices), breaks)]
    return ",".join(f"{first}" if first == last else f"{first}-{last}" for first, last in parts)


def indices_of(text):
    """The positions (N,) that `text_of_indices` wrote."""
    ends = [[int(end) for end in part.split("-")] for part in text.split(",")]
    return np.concatenate([np.arange(part[0], part[-1] + 1) for part in ends])
