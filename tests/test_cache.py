import numpy as np
import pytest

from pssr_keras import InputError, attacks, cache, evaluation


def test_what_was_made_is_read_and_a_changed_ingredient_makes_it_anew(tmp_path):
    made = []

    def make():
        made.append(1)
        return np.arange(5, dtype=np.float32)

    for ingredients in ({"eps": 0.1}, {"eps": 0.1}, {"eps": 0.2}, {"eps": 0.1, "x": np.zeros(3)}):
        np.testing.assert_array_equal(cache.remember(tmp_path, ingredients, make), np.arange(5))
    assert len(made) == 3


@pytest.mark.parametrize("damage", [lambda b: b[:-40], lambda b: b"", lambda b: b[:90] + b"??" + b[92:]])
def test_a_damaged_file_is_made_anew(tmp_path, damage):
    def make():
        return np.random.default_rng(0).normal(size=100).astype(np.float32)

    first = cache.remember(tmp_path, {"n": 1}, make)
    (path,) = tmp_path.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    with pytest.warns(UserWarning, match="is damaged and is made anew"):
        np.testing.assert_array_equal(cache.remember(tmp_path, {"n": 1}, make), first)
    np.testing.assert_array_equal(cache.remember(tmp_path, {"n": 1}, make), first)


def test_a_file_is_no_cache(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="cannot be used as a cache"):
        cache.check_folder(tmp_path / "file")


def test_the_key_of_crafted_images_holds_all_that_matters(tmp_path, toy_classifier, toy_images):
    def crafted(steps=2, images=toy_images, seed=0):
        attack = attacks.PGD(0.1, steps=steps)
        x_adv = evaluation.craft(attack, toy_classifier, images, seed, cache=tmp_path)
        np.testing.assert_array_equal(x_adv, evaluation.craft(attack, toy_classifier, images, seed))
        return len(list(tmp_path.iterdir()))

    assert crafted() == 1
    assert crafted() == 1
    assert crafted(seed=1) == 2
    assert crafted(steps=3) == 3
    assert crafted(images=toy_images.take(slice(0, 5))) == 4
    kernel = toy_classifier.layers[1].kernel
    before = kernel.numpy()
    try:
        kernel.assign(before * 1.01)
        assert crafted() == 5
    finally:
        kernel.assign(before)
