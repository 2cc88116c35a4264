"""Simple rivals of TMV-HLP, and the emoji that they are compared on."""

import numpy as np
import pytest
import torch

from unseen.claims import emoji_pools
from unseen.claims.emoji_pools import SelfTrained, joined, unopened
from unseen.claims.tmv_hlp import claim
from unseen.data.domain import Domain
from unseen.nn.semantic import cosines, without_hubs


def pool_of_two() -> tuple[torch.Tensor, torch.Tensor]:
    """Two heaps of ten in the plane, and two prototypes that lie beside them, on the same side."""
    angles = torch.cat([torch.linspace(0.5, 0.7, 10), torch.linspace(1.4, 1.6, 10)]).double()
    turned = torch.tensor([0.2, 1.1]).double()
    return tuple(torch.stack([a.cos(), a.sin()], dim=1) for a in (angles, turned))  # type: ignore[return-value]


def test_prototypes_move_to_the_mean_of_the_nearest() -> None:
    pool, prototypes = pool_of_two()
    trained = SelfTrained(pool, prototypes, 3)
    nearest = cosines(pool, prototypes).topk(3, dim=0).indices
    torch.testing.assert_close(trained.prototypes, torch.stack([pool[nearest[:, c]].mean(dim=0) for c in (0, 1)]))


def test_later_samples_are_freed_of_hubs_as_the_pool_is() -> None:
    pool, prototypes = pool_of_two()
    trained = SelfTrained(pool, prototypes)
    torch.testing.assert_close(trained.scores(pool), without_hubs(trained.similar + 1))
    torch.testing.assert_close(trained.scores(pool[:1]), trained.scores(pool)[:1])


def test_in_joined_spaces_a_cosine_is_the_mean_of_both() -> None:
    a, b = torch.randn(2, 4, 3), torch.randn(2, 4, 6)
    both = cosines(joined([a[0], b[0]]), joined([a[1], b[1]]))
    torch.testing.assert_close(both, (cosines(a[0], a[1]) + cosines(b[0], b[1])) / 2)


def test_scores_spread_to_pictures_that_are_near() -> None:
    pool, prototypes = pool_of_two()
    heap = torch.arange(20) // 10
    pictures = torch.nn.functional.one_hot(heap, 2).double() + 0.01 * torch.randn(20, 2).double()
    assert (SelfTrained(pool, prototypes).spread(pictures).argmax(axis=1) == heap.numpy()).all()


def test_emoji_not_opened_are_no_symbols_and_in_neither_half(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = np.array([f"{i:x}" for i in range(40)])
    groups = np.where(np.arange(40) % 8 == 0, "symbols", "food")
    whole = Domain(x=np.arange(40.0)[:, None], columns={"emoji": codes, "group": groups})
    halves = {"development": whole.take(np.arange(10)), "confirmation": whole.take(np.arange(10, 20))}
    monkeypatch.setattr(emoji_pools, "drawn", lambda half, n: (halves[half],))
    monkeypatch.setattr(emoji_pools, "emoji", lambda vendor, level: whole)
    styles = unopened(10)
    assert len(styles) == len(emoji_pools.VENDORS)
    found = styles[0].columns["emoji"].tolist()
    assert len(found) == 10
    assert not set(found) & set(codes[:20].tolist())
    assert (styles[0].columns["group"] == "food").all()


def test_the_fair_arms_are_confirmed_on_emoji_that_are_in_neither_half() -> None:
    experiment = claim.experiments["emoji, fair arms"]
    assert {case.split()[0] for case in experiment.confirmation} == {"unopened"}
