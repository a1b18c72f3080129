"""The commands that an installation brings: pssr-train, pssr-evaluate, pssr-reproduce and pssr-verify.

In a checkout, scripts/train.py and its neighbours are the same commands.
"""
