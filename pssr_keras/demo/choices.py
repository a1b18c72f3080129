"""What a visitor may choose from, whatever is shipped."""

import numpy as np

from ..attacks import parse_eps

FINE, COARSE = (1, 2, 3, 4, 6, 8, 10, 12, 16, 24, 32), tuple(range(5, 55, 5))
MOST_STEPS = 100  # ours, because more take longer than a visitor waits


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
