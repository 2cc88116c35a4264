"""DUQGen: the analytic checks of its method, each a test; parts against naive second versions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unseen.data.domain import Domain
from unseen.data.pairs import Pairs
from unseen.methods.retrieval import queries as step_c
from unseen.methods.retrieval.duqgen import DUQGen
from unseen.methods.retrieval.duqgen import sampling as step_b
from unseen.methods.retrieval.duqgen import training as step_d
from unseen.methods.retrieval.search import NeuralSearch
from unseen.nn.small_rankers import HashedWords, LastWords, hashed_ranker

TOPICS = ("cats purr at night", "dogs bark at cats", "ships sail to sea", "trains run on rails", "bread is baked daily")


def texts(n: int = 60, seed: int = 0) -> np.ndarray:
    """Documents of five topics of unlike sizes, each with a number of its own."""
    rng = np.random.default_rng(seed)
    topics = rng.choice(len(TOPICS), n, p=[0.5, 0.2, 0.15, 0.1, 0.05])
    return np.array([f"{TOPICS[t]} and word{i} stands here with others{t}" for i, t in enumerate(topics)])


def corpus(n: int = 60) -> Domain:
    return Domain(x=texts(n), kind="text", name="corpus")


def made(**changes: Any) -> DUQGen:
    return DUQGen(**{"clusters": 6, "samples": 12, "shortest": 3, "batch_size": 8, "depth": 20, **changes})


def fitted(documents: Domain | None = None, **changes: Any) -> DUQGen:
    return made(**changes).fit(
        corpus=documents or corpus(), encoder=HashedWords(), writer=LastWords(), model=hashed_ranker()
    )


# -- B: shares, probabilities, pruning ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "n", "expected"),
    [
        ([5, 10, 20, 65], 12, [1, 1, 3, 7]),
        ([5, 10, 20, 65], 4, [1, 1, 1, 1]),
        ([3, 7, 40, 50], 10, [1, 1, 3, 5]),
        ([25, 25, 25, 25], 8, [2, 2, 2, 2]),  # the official slice [-0:] gives 3 each
        ([65, 5, 20, 10], 12, [7, 1, 3, 1]),
        ([4, 0, 6], 4, [1, 0, 3]),
    ],
)
def test_allocation_golden(sizes: list[int], n: int, expected: list[int]) -> None:
    assert step_b.allocate(np.array(sizes), n).tolist() == expected


@settings(deadline=None, max_examples=200)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=12), st.data())
def test_shares_sum_to_n_and_every_cluster_gives_one_at_least_and_not_more_than_it_holds(
    sizes: list[int], data: Any
) -> None:
    held, total = sum(size > 0 for size in sizes), sum(sizes)
    if not held:
        return
    n = data.draw(st.integers(held, total))
    shares = step_b.allocate(np.array(sizes), n)
    assert shares.sum() == n
    assert all((share >= 1) == (size > 0) and share <= size for share, size in zip(shares.tolist(), sizes))


def test_what_a_small_cluster_lacks_goes_to_the_larger_ones() -> None:
    assert step_b.allocate(np.array([2, 2, 4]), 8).tolist() == [2, 2, 4]


@pytest.mark.parametrize("n", [1, 101])
def test_fewer_than_the_clusters_or_more_than_the_documents_are_refused(n: int) -> None:
    with pytest.raises(ValueError, match="n must be in"):
        step_b.allocate(np.array([50, 50]), n)


def test_softmax_golden() -> None:
    cosine = np.array([0.9, 0.5, 0.1])
    np.testing.assert_allclose(step_b.softmax(cosine, 1), [0.471776, 0.316241, 0.211983], atol=1e-6)
    np.testing.assert_allclose(step_b.softmax(cosine, 0.1), [0.981690, 0.017980, 0.000329], atol=1e-6)


def test_a_temperature_near_zero_takes_the_closest_and_a_large_one_is_uniform() -> None:
    cosine = np.array([0.5, 0.9, 0.1])
    assert step_b.softmax(cosine, 1e-4).tolist() == [0, 1, 0]
    np.testing.assert_allclose(step_b.softmax(cosine, 1e6), 1 / 3, atol=1e-6)


def test_mmr_golden() -> None:
    z, start = np.array([[0.9, 0.1], [0.8, 0.6], [0.85, 0.2]]), np.array([1.0, 0.0])
    rows, scores = step_b.prune_by_mmr(z, start, 2, 1.0)
    assert rows.tolist() == [0, 2]
    np.testing.assert_allclose(scores, [0.993884, 0.973417], atol=1e-6)
    rows, scores = step_b.prune_by_mmr(z, start, 2, 0.5)
    assert rows.tolist() == [0, 2]
    np.testing.assert_allclose(scores, [0.496942, -0.009670], atol=1e-6)


def test_the_last_order_is_that_of_the_recorded_scores_not_of_the_taking() -> None:
    rng = np.random.default_rng(3)
    z, start = rng.normal(size=(12, 4)), rng.normal(size=4)
    _, scores = step_b.prune_by_mmr(z, start, 12, 0.3)
    assert scores.tolist() == sorted(scores.tolist(), reverse=True)


def test_draws_are_without_replacement_and_follow_the_probabilities() -> None:
    p, rng = np.array([0.7, 0.2, 0.1]), np.random.default_rng(0)
    first = np.array([step_b.draw(p, 3, rng) for _ in range(4000)])
    assert all(len(set(row)) == 3 for row in first.tolist())
    np.testing.assert_allclose(np.bincount(first[:, 0]) / 4000, p, atol=0.03)


# -- A: clusters -------------------------------------------------------------------------------------------


def test_the_elbow_of_a_bent_line_is_its_bend() -> None:
    x = list(range(1, 11))
    assert x[step_b.kneedle(x, [100, 60, 25, 8, 7, 6, 5, 4, 3, 2])] == 4


def test_a_line_has_no_elbow_and_the_middle_is_taken() -> None:
    assert step_b.kneedle([1, 2, 3, 4, 5], [5, 5, 5, 5, 5]) == 2


def test_the_cosine_error_is_zero_where_documents_are_their_centroids() -> None:
    z = np.eye(4)
    assert step_b.cosine_sse(z, z, np.arange(4)) == pytest.approx(0)


def test_zero_clusters_take_the_elbow() -> None:
    method = fitted(clusters=0, samples=20)
    assert method.clusters_ in (5, 10)


# -- diversity ---------------------------------------------------------------------------------------------


def test_the_sample_touches_every_cluster_and_its_documents_are_less_alike_than_at_random() -> None:
    rng = np.random.default_rng(0)
    centres = 3 * rng.normal(size=(20, 16))
    topic = rng.choice(20, 400, p=np.arange(1, 21) ** 2 / (np.arange(1, 21) ** 2).sum())
    z = (centres[topic] + 0.3 * rng.normal(size=(400, 16))).astype(np.float32)
    centroids, labels = step_b.cluster(z, len(np.unique(topic)), 0)
    drawn = step_b.sample(z, centroids, labels, 20, temperature=1.0, weight=1.0, seeds=5, rng=rng)
    own = step_b.diversity(z, labels, drawn.document)
    blind = [step_b.diversity(z, labels, rng.permutation(400)[:20]) for _ in range(20)]
    assert own["coverage"] == 1
    assert own["coverage"] > np.mean([one["coverage"] for one in blind]) + 0.1
    assert own["cosine"] < np.mean([one["cosine"] for one in blind])


def test_the_mean_cosine_is_that_of_all_pairs() -> None:
    z = np.random.default_rng(0).normal(size=(7, 5))
    unit = z / np.linalg.norm(z, axis=1, keepdims=True)
    naive = np.mean([unit[i] @ unit[j] for i in range(7) for j in range(7) if i != j])
    assert step_b.diversity(z, np.zeros(7, dtype=int), np.arange(7))["cosine"] == pytest.approx(naive)


# -- C: prompts and queries --------------------------------------------------------------------------------


def test_the_prompt_keeps_the_names_of_its_fields() -> None:
    assert step_c.prompt_of("D.", [("A.", "a"), ("B.", "b"), ("C.", "c")]) == (
        "Example 1:\nDocument: A.\nRelevant Query: a\n\nExample 2:\nDocument: B.\nRelevant Query: b\n\n"
        "Example 3:\nDocument: C.\nRelevant Query: c\n\nExample 4:\nDocument: D.\nRelevant Query:"
    )


@pytest.mark.parametrize(
    ("text", "query"),
    [
        (" what is a cat? Yes", "what is a cat"),
        ("cats at night\n\nExample 5:\nDocument: x", "cats at night"),
        ("cats Example 5: Document", "cats"),
        ("cats Answer: they purr", "cats"),
        ('"purring cats" Explanation: it says so', "purring cats"),
        ("\n \n", ""),
        ("the prompt: cats", "cats"),
    ],
)
def test_queries_are_cleaned(text: str, query: str) -> None:
    assert step_c.clean(text, "the prompt:") == query


@pytest.mark.parametrize(
    ("query", "flaw"),
    [
        ("", "empty"),
        ("...", "empty"),
        ("chat échaudé", "not ascii"),
        ("A  Query of the Example", "of an example"),
        (" ".join(f"w{i}" for i in range(25)), "of the document"),
        ("w3 w4", ""),
    ],
)
def test_queries_that_cannot_be_used_are_told(query: str, flaw: str) -> None:
    document = " ".join(f"w{i}" for i in range(40))
    found = step_c.judge(query, document, [("x", "a query of the example")], ascii_only=True)
    assert found.flaw == flaw
    assert found.text == ("" if flaw else query)


def test_other_languages_may_be_written() -> None:
    assert not step_c.judge("chat échaudé", "", [], ascii_only=False).flaw


class Stubborn:
    """A writer that repeats an example for every second prompt."""

    name = "stubborn"

    def __init__(self) -> None:
        self.prompts: list[str] = []

    def write(self, prompts: Sequence[str], *, longest: int = 64, stop: str = "\n") -> list[str]:
        self.prompts += prompts
        return [step_c.EXAMPLES[0][1] if i % 2 else f"words {i}" for i in range(len(prompts))]


def test_unusable_queries_are_counted_and_not_learnt_from() -> None:
    method = made().fit(corpus=corpus(), encoder=HashedWords(), writer=Stubborn(), model=hashed_ranker())
    assert method.unusable_ == {"of an example": 6}
    assert (method.audit_["negatives"][method.audit_["flaw"] != ""] == -1).all()
    assert (method.audit_["negatives"][method.audit_["flaw"] == ""] >= 0).all()


def test_examples_of_the_collection_stand_in_the_prompt() -> None:
    side = lambda *lines: Domain(x=np.array(lines), kind="text")
    writer = Stubborn()
    made().fit(
        corpus=corpus(), encoder=HashedWords(), writer=writer, model=hashed_ranker(),
        pairs=Pairs(side("where cats purr"), side("cats purr at night")),
    )  # fmt: skip
    assert writer.prompts[0].startswith("Example 1:\nDocument: cats purr at night\nRelevant Query: where cats purr\n\n")
    assert "Example 2:" in writer.prompts[0]
    assert "Example 3:" not in writer.prompts[0]


def test_a_writer_that_writes_nothing_is_told() -> None:
    class Silent(Stubborn):
        def write(self, prompts: Sequence[str], *, longest: int = 64, stop: str = "\n") -> list[str]:
            return [""] * len(prompts)

    with pytest.raises(ValueError, match="wrote no query"):
        made().fit(corpus=corpus(), encoder=HashedWords(), writer=Silent(), model=hashed_ranker())


# -- D: negatives ------------------------------------------------------------------------------------------


def test_negatives_are_ranks_93_to_96_of_100() -> None:
    found = np.random.default_rng(0).permutation(300)[:100][None]
    negatives = step_d.bottom_negatives(found, np.array([found[0, 0]]), 4, ["text"] * 300)
    assert negatives[0].tolist() == found[0, 92:96].tolist()


def test_a_negative_is_never_the_positive_and_always_has_a_text() -> None:
    found = np.arange(100)[None]
    texts = ["text"] * 100
    texts[93] = " "
    assert step_d.bottom_negatives(found, np.array([92]), 4, texts)[0].tolist() == [94, 95, 96, 97]


@pytest.mark.parametrize(("n", "expected"), [(6, [1, 2, 3, 4]), (3, [1, 2, -1, -1]), (1, [-1] * 4)])
def test_collections_of_fewer_than_100_documents_are_handled(n: int, expected: list[int]) -> None:
    assert step_d.bottom_negatives(np.arange(n)[None], np.array([0]), 4, ["x"] * n)[0].tolist() == expected


@pytest.mark.parametrize("retriever", ["encoder", "bm25"])
def test_the_audit_tells_negatives_of_every_query(retriever: str) -> None:
    audit = fitted(retriever=retriever).audit_
    for document, negatives in zip(audit["document"].tolist(), audit["negatives"].tolist()):
        assert document not in negatives
    assert {"cluster", "cluster_size", "share", "probability", "draws", "mmr", "query", "flaw"} <= set(audit)


# -- E: tuning ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["contrastive", "pointwise", "pairwise", "listwise"])
def test_a_ranker_with_rate_zero_gives_the_scores_of_the_ranker_as_it_is(loss: str) -> None:
    documents = corpus()
    plain = NeuralSearch().fit(corpus=documents, model=hashed_ranker())
    still = fitted(documents, loss=loss, learning_rate=0.0)
    for a, b in zip(plain.rank(texts(8, 1)), still.rank(texts(8, 1))):
        assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("optimizer", ["adamw", "adafactor"])
@pytest.mark.parametrize("loss", ["contrastive", "pointwise", "pairwise", "listwise"])
def test_tuning_lowers_the_loss(loss: str, optimizer: str) -> None:
    steps = fitted(loss=loss, optimizer=optimizer, learning_rate=0.01, epochs=8).steps_
    assert steps[-1] < steps[0]


def test_losses_are_those_of_the_formulas() -> None:
    scores = torch.tensor([[2.0, 1.0, -1.0], [0.0, 1.0, 7.0]])
    there = torch.tensor([[True, True, True], [True, True, False]])
    pairs = [(2.0, 1.0), (2.0, -1.0), (0.0, 1.0)]
    naive = np.mean([-np.log(np.exp(p) / (np.exp(p) + np.exp(n))) for p, n in pairs])
    assert float(step_d.pairwise(scores, there)) == pytest.approx(naive, abs=1e-6)
    sigmoid = lambda x: 1 / (1 + np.exp(-x))
    terms = [sigmoid(2.0), 1 - sigmoid(1.0), 1 - sigmoid(-1.0), sigmoid(0.0), 1 - sigmoid(1.0)]
    assert float(step_d.pointwise(scores, there)) == pytest.approx(np.mean(-np.log(terms)), abs=1e-6)
    rows = [np.exp([2.0, 1.0, -1.0]), np.exp([0.0, 1.0])]
    assert float(step_d.listwise(scores, there)) == pytest.approx(
        np.mean([-np.log(row[0] / row.sum()) for row in rows]), abs=1e-6
    )


def test_every_text_of_a_contrastive_batch_is_read_as_pairs_would_be() -> None:
    model, documents = hashed_ranker(), texts(20)
    queries, positive = np.array(["cats word3", "ships word5"]), np.array([3, 5])
    negatives = np.array([[1, 2], [7, -1]])
    found = float(step_d.contrastive(model, queries, positive, negatives, documents).detach())
    all_of_them = [1, 2, 3, 5, 7]
    scores = np.array([[float(model.score([q], [documents[d]])) for d in all_of_them] for q in queries])
    naive = np.mean([-np.log(np.exp(row[i]) / np.exp(row).sum()) for row, i in zip(scores, (2, 3))])
    assert found == pytest.approx(naive, abs=1e-5)


# -- the whole ---------------------------------------------------------------------------------------------


def test_one_seed_gives_one_sample_whatever_the_order_of_the_documents() -> None:
    documents = corpus()
    order = np.random.default_rng(5).permutation(len(documents))
    one, two = fitted(documents), fitted(documents.take(order))
    assert [str(documents.x[i]) for i in one.audit_["document"]] == [
        str(documents.x[order][i]) for i in two.audit_["document"]
    ]
    assert one.audit_["query"].tolist() == two.audit_["query"].tolist()


def test_another_seed_draws_other_documents() -> None:
    assert fitted().audit_["document"].tolist() != fitted(random_state=1).audit_["document"].tolist()


def test_short_documents_are_not_drawn_but_found() -> None:
    documents = Domain(x=np.append(texts(30), ["cat"]), kind="text")
    method = fitted(documents, shortest=10)
    assert method.short_ == 1
    assert 30 not in method.audit_["document"]
    assert method.rank(["cat"], 31).documents.shape == (1, 31)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"clusters": 20, "samples": 10}, "samples must be at least clusters"),
        ({"clusters": 61, "samples": 61}, "corpus must hold at least 61"),
        ({"shortest": 5000}, "corpus must hold"),
    ],
)
def test_what_does_not_fit_the_collection_is_named(changes: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        fitted(**changes)


@pytest.mark.parametrize("word", ["encoder", "writer", "model"])
def test_what_is_no_part_of_a_ranking_system_is_named(word: str) -> None:
    parts = {"encoder": HashedWords(), "writer": LastWords(), "model": hashed_ranker()}
    with pytest.raises(TypeError, match=f"{word} must"):
        made().fit(corpus=corpus(), **{**parts, word: torch.nn.Linear(2, 2)})


def test_a_frozen_ranker_is_named() -> None:
    with pytest.raises(ValueError, match="model must have weights that train"):
        made().fit(
            corpus=corpus(), encoder=HashedWords(), writer=LastWords(), model=hashed_ranker().requires_grad_(False)
        )


def test_ranking_is_of_all_documents_or_of_the_first_of_bm25() -> None:
    method = fitted()
    query = ["cats purr word1"]
    assert method.rank(query, 60).documents[0].tolist().count(-1) == 0
    again = method.set_params(candidates="bm25", depth=5).rank(query, 60).documents[0]
    assert (again >= 0).sum() == 5
    assert set(again[:5].tolist()) == set(method.index_.search(query, 5).documents[0].tolist())


@pytest.mark.parametrize("k", [0, True])
def test_a_wrong_k_is_named(k: Any) -> None:
    with pytest.raises(ValueError, match="k must"):
        fitted().rank(["cats"], k)
