"""Text-attributed graphs and their subgraphs: what is read, what walks visit, what a sample holds."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unseen.data.loaders.text_graph import read_graph
from unseen.data.text_graphs import (
    GraphBatch,
    Subgraphs,
    TextAttributedGraph,
    batch_of,
    hops,
    mean_of_neighbours,
    random_walks,
    sample_subgraphs,
    walk_transitions,
)


def graph_of(n: int, edges: list[tuple[int, int]], **more: object) -> TextAttributedGraph:
    texts = np.array([f"text {i}" for i in range(n)])
    return TextAttributedGraph(texts=texts, edges=np.array(edges, dtype=np.int64).reshape(-1, 2), **more)  # type: ignore[arg-type]


def star(leaves: int) -> TextAttributedGraph:
    return graph_of(leaves + 1, [(0, i + 1) for i in range(leaves)])


# -- graphs ------------------------------------------------------------------------------------------------


def test_directions_repeats_and_loops_are_dropped() -> None:
    made = graph_of(4, [(1, 0), (0, 1), (2, 2), (3, 1)])
    assert made.edges.tolist() == [[0, 1], [1, 3]]
    assert made.degrees.tolist() == [1, 2, 0, 1]


def test_taking_nodes_keeps_the_edges_among_them() -> None:
    part = graph_of(4, [(0, 1), (1, 2), (2, 3)]).take([2, 1, 0])
    assert part.edges.tolist() == [[0, 1], [1, 2]]
    assert part.texts.tolist() == ["text 2", "text 1", "text 0"]


def test_edges_are_hidden_in_either_direction() -> None:
    assert graph_of(3, [(0, 1), (1, 2)]).without(np.array([[2, 1]])).edges.tolist() == [[0, 1]]


def test_the_mean_of_neighbours_is_the_mean_of_their_rows() -> None:
    x = np.array([[1.0, 0], [3, 0], [0, 6], [9, 9]], dtype=np.float32)
    assert mean_of_neighbours(graph_of(4, [(0, 1), (0, 2)]), x).tolist() == [[1.5, 3], [1, 0], [1, 0], [0, 0]]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"texts": []}, "texts must be at least one string"),
        ({"edges": np.array([[0, 9]])}, "edges must name nodes in"),
        ({"edges": np.array([[0.5, 1]])}, "edges must be integers"),
        ({"names": ["a", "a"]}, "names must be unique; 'a' repeats"),
        ({"names": ["a"]}, "names has 1 entries"),
        ({"labels": np.array([0, -2])}, "labels must lie in"),
        ({"labels": np.array([0])}, "labels must be integers of shape"),
    ],
)
def test_what_is_no_graph_is_refused(changes: dict[str, object], told: str) -> None:
    right = {"texts": ["one", "two"], "edges": np.array([[0, 1]])}
    with pytest.raises(ValueError, match=told):
        TextAttributedGraph(**{**right, **changes})  # type: ignore[arg-type]


# -- walks -------------------------------------------------------------------------------------------------


def test_edges_never_include_the_jump_back() -> None:
    path = graph_of(6, [(i, i + 1) for i in range(5)])
    places = random_walks(path, [0] * 50, steps=20, restart=0.4, random_state=1)
    for i in range(50):
        nodes, edges = places.of(i)
        if len(nodes) > 1:
            assert (np.abs(nodes[edges[:, 0]] - nodes[edges[:, 1]]) == 1).all()  # neighbours on the path alone


def test_a_walk_of_no_steps_gives_the_root_only_and_so_does_a_sure_restart() -> None:
    for how in ({"steps": 0}, {"steps": 30, "restart": 1.0}):
        places = random_walks(star(5), [0, 3], **how)  # type: ignore[arg-type]
        assert places.nodes.tolist() == [0, 3]
        assert places.edges.tolist() == [[0, 0], [0, 0]]


def test_an_isolated_node_becomes_a_single_loop() -> None:
    places = random_walks(graph_of(3, [(0, 1)]), [2], steps=10)
    assert (places.nodes.tolist(), places.edges.tolist()) == ([2], [[0, 0]])
    alone = random_walks(graph_of(2, []), [1], steps=10)
    assert (alone.nodes.tolist(), alone.edges.tolist()) == ([1], [[0, 0]])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**20), st.integers(2, 12), st.floats(0, 1))
def test_all_nodes_are_within_the_connected_component(seed: int, n: int, restart: float) -> None:
    import networkx as nx

    made = graph_of(2 * n, [(i, i + 1) for i in range(n - 1)] + [(n + i, n + i + 1) for i in range(n - 1)])
    whole = nx.Graph([tuple(edge) for edge in made.edges.tolist()])
    for places in (random_walks(made, [0, n], steps=9, restart=restart, random_state=seed), hops(made, [0, n], k=3)):
        for i, root in enumerate((0, n)):
            nodes, edges = places.of(i)
            assert nodes[0] == root
            assert set(nodes.tolist()) <= nx.node_connected_component(whole, root)
            assert len(set(nodes.tolist())) == len(nodes)
            assert edges.max(initial=0) < len(nodes)


def test_the_sampler_is_deterministic_and_one_seed_may_stand_twice_with_different_walks() -> None:
    first, again = (random_walks(star(40), [0, 0], steps=12, random_state=3) for _ in range(2))
    assert first.nodes.tolist() == again.nodes.tolist()
    assert first.of(0)[0].tolist() != first.of(1)[0].tolist()
    ids = first.domain(star(40), np.ones((41, 2), dtype=np.float32)).ids
    assert ids is not None
    assert ids.tolist() == ["0 0", "0 1"]


def test_half_of_the_transitions_of_a_star_are_restarts_and_no_more_nodes_are_visited_than_steps_taken() -> None:
    graph, roots = star(100), np.zeros(300, dtype=np.int64)
    begins, ends = walk_transitions(graph, roots, 64, 0.5, np.random.default_rng(0))
    assert begins.shape == (300, 64)
    assert abs(float((ends < 0).mean()) - 0.5) < 0.02  # 19,200 draws: five standard errors
    places = random_walks(graph, roots, steps=64, restart=0.5, random_state=0)
    assert (np.diff(places.starts) <= 1 + (ends >= 0).sum(axis=1)).all()


def test_walks_leave_edges_out_that_they_did_not_go_along_and_hops_keep_them() -> None:
    triangle = graph_of(3, [(0, 1), (1, 2), (0, 2)])
    ball = hops(triangle, [0], k=1)
    assert len(ball.edges) == 3
    walks = random_walks(triangle, [0] * 40, steps=2, restart=0.0)
    assert min(len(walks.of(i)[1]) for i in range(40)) == 1
    assert max(len(walks.of(i)[1]) for i in range(40)) == 2


def test_hops_take_the_nearest_and_at_most_so_many() -> None:
    ball = hops(star(50), [1], k=2, most=10)
    assert len(ball.nodes) == 10
    assert ball.nodes[:2].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("method", "how", "told"),
    [
        ("walk", {"steps": -1}, "steps must be at least 0"),
        ("walk", {"restart": 1.5}, "restart in"),
        ("hops", {"k": -1}, "k must be at least 0"),
        ("jump", {}, "method must be walk or hops"),
    ],
)
def test_a_wrong_way_to_sample_is_named(method: str, how: dict[str, float], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        sample_subgraphs(star(3), [0], method, **how)


@pytest.mark.parametrize("seeds", [[], [9], [-1], [[0]], ["a"]])
def test_seeds_that_are_no_nodes_are_refused(seeds: list[object]) -> None:
    with pytest.raises(ValueError, match="seeds must be"):
        random_walks(star(3), seeds)  # type: ignore[arg-type]


# -- samples -----------------------------------------------------------------------------------------------


def samples(hide: bool = False) -> Subgraphs:
    graph = graph_of(4, [(0, 1), (1, 2)])
    x = np.arange(8, dtype=np.float32).reshape(4, 2) + 1
    return hops(graph, [0, 3, 1], k=1).domain(graph, x, hide_roots=hide).x


def test_a_sample_is_the_adjacency_beside_the_features_with_the_root_first() -> None:
    first = samples()[0]
    assert first.tolist() == [[0, 1, 1, 2], [1, 0, 3, 4]]
    assert samples()[1].tolist() == [[1, 7, 8]]
    assert samples(hide=True)[0].tolist() == [[0, 1, 0, 0], [1, 0, 3, 4]]


def test_a_batch_is_the_same_from_the_table_and_from_its_samples_one_by_one() -> None:
    for hide in (False, True):
        fast, slow = batch_of(samples(hide)), batch_of([samples(hide)[i] for i in range(3)])
        for key in GraphBatch._fields:
            a, b = getattr(fast, key), getattr(slow, key)
            if key == "edges":
                a, b = (np.unique(np.sort(part, axis=0), axis=1) for part in (a, b))
            assert a.tolist() == b.tolist(), key
    assert batch_of(samples()[np.array([2, 0])]).x[0].tolist() == [3, 4]


def test_hidden_roots_leave_the_table_as_it_is() -> None:
    kept = samples(hide=True)
    batch_of(kept)
    assert kept.features[0].tolist() == [1, 2]


def test_rows_are_nodes_alone() -> None:
    batch = batch_of(np.ones((3, 5)))
    assert (batch.roots.tolist(), batch.graph.tolist()) == ([0, 1, 2], [0, 1, 2])
    assert batch.edges.tolist() == [[0, 1, 2], [0, 1, 2]]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ([], "at least one subgraph"),
        (np.ones(4), "subgraphs"),
        ([np.ones((3, 3))], "sample 0 is"),
        ([np.array([[0, 1, 1.0], [0, 0, 1.0]])], "not symmetric"),
        ([np.array([[1, np.nan]])], "finite; sample 0"),
        ([np.ones((1, 3)), np.ones((1, 4))], "one number of features"),
    ],
)
def test_samples_that_are_no_subgraphs_are_refused(wrong: object, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        batch_of(wrong)


# -- files -------------------------------------------------------------------------------------------------


def tables(folder: Path, nodes: str, edges: str) -> tuple[Path, Path]:
    (folder / "nodes.csv").write_text(nodes)
    (folder / "edges.csv").write_text(edges)
    return folder / "nodes.csv", folder / "edges.csv"


def test_two_tables_make_a_graph(tmp_path: Path) -> None:
    made = read_graph(
        *tables(
            tmp_path, "id,title,text,label\na,One,first,x\n07,,second,\nc,Three,,y\n", "source,target\na,07\nc,07\n"
        )
    )
    assert made.texts.tolist() == ["One: first", "second", "Three"]
    assert made.edges.tolist() == [[0, 1], [1, 2]]
    assert made.labels is not None
    assert made.labels.tolist() == [0, -1, 1]


@pytest.mark.parametrize(
    ("nodes", "edges", "told"),
    [
        ("id,text\na,x\na,y\n", "source,target\na,a\n", "row 2: the id 'a' repeats"),
        ("id,text\na,x\nb,y\n", "source,target\na,z\n", "row 1: 'z' is the id of no node"),
        ("id,text\na,x\nb,y\n", "one,two\na,b\n", "no columns source and target"),
        ("id,number\na,1\n", "source,target\n", "no column text"),
    ],
)
def test_a_wrong_table_is_told_with_its_row(tmp_path: Path, nodes: str, edges: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        read_graph(*tables(tmp_path, nodes, edges))


def test_arrays_make_a_graph_and_objects_are_not_read(tmp_path: Path) -> None:
    good = {"x_text": np.array(["a", "b"]), "edge_index": np.array([[0], [1]]), "y": np.array([1, 0])}
    np.savez(tmp_path / "g.npz", **good, class_names=np.array(["p", "q"]))
    made = read_graph(tmp_path / "g.npz")
    assert (len(made), made.edges.tolist()) == (2, [[0, 1]])
    assert made.classes is not None
    assert made.classes.names == ("p", "q")
    np.savez(tmp_path / "bad.npz", **{**good, "x_text": np.array(["a", {}], dtype=object)})
    with pytest.raises(ValueError, match=r"bad\.npz"):
        read_graph(tmp_path / "bad.npz")


def test_a_saved_data_of_torch_geometric_is_read_as_data_alone(tmp_path: Path) -> None:
    geometric = pytest.importorskip("torch_geometric.data", reason='no torch-geometric; pip install "unseen[graphs]"')
    import torch

    edges = torch.tensor([[0, 1], [1, 2]])
    data = geometric.Data(
        edge_index=edges, y=torch.tensor([0, 1, 1]), raw_texts=["a", "b", "c"], label_names=["p", "q"]
    )
    for name, value in (("data.pt", data), ("dict.pt", data.to_dict())):
        torch.save(value, tmp_path / name)
        made = read_graph(tmp_path / name)
        assert made.texts.tolist() == ["a", "b", "c"]
        assert made.labels is not None
        assert made.labels.tolist() == [0, 1, 1]


class Harm:
    """What would do something when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("harm",)


