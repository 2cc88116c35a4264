"""Files of graphs that are given as samples: refused, with the command that reads them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import unseen

GO = re.escape("nodes of a graph with texts are named by `unseen nodes`")


@pytest.mark.parametrize("header", ["source,target", "From,To", "citing,cited"])
def test_a_table_of_edges_is_no_table_of_samples(header: str, tmp_path: Path) -> None:
    (tmp_path / "edges.csv").write_text(f"{header}\na,c\nb,d\na,b\n")
    with pytest.raises(ValueError, match=f"are the edges of a graph; {GO}"):
        unseen.load(tmp_path / "edges.csv")


def test_texts_beside_labels_are_no_edges_however_they_are_called(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("source,target\nbuy now,spam\nsee you at noon,ham\nwin a car,spam\n")
    domain = unseen.load(tmp_path / "table.csv")
    assert domain.kind == "text"
    assert domain.classes is not None
    assert domain.classes.names == ("ham", "spam")


def test_a_column_that_is_named_is_taken_at_its_word(tmp_path: Path) -> None:
    (tmp_path / "edges.csv").write_text("source,target\na,c\nb,d\na,b\n")
    assert unseen.load(tmp_path / "edges.csv", text_column="source", labels_column="target").kind == "text"


def test_arrays_with_edges_are_no_samples(tmp_path: Path) -> None:
    np.savez(tmp_path / "graph.npz", x=np.eye(3), edge_index=np.array([[0, 1], [1, 2]]))
    with pytest.raises(ValueError, match=rf"edges of a graph \(edge_index\); {GO}"):
        unseen.load(tmp_path / "graph.npz")


def test_a_file_of_tensors_is_no_samples(tmp_path: Path) -> None:
    (tmp_path / "graph.pt").write_bytes(b"PK")
    with pytest.raises(ValueError, match=f"tensors or a graph.*{GO}"):
        unseen.load(tmp_path / "graph.pt")
