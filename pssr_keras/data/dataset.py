"""What an entry of a data set holds; see `data/mnist.py` for one."""

import dataclasses
import typing

import numpy as np

from .images import Images


@dataclasses.dataclass(frozen=True)
class Bundled:
    """Images that come with the package or what it depends on, so that much works offline.

    Attributes:
        load: function, split -> `Images`.
        splits: those that it has.
        words: what they are, such as "the 5,000 bundled images (4,000 train, 1,000 test)".
        training_pixels: function -> pixels (N, H, W, C) from 0 to 255 of those that are training images of
            the full data set; None if none is.
    """

    load: typing.Callable[[str], Images]
    words: str
    splits: tuple[str, ...] = ("train", "test")
    training_pixels: typing.Callable[[], np.ndarray] | None = None


@dataclasses.dataclass(frozen=True)
class DataSet:
    """A data set as its authors published it: its images. What is done with them is in `experiments`.

    Attributes:
        name: in tensorflow-datasets and on the command line.
        title: as people write it; the name if empty.
        class_names: of the classes, in order; their numbers if empty.
        shape: (H, W, C) of an image.
        classes: number of classes.
        train, test: number of images of each split.
        statistics: {"mean", "variance"} of each channel of the training images in [0, 1], for the
            normalisation inside a classifier; None leaves it out.
        by_content: whether images are ordered by their content and not by their place in an archive, so that
            the first n, a validation split and random starts are the same in every copy; see
            `images.by_content`.
        bundled: images that work offline, if any.
        load: of a user's own data set: function, split -> `Images`; then there is no other source.
    """

    name: str
    shape: tuple[int, int, int]
    classes: int
    train: int
    test: int
    statistics: dict | None = None
    by_content: bool = False
    bundled: Bundled | None = None
    title: str = ""
    class_names: tuple[str, ...] = ()
    load: typing.Callable[[str], Images] | None = None

    def __str__(self):
        return self.title or self.name

    def name_of(self, label: int) -> str:
        """The name of a class in words, or its number."""
        return self.class_names[label] if self.class_names else str(label)

    def count(self, split: str) -> int:
        """Number of images of a split."""
        return {"train": self.train, "test": self.test}[split]
