"""Other defenses for Table 1: classifiers that are trained to be robust, one file each.

All of them are trained by the same loop, so a further baseline is a further file with an `Objective`, and a
line here. Of the paper's Table 1 there are missing: ARN, PCL, Semi-SL, RO and BagT.
"""

from .adversarial_training import AdversarialTraining, adversarial_training
from .base import OBJECTIVES, Objective, RobustTraining, parse, register
from .cross_entropy import CrossEntropy
from .gradient_regularisation import GradientRegularisation, gradient_regularisation
from .inner import worst_images
from .trades import TRADES, trades

__all__ = [
    "OBJECTIVES", "TRADES", "AdversarialTraining", "CrossEntropy", "GradientRegularisation", "Objective",
    "RobustTraining", "adversarial_training", "gradient_regularisation", "parse", "register", "trades",
    "worst_images",
]  # fmt: skip
