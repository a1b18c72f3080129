"""Pictures in folders by class, as `keras.utils.image_dataset_from_directory` has them."""

import numpy as np

from ..inputs import InputError
from .images import from_pixels

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif")
TEST_SHARE = 5  # one in so many pictures of a class is set aside for testing
SPLIT_SEED = 0  # not that of a run: all runs on a folder have the same test images


def read_folder(folder):
    """Training and test images of a folder of pictures: (train, test, names of the classes, notes).

    FOLDER/train/<class>/* and FOLDER/test/<class>/*, or FOLDER/<class>/*, of which one in five of each class
    is set aside for testing.

    Raises:
        InputError: for a picture that cannot be read or has another size than the first, an empty class, or
            fewer than two classes.
    """
    parts = [folder / "train", folder / "test"]
    present = [part for part in parts if part.is_dir()]
    notes = []
    if len(present) == 1 and len(folders_in(folder)) == 1:
        (missing,) = set(parts) - set(present)
        raise InputError(f"{missing} is missing, expected it beside {present[0]}, or {folder}/<class>/*")
    if len(present) == 2:
        names = [path.name for path in folders_in(parts[0])]
        others = [path.name for path in folders_in(parts[1])]
        if names != others:
            only = sorted(set(names) ^ set(others))[0]
            where, other = parts if only in names else reversed(parts)
            raise InputError(f"{where} has a class {only!r} and {other} has none, expected the same classes")
        check_names(names, parts[0])
        found = [files_by_class(part, names, 1, notes) for part in parts]
        rows = [[range(len(files)) for files in part] for part in found]
    else:
        names = [path.name for path in folders_in(folder)]
        check_names(names, folder)
        files = files_by_class(folder, names, 2, notes)
        found = [files, files]
        rows = split(files)
        notes.append(
            f"one in {TEST_SHARE} pictures of each class, drawn with seed {SPLIT_SEED}, is set aside for "
            "testing"
        )
    first = None
    images = []
    for part, kept, classes in zip(("train", "test"), rows, found, strict=True):
        paths = [files[row] for files, own in zip(classes, kept, strict=True) for row in own]
        labels = np.repeat(np.arange(len(names)), [len(own) for own in kept])
        first = first or (paths[0], decode(paths[0]).shape)
        pixels = np.stack([alike(path, *first) for path in paths])
        source = f"own {folder.name} {part}"
        images.append(from_pixels(pixels, labels, len(names), source, np.arange(len(paths))))
    return *images, names, notes


def folders_in(folder):
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def check_names(names, folder):
    """Refuse fewer than two classes."""
    if len(names) < 2:
        found = f"only the class folder {names[0]!r}" if names else "no class folders"
        raise InputError(f"{folder} holds {found}, expected at least 2, each with the pictures of one class")


def files_by_class(folder, names, least, notes):
    """The pictures of each class in the order of their names; what is no picture is noted.

    Raises:
        InputError: for a class of fewer than `least`.
    """
    classes, others = [], []
    for name in names:
        files = sorted(
            path
            for path in (folder / name).rglob("*")
            if path.is_file() and not path.name.startswith(".")  # as .DS_Store
        )
        pictures = [path for path in files if path.suffix.lower() in SUFFIXES]
        others += [path for path in files if path.suffix.lower() not in SUFFIXES]
        if len(pictures) < least:
            count = "1 picture" if pictures else "no picture"
            kinds = ", ".join(suffix[1:] for suffix in SUFFIXES)
            raise InputError(f"{folder / name} holds {count}, expected at least {least} ({kinds})")
        classes.append(pictures)
    if others:
        notes.append(f"{len(others)} files in {folder} are no pictures and left out, such as {others[0]}")
    return classes


def split(classes):
    """Rows for training and for testing of each class: ([rows of each], [rows of each])."""
    train, test = [], []
    for label, files in enumerate(classes):
        order = np.random.default_rng([SPLIT_SEED, label]).permutation(len(files))
        count = max(1, len(files) // TEST_SHARE)
        train.append(np.sort(order[count:]))
        test.append(np.sort(order[:count]))
    return train, test


def alike(path, first, shape):
    """The pixels of a picture that has the shape of the first one."""
    pixels = decode(path)
    if pixels.shape != shape:
        raise InputError(
            f"{path} is {words(pixels.shape)} and {first} is {words(shape)}, expected all pictures alike: "
            "resize or convert them"
        )
    return pixels


def words(shape):
    """A shape (H, W, C) as 32x32, 3 channels."""
    height, width, channels = shape
    return f"{height}x{width} of {channels} channel{'s' * (channels > 1)}"


def decode(path):
    """The pixels of a picture, (H, W, C) uint8.

    Raises:
        InputError: if it cannot be read, or has transparency.
    """
    import tensorflow as tf

    try:
        pixels = tf.io.decode_image(path.read_bytes(), expand_animations=False).numpy()
    except (OSError, tf.errors.OpError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "damaged, or of another kind than its name says"
        raise InputError(f"{path} cannot be read as a picture ({reason}): repair or remove it") from error
    if pixels.shape[-1] not in (1, 3):
        raise InputError(
            f"{path} has {pixels.shape[-1]} channels, expected 1 or 3: save it without transparency"
        )
    return pixels
