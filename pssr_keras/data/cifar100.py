"""CIFAR-100: colour images of a hundred kinds of things, the paper's third data set."""

from . import tiles
from .dataset import DataSet

SHAPE, CLASSES = (32, 32, 3), 100

CLASS_NAMES = """
    apple aquarium-fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly
    camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup
    dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn-mower
    leopard lion lizard lobster man maple-tree motorcycle mountain mouse mushroom oak-tree orange orchid
    otter palm-tree pear pickup-truck pine-tree plain plate poppy porcupine possum rabbit raccoon ray
    road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
    sunflower sweet-pepper table tank telephone television tiger tractor train trout tulip turtle
    wardrobe whale willow-tree wolf woman worm
"""

CIFAR100 = DataSet(
    name="cifar100",
    title="CIFAR-100",
    class_names=tuple(CLASS_NAMES.split()),
    shape=SHAPE,
    classes=CLASSES,
    train=50_000,
    test=10_000,
    statistics={"mean": (0.5071, 0.4865, 0.4409), "variance": (0.0715, 0.0658, 0.0763)},
    by_content=True,
    bundled=tiles.bundled("cifar100", SHAPE, CLASSES),
)
