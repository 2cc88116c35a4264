"""Knowledge graphs: those that pykeen ships, and those of rows."""

from __future__ import annotations

import numpy as np
import pytest

from unseen.data.sources.graphs import GRAPHS, graph, knowledge_graph


def test_rows_become_pairs_with_relations_in_the_order_of_names() -> None:
    g = graph([("b", "likes", "a"), ("a", "sees", "b"), ("b", "likes", "a")], name="two")
    assert g.entities == ("a", "b")
    assert g.relations.names == ("likes", "sees")
    assert g.triples.tolist() == [[1, 0, 0], [0, 1, 1]]
    assert g.pairs.kind == "node"
    assert g.places == {"a": 0, "b": 1}
    assert repr(g) == "Graph('two', 2 triples, 2 entities, 2 relations)"
    with pytest.raises(ValueError, match="there is no triple"):
        graph([])


SHAPES = {"nations": (1992, 14, 55), "kinships": (10686, 104, 25), "umls": (6529, 135, 46)}


@pytest.mark.parametrize(("name", "shape"), SHAPES.items())
def test_the_graphs_of_pykeen_are_read_without_it(name: str, shape: tuple[int, int, int]) -> None:
    pytest.importorskip("pykeen.version", reason="the graphs are in the package pykeen")
    g = knowledge_graph(name)
    assert (len(g.pairs), len(g.entities), len(g.relations)) == shape
    assert len(np.unique(g.triples, axis=0)) == len(g.triples)
    assert name in GRAPHS
    assert "pykeen" in g.pairs.credits[0]


def test_other_graphs_are_refused() -> None:
    with pytest.raises(ValueError, match="name must be one of nations, kinships, umls; got 'fb15k'"):
        knowledge_graph("fb15k")
