"""A data set of a user's own, an .npz file or a folder of pictures by class, as an ordinary `DataSet`."""

import contextlib
import dataclasses
import hashlib

import numpy as np

from ..files import BAD_ARCHIVE, expanded
from ..inputs import InputError, check_labels
from .dataset import DataSet
from .images import Images, from_pixels
from .pictures import read_folder

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
LAYOUT = "x_train, y_train, x_test and y_test"


@dataclasses.dataclass(frozen=True)
class OwnImages:
    """What was found in a user's data set.

    Attributes:
        train, test: `Images`.
        class_names: of the classes, in order; empty if nobody named them.
        notes: lines that tell the user what was decided or left out.
        sha256: of pixels, labels and names of classes, however they are stored.
    """

    train: Images
    test: Images
    class_names: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def sha256(self):
        found = hashlib.sha256(repr(self.class_names).encode())
        for images in (self.train, self.test):
            found.update(repr(images.x.shape).encode())
            found.update(np.ascontiguousarray(images.x))
            found.update(np.ascontiguousarray(images.y))
        return found.hexdigest()


def read(path):
    """The images of a file or folder that a user names, as `OwnImages`.

    Args:
        path: an .npz file of x_train, y_train, x_test, y_test: images (N, H, W, C), uint8 or float32 in
            [0, 1], and integer labels (N,) or (N, 1); or a folder of pictures, see `pictures.read_folder`.

    Raises:
        InputError: if it is not there or is damaged; for images that are no pixels, have a height or width
            that 4 does not divide, or other channels than 1 or 3; for labels that are not 0 to K - 1, or
            fewer than two classes.
    """
    place = expanded(path)
    if place.is_dir():
        train, test, names, notes = read_folder(place)
    elif place.is_file():
        (train, test), names, notes = read_arrays(place), [], []
    else:
        raise InputError(
            f"{path} is not there, expected an .npz file or a folder of pictures by class: "
            "name the place where it lies"
        )
    check_shape(train.x.shape[1:], path)
    return OwnImages(train, test, tuple(names), tuple(notes))


def entry_of(name, path, sha256, shape, classes, counts, class_names=(), images=None):
    """The `DataSet` of a user's images, which are read when they are asked for.

    Args:
        name: in `DATASETS`.
        path: of the file or folder.
        sha256: that its content must have.
        shape: (H, W, C).
        classes: number of classes.
        counts: number of images of the train and the test split.
        class_names: if they have names.
        images: `OwnImages`, if they are read already.
    """
    at_hand = [] if images is None else [images]

    def load(split):
        if not at_hand:
            at_hand.append(read_again(path, sha256))
        return getattr(at_hand[0], split)

    title = expanded(path).name
    train, test = counts
    return DataSet(name, shape, classes, train, test, title=title, class_names=class_names, load=load)


def read_again(path, sha256):
    """The images of a run's data set, if they are where they were and are the same.

    Raises:
        InputError: if they moved or changed.
    """
    if not expanded(path).exists():
        raise InputError(f"the data set of the run, {path}, is not there: name its new place, --data PATH")
    images = read(path)
    if images.sha256 != sha256:
        raise InputError(
            f"{path} holds other images than those of the run (SHA-256 {images.sha256[:12]}, expected "
            f"{sha256[:12]}): name the place of the former ones, --data PATH"
        )
    return images


# --- an .npz file --------------------------------------------------------------------------------


def read_arrays(path):
    """Training and test images of an .npz file."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = [name for name in ARRAYS if name not in archive]
            if missing:
                found = ", ".join(archive.files) or "nothing"
                raise InputError(
                    f"{path} has no {' and no '.join(missing)}, expected the arrays {LAYOUT}: it holds "
                    f"{found}"
                )
            arrays = {name: archive[name] for name in ARRAYS}
    except BAD_ARCHIVE as error:
        if isinstance(error, InputError):  # a ValueError too
            raise
        raise InputError(f"{path} is no whole .npz file with {LAYOUT} ({error})") from error
    with named(path, "y_train"):
        labels = check_labels(arrays["y_train"], len(np.atleast_1d(arrays["x_train"])))
        classes = check_classes(labels)
    train, test = (images_of_split(path, arrays, split, classes) for split in ("train", "test"))
    if train.x.shape[1:] != test.x.shape[1:]:
        raise InputError(
            f"{path}: x_train has images {train.x.shape[1:]} and x_test {test.x.shape[1:]}, expected one "
            "shape"
        )
    return train, test


def images_of_split(path, arrays, split, classes):
    """One split of the arrays, `Images`."""
    x, y = arrays[f"x_{split}"], arrays[f"y_{split}"]
    source = f"own {path.name} {split}"
    with named(path, f"x_{split}"):
        if x.dtype not in (np.uint8, np.float32):
            raise InputError(
                f"the images are {x.dtype}, expected uint8 from 0 to 255, or float32 in [0, 1]: cast them"
            )
        if not len(np.atleast_1d(x)):
            raise InputError("there are no images, expected at least one")
        if x.dtype == np.uint8 and x.max() <= 1:
            raise InputError(
                f"the images are uint8 from 0 to {x.max()}, expected 0 to 255: multiply images of 0 and 1 by "
                "255, or give them as float32"
            )
        none = np.zeros(len(x), np.int32)  # what is wrong with the images is said first
        make = from_pixels if x.dtype == np.uint8 else Images
        x = make(x, none, classes, source, np.arange(len(x))).x
    with named(path, f"y_{split}"):
        return Images(x, check_labels(y, len(x), classes), classes, source, np.arange(len(x)))


@contextlib.contextmanager
def named(path, array):
    """Name the file and the array in whatever is refused within."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}, {array}: {error}") from error


def check_classes(labels):
    """The number of classes of training labels (N,).

    Raises:
        InputError: for fewer than two, or a number below the highest that no image has.
    """
    found = np.unique(labels)
    if len(found) < 2:
        raise InputError(f"the labels name {len(found)} class, expected at least 2")
    if len(found) != found[-1] + 1:
        shown = ", ".join(map(str, found[:10])) + (", ..." if len(found) > 10 else "")
        raise InputError(
            f"the labels are {shown}, expected 0 to {len(found) - 1} for {len(found)} classes: number them "
            "anew, as by np.unique(y, return_inverse=True)"
        )
    return len(found)


def check_shape(shape, path):
    """Refuse images that cannot be halved twice, or are neither grey nor in colour."""
    height, width, channels = shape
    if channels not in (1, 3):
        raise InputError(f"{path} holds images of {channels} channels, expected 1 (grey) or 3 (colour)")
    if height % 4 or width % 4 or not height * width:
        larger = f"{max(4, -(-height // 4) * 4)}x{max(4, -(-width // 4) * 4)}"
        raise InputError(
            f"{path} holds images of {height}x{width}, expected a height and width divisible by 4: pad or "
            f"resize them, such as to {larger}"
        )
