"""Certificates of robustness: interval bounds of Keras models, and the images that they prove robust.

intervals.py      bounds of each layer, through a whole model
own_layers.py     those of the layers that this package defines
certificates.py   which images are certified
"""

from . import own_layers as own_layers
from .certificates import certified, margins
from .intervals import NoBounds, bounds, rule

__all__ = ["NoBounds", "bounds", "certified", "margins", "rule"]
