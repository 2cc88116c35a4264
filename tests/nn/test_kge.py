"""TransE, DistMult and their self-adversarial training: values by hand, naive loops, and pykeen's."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unseen.nn.build import rebuild, recipe_of
from unseen.nn.kge import (
    Corruption,
    alternating,
    distmult_score,
    graph_vectors,
    self_adversarial_loss,
    subsampling_weights,
    train_graph_vectors,
    transe_score,
)
from unseen.nn.train import Run
from unseen.runtime import reproducible


def run_of() -> Run:
    return Run("s", {}, {}, 1, None)


def grid(side: int = 4) -> np.ndarray:
    """A square grid: `right` and `below` of each place."""
    place = np.arange(side * side).reshape(side, side)
    right = [(a, 0, b) for a, b in zip(place[:, :-1].ravel(), place[:, 1:].ravel())]
    below = [(a, 1, b) for a, b in zip(place[:-1].ravel(), place[1:].ravel())]
    return np.array(right + below)


def test_transe_of_the_specification() -> None:
    h, r, t = torch.tensor([0.1, 0.2]), torch.tensor([0.3, -0.1]), torch.tensor([0.5, 0.5])
    assert float(transe_score(h, r, t, 12.0)) == pytest.approx(11.5)


def test_distmult_is_the_sum_of_products() -> None:
    h, r, t = torch.tensor([1.0, 2]), torch.tensor([3.0, -1]), torch.tensor([2.0, 5])
    assert float(distmult_score(h, r, t)) == 6 - 10


def test_the_loss_is_that_of_rotate_written_plainly() -> None:
    positive, negative = torch.tensor([2.0, -1.0]), torch.tensor([[0.5, -3.0, 1.0], [2.0, 0.0, -0.5]])
    weight = torch.tensor([0.25, 1.0])
    total = 0.0
    for f, others, w in zip(positive, negative, weight):
        p = torch.exp(others) / torch.exp(others).sum()
        one = -torch.log(torch.sigmoid(f)) - sum(q * torch.log(torch.sigmoid(-g)) for q, g in zip(p, others))
        total += float(w * one) / 2
    assert float(self_adversarial_loss(positive, negative, weight)) == pytest.approx(total / 1.25, rel=1e-5)


def test_weights_of_negatives_carry_no_gradient_and_temperature_0_weighs_them_alike() -> None:
    negative = torch.tensor([[1.0, -2.0]], requires_grad=True)
    self_adversarial_loss(torch.zeros(1), negative, temperature=1.0).backward()
    p = torch.softmax(negative.detach(), dim=1)
    torch.testing.assert_close(negative.grad, 0.5 * p * torch.sigmoid(negative.detach()))
    plain = self_adversarial_loss(torch.zeros(1), negative, temperature=0.0)
    expected = np.log(2) + float(torch.nn.functional.softplus(negative.detach()).mean())
    assert float(plain.detach()) == pytest.approx(0.5 * expected)


def test_score_and_loss_are_those_of_pykeen() -> None:
    losses = pytest.importorskip("pykeen.losses", reason="the comparison needs pykeen")
    interaction = pytest.importorskip("pykeen.nn.modules").TransEInteraction(p=1)
    h, r, t = torch.randn(3, 5, 8)
    torch.testing.assert_close(transe_score(h, r, t, 12.0) - 12.0, interaction(h, r, t))
    positive, negative = torch.randn(5, 1), torch.randn(5, 7)
    theirs = losses.NSSALoss(margin=9.0, adversarial_temperature=0.7)
    found = theirs.process_slcwa_scores(positive, negative)  # it adds the margin itself
    ours = self_adversarial_loss(positive[:, 0] + 9.0, negative + 9.0, temperature=0.7)
    torch.testing.assert_close(ours, found)


def test_weights_are_one_over_the_root_of_both_frequencies_each_from_four() -> None:
    triples = np.array([[0, 0, 1], [0, 0, 2], [3, 0, 2], [0, 1, 1]])
    # (0, 0, ?) stands twice; (?, 0, 1) once, (?, 0, 2) twice; (3, 0, ?), (0, 1, ?) and (?, 1, 1) once
    expected = np.array([5 + 4, 5 + 5, 4 + 5, 4 + 4]) ** -0.5
    np.testing.assert_allclose(subsampling_weights(triples), expected, rtol=1e-6)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from(["head", "tail"]))
def test_corrupted_triples_are_never_known_and_all_others_come_alike(seed: int, side: str) -> None:
    rng = np.random.default_rng(seed)
    n = 6
    triples = np.unique(rng.integers([n, 2, n], size=(30, 3)), axis=0)
    known = {tuple(row) for row in triples.tolist()}
    corruption = Corruption(triples, n)
    able = corruption.able(triples, side)  # type: ignore[arg-type]
    drawn = corruption.draw(triples[able], 200, side, torch.Generator().manual_seed(seed)).numpy()  # type: ignore[arg-type]
    for (h, r, t), others in zip(triples[able].tolist(), drawn):
        made = {(int(o), r, t) if side == "head" else (h, r, int(o)) for o in others}
        allowed = {(o, r, t) if side == "head" else (h, r, o) for o in range(n)} - known
        assert made == allowed  # 200 draws of at most six
    for h, r, t in triples[~able].tolist():
        assert all(((o, r, t) if side == "head" else (h, r, o)) in known for o in range(n))


def test_a_triple_that_was_never_seen_may_become_anything_that_is_not_known() -> None:
    corruption = Corruption(np.array([[0, 0, 1]]), 3)
    drawn = corruption.draw(np.array([[2, 5, 0]]), 50, "tail", torch.Generator().manual_seed(0))
    assert set(drawn.flatten().tolist()) == {0, 1, 2}


def test_a_triple_without_other_ends_is_named() -> None:
    every = np.array([[0, 0, 0], [0, 0, 1], [1, 0, 1]])
    corruption = Corruption(every, 2)
    assert corruption.able(every, "tail").tolist() == [False, False, True]
    with pytest.raises(ValueError, match=r"every tail of triple \[0, 0, 0\] makes a known triple"):
        corruption.draw(every, 1, "tail", torch.Generator())
    full = np.array(list(itertools.product(range(2), [0], range(2))))
    with pytest.raises(ValueError, match="every corrupted triple is known"):
        alternating(full, Corruption(full, 2), 2, 1, torch.ones(4))


def test_tails_and_heads_are_corrupted_in_turn_and_each_side_passes_over_all_triples() -> None:
    triples = grid()
    stream = alternating(triples, Corruption(triples, 16), 10, 3, subsampling_weights(triples))(run_of())
    batches = [next(stream) for _ in range(6)]
    assert [batch.head for batch in batches] == [False, True] * 3
    for head in (False, True):
        seen = torch.cat([batch.triples for batch in batches if batch.head == head])
        assert len(seen.unique(dim=0)) == len(triples) == len(seen)
    assert batches[0].others.shape == (10, 3)


def test_values_start_within_the_range_of_rotate_and_networks_are_built_again() -> None:
    net = graph_vectors(50, 4, 20, gamma=6.0)
    reach = (6.0 + 2.0) / 20
    assert float(net.entities.detach().abs().max()) <= reach
    assert float(net.entities.detach().abs().max()) > 0.95 * reach
    again = rebuild(recipe_of(net))
    assert again.entities.shape == (50, 20)


@pytest.mark.parametrize("model", ["transe", "distmult"])
def test_what_is_learnt_tells_true_tails_from_others(model: str) -> None:
    triples = grid()
    with reproducible(0):
        settings = {"gamma": 6.0, "steps": 300, "negatives": 8, "batch_size": 24, "learning_rate": 2e-2}
        net = train_graph_vectors(triples, 16, 2, dim=16, model=model, **settings)  # type: ignore[arg-type]
    known = {tuple(row) for row in triples.tolist()}
    wins = []
    for h, r, t in triples.tolist():
        scores = net.score(torch.full((16,), h), torch.full((16,), r), torch.arange(16)).detach()
        others = [o for o in range(16) if (h, r, o) not in known]
        wins.append(float((scores[t] > scores[others]).float().mean()))
    assert np.mean(wins) > 0.95


def test_training_is_deterministic_and_bad_input_is_named() -> None:
    found = []
    for _ in range(2):
        with reproducible(3):
            found.append(train_graph_vectors(grid(), 16, 2, dim=4, steps=5, negatives=2).entities)
    assert torch.equal(*found)
    with pytest.raises(ValueError, match="at least one triple"):
        train_graph_vectors(np.zeros((0, 3), dtype=np.int64), 3, 1)
