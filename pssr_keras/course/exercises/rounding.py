"""How the tutorials round a share, so that another machine prints the same."""

import numpy as np


def percent(flags, to=5):
    """A share in words, rounded to what a few hundred images can tell: "about 60%", "less than 5%".

    All or none is not told from nearly so: another machine may round one image the other way.
    """
    steps, most = round(100 * float(np.mean(flags)) / to), round(100 / to)
    if steps == 0:
        return f"less than {to}%"
    return f"more than {100 - to}%" if steps == most else f"about {to * steps}%"
