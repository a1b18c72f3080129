"""A run folder: what --overwrite deletes and what it leaves, and who may work there."""

import os

import pytest

from pssr_keras import InputError, config, locks, training
from pssr_keras.training import folder as run_folder


def experiment(**changes):
    return config.experiment("mnist", "smoke", source="bundled", **changes)


def fill(folder, names, text="old"):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def files_in(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


OF_PSSR = {
    "classifier.keras",
    "classifier_last.keras",
    "classifier.json",
    "pseudo_labels.npy",
    "pssr.keras",
    "pssr.partial-0123abcd.keras",
    "pssr.partial.keras",
    "evaluation.json",
    "classifier_log.csv",
    "cae_log.csv",
    "checkpoint-classifier.weights.h5",
    "checkpoint-classifier.npz",
    "checkpoint-cae.weights.h5",
    "checkpoint-cae.partial-0123abcd.weights.h5",
    "adversarial-pgd-5000.npy",
    "adversarial-fgsm.npy",
    "start/classifier.keras",
    "start/classifier_log.csv",
    "start/checkpoint-classifier.weights.h5",
    "start/tensorboard/classifier/train/events.out.tfevents.1",
    "teacher/classifier.keras",
    "tensorboard/cae/train/events.out.tfevents.1.host.2",
    "tensorboard/classifier/train/events.out.tfevents.1.host.1",
    "tensorboard/classifier/validation/events.out.tfevents.1.host.1",
}
USERS = {
    "notes.txt",
    "my_log.csv",
    "arn_log.csv",  # of another defense than this run's
    "arn.keras",
    "checkpoint-mine.weights.h5",
    "checkpoint-backup.npz",
    "adversarial-mine.npy",
    "draft.partial.txt",
    "thesis.partial-2.tex",
    "pssr.partial-final.keras",
    "start/thesis.txt",
    "start/config.json",
    "start/pssr.keras",
    "teacher/deep/pupil.txt",
    "tensorboard/mine/events.out.tfevents.1",
    "tensorboard/cae/notes.txt",
    "figures/classifier.keras",
}


def test_overwriting_deletes_what_the_run_made_and_nothing_else(tmp_path):
    folder = training.prepare_folder(tmp_path / "run", experiment())
    fill(folder, OF_PSSR | USERS)
    training.prepare_folder(folder, experiment(seed=3), overwrite=True)
    assert files_in(folder) == USERS | {"config.json"}
    assert training.readable(folder / "config.json")["seed"] == 3


def test_overwriting_leaves_no_empty_folder_of_the_run(tmp_path):
    folder = training.prepare_folder(tmp_path / "run", experiment())
    fill(folder, OF_PSSR)
    training.prepare_folder(folder, experiment(), overwrite=True)
    assert [path.name for path in folder.iterdir()] == ["config.json"]


def test_a_finished_run_deletes_only_what_it_no_longer_needs(tmp_path):
    folder = training.prepare_folder(tmp_path / "run", experiment())
    fill(folder, OF_PSSR | USERS)
    training.remove_intermediate(folder)
    gone = (OF_PSSR | USERS | {"config.json"}) - files_in(folder)
    assert {name for name in OF_PSSR if "/" not in name and ("-" in name or "partial" in name)} == gone


def test_the_defense_that_is_overwritten_counts(tmp_path):
    folder = training.prepare_folder(tmp_path / "run", experiment(defense="hardened"))
    fill(folder, {"hardened.keras", "hardened_log.csv"})
    training.prepare_folder(folder, experiment(), overwrite=True)
    assert files_in(folder) == {"config.json"}


def test_what_the_next_run_would_take_for_its_own_is_refused_before_anything_is_deleted(tmp_path):
    folder = training.prepare_folder(tmp_path / "run", experiment())
    fill(folder, {"pssr.keras", "hardened.keras"})
    with pytest.raises(
        InputError, match=r"hardened\.keras is not of the run that is to be overwritten: move"
    ):
        training.prepare_folder(folder, experiment(defense="hardened"), overwrite=True)
    assert files_in(folder) == {"config.json", "pssr.keras", "hardened.keras"}


def test_links_lead_no_deletion_out_of_the_folder(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    fill(elsewhere, {"cae/train/events.out.tfevents.1", "classifier.keras"})
    folder = training.prepare_folder(tmp_path / "run", experiment())
    (folder / "tensorboard").symlink_to(elsewhere)
    training.prepare_folder(folder, experiment(), overwrite=True)
    (folder / "start").symlink_to(elsewhere)
    with pytest.raises(InputError, match="start is a link, expected a folder of the run"):
        training.prepare_folder(folder, experiment(), overwrite=True)
    assert files_in(elsewhere) == {"cae/train/events.out.tfevents.1", "classifier.keras"}


@pytest.mark.parametrize("way", ["itself", "dots", "relative", "link to the file", "link to the folder"])
def test_a_classifier_within_the_folder_is_refused_before_anything_is_deleted(way, tmp_path, monkeypatch):
    folder = training.prepare_folder(tmp_path / "run", experiment())
    fill(folder, {"classifier.keras", "pssr.keras"})
    (tmp_path / "link.keras").symlink_to(folder / "classifier.keras")
    (tmp_path / "linked").symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    named = {
        "itself": folder / "classifier.keras",
        "dots": folder / ".." / "run" / "classifier.keras",
        "relative": "run/classifier.keras",
        "link to the file": tmp_path / "link.keras",
        "link to the folder": tmp_path / "linked" / "classifier.keras",
    }[way]
    with pytest.raises(
        InputError, match=r"--classifier .* lies in .*run, which is to be overwritten: move it"
    ):
        training.prepare_folder(folder, experiment(), named, overwrite=True)
    assert files_in(folder) == {"config.json", "classifier.keras", "pssr.keras"}


def test_a_link_out_of_the_folder_is_refused_too(tmp_path):
    folder = training.prepare_folder(tmp_path / "run", experiment())
    (tmp_path / "mine.keras").write_text("mine")
    (folder / "classifier.keras").symlink_to(tmp_path / "mine.keras")
    with pytest.raises(InputError, match="lies in"):
        training.prepare_folder(folder, experiment(), folder / "classifier.keras", overwrite=True)
    assert (folder / "classifier.keras").is_symlink()


@pytest.mark.parametrize("named", [True, False])
def test_data_within_the_folder_are_refused(named, tmp_path, monkeypatch):
    folder = training.prepare_folder(tmp_path / "run", experiment())
    fill(folder, {"pssr.keras", "tfds/mnist/3.0.1/dataset_info.json"})
    if not named:
        monkeypatch.setenv("TFDS_DATA_DIR", str(folder / "tfds"))
    with pytest.raises(InputError, match=r"--data-dir .*tfds lies in"):
        training.run(experiment(), folder, folder / "tfds" if named else None, overwrite=True)
    assert "pssr.keras" in files_in(folder)


def test_a_second_run_in_a_folder_is_refused_at_once_and_changes_nothing(tmp_path):
    folder = tmp_path / "run"
    with training.working_in(folder):
        training.prepare_folder(folder, experiment())
        before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
        for overwrite in (False, True):
            with pytest.raises(InputError, match=r"another process \(pid .*\) is at work in .*run: wait for"):
                training.run(experiment(), folder, overwrite=overwrite)
        with pytest.raises(InputError, match="is at work in"):
            training.check_free(folder)
        assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    training.check_free(folder)
    assert files_in(folder) == {"config.json"}


def test_a_finished_run_is_read_while_its_folder_cannot_be_locked(tmp_path, monkeypatch):
    folder = training.prepare_folder(tmp_path / "run", experiment())
    (folder / "evaluation.json").write_text('{"n": 7}')
    monkeypatch.setattr(locks, "_taken", lambda path: pytest.fail("locked a run that is only read"))
    assert training.run(experiment(), folder) == {"n": 7}


def test_a_foreign_folder_is_not_even_locked(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    before = tmp_path.stat().st_mtime_ns
    with pytest.raises(InputError, match="is not empty and holds no run"):
        training.run(experiment(), tmp_path)
    assert tmp_path.stat().st_mtime_ns == before


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert training.prepare_folder("~/run", experiment()) == tmp_path / "run"
    assert not os.path.exists("~")
    with pytest.raises(InputError, match="home folder in ~nobody-there/run is not known"):
        training.prepare_folder("~nobody-there/run", experiment())


def test_every_defense_names_the_files_of_its_training():
    for name in training.DEFENSES:
        assert run_folder.stages_of(name)
    assert run_folder.stages_of("pssr") == ("cae",)
    assert run_folder.stages_of("unheard_of") == ("unheard_of",)
