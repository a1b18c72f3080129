"""CIFAR-10: colour images of ten kinds of things, the paper's second data set."""

from .dataset import DataSet

CIFAR10 = DataSet(
    name="cifar10",
    shape=(32, 32, 3),
    classes=10,
    train=50_000,
    test=10_000,
    statistics={"mean": (0.4914, 0.4822, 0.4465), "variance": (0.0610, 0.0593, 0.0684)},
    by_content=True,
)
