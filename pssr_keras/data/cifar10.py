"""CIFAR-10: colour images of ten kinds of things, the paper's second data set."""

from . import tiles
from .dataset import DataSet

SHAPE, CLASSES = (32, 32, 3), 10

CLASS_NAMES = "airplane automobile bird cat deer dog frog horse ship truck"

CIFAR10 = DataSet(
    name="cifar10",
    title="CIFAR-10",
    class_names=tuple(CLASS_NAMES.split()),
    shape=SHAPE,
    classes=CLASSES,
    train=50_000,
    test=10_000,
    statistics={"mean": (0.4914, 0.4822, 0.4465), "variance": (0.0610, 0.0593, 0.0684)},
    by_content=True,
    bundled=tiles.bundled("cifar10", SHAPE, CLASSES),
)
