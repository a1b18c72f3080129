"""Answers to the exercises of the tutorials: each `check_...` says whether yours is right, or why not.

An answer of None is not checked, so a notebook runs whether its exercises are solved or not.
"""

import numpy as np

from . import surgery


def percent(flags, to=5):
    """A share in words, rounded to what a few hundred images can tell: "about 60%"."""
    exact = 100 * float(np.mean(flags))
    share = to * round(exact / to)
    return f"{share}%" if exact == share else f"about {share}%"


def verdict(answer, right, reason):
    """Print whether an answer is right; `reason` is for one that is not."""
    if answer is None:
        print("not answered yet")
    elif right:
        print("right")
    else:
        print(f"not yet: {reason}")


# --- 01_findings ---------------------------------------------------------------------------------


def check_largest_share(answer):
    """The largest share of pixels that can reach 1.5 times the mean of a score that is never negative."""
    right = answer is not None and abs(answer - 1 / 1.5) < 0.01
    hint = "let a share s of the pixels lie at 1.5 times the mean, and all others at 0: what is the mean?"
    verdict(answer, right, hint)


def check_equal_shares(answer, classifier, x_adv):
    """An alpha at which half of the pixels, within 2 points, are salient."""
    if answer is None:
        return verdict(None, False, "")
    share = float(surgery.PixelSurgery(alpha=answer).masks(classifier, x_adv)[0].numpy().mean())
    direction = "larger" if share > 0.5 else "smaller"
    verdict(
        answer,
        abs(share - 0.5) < 0.02,
        f"{100 * share:.0f}% of the pixels are salient, try a {direction} alpha",
    )
