"""The numbers of the experiments on each data set, and the rows of its tables.

`data` knows the images; here is what is done with them. Experiments on a further data set are a further file
like `experiments/mnist.py`, and a line in `EXPERIMENTS`. What each number means is told in `settings`.
"""

from .base import Experiments
from .cifar10 import CIFAR10
from .cifar100 import CIFAR100
from .mnist import MNIST
from .own import experiments_of

__all__ = ["EXPERIMENTS", "Experiments", "experiments_of"]

EXPERIMENTS = {entry.experiment.dataset: entry for entry in (MNIST, CIFAR10, CIFAR100)}
