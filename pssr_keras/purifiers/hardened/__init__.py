"""A hardened extrapolator: E trained through the whole frozen pipeline, against whoever attacks all of it."""