def test_a_file_that_would_run_code_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    torch.save({"x_text": ["a"], "edge_index": Harm()}, tmp_path / "harm.pt")
    with pytest.raises(ValueError, match="holds more than data"):
        read_graph(tmp_path / "harm.pt")
    assert "harm" not in capsys.readouterr().out


def test_several_kinds_of_nodes_are_refused_with_what_does_it(tmp_path: Path) -> None:
    geometric = pytest.importorskip("torch_geometric.data")
    import torch

    data = geometric.HeteroData()
    data["paper"].x_text, data["author"].x_text = ["a", "b", "c"], ["d"]
    data["paper", "cites", "paper"].edge_index = torch.tensor([[0, 1], [1, 2]])
    for value in (data, data.to_dict()):
        torch.save(value, tmp_path / "graph.pt")
        with pytest.raises(ValueError, match="several kinds of nodes") as told:
            read_graph(tmp_path / "graph.pt")
    advice = re.search(r"torch\.save\((.*), 'papers\.pt'\)", str(told.value))
    assert advice is not None
    torch.save(eval(advice[1], {"data": data}), tmp_path / "papers.pt")
    assert read_graph(tmp_path / "papers.pt").texts.tolist() == ["a", "b", "c"]


@pytest.mark.parametrize("name", ["graph.xyz", "graph"])
def test_an_unknown_ending_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("a")
    with pytest.raises(ValueError, match=r"must end in \.npz"):
        read_graph(tmp_path / name)
