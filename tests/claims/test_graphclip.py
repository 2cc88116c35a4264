"""What the claim of graphclip must not do: read labels of what it asks, or let texts say their own class."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from unseen.claims import graphclip as claim
from unseen.claims import text_graphs as graphs
from unseen.data.classes import ClassSpace
from unseen.data.rows import unit_rows
from unseen.data.text_graphs import TextAttributedGraph, batch_of, mean_of_neighbours
from unseen.methods.multimodal.graphclip import GraphCLIP
from unseen.methods.multimodal.graphclip.steps import SubgraphPairs


def star(n: int = 30) -> TextAttributedGraph:
    texts = [f"package {i}: plays games and gaming music" for i in range(n)]
    return TextAttributedGraph(
        texts=np.array(texts), edges=np.array([(0, i) for i in range(1, n)]), labels=np.arange(n) % 3,
        classes=ClassSpace(names=("games", "python", "sound")),
    )  # fmt: skip


@pytest.fixture
def _numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A vector of each text without a network."""
    drawn: dict[str, np.ndarray] = {}
    monkeypatch.setattr(
        graphs, "vectors",
        lambda texts: np.stack([drawn.setdefault(t, np.random.default_rng(len(drawn)).normal(size=384)) for t in texts])
    )  # fmt: skip


def test_nothing_is_tuned_or_learnt_on_a_section_of_a_case(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {name for names in graphs.SECTIONS.values() for name in names}
    assert not asked & set(graphs.TUNED)
    assert (asked | set(graphs.TUNED)) <= set(graphs.TOLD)
    monkeypatch.setattr(graphs, "packages", star)
    left = graphs.learnt_graph.__wrapped__()
    assert left.classes is not None
    assert left.labels is not None
    assert {left.classes.names[c] for c in left.labels.tolist()} == {"python"}


def test_no_text_says_the_name_of_a_class() -> None:
    told = graphs.untold(star().replace(texts=np.array(["a game, for gaming with sound.", *star().texts[1:]])))
    assert told.texts[0] == "a, for with."
    assert "music" in told.texts[1]


@pytest.mark.usefixtures("_numbers")
def test_neighbours_are_all_of_them_and_not_those_that_a_walk_met() -> None:
    graph = star(60)
    found = graphs.around(graph, np.array([0, 5]), ("games", "python", "sound"), 0)
    table = np.stack([graphs.vectors([text])[0] for text in graph.texts]).astype(np.float32)
    assert np.allclose(found.near, mean_of_neighbours(graph, table)[[0, 5]], atol=1e-5)
    assert len(found.places.of(0)[0]) < 60


def test_an_untrained_encoder_is_the_mean_of_the_texts() -> None:
    pairs = SubgraphPairs().example({})["pairs"]
    small: dict[str, Any] = {
        "hidden": 16,
        "layers": 1,
        "heads": 2,
        "positions": 4,
        "position_width": 4,
        "epochs": 1,
        "batch_size": 20,
    }
    method = GraphCLIP(**small).fit(pairs=pairs)
    x = pairs.left.x[:3]
    batch = batch_of(x)
    want = np.stack([batch.x[4 * i] + batch.x[4 * i : 4 * i + 4].mean(axis=0) for i in range(3)])
    assert np.allclose(claim.untrained(method).transform(x).numpy(), unit_rows(want), atol=1e-5)
    assert not np.allclose(method.transform(x).numpy(), unit_rows(want), atol=1e-5)


def test_stamps_know_texts_edges_and_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    def stamp(graph: TextAttributedGraph) -> list[str]:
        graphs.digest.cache_clear()
        monkeypatch.setattr(graphs, "packages", lambda: graph)
        return graphs.said("confirmation packages 1")[0].x.tolist()

    graph = star()
    assert graph.labels is not None
    changes: tuple[dict[str, Any], ...] = (
        {},
        {"texts": graph.texts[::-1].copy()},
        {"edges": graph.edges[1:]},
        {"labels": graph.labels[::-1].copy()},
    )
    try:
        assert len({tuple(stamp(graph.replace(**change))) for change in changes}) == 4
    finally:
        graphs.digest.cache_clear()
