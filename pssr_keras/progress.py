"""A progress bar for whatever takes long: crafting, checks, training."""

import sys

import keras


class Progress:
    """A progress bar with time to go; silent without a label, sparing where output is no terminal."""

    def __init__(self, label, total, unit_name="image"):
        self.bar = None
        if label is not None:
            print(label, flush=True)
            self.bar = keras.utils.Progbar(
                total, interval=0.2 if sys.stdout.isatty() else 20, unit_name=unit_name
            )

    def update(self, done, values=()):
        if self.bar is not None:
            self.bar.stateful_metrics.update(name for name, _ in values)  # shown as they are, not averaged
            self.bar.update(done, values)
