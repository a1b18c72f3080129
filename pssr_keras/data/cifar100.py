"""CIFAR-100: colour images of a hundred kinds of things, the paper's third data set."""

from . import tiles
from .dataset import DataSet

SHAPE, CLASSES = (32, 32, 3), 100

CIFAR100 = DataSet(
    name="cifar100",
    shape=SHAPE,
    classes=CLASSES,
    train=50_000,
    test=10_000,
    statistics={"mean": (0.5071, 0.4865, 0.4409), "variance": (0.0715, 0.0658, 0.0763)},
    by_content=True,
    bundled=tiles.bundled("cifar100", SHAPE, CLASSES),
)
