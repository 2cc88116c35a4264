"""Text2Node: the checks of its paper, by hand values and small trees of words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.label_metrics import TreeMetric
from unseen.data.taxonomies import Taxonomy, build, hold_out
from unseen.data.words import Sequences, WordVectors
from unseen.methods.base import UNKNOWN
from unseen.methods.zero_shot.text2node import Text2Node
from unseen.methods.zero_shot.text2node.mappers import MeanLinear, mapping_function
from unseen.methods.zero_shot.text2node.method import (
    distance,
    graph_edges,
    held_out_concepts,
    length_buckets,
    map_phrases,
    nearest_nodes,
)
from unseen.nn.train import Run

PARTS, KINDS = ("heart", "lung", "bone", "skin", "eye", "ear"), ("pain", "tumour", "infection", "injury", "swelling")
FAST: dict[str, Any] = {"dim": 32, "hidden": 32, "epochs": 1, "node_epochs": 1, "least_steps": 400}


@pytest.fixture(scope="module")
def body() -> Taxonomy:
    """Six parts of the body, five complaints below each, and phrases that name part and complaint."""
    ids = ["body", *PARTS, *(f"{part} {kind}" for part in PARTS for kind in KINDS)]
    above = [[], *[["body"]] * len(PARTS), *([part] for part in PARTS for _ in KINDS)]
    phrases = [
        (i, text) for i, name in enumerate(ids) for text in (name, f"the {name}", f"{name} today", f"bad {name}")
    ]
    return build(ids, above, ids, phrases, name="body")


@pytest.fixture(scope="module")
def vocabulary() -> WordVectors:
    words = ("body", *PARTS, *KINDS, "the", "today", "bad", "of")
    return WordVectors(words, np.random.default_rng(0).normal(size=(len(words), 24)).astype(np.float32))


@pytest.fixture(scope="module")
def zero_shot(body: Taxonomy) -> np.ndarray:
    """One complaint of each part."""
    return np.array([body.classes.index(f"{part} {kind}") for part, kind in zip(PARTS, (*KINDS, "pain"))])


@pytest.fixture(scope="module")
def fitted(body: Taxonomy, vocabulary: WordVectors, zero_shot: np.ndarray) -> Text2Node:
    kept, _ = hold_out(body.phrases, zero_shot)
    return Text2Node(mapper="cnn", **FAST).fit(source=kept, classes=body.classes, encoder=vocabulary)


# -- the checks of the spec --------------------------------------------------------------------------------


def test_cosine_loss_is_0_if_and_only_if_parallel_and_2_for_the_opposite() -> None:
    node = F.normalize(torch.randn(5, 8), dim=1)
    assert float(distance(3 * node, node, "cosine")) == pytest.approx(0, abs=1e-6)
    assert float(distance(-0.5 * node, node, "cosine")) == pytest.approx(2, abs=1e-6)
    assert float(distance(node.roll(1, 0), node, "cosine")) > 0.1
    assert float(distance(node + 1, node, "mse")) == pytest.approx(8)


def test_the_node_vectors_themselves_return_their_nodes() -> None:
    nodes = F.normalize(torch.randn(300, 16), dim=1)
    found = nearest_nodes(5 * nodes, nodes, 3)
    assert found.nodes[:, 0].tolist() == list(range(300))
    np.testing.assert_allclose(found.scores[:, 0], 1, rtol=1e-5)


def test_every_node_has_a_vector_also_those_without_phrases(fitted: Text2Node, body: Taxonomy) -> None:
    assert fitted.nodes_.shape == (len(body), 32)
    torch.testing.assert_close(fitted.nodes_.norm(dim=1), torch.ones(len(body)))


@pytest.mark.parametrize("kind", ["mean", "cnn", "bilstm"])
def test_padding_must_not_change_the_output(kind: str) -> None:
    f = mapping_function(kind, 6, 4, 5, 0.0).eval()
    words, mask = torch.randn(3, 4, 6), torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]]).bool()
    longer = torch.cat([words, torch.full((3, 5, 6), 9.0)], dim=1)
    padded = f(longer, F.pad(mask, (0, 5)))
    for i in range(3):
        torch.testing.assert_close(padded[i], f(words[i : i + 1, : mask[i].sum()], mask[i : i + 1, : mask[i].sum()])[0])


@pytest.mark.parametrize(("kind", "matters"), [("mean", False), ("cnn", True), ("bilstm", True)])
def test_word_order_matters_for_bilstm_and_cnn_and_not_for_the_mean(kind: str, matters: bool) -> None:
    f = mapping_function(kind, 6, 4, 5, 0.0).eval()
    words, mask = torch.randn(2, 5, 6), torch.ones(2, 5).bool()
    assert torch.allclose(f(words, mask), f(words.flip(1), mask), atol=1e-6) is not matters


def test_zero_shot_nodes_contribute_no_phrase_and_are_still_found(
    fitted: Text2Node, body: Taxonomy, zero_shot: np.ndarray
) -> None:
    kept, held = hold_out(body.phrases, zero_shot)
    assert not set(kept.labels.tolist()) & set(zero_shot.tolist())
    found = fitted.rank(held, 8).nodes
    assert (found == held.labels[:, None]).any(axis=1).mean() > 0.5  # by chance 8 / 37
    near = body.classes.metric.between(kept.labels, fitted.predict(kept)) <= 2  # siblings are hard to tell apart
    assert near.mean() > 0.9


def test_restricting_candidates_only_ranks_anew(fitted: Text2Node, body: Taxonomy) -> None:
    everything, below = fitted.rank(body.phrases, len(body)), body.subtree(body.classes.index("lung"))
    some = fitted.rank(body.phrases, 3, within=below)
    expected = [[node for node in row if node in set(below.tolist())][:3] for row in everything.nodes.tolist()]
    assert some.nodes.tolist() == expected
    with pytest.raises(ValueError, match=r"within must hold nodes in \[0, 37\)"):
        fitted.rank(["lung"], 1, within=[40])
    with pytest.raises(ValueError, match="within must hold indices of nodes, integers; got bool"):
        fitted.rank(["lung"], 1, within=np.ones(37, dtype=bool))
    with pytest.raises(ValueError, match="k must be at least 1"):
        fitted.rank(["lung"], 0)


# -- inference ---------------------------------------------------------------------------------------------


def test_a_phrase_without_a_known_word_gives_no_prediction(fitted: Text2Node) -> None:
    found = fitted.rank(["", "xyz?", "\u0926\u093f\u0932 \u5fc3", "heart pain"], 2)
    assert found.nodes[:3].tolist() == [[UNKNOWN] * 2] * 3
    assert found.nodes[3, 0] != UNKNOWN
    assert fitted.predict(["qqq"]).tolist() == [UNKNOWN]
    assert fitted.transform(["qqq"]).abs().sum() == 0
    assert fitted.transform(["the heart"]).norm() == pytest.approx(1, rel=1e-5)


def test_scores_are_cosines_and_rank_agrees_with_them(fitted: Text2Node, body: Taxonomy) -> None:
    scores = fitted.decision_function(body.phrases)
    found = fitted.rank(body.phrases, 1)
    assert scores.abs().max() <= 1 + 1e-5
    np.testing.assert_allclose(scores.max(dim=1).values, found.scores[:, 0], rtol=1e-5)


# -- training ----------------------------------------------------------------------------------------------


def test_validation_splits_concepts_not_phrases() -> None:
    y = np.repeat(np.arange(20), 3)
    training, judged = held_out_concepts(y, 0.25, np.random.default_rng(0))
    assert len(set(y[judged].tolist())) == 5
    assert not set(y[training].tolist()) & set(y[judged].tolist())
    assert len(held_out_concepts(y, 1.0, np.random.default_rng(0))[0]) == 6  # two concepts are left
    assert len(held_out_concepts(y, 0.0, np.random.default_rng(0))[1]) == 0


def test_the_judge_takes_lengths_of_edges_as_they_are() -> None:
    metric = TreeMetric(np.array([-1, 0, 0]), np.array([0, 0.25, 300.0]))
    f = MeanLinear(3, 3)
    f.load_state_dict({"linear.weight": torch.eye(3), "linear.bias": torch.zeros(3)})
    method = Text2Node()
    method.nodes_ = torch.eye(3)
    phrases = Sequences(np.eye(3, dtype=np.float32), np.array([[0], [0]]), 0)  # both are found to be the root
    score = method._judge(f, phrases, np.array([1, 2]), np.arange(2), metric)
    assert score(Run("test", {}, {}, 1, None)) == -(0.25 + 300) / 2


def test_the_epoch_with_the_fewest_hops_on_held_out_concepts_is_kept(
    body: Taxonomy, vocabulary: WordVectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[Run] = []
    module = "unseen.methods.zero_shot.text2node.method"
    from unseen.methods.zero_shot.text2node import method as place

    real = place.train
    monkeypatch.setattr(f"{module}.train", lambda *args, **kwargs: runs.append(real(*args, **kwargs)))
    settings = {**FAST, "least_steps": 40, "epochs": 12, "patience": 2, "validation": 0.3}
    Text2Node(**settings).fit(source=body.phrases, classes=body.classes, encoder=vocabulary)
    scores = [epoch["score"] for epoch in runs[0].history]
    assert all(-4 <= score <= 0 for score in scores)  # hops in this tree
    assert runs[0].best == max(scores)
    assert len(scores) == min(12, runs[0].best_epoch + 3)


def test_batches_hold_each_phrase_once_without_needless_padding() -> None:
    length = np.random.default_rng(0).integers(1, 9, 230)
    tokens = np.where(np.arange(8) < length[:, None], 1, -1)
    run = Run("test", {}, {}, 1, None)
    seen = []
    padding = 0
    for batch, index in length_buckets(tokens, np.arange(200), 16)(run):
        seen += index.tolist()
        assert (batch >= 0).sum(dim=1).max() == batch.shape[1]
        padding += int((batch < 0).sum())
    assert sorted(seen) == list(range(200))
    assert padding < 0.1 * length[:200].sum()


def test_batched_mapping_keeps_the_order_of_the_phrases() -> None:
    f = mapping_function("bilstm", 6, 4, 5, 0.0).eval()
    table = np.random.default_rng(0).normal(size=(9, 6)).astype(np.float32)
    tokens = np.array([[1, 2, 3], [4, -1, -1], [5, 6, -1], [7, -1, -1]])
    whole = map_phrases(f, table, tokens, size=2)
    for row, own in zip(tokens, whole):
        torch.testing.assert_close(map_phrases(f, table, row[None])[0], own)


# -- bad input ---------------------------------------------------------------------------------------------


def test_classes_without_a_graph_other_encoders_and_unknown_words_are_refused(
    body: Taxonomy, vocabulary: WordVectors
) -> None:
    flat = ClassSpace(names=body.classes.names)
    with pytest.raises(ValueError, match="classes must carry a tree or a graph"):
        Text2Node().fit(source=body.phrases.replace(classes=flat), classes=flat, encoder=vocabulary)
    with pytest.raises(TypeError, match="encoder must be a WordVectors"):
        Text2Node().fit(source=body.phrases, classes=body.classes, encoder="glove")
    strange = Domain(x=np.array(["qqq", "zzz"]), y=np.array([0, 1]), kind="text", classes=body.classes)
    with pytest.raises(ValueError, match="source must hold phrases with known words"):
        Text2Node().fit(source=strange, classes=body.classes, encoder=vocabulary)


def test_unknown_words_are_counted_and_inner_nodes_of_the_tree_take_part(
    body: Taxonomy, vocabulary: WordVectors
) -> None:
    leaves = body.classes.take(np.arange(7, 37))
    edges, n, places = graph_edges(leaves.metric)
    assert (len(edges), n, len(places)) == (36, 37, 30)
    texts = Domain(x=np.array(["heart pain", "loud ear pain", "??"]), y=np.array([0, 25, 3]), kind="text")
    method = Text2Node(**{**FAST, "least_steps": 0}).fit(source=texts, classes=leaves, encoder=vocabulary)
    assert (method.skipped_, method.left_out_) == (1, 1)
    assert method.nodes_.shape == (30, 32)
