"""One experiment from data to table: classifier, defense, evaluation.

A run is a folder. Each stage leaves one finished file there, and what is finished is read, not
repeated; a stage that was interrupted goes on from its last epoch. All randomness is drawn from
(seed, epoch), so an interrupted run ends with the same weights as an uninterrupted one.

    config.json                the experiment and the hash of a classifier that was brought along
    classifier.keras           stage 1
    adversarial-<attack>.npy   stage 2, deleted at the end
    pssr.keras                 stage 3, named after the defense, such as hardened.keras
    evaluation.json            stage 4
    *_log.csv, tensorboard/    losses and accuracies of each epoch
    checkpoint-*.weights.h5    the state of a stage, deleted at the end
    run.lock                   while a process is at work there
"""

import contextlib
import dataclasses
import os
import time
import typing

from .. import data, evaluation
from ..attacks import adaptive
from ..defense import PSSR
from ..files import expanded, read_json, write_json
from ..settings import Experiment
from . import classifier as classifier_stage
from .classifier import train_classifier
from .defenses import DEFENSES, check_defense, train_defense
from .devices import ONE_DEVICE, Devices
from .folder import check_inputs, prepare_folder, remove_intermediate, working_in
from .own_classifier import classifier_of
from .pairs import make_attacks


def run(
    experiment: Experiment,
    folder: str | os.PathLike[str],
    data_dir: str | os.PathLike[str] | None = None,
    classifier_file: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    devices: Devices = ONE_DEVICE,
) -> dict[str, typing.Any]:
    """Run one experiment in a folder, or continue it, or read its result if it is finished.

    Args:
        experiment: `settings.Experiment` with a resolved source.
        folder: the run folder; it is made if need be.
        data_dir: folder of tensorflow-datasets.
        classifier_file: a `.keras` file of a classifier to protect instead of training one.
        overwrite: start afresh, deleting what an earlier run left in the folder.
        devices: on which to train; see `devices.select`. A run may go on on others.

    Returns:
        The record of the evaluation; see `evaluation.evaluate`.

    Raises:
        InputError: if the folder is a file, is not writable, or holds another configuration or a damaged
            file; if another process is at work in it; if it is to be overwritten and the classifier or the
            data lie in it; if the classifier does not fit; if there are fewer images than asked for.
    """
    check_names(experiment)
    if classifier_file is not None:
        classifier_of(classifier_file, data.DATASETS[experiment.dataset])  # before anything is made
    place = expanded(folder)
    finished = place / "evaluation.json"
    if overwrite:
        data_dir_found = data_dir or os.environ.get("TFDS_DATA_DIR")
        own = experiment.own.path or None
        inputs = {"--classifier": classifier_file, "--data-dir": data_dir_found, "--data": own}
        check_inputs(place, inputs)
    with contextlib.ExitStack() as until_the_end:

        def prepare():
            if not devices.is_chief:
                devices.wait_for(place / "config.json")
            elif overwrite or not finished.is_file():
                until_the_end.enter_context(working_in(place))
            prepare_folder(place, experiment, classifier_file, overwrite and devices.is_chief)

        devices.chief_first(prepare)
        if not devices.of_chief(finished.is_file()):
            make(experiment, place, finished, data_dir, classifier_file, devices)
    return read_json(finished)


def make(experiment, folder, finished, data_dir, classifier_file, devices):
    """All stages of a run; see `run`."""
    train, validation, test = devices.chief_first(lambda: load_splits(experiment, data_dir))
    classifier = train_classifier(experiment, folder, train, validation, classifier_file, devices)
    defended = train_defense(experiment, folder, classifier, train, validation, devices=devices)

    def evaluate():
        record = evaluate_run(experiment, defended, test)
        remove_intermediate(folder)
        write_json(finished, record)

    devices.write(finished, evaluate)


def check_names(experiment):
    """Refuse unknown attacks, readings, objectives and so on of an experiment before any work."""
    make_attacks(experiment, experiment.attack.evaluation)
    classifier_stage.check_names(experiment.classifier)
    check_defense(experiment)


def load_splits(experiment, data_dir=None, read=data.load):
    """Training, validation and test images of an experiment.

    Args:
        experiment: `settings.Experiment`.
        data_dir: see `data.load`.
        read: function with the arguments of `data.load`, which takes long: images may be at hand already.
    """
    numbers = experiment.data
    options = {
        "source": numbers.source,
        "data_dir": data_dir,
        "exclude_bundled": numbers.exclude_bundled,
    }
    train = read(experiment.dataset, "train", **options)
    test = read(experiment.dataset, "test", **options)
    train, validation = data.split_validation(train, numbers.validation_size, experiment.seed)
    return (
        data.first(train, numbers.train_limit, "train", "data.train_limit"),
        validation,
        data.first(test, numbers.test_limit, "test", "data.test_limit"),
    )


def stages(defended):
    """The rows of an evaluation: the undefended classifier, each stage of a PSSR alone, and the whole.

    A defense of another kind or name has no stages: it stands beside its classifier.
    """
    if not isinstance(defended, PSSR) or defended.name == "arn":
        return {"undefended": defended.classifier, defended.name: defended}
    undefended = {"undefended": PSSR(defended.classifier, None, None, name="undefended")}
    if defended.name == "hardened" and defended.surgery is None:
        return undefended | {row_of(defended): defended}
    guide = defended.guiding_model()
    return undefended | {
        "+PS": PSSR(defended.classifier, defended.surgery, None, guide, name="surgery_only"),
        "+CAE": PSSR(defended.classifier, None, defended.extrapolator, name="extrapolator_only"),
        row_of(defended): defended,
    }


def row_of(defended):
    """The row of a table in which a defense stands: its name, or PSSR."""
    is_other = not isinstance(defended, PSSR) or (defended.name != "pssr" and defended.name in DEFENSES)
    return defended.name if is_other else "PSSR"


def evaluate_run(experiment, defended, test):
    """Stage 4: all rows under all evaluation attacks, with the whole configuration in the record.

    Of a defense that claims adversarial robustness, also the record of one: "adaptive".
    """
    suite = make_attacks(experiment, experiment.attack.evaluation)
    start = time.perf_counter()
    record = evaluation.evaluate(
        defended.classifier,
        stages(defended),
        test,
        suite,
        seed=experiment.seed,
        batch_size=experiment.batch_size,
        progress=True,
    )
    if DEFENSES[experiment.defense].claims_robustness:
        record["adaptive"] = evaluate_adaptively(experiment, defended, test)
    seconds = round(time.perf_counter() - start, 1)
    return {"configuration": dataclasses.asdict(experiment), "evaluation_seconds": seconds, **record}


def evaluate_adaptively(experiment, defended, test):
    """The defense under attacks through its surrogates, those of `hardened.evaluation`."""
    numbers = experiment.hardened
    return evaluation.evaluate_adaptively(
        defended,
        test.take(slice(0, min(numbers.evaluated_images, len(test)))),
        experiment.attack.eps,
        attacks=numbers.evaluation,
        surrogates=adaptive.surrogates(defended),  # without its classifier, so that it takes no longer
        name=row_of(defended),
        seed=experiment.seed,
        batch_size=experiment.batch_size,
        progress=True,
    )
