"""What claims' arms share does what the claims wrote out before."""

from __future__ import annotations

import copy

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from unseen.claims import arms
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain


def test_at_most_so_many_of_each_class_are_drawn_class_after_class() -> None:
    y = np.array([2, 0, 2, 2, 0, 7])
    rows = arms.rows_of_each(y, 2, np.random.default_rng(0))
    assert y[rows].tolist() == [0, 0, 2, 2, 7]
    assert len(set(rows.tolist())) == len(rows)


def test_at_most_so_many_of_a_class_are_drawn_in_order_and_always_the_same() -> None:
    y = np.repeat([0, 1, 2], [50, 3, 10])
    rows = arms.few_of_each(y, 5)
    assert np.bincount(y[rows]).tolist() == [5, 3, 5]
    assert np.array_equal(rows, np.sort(rows))
    assert np.array_equal(rows, arms.few_of_each(y, 5))


def test_a_clock_gives_what_was_made_and_the_least_of_several_times() -> None:
    made, seconds = arms.timed(lambda: [sum(range(100_000))])
    assert made == [4_999_950_000]
    calls: list[int] = []
    assert 0 <= arms.least_seconds(lambda: calls.append(0), 3) < seconds + 1
    assert len(calls) == 3


def test_samples_of_some_classes_are_numbered_by_their_place_among_these() -> None:
    domain = Domain(x=np.arange(6.0)[:, None], y=np.array([0, 1, 2, 3, 1, 0]), classes=ClassSpace(names=tuple("abcd")))
    kept = arms.of_classes(domain, np.array([3, 1]))
    assert kept.x[:, 0].tolist() == [1, 3, 4]
    assert kept.labels.tolist() == [1, 0, 1]
    assert kept.classes is not None
    assert kept.classes.names == ("d", "b")
    assert arms.of_classes(domain.replace(classes=None), np.array([2])).classes is None


def test_clip_loss_is_cross_entropy_both_ways() -> None:
    logits = torch.randn(5, 5, generator=torch.Generator().manual_seed(0))
    own = torch.arange(5)
    assert torch.equal(arms.clip_loss(logits), (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2)


def test_a_layer_that_absorbed_a_standardization_reads_what_is_not_standardized() -> None:
    torch.manual_seed(0)
    layer, x = nn.Linear(4, 3), 5 + 2 * torch.randn(20, 4)
    centre, spread = x.mean(dim=0), x.std(dim=0)
    other = copy.deepcopy(layer)
    arms.absorb(other, centre, spread)
    torch.testing.assert_close(other(x), layer((x - centre) / spread), rtol=1e-4, atol=1e-5)
