"""What a visitor may choose from, whatever is shipped and however fast the machine is."""

import time

import numpy as np

from ..attacks import parse_eps
from .answering import dataset_of, defense_of, images_of, once, surrogates_of
from .walking import STEPS, attack_of, walk

FINE, COARSE = (1, 2, 3, 4, 6, 8, 10, 12, 16, 24, 32), tuple(range(5, 55, 5))
MOST_STEPS = (10, 20, 40, 60, 100)  # 100 steps find nearly all that more find
PATIENCE = 1.2  # seconds; an answer takes less than a second besides
QUERIES = 3  # of Square in the time of a step, about


def budgets(eps):
    """Budgets to choose from around that of a data set, as text: in 255ths where it is small.

    Returns:
        The texts, and the one nearest to eps.
    """
    texts = [f"{n}/255" for n in FINE] if eps <= max(FINE) / 255 else [f"{n / 100:g}" for n in COARSE]
    nearest = int(np.argmin([abs(parse_eps(text) - eps) for text in texts]))
    return texts, texts[nearest]


def rows_of(images, label):
    """The places of the images of a class: (n,)."""
    return np.flatnonzero(images.y == label)


@once
def most_steps(name, surrogate=None):
    """How many steps of an attack a visitor waits for, one of `MOST_STEPS`: measured on this machine.

    Args:
        name: of shipped weights.
        surrogate: through which they are attacked; the classifier alone if None.
    """
    model = defense_of(name).classifier if surrogate is None else surrogates_of(name)[surrogate]
    images, attack, seconds = images_of(dataset_of(name).name), attack_of("bim", 0.1, 3), []
    for _ in range(3):  # the first one compiles
        start = time.perf_counter()
        walk(attack, model, images.x[0], images.y[0])
        seconds.append((time.perf_counter() - start) / attack.steps)
    return max(MOST_STEPS[:1] + tuple(n for n in MOST_STEPS if n * min(seconds) <= PATIENCE))


def most_of(attack, steps):
    """The most steps, or queries, of an attack where `steps` of a gradient attack are the most."""
    return {"fgsm": 1, "apgd-ce": min(STEPS["apgd-ce"], steps), "square": QUERIES * steps}.get(attack, steps)
