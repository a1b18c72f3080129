"""The commands that an installation brings: pssr-train, pssr-evaluate and pssr-reproduce, a file each.

In a checkout, scripts/train.py and its neighbours are the same commands.
"""
