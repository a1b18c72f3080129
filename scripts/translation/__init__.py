"""The recipes of the package in PyTorch, for a machine whose GPU TensorFlow does not reach.

models.py    the same networks, weight for weight
weights.py   weights from Keras to PyTorch and back
attacks.py   the attacks and the surgery that training needs
fitting.py   optimizers, schedules and steps recorded as CUDA graphs
training.py  the three trainings: a classifier, the CAE, a hardened E

Images are (B, C, H, W) here. The command is `scripts/train_in_torch.py`; it and `weights.py` alone know both
sides.
"""
