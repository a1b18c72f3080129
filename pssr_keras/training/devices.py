"""Train on several devices, of one machine or of several, as on one: a synchronous strategy of TensorFlow.

The batches of an epoch are built as on one device and then cut into equal parts, one for each device. Each
device takes the gradient of its part's share in the loss of the whole batch, and the optimizers add these
gradients. Batch normalisation takes its statistics over the whole batch, and dropout draws one device's
masks. So the weights are those of one device but for rounding: sums are added up in another order.

Several machines are told of each other by TF_CONFIG, TensorFlow's environment variable. They share the run
folder, in which the first of them, the chief, writes; what is not training is done by the chief alone.
"""

import contextlib
import functools
import json
import os
import pathlib
import random
import time

import keras
import tensorflow as tf

from ..building import building_in
from ..inputs import InputError
from .device_layers import stand_in

VISIBLE_AFTER = 120  # seconds until a file of the chief must be seen; NFS may hide one for 60


class Devices:
    """The devices that train a model together; `ONE_DEVICE` is the one that TensorFlow chooses by itself.

    Args:
        strategy: a MirroredStrategy, a MultiWorkerMirroredStrategy, or None for one device.
    """

    def __init__(self, strategy=None):
        self.strategy = strategy
        self.count = 1 if strategy is None else strategy.num_replicas_in_sync
        self.is_chief = strategy is None or strategy.extended.should_checkpoint
        self.several_workers = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)

    def __str__(self):
        if self.strategy is None:
            return "one device"
        return f"{self.count} devices" + (f" of {workers()} workers" if self.several_workers else "")

    def scope(self):
        """Where the variables of a model and of its optimizers are made, one copy on each device."""
        return contextlib.nullcontext() if self.strategy is None else self.strategy.scope()

    def check_batch(self, size):
        """Refuse batches that cannot be cut into equal parts: means over unequal parts are no mean of all."""
        if size % self.count:
            raise InputError(
                f"a batch of {size:,} images cannot be cut into equal parts for {self.count} devices: choose "
                "another --devices, or a batch size that their number divides"
            )

    def mirrored(self, model, passes=1):
        """A copy of a model on all devices, to be trained in its place; on one device the model itself.

        The copy has the layers of `device_layers`, and goes into no model file.

        Args:
            model: a Functional or Sequential model.
            passes: see `device_layers.PartOfDropout`.

        Raises:
            InputError: for a model of another kind, or with a layer that draws its own random numbers.
        """
        if self.strategy is None:
            return model

        def copy(layer):
            return stand_in(layer, passes)

        state = random.getstate()  # of the seeds that models built after this one will take
        try:
            with self.strategy.scope(), building_in("float32"):
                mirror = keras.models.clone_model(model, clone_function=copy, recursive=True)
        except ValueError as error:
            raise InputError(
                f"{model.name} cannot be copied to several devices ({error}): train on one, without --devices"
            ) from error
        random.setstate(state)
        mirror.set_weights(model.get_weights())
        return mirror

    def distribute(self, dataset):
        """A dataset of whole batches, each cut into equal parts, one for each device in order."""
        if self.strategy is None:
            return dataset

        def parts_of_worker(context):
            count = context.num_replicas_in_sync // context.num_input_pipelines
            first = context.input_pipeline_id * count

            def cut(*batch):
                return tuple(
                    tf.reshape(whole, (self.count, whole.shape[0] // self.count, *whole.shape[1:]))[
                        first : first + count
                    ]
                    for whole in batch
                )

            return dataset.map(cut, tf.data.AUTOTUNE).unbatch().prefetch(tf.data.AUTOTUNE)

        # Not experimental_distribute_dataset, which would deal out files or elements to the workers.
        return self.strategy.distribute_datasets_from_function(parts_of_worker)

    def fit(self, model, dataset, *, initial_epoch, epochs, steps_per_epoch, callbacks):
        """Train a compiled model on a dataset of whole batches, as `model.fit` does.

        On one device by `model.fit` itself. On several by a loop of its own, as Keras 3 fails on several
        workers (keras issue 20585); its progress shows the losses of the first device.
        """
        if self.strategy is None:
            return model.fit(
                dataset,
                initial_epoch=initial_epoch,
                epochs=epochs,
                steps_per_epoch=steps_per_epoch,
                shuffle=False,  # the dataset is shuffled
                verbose=0,
                callbacks=callbacks,
            )
        batches = iter(self.distribute(dataset))

        @tf.function
        def step(batch):
            logs = self.strategy.run(model.train_step, args=(batch,))
            return {name: self.strategy.experimental_local_results(log)[0] for name, log in logs.items()}

        callbacks = keras.callbacks.CallbackList(callbacks, model=model)
        callbacks.on_train_begin()
        for epoch in range(initial_epoch, epochs):
            model.reset_metrics()
            callbacks.on_epoch_begin(epoch)
            for number in range(steps_per_epoch):
                callbacks.on_train_batch_begin(number)
                logs = step(next(batches))
                callbacks.on_train_batch_end(number, {name: float(log) for name, log in logs.items()})
            logs = model.get_metrics_result()  # adds up the metrics of all devices
            callbacks.on_epoch_end(epoch, {name: float(log) for name, log in logs.items()})
        callbacks.on_train_end()

    def any_worker(self, flag):
        """Whether the answer of any worker is yes; all ask at once, and wait for each other."""
        if not self.several_workers:
            return bool(flag)
        total = self._sum(tf.constant(float(flag)))
        return self.strategy.experimental_local_results(total)[0].numpy() > 0

    @functools.cached_property
    def _sum(self):
        """Function: a number -> its sum over all devices."""

        def over_devices(number):
            own = tf.identity(number)  # an argument is on no device, and cannot be added up
            return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, own)

        return tf.function(lambda number: self.strategy.run(over_devices, args=(number,)))

    def of_chief(self, flag):
        """The chief's answer to a question of yes or no; all workers ask at once, and wait for each other."""
        return self.any_worker(flag and self.is_chief)

    @contextlib.contextmanager
    def together(self):
        """Wait at the end until all workers are there; where one of them failed, all of them end.

        Raises:
            InputError: on the others.
        """
        failed = True
        try:
            yield
            failed = False
        finally:
            failed_somewhere = self.any_worker(failed)
        if failed_somewhere:
            raise InputError("another worker stopped, see what it printed")

    def on_chief(self, function):
        """Call function() on the chief, while the other workers wait."""
        with self.together():
            if self.is_chief:
                function()

    def chief_first(self, function):
        """Call function() on the chief, then on the other workers; returns what it returned here."""
        with self.together():
            result = function() if self.is_chief else None
        with self.together():
            return result if self.is_chief else function()

    def write(self, path, write):
        """Call write() on the chief, which makes a file of the run folder; all workers see it afterwards."""
        self.on_chief(write)
        with self.together():
            self.wait_for(path)

    def wait_for(self, path):
        """Wait until this worker sees a file that the chief wrote.

        Raises:
            InputError: if it remains unseen, as where the workers do not share the run folder.
        """
        patience = time.monotonic() + VISIBLE_AFTER
        while not pathlib.Path(path).is_file():
            if time.monotonic() > patience:
                raise InputError(
                    f"{path}, of the first worker, is not seen by this one: choose an --out in a folder that "
                    "all workers share"
                )
            time.sleep(0.1)


