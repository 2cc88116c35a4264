"""The bank of crafted shifts."""

import numpy as np
import pytest
import torch

from unseen.data.shifts import FAMILIES, FOLDS, bank, craft

LEAST = {
    "arithmetic": 10, "geometric": 6, "color": 10, "contrast": 5, "blur": 5, "convolutional": 4, "edges": 1,
    "segmentation": 2, "weather": 3, "artistic": 1,
}  # fmt: skip
MEMBERS = [(family, member) for family, members in FAMILIES.items() for member in members]


def pictures(n: int = 4, size: int = 20, seed: int = 0, channels: int = 3) -> np.ndarray:
    """Pictures of coloured blocks with some grain, float32 (n, c, h, w) in [0, 1]."""
    rng = np.random.default_rng(seed)
    blocks = np.kron(rng.random((n, channels, 4, 4)), np.ones((1, 1, size // 4, size // 4)))
    return (0.9 * blocks + 0.1 * rng.random(blocks.shape)).astype(np.float32)


def test_there_are_ten_families_with_members_enough_in_two_folds_that_share_none():
    assert set(FAMILIES) == set(LEAST)
    assert all(len(FAMILIES[family]) >= least for family, least in LEAST.items())
    assert set(FOLDS[0]) | set(FOLDS[1]) == set(FAMILIES)
    assert not set(FOLDS[0]) & set(FOLDS[1])
    assert FOLDS[0] == ("arithmetic", "artistic", "blur", "color", "contrast")


@pytest.mark.parametrize("family", FAMILIES)
def test_augmented_copies_are_deterministic_per_image_family_and_seed(family, monkeypatch):
    x = pictures(6)
    first = craft(x, family, 3)
    monkeypatch.setattr(bank, "_memory", type(bank._memory)())  # made again, not remembered
    order = np.array([4, 2, 0])
    assert np.array_equal(craft(x[order], family, 3), first[order])
    if family != "artistic":  # its only member draws nothing
        assert not np.array_equal(craft(x, family, 4), first)


def test_families_differ():
    copies = [craft(pictures(), family).tobytes() for family in FAMILIES]
    assert len(set(copies)) == len(FAMILIES)


def test_each_member_of_a_family_is_drawn():
    drawn = set()
    names = tuple(
        lambda x, rng, s, name=member.__name__: drawn.add(name) or x for member in FAMILIES["blur"]
    )  # members that only say that they were called
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bank, "FAMILIES", {**FAMILIES, "blur": names})
        patch.setattr(bank, "_memory", type(bank._memory)())
        craft(pictures(60), "blur")
    assert drawn == {member.__name__ for member in FAMILIES["blur"]}


@pytest.mark.parametrize(("family", "member"), MEMBERS, ids=lambda value: getattr(value, "__name__", value))
def test_a_member_keeps_shape_gives_numbers_and_changes_pictures(family, member):
    x = pictures(1, 24)[0].transpose(1, 2, 0)
    found = [member(x.copy(), np.random.default_rng(seed), 1.0) for seed in range(8)]
    assert all(one.shape == x.shape and np.isfinite(one).all() for one in found)
    assert max(np.abs(np.clip(one, 0, 1) - x).mean() for one in found) > 1e-4
    for flat in (np.zeros_like(x), np.ones_like(x)):
        assert np.isfinite(member(flat, np.random.default_rng(0), 1.0)).all()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("shape", [(2, 3, 16, 16), (2, 1, 17, 23), (2, 16, 16), (2, 3, 8, 9)])
def test_copies_are_of_the_shape_and_type_of_the_pictures(family, shape):
    x = np.random.default_rng(0).random(shape)
    for given in (x, x.astype(np.float32), (x * 255).astype(np.uint8)):
        found = craft(given, family)
        assert (found.shape, found.dtype) == (given.shape, given.dtype)
        assert found.min() >= 0
        assert found.max() <= (255 if given.dtype == np.uint8 else 1)
    assert torch.equal(craft(torch.as_tensor(x), family), torch.as_tensor(craft(x, family)))


def test_bytes_and_floats_have_the_same_copies():
    x = (pictures() * 255).astype(np.uint8)
    a, b = craft(x, "color"), craft(x / np.float32(255), "color")
    np.testing.assert_allclose(a / 255, b, atol=1e-6)


@pytest.mark.parametrize("family", ["color", "contrast", "arithmetic", "geometric", "weather"])
def test_a_smaller_strength_changes_less(family):
    x = pictures(40)
    weak, strong = (np.abs(craft(x, family, strength=s) - x).mean() for s in (0.1, 1.0))
    assert weak < strong


def test_the_memory_of_copies_has_a_limit(monkeypatch):
    monkeypatch.setattr(bank, "_memory", type(bank._memory)())
    monkeypatch.setattr(bank, "REMEMBERED", 3 * 16 * 16 * 3)
    x = pictures(5, 16)
    first = craft(x, "blur")
    assert len(bank._memory) == 3
    assert np.array_equal(craft(x, "blur"), first)


def test_bad_pictures_and_families_are_named():
    x = pictures()
    with pytest.raises(ValueError, match=r"families must be of arithmetic.*'banana'"):
        craft(x, "banana")
    with pytest.raises(ValueError, match="differ"):
        bank.check_families(["blur", "blur"])
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        craft(x * 255, "blur")
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        craft(np.where(x == x.max(), np.nan, x), "blur")
    with pytest.raises(ValueError, match="shape"):
        craft(x[:, :2], "blur")
    with pytest.raises(ValueError, match="int64"):
        craft(x.astype(np.int64), "blur")
    with pytest.raises(ValueError, match="strength"):
        craft(x, "blur", strength=-1.0)
    assert craft(x[:0], "blur").shape == (0, 3, 20, 20)
