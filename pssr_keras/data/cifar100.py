"""CIFAR-100: colour images of a hundred kinds of things, the paper's third data set."""

from .dataset import DataSet

CIFAR100 = DataSet(
    name="cifar100",
    shape=(32, 32, 3),
    classes=100,
    train=50_000,
    test=10_000,
    statistics={"mean": (0.5071, 0.4865, 0.4409), "variance": (0.0715, 0.0658, 0.0763)},
    by_content=True,
)