ONE_DEVICE = Devices()


def select(name=None):
    """The devices of a name, to be chosen before TensorFlow computes anything.

    Under a TF_CONFIG of several workers, these are devices of each worker, by default all its GPUs; a worker
    without GPUs is one device.

    Args:
        name: None for one device, "all" for all GPUs of a machine, "2" for two of them, or "cpu:2" for two
            equal parts of the processor: no faster than one, but it shows that a training works.

    Raises:
        InputError: for another name, if there are fewer devices, or for a TF_CONFIG that cannot be read.
    """
    kind, count = _parse(name)
    if workers() > 1:
        if kind == "cpu":
            raise InputError(
                f"devices is {name!r} under TF_CONFIG, where a worker without GPUs is one device"
            )
        if count is not None:
            tf.config.set_visible_devices(_gpus(count), "GPU")
        try:
            return Devices(tf.distribute.MultiWorkerMirroredStrategy())
        except (tf.errors.OpError, ValueError) as error:
            raise InputError(f"the workers of TF_CONFIG do not find each other ({error})") from error
    if kind == "cpu":
        chosen = _parts_of_cpu(count)
    else:
        gpus = tf.config.list_logical_devices("GPU") if name == "all" else _gpus(count)
        chosen = [f"GPU:{number}" for number in range(len(gpus))]
    return Devices(tf.distribute.MirroredStrategy(chosen)) if len(chosen) > 1 else ONE_DEVICE


def _parse(name):
    """Kind of device, and how many: None are all."""
    if name is None or name == "all":
        return "gpu", 1 if name is None and workers() == 1 else None
    kind, colon, number = name.rpartition(":")
    if (colon and kind != "cpu") or not number.isdecimal() or int(number) == 0:
        raise InputError(f"devices is {name!r}, expected all, a number from 1 on, or cpu: and a number")
    return kind or "gpu", int(number)


def _gpus(count):
    """The first GPUs of this machine; one device may also be its CPU."""
    found = tf.config.list_physical_devices("GPU")
    if count > max(1, len(found)):
        raise InputError(
            f"devices is {count}, but TensorFlow sees {len(found)} GPUs on this machine: choose all for "
            f"those, or cpu:{count} to try it on parts of the processor"
        )
    return found[:count]


def _parts_of_cpu(count):
    cpu = tf.config.list_physical_devices("CPU")[0]
    parts = [tf.config.LogicalDeviceConfiguration() for _ in range(count)]
    try:
        tf.config.set_logical_device_configuration(cpu, parts)
    except RuntimeError as error:
        raise InputError("parts of the processor must be chosen before TensorFlow computes") from error
    return [f"CPU:{number}" for number in range(count)]


def workers():
    """The number of workers that TF_CONFIG names, 1 without it.

    Raises:
        InputError: if it cannot be read, or does not say which of several workers this is.
    """
    text = os.environ.get("TF_CONFIG")
    if not text:
        return 1
    try:
        found = json.loads(text)
        cluster, task = found.get("cluster", {}), found.get("task", {})
        count = sum(len(cluster.get(kind, [])) for kind in ("chief", "worker"))
        if count > 1:
            cluster[task["type"]][int(task["index"])]  # else TensorFlow would train on this machine alone
    except (ValueError, AttributeError, TypeError, KeyError, IndexError) as error:
        reason = f"{type(error).__name__} {error}"
        raise InputError(
            f"TF_CONFIG is {text!r}, which cannot be read ({reason}): see docs/scaling.md"
        ) from error
    return max(1, count)
