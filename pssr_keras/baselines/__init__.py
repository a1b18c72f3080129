"""Other defenses for Table 1: classifiers that are trained to be robust, one file each.

All of them are trained by the same loop, so a further baseline is a further file with an `Objective`, and a
line here. docs/reproduction/baselines.md says how each is defined, and where it departs from its publication.
"""

from .adversarial_training import AdversarialTraining, adversarial_training
from .bag_of_tricks import BagOfTricks, bag_of_tricks, smoothed_cross_entropy, weight_decay_loss
from .base import OBJECTIVES, Objective, RobustTraining, parse, register
from .cross_entropy import CrossEntropy
from .early_stopping import EarlyStopping
from .few_labels import FewLabels
from .gradient_regularisation import GradientRegularisation, gradient_regularisation
from .inner import inner_maximization
from .labels import kept_rows
from .prototype_conformity import PrototypeConformity, PrototypeTraining, attraction, repulsion
from .pseudo_labels import PseudoLabels, pseudo_labels
from .trades import TRADES, trades

__all__ = [
    "OBJECTIVES",
    "TRADES",
    "AdversarialTraining",
    "BagOfTricks",
    "CrossEntropy",
    "EarlyStopping",
    "FewLabels",
    "GradientRegularisation",
    "Objective",
    "PrototypeConformity",
    "PrototypeTraining",
    "PseudoLabels",
    "RobustTraining",
    "adversarial_training",
    "attraction",
    "bag_of_tricks",
    "gradient_regularisation",
    "inner_maximization",
    "kept_rows",
    "parse",
    "pseudo_labels",
    "register",
    "repulsion",
    "smoothed_cross_entropy",
    "trades",
    "weight_decay_loss",
]  # fmt: skip
