"""Other purifiers than PSSR, a room each: its numbers, its networks, its losses, and how a run trains it.

arn         an autoencoder whose code does not tell natural images from attacked ones
hardened    E trained against whoever attacks the whole pipeline
"""
