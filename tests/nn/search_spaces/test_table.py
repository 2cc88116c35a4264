"""Training for real: deterministic, resumable; statistics in their slots."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from unseen.data.domain import Domain
from unseen.data.sources import digits
from unseen.nn.search_spaces import get
from unseen.nn.search_spaces.measure import measure
from unseen.nn.search_spaces.pictures import halves, pictures
from unseen.nn.search_spaces.table import as_table, train_all
from unseen.nn.search_spaces.training import Recipe
from unseen.nn.zero_cost import nodewise_statistics
from unseen.runtime import reproducible

TEXTS = ("w8/conv3x3/skip/skip/skip/skip/skip", "w8/none/none/none/none/none/none")
RECIPE = Recipe(epochs=2, batch_size=32)


@pytest.fixture(scope="module")
def parts() -> tuple[Domain, Domain]:
    return halves(pictures(digits("handwritten", size=8, flat=True).take(slice(0, 400))))


def test_halves_hold_the_classes_alike_and_are_standardized_by_the_first(parts: tuple[Domain, Domain]) -> None:
    learn, held_out = parts
    assert abs(len(learn) - len(held_out)) <= 10
    assert np.bincount(learn.labels) == pytest.approx(np.bincount(held_out.labels), abs=1)
    assert learn.x.mean() == pytest.approx(0, abs=1e-5)
    assert learn.x.std() == pytest.approx(1, abs=1e-5)
    assert not set(learn.digests()) & set(held_out.digests())


def test_pictures_of_a_folder_are_scaled_and_features_are_read_as_squares() -> None:
    grey = pictures(digits("handwritten").take(slice(0, 3)), size=10)
    assert grey.x.shape == (3, 1, 10, 10)
    assert 0 <= grey.x.min() < grey.x.max() <= 1
    assert pictures(digits("handwritten").take(slice(0, 3)), size=10, channels=3).x.shape == (3, 3, 10, 10)
    flat = digits("handwritten", size=8, flat=True).take(slice(0, 3))
    assert (pictures(flat).x.reshape(3, 64) == flat.x).all()
    with pytest.raises(ValueError, match="rows of 64"):
        pictures(flat, size=10)
    with pytest.raises(ValueError, match="channels"):
        pictures(flat, channels=2)


def test_a_network_learns_and_one_without_a_path_does_not(parts: tuple[Domain, Domain]) -> None:
    rows = train_all(get("cells"), TEXTS, *parts, n_classes=10, seeds=(0,), recipe=Recipe(epochs=4, batch_size=16))
    assert rows[0].accuracy > 0.6
    assert rows[1].accuracy < 0.2
    assert rows[0].parameters == sum(p.numel() for p in get("cells").build(TEXTS[0], n_classes=10).parameters())


def test_killed_work_goes_on_to_the_same_table(parts: tuple[Domain, Domain], tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    expected = train_all(get("cells"), TEXTS, *parts, n_classes=10, recipe=RECIPE, journal=whole)
    lines = whole.read_text().splitlines()
    cut.write_text("\n".join([*lines[:3], lines[3][:20]]))  # killed while it wrote the third training
    found = train_all(get("cells"), TEXTS, *parts, n_classes=10, recipe=RECIPE, journal=cut)
    assert [(r.architecture, r.seed, r.accuracy) for r in found] == [
        (r.architecture, r.seed, r.accuracy) for r in expected
    ]
    assert len(cut.read_text().splitlines()) == 5
    assert all(json.loads(line) for line in cut.read_text().splitlines())
    with pytest.raises(ValueError, match="begun with other data"):
        train_all(get("cells"), TEXTS, *parts, n_classes=10, recipe=Recipe(epochs=3), journal=cut)
    with pytest.raises(ValueError, match="begun with other data"):
        train_all(get("cells"), TEXTS, parts[1], parts[0], n_classes=10, recipe=RECIPE, journal=cut)


@pytest.mark.parametrize("kept", [0, 20])
def test_a_journal_killed_in_its_first_line_is_a_new_one(
    parts: tuple[Domain, Domain], tmp_path: Path, kept: int
) -> None:
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    work = dict(n_classes=10, seeds=(0,), recipe=Recipe(epochs=1))
    train_all(get("cells"), TEXTS[1:], *parts, journal=whole, **work)  # type: ignore[arg-type]
    head = whole.read_text().splitlines()[0]
    cut.write_text(head[:kept])
    train_all(get("cells"), TEXTS[1:], *parts, journal=cut, **work)  # type: ignore[arg-type]
    assert cut.read_text().splitlines()[0] == head
    assert len(cut.read_text().splitlines()) == 2
    assert sorted(file.name for file in tmp_path.iterdir()) == ["cut.jsonl", "whole.jsonl"]


def test_statistics_stand_in_their_slots_and_the_init_is_the_seed(parts: tuple[Domain, Domain]) -> None:
    space, learn = get("cells"), parts[0]
    before = torch.get_rng_state()
    found = measure(space, TEXTS, learn, n_classes=10, batch_size=16, seed=5)
    assert torch.equal(before, torch.get_rng_state())
    index = np.random.default_rng(5).permutation(len(learn))[:16]
    with reproducible(5):
        network = space.build(TEXTS[0], n_classes=10)
    expected = nodewise_statistics(
        network, torch.as_tensor(learn.x[index]), torch.as_tensor(learn.labels[index]), nodes=space.slots
    )
    np.testing.assert_array_equal(found[0], torch.cat(list(expected.values())))
    assert not np.array_equal(found, measure(space, TEXTS, learn, n_classes=10, batch_size=16, seed=6))


def test_statistics_that_are_not_finite_are_told_with_their_architecture(parts: tuple[Domain, Domain]) -> None:
    lost = parts[0].replace(x=np.full_like(parts[0].x, np.nan))
    with pytest.raises(ValueError, match=re.escape(f"{TEXTS[0]}: grad_norm is not finite at ")):
        measure(get("cells"), TEXTS, lost, n_classes=10)


def test_rows_become_a_table(parts: tuple[Domain, Domain]) -> None:
    rows = train_all(get("cells"), TEXTS, *parts, n_classes=10, seeds=(4, 7), recipe=RECIPE)
    table = as_table(rows, name="t", about={"why": "test"})
    assert table.architectures == TEXTS
    assert table.accuracy.tolist() == [[rows[0].accuracy, rows[1].accuracy], [rows[2].accuracy, rows[3].accuracy]]
    assert table.about["seeds"] == [4, 7]
    assert table.about["why"] == "test"
