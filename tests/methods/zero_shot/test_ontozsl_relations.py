"""OntoZSL for knowledge graphs: extractor, generator and critic by hand, and relations that no triple has shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.ontologies import schema, with_ontology
from unseen.data.words import WordVectors
from unseen.evaluation.metrics.ranking import filtered_ranks
from unseen.methods.base import NotFittedError
from unseen.methods.zero_shot.ontozsl import OntoZSL, RelationOntoZSL
from unseen.methods.zero_shot.ontozsl.adversaries import (
    class_matching,
    critic_total,
    generator_total,
    pivot,
    relation_critic,
    relation_generator,
)
from unseen.methods.zero_shot.ontozsl.pairs import (
    NOBODY,
    Matching,
    entity_pairs,
    features_of,
    matching_loss,
    matchings,
    neighbour_lists,
)
from unseen.methods.zero_shot.ontozsl.relations import split_encoder
from unseen.nn.build import rebuild, recipe_of
from unseen.nn.kge import Corruption
from unseen.nn.train import Run
from unseen.testing.checks import CLASS_CHECKS

KINDS, EACH = ("person", "place", "thing", "time", "event", "idea"), 6
SMOKE = dict(RelationOntoZSL.card.smoke)


def world(seed: int = 0) -> tuple[Domain, np.ndarray, ClassSpace, np.ndarray]:
    """Entities of six kinds and a relation from each kind to each other; four relations have no triple to learn from.

    Gives the source, the triples of the unseen relations, the relations with their schema, and the kind of each entity.
    """
    rng = np.random.default_rng(seed)
    kind = np.repeat(np.arange(len(KINDS)), EACH)
    pairs = [(a, b) for a in range(6) for b in range(6) if a != b]
    names = tuple(f"{KINDS[a]} to {KINDS[b]}" for a, b in pairs)
    triples = np.array(
        [
            (h, r, t)
            for r, (a, b) in enumerate(pairs)
            for h in np.flatnonzero(kind == a)
            for t in rng.choice(np.flatnonzero(kind == b), 3, replace=False)
        ]
    )
    ontology = schema(
        names, domain={n: n.split(" to ")[0] for n in names}, range={n: n.split(" to ")[1] for n in names},
        types=dict.fromkeys(KINDS, "entity"),
    )  # fmt: skip
    unseen = [1, 8, 15, 22]
    marks = np.array([[a == k for k in range(6)] + [b == k for k in range(6)] for a, b in pairs], dtype=float)
    classes = ClassSpace(names=names, seen=np.setdiff1d(np.arange(30), unseen), attributes=marks)
    classes = with_ontology(classes, ontology)
    new = np.isin(triples[:, 1], unseen)
    source = Domain(x=triples[~new][:, [0, 2]], y=triples[~new][:, 1], kind="node", classes=classes)
    return source, triples[new], classes, kind


def words() -> WordVectors:
    known = (*KINDS, "to", "entity")
    return WordVectors(known, np.random.default_rng(0).normal(size=(len(known), 6)).astype(np.float32))


def smoke(**changes: Any) -> RelationOntoZSL:
    source, _, classes, _ = world()
    return RelationOntoZSL(**{**SMOKE, **changes}).fit(source=source, classes=classes, encoder=words())


# -- the extractor -----------------------------------------------------------------------------------------


def test_the_feature_of_a_pair_is_that_of_the_formula() -> None:
    net = entity_pairs(5, 3, dim=4).eval()
    net.know(torch.randn(5, 3), torch.tensor([[1, 2], [0, NOBODY], [0, NOBODY], [NOBODY, NOBODY], [3, 1]]))
    e = net.entities
    around = lambda mean: torch.tanh(mean @ net.near.weight.T + net.near.bias)
    u = [around((e[1] + e[2]) / 2), around(e[0]), around(e[0]), around(torch.zeros(3)), around((e[3] + e[1]) / 2)]
    for h, t in ((0, 3), (4, 1)):
        x = torch.cat([u[h], torch.tanh(net.head(e[h])), torch.tanh(net.tail(e[t])), u[t]])
        expected = F.layer_norm(x + net.outer(torch.relu(net.inner(x))), (8,), net.norm.weight, net.norm.bias)
        torch.testing.assert_close(net(torch.tensor([[h, t]]))[0], expected)
    assert net.n_features == 8
    assert net.inner.out_features == 16
    assert torch.equal(features_of(net, torch.tensor([[0, 3]])), net(torch.tensor([[0, 3]])))


def test_neighbours_are_who_stands_in_a_pair_and_at_most_so_many() -> None:
    pairs = np.array([[0, 1], [2, 0], [0, 1], [3, 3], [0, 4]])
    lists = neighbour_lists(pairs, 6, 50)
    assert {tuple(sorted(row[row != NOBODY].tolist())) for row in lists[:1]} == {(1, 2, 4)}
    assert lists[3].tolist() == [NOBODY] * 50
    few = neighbour_lists(pairs, 6, 2)
    assert few.shape == (6, 2)
    assert (few[0] != NOBODY).all()
    assert torch.equal(few, neighbour_lists(pairs[[4, 3, 2, 1, 0]], 6, 2))


def test_the_matching_loss_by_hand() -> None:
    class Given(torch.nn.Module):
        def forward(self, pairs: torch.Tensor) -> torch.Tensor:
            return pairs.float()

    support = torch.tensor([[[1, 0], [3, 2]]])  # mean (2, 1)
    batch = Matching(support, torch.tensor([[[4, 1], [1, 1]]]), torch.tensor([[[1, 0], [0, 2]]]))
    # <s, x> = 9 and 3, <s, x'> = 2 and 2: hinges 10 - 9 + 2 and 10 - 3 + 2
    assert float(matching_loss.__wrapped__(Given(), batch, 10.0)) == pytest.approx((3 + 9) / 2)  # type: ignore[attr-defined]


def test_queries_are_not_in_the_support_of_their_relation_and_wrong_tails_make_no_known_triple() -> None:
    source, _, _, _ = world()
    pairs, y = source.x, np.unique(source.labels, return_inverse=True)[1]
    triples = np.column_stack([pairs[:, 0], y, pairs[:, 1]])
    known = {tuple(row) for row in triples.tolist()}
    stream = matchings(pairs, y, Corruption(triples, 36), relations=3, support=5, query=6)(Run("s", {}, {}, 1, None))
    for _ in range(5):
        batch = next(stream)
        assert batch.support.shape == (3, 5, 2)
        assert batch.wrong.shape == (3, 6, 2)
        for support, query, wrong in zip(*(part.tolist() for part in batch)):
            relations = [{r for h, r, t in known if (h, t) == tuple(pair)} for pair in (*support, *query)]
            shared = set.intersection(*relations)
            assert len(shared) == 1
            assert not {tuple(p) for p in support} & {tuple(p) for p in query}
            assert all((h, min(shared), t) not in known for h, t in wrong)
            assert [h for h, _ in wrong] == [h for h, _ in query]


# -- the adversaries ---------------------------------------------------------------------------------------


def test_the_generator_has_no_non_linearity_before_its_norm_and_its_layers_stretch_nothing() -> None:
    net = relation_generator(7, 9, 5).train()
    for _ in range(50):
        net(torch.randn(3, 7))
    net.eval()
    for layer in net[:2]:
        assert float(torch.linalg.matrix_norm(layer.weight.detach(), 2)) == pytest.approx(1, abs=1e-3)
    linear = torch.nn.Sequential(*net[:2])
    a, b, zero = torch.randn(2, 7), torch.randn(2, 7), torch.zeros(2, 7)
    torch.testing.assert_close(linear(a + b) - linear(zero), linear(a) + linear(b) - 2 * linear(zero))
    again = rebuild(recipe_of(net))
    assert [p.shape for p in again.parameters()] == [p.shape for p in net.parameters()]


def test_class_matching_compares_with_the_centroid_of_the_own_relation() -> None:
    critic = relation_critic(4).eval()
    x, wrong, centroids, y = torch.randn(3, 4), torch.randn(3, 4), torch.randn(2, 4), torch.tensor([1, 0, 1])
    total = 0.0
    for a, b, r in zip(x, wrong, y):
        right, other = (float(critic.view(some) @ critic.view(centroids[r])) for some in (a, b))
        total += max(0.0, 10 - right + other)
    assert float(class_matching(critic, x, wrong, y, centroids, 10.0)) == pytest.approx(total / 3, rel=1e-4)


def test_the_pivot_is_the_distance_of_means_not_squared() -> None:
    fake = torch.tensor([[0.0, 0], [2, 0], [5, 5]], requires_grad=True)
    centroids = torch.tensor([[9.0, 9], [1, 3], [5, 9]])
    assert float(pivot(fake, torch.tensor([1, 1, 2]), centroids).detach()) == pytest.approx((3 + 4) / 2)


def test_the_critic_is_asked_for_the_game_the_penalty_and_half_of_both_hinges() -> None:
    critic, draw = relation_critic(4).eval(), torch.Generator().manual_seed(1)
    real, fake, wrong, centroids = (torch.randn(n, 4) for n in (6, 6, 6, 3))
    y = torch.tensor([0, 0, 1, 1, 2, 2])
    got = critic_total(critic, real, fake, wrong, y, centroids, penalty=7.0, matching=0.8, margin=3.0, generator=draw)
    draw.manual_seed(1)
    share = torch.rand(6, 1, generator=draw)
    between = (share * real + (1 - share) * fake).requires_grad_()
    slope = torch.autograd.grad(critic(between).sum(), between)[0].norm(dim=1)
    expected = critic(fake).mean() - critic(real).mean() + 7 * (slope - 1).square().mean()
    expected = expected + 0.4 * class_matching(critic, real, wrong, y, centroids, 3.0)
    expected = expected + 0.4 * class_matching(critic, fake, wrong, y, centroids, 3.0)
    torch.testing.assert_close(got, expected)


def test_the_generator_is_asked_to_be_taken_for_real_to_match_and_to_have_the_means_of_its_relations() -> None:
    critic = relation_critic(4).eval()
    fake, wrong, centroids, y = torch.randn(4, 4), torch.randn(4, 4), torch.randn(2, 4), torch.tensor([0, 0, 1, 1])
    got = generator_total(critic, fake, wrong, y, centroids, matching=0.8, margin=3.0, pivot_weight=0.6)
    hinge = class_matching(critic, fake, wrong, y, centroids, 3.0)
    torch.testing.assert_close(got, -critic(fake).mean() + 0.8 * hinge + 0.6 * pivot(fake, y, centroids))


def test_the_generator_steps_once_per_five_steps_of_the_critic_and_both_slow_down(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken: list[tuple[str, float]] = []
    descend = Run.descend

    def counted(run: Run, loss: Any, *keys: str) -> Any:
        taken.extend((key, run.optimizers[key].param_groups[0]["lr"]) for key in keys)
        return descend(run, loss, *keys)

    monkeypatch.setattr(Run, "descend", counted)
    smoke(steps=4, learning_rate=1e-3, decay=0.1, decay_after=0.5, critic_steps=5)
    own = [some for some in taken if some[0] in ("critic", "generator")]
    assert [key for key, _ in own] == (["critic"] * 5 + ["generator"]) * 4
    assert [rate for _, rate in own] == pytest.approx([1e-3] * 12 + [1e-4] * 12)


def test_the_noise_of_an_exam_is_a_tenth_as_wide_and_without_it_all_samples_are_one() -> None:
    assert float(smoke(samples=400).noise_.std()) == pytest.approx(0.1, rel=0.1)
    still = smoke(test_noise=0.0).features_
    torch.testing.assert_close(still, still[:, :1].expand_as(still))


# -- the whole ---------------------------------------------------------------------------------------------

LEARNS: dict[str, Any] = {
    "dim": 32, "negatives": 16, "structure_steps": 500, "text_epochs": 40, "entity_dim": 16, "entity_steps": 300,
    "feature": 16, "pair_steps": 100, "hidden": 64, "steps": 150, "support_pairs": 8, "query_pairs": 8,
    "relations_per_batch": 4, "pairs_per_relation": 8, "learning_rate": 5e-3,
}  # fmt: skip


def ranks(method: RelationOntoZSL, triples: np.ndarray) -> np.ndarray:
    return filtered_ranks(method.score_tails(triples[:, :2]).numpy(), triples[:, 2])


@pytest.mark.parametrize(("condition", "share"), [("attributes", 0.9), ("structure+text", 0.4)])
def test_it_finds_the_tails_of_relations_that_no_triple_has_shown(condition: Any, share: float) -> None:
    source, new, classes, kind = world()
    fitted = RelationOntoZSL(**LEARNS, condition=condition).fit(source=source, classes=classes, encoder=words())
    queries, first = np.unique(new[:, :2], axis=0, return_index=True)
    best = kind[fitted.rank(queries, 5).tails]
    assert (best == kind[new[first, 2]][:, None]).mean() > share  # of six kinds


def test_evaluating_twice_gives_identical_ranks_since_the_noise_is_drawn_once() -> None:
    _, new, _, _ = world()
    fitted = smoke()
    assert fitted.noise_.shape == (20, 15)
    assert torch.equal(fitted.score_tails(new[:, :2]), fitted.score_tails(new[:, :2]))
    np.testing.assert_array_equal(ranks(fitted, new), ranks(fitted, new))


def test_a_score_is_the_mean_cosine_with_what_is_generated() -> None:
    fitted = smoke()
    scores = fitted.score_tails(np.array([[3, 1]]))[0]
    for tail in (0, 17):
        x = fitted.pairs_(torch.tensor([[3, tail]]))
        made = fitted.generator_(torch.cat([fitted.noise_, fitted.conditions_[1].expand(20, -1)], dim=1))
        assert float(scores[tail]) == pytest.approx(float(F.cosine_similarity(x, made).mean().detach()), abs=1e-5)


def test_ranks_keep_to_the_candidates_and_queries_may_come_in_any_order() -> None:
    _, new, _, kind = world()
    fitted = smoke()
    queries = new[:6, :2]
    scores = fitted.score_tails(queries)
    for found, row in zip(fitted.rank(queries, 3).tails, scores):
        assert found.tolist() == row.sort(descending=True, stable=True).indices[:3].tolist()
    within = fitted.rank(queries, 3, within=kind == 2)
    assert (kind[within.tails] == 2).all()
    few = fitted.rank(queries, 9, within=kind == 2)  # six of that kind
    assert (few.tails[:, 6:] == -1).all()
    assert (few.tails[:, :6] >= 0).all()
    assert torch.equal(fitted.score_tails(queries[::-1].copy()), scores.flip(0))
    assert fitted.rank(queries, 99).tails.shape == (6, 36)
    with pytest.raises(ValueError, match="k must be at least 1"):
        fitted.rank(queries, 0)


def test_a_pair_is_given_an_unseen_relation_or_any_if_generalized() -> None:
    source, new, classes, _ = world()
    fitted = smoke()
    assert set(fitted.predict(new[:, [0, 2]]).tolist()) <= set(classes.unseen.tolist())
    assert (smoke(generalized=True).decision_function(source.x[:5]) > -1).all()
    assert fitted.decision_function(source.x[:5]).shape == (5, 30)


def test_vectors_of_entities_may_be_given_alone_or_beside_words_and_stay_frozen() -> None:
    source, new, classes, _ = world()
    entities = np.random.default_rng(0).normal(size=(40, 7)).astype(np.float32)
    fitted = RelationOntoZSL(**SMOKE).fit(source=source, classes=classes, encoder=(entities, words()))
    assert torch.equal(fitted.pairs_.entities, torch.as_tensor(entities))
    assert fitted.score_tails(new[:2, :2]).shape == (2, 40)
    plain = RelationOntoZSL(**SMOKE, condition="structure").fit(source=source, classes=classes, encoder=entities)
    assert plain.conditions_.shape == (30, 8)
    assert split_encoder(None) == (None, None)


def test_the_extractor_is_frozen_after_its_training() -> None:
    fitted = smoke()
    assert not any(p.requires_grad for p in fitted.pairs_.parameters())
    longer = smoke(steps=3)
    for mine, theirs in zip(fitted.pairs_.parameters(), longer.pairs_.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_renumbering_the_relations_renumbers_what_is_said() -> None:
    source, new, classes, _ = world()
    ids = np.random.default_rng(1).permutation(30)
    moved = classes.take(np.argsort(ids))
    plain = smoke()
    other = RelationOntoZSL(**SMOKE).fit(
        source=source.replace(y=ids[source.y], classes=None), classes=moved, encoder=words()
    )
    renumbered = np.column_stack([new[:, 0], ids[new[:, 1]]])
    torch.testing.assert_close(other.score_tails(renumbered), plain.score_tails(new[:, :2]), atol=1e-5, rtol=1e-5)


def test_two_fits_are_equal_bits_and_a_saved_model_ranks_the_same(tmp_path: Path) -> None:
    _, new, _, _ = world()
    fitted = smoke()
    assert torch.equal(smoke().features_, fitted.features_)
    fitted.save(tmp_path / "m")
    again = RelationOntoZSL.load(tmp_path / "m")
    assert torch.equal(again.score_tails(new[:, :2]), fitted.score_tails(new[:, :2]))
    with pytest.raises(ValueError, match="of another version"):
        OntoZSL.load(tmp_path / "m")


@pytest.mark.parametrize("check", [c for c in CLASS_CHECKS if "wrong" not in c.__name__], ids=lambda c: c.__name__)
def test_the_contract_of_a_class(check: Any) -> None:
    check(RelationOntoZSL)


def test_bad_inputs_are_named() -> None:
    source, new, classes, _ = world()

    def fit(**changes: Any) -> None:
        given = {"source": source, "classes": classes, "encoder": words()}
        RelationOntoZSL(**SMOKE).fit(**given | changes)

    with pytest.raises(ValueError, match="source must be of kind node; got 'features'"):
        fit(source=source.replace(kind="features"))
    with pytest.raises(ValueError, match="integers of shape"):
        fit(source=source.replace(x=source.x + 0.5))
    with pytest.raises(ValueError, match=r"integers of shape \(n, 2\); got"):
        fit(source=source.replace(x=np.pad(source.x, ((0, 0), (0, 1)))))
    with pytest.raises(ValueError, match="encoder must have a vector for each entity; source names 3"):
        fit(encoder=(np.eye(5), words()))
    with pytest.raises(ValueError, match="encoder must be finite"):
        fit(encoder=np.full((40, 3), np.nan))
    with pytest.raises(TypeError, match="encoder must be vectors of entities"):
        fit(encoder="TransE")
    with pytest.raises(ValueError, match="must have unseen classes"):
        fit(classes=classes.replace(seen=range(30)))
    with pytest.raises(ValueError, match="classes must say how they are related"):
        fit(classes=classes.replace(ontology=None, attributes=None))
    fitted = smoke()
    with pytest.raises(ValueError, match=r"heads in \[0, 36\)"):
        fitted.score_tails([[36, 0]])
    with pytest.raises(ValueError, match=r"relations in \[0, 30\)"):
        fitted.score_tails([[0, 30]])
    with pytest.raises(NotFittedError):
        RelationOntoZSL().score_tails(new[:, :2])
