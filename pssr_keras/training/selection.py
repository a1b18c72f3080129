"""Robustness on held-out images after each epoch, and the weights of the best one."""

import keras
import numpy as np

from .. import evaluation
from ..attacks import PGD
from ..files import write_atomically
from ..inputs import InputError

ACCURACY = "held_out"  # its column of the log
BENIGN = "held_out_benign"


def held_out_attack(robust, eps):
    """The PGD of `settings.RobustSettings` that measures robustness after each epoch."""
    return PGD(eps, steps=robust.held_out_steps, step_size=robust.held_out_step_size * eps)


class HeldOut(keras.callbacks.Callback):
    """Accuracy on held-out images, benign and under PGD, for the log of each epoch; the best weights.

    Its file holds weights, epoch and accuracy, whole or not at all. A training that goes on reads it; an
    epoch that is repeated ends with the same weights and accuracy, so it changes nothing. Of equal epochs
    the first counts.

    Args:
        trained: the classifier whose weights are measured.
        judged: another one of its kind, which gets its weights: what is trained on several devices, or has
            an optimizer, is not attacked itself.
        images: `data.Images`.
        attack: see `held_out_attack`.
        path: of the file, `.npz`.
        seed: of the attack.
        batch_size: see `evaluation.craft`.
    """

    def __init__(self, trained, judged, images, attack, path, seed=0, batch_size=500):
        super().__init__()
        self.trained = trained
        self.judged = judged
        self.images = images
        self.attack = attack
        self.path = path
        self.options = {"batch_size": batch_size}
        self.seed = seed
        self.best = best_of(path)[1] if path.is_file() else -1.0

    def measure(self):
        """Accuracy under the attack, and benign."""
        self.judged.set_weights(self.trained.get_weights())
        x, y = self.images.x, self.images.y
        x_adv = evaluation.craft(self.attack, self.judged, self.images, self.seed, **self.options)
        return [float(evaluation.correct(self.judged, z, y, **self.options).mean()) for z in (x_adv, x)]

    def on_epoch_end(self, epoch, logs=None):
        robust, benign = self.measure()
        if logs is not None:  # the same dictionary goes to the callbacks that write the log
            logs |= {ACCURACY: robust, BENIGN: benign}
        if robust > self.best:
            self.best = robust
            weights = self.judged.get_weights()
            write_atomically(
                self.path, lambda partial: np.savez(partial, *weights, epoch=epoch, accuracy=robust)
            )


def best_of(path):
    """Epoch, counted from 0, accuracy and weights of the best epoch, from the file of a `HeldOut`.

    Raises:
        InputError: if it is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            weights = [file[f"arr_{number}"] for number in range(len(file.files) - 2)]
            return int(file["epoch"]), float(file["accuracy"]), weights
    except Exception as error:  # damaged archives raise many kinds of error
        raise InputError(f"{path} is damaged ({error}): delete the folder of that training") from error
