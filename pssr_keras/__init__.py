"""Pixel Surgery and Semantic Regeneration (PSSR): adversarial purification in Keras 3."""

from .startup import check_keras, open_standard_streams, start_tensorflow

open_standard_streams()
check_keras()
start_tensorflow()

# classifiers, so that Keras knows the layers of a saved one
from . import attacks, certify, classifiers, data, evaluation, training
from .attacks.compiled import clear_compiled
from .cae import CAE
from .config import experiment
from .defense import PSSR
from .evaluation import cache, checks
from .inputs import InputError
from .pretrained import load_pretrained, model_card
from .surgery import PixelSurgery
from .version import __version__

__all__ = [
    "CAE",
    "PSSR",
    "InputError",
    "PixelSurgery",
    "__version__",
    "attacks",
    "cache",
    "certify",
    "checks",
    "classifiers",
    "clear_compiled",
    "data",
    "evaluation",
    "experiment",
    "load_pretrained",
    "model_card",
    "training",
]
