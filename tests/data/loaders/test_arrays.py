"""NumPy files."""

import io

import fsspec
import numpy as np
import pytest

from unseen.data.loaders import load


def test_npy_features_stay_on_disk(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(6, dtype=np.float32).reshape(3, 2))
    domain = load(tmp_path / "x.npy")
    assert domain.kind == "features"
    assert domain.x.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert isinstance(domain.x.base, np.memmap)
    assert domain.y is None


def test_npz_with_labels_classes_ids_and_columns(tmp_path):
    x = np.eye(3)
    np.savez(tmp_path / "d.npz", x=x, y=[1, -1, 0], classes=["dog", "cat"], ids=["a", "b", "c"], site=[7, 8, 9])
    domain = load(tmp_path / "d.npz")
    assert domain.classes.names == ("dog", "cat")
    assert domain.y.tolist() == [1, -1, 0]
    assert domain.ids.tolist() == ["a", "b", "c"]
    assert domain.columns["site"].tolist() == [7, 8, 9]
    np.savez(tmp_path / "e.npz", features=x, labels=["u", "", "t"])
    assert load(tmp_path / "e.npz").y.tolist() == [1, -1, 0]


def test_arrays_of_pictures_and_texts(tmp_path):
    np.save(tmp_path / "p.npy", np.full((2, 5, 6), 9, dtype=np.uint8))
    domain = load(tmp_path / "p.npy")
    assert domain.kind == "image"
    assert domain.x[1].size == (6, 5)
    assert domain.x[1].getpixel((0, 0)) == (9, 9, 9)
    np.save(tmp_path / "c.npy", np.zeros((2, 5, 4, 4), dtype=np.uint8))
    assert load(tmp_path / "c.npy").x[0].getpixel((0, 0)) == (255, 255, 255)
    np.save(tmp_path / "t.npy", np.array(["one", "two"]))
    assert load(tmp_path / "t.npy").kind == "text"


def test_rows_that_are_not_finite_are_counted(tmp_path):
    np.savez(tmp_path / "d.npz", x=[[1.0, 2], [np.nan, 1], [3, 4]], y=[0, 1, 1])
    domain = load(tmp_path / "d.npz")
    assert domain.y.tolist() == [0, 1]
    assert [entry.where for entry in domain.skipped] == ["row 2 (id 000001)"]
    with pytest.raises(ValueError, match="1 unreadable"):
        load(tmp_path / "d.npz", on_error="fail")


def test_pickles_and_nonsense_are_refused(tmp_path):
    np.save(tmp_path / "o.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "o.npz", x=np.array([{"a": 1}], dtype=object))
    for name in ("o.npy", "o.npz"):
        with pytest.raises(ValueError, match="not as objects"):
            load(tmp_path / name)
    (tmp_path / "n.npz").write_bytes(b"nonsense")
    with pytest.raises(ValueError, match=r"n\.npz"):
        load(tmp_path / "n.npz")


def test_errors_name_arrays_and_shapes(tmp_path):
    np.savez(tmp_path / "d.npz", points=np.eye(2))
    with pytest.raises(ValueError, match="the arrays are: points"):
        load(tmp_path / "d.npz")
    np.savez(tmp_path / "e.npz", x=np.eye(2), y=[1])
    with pytest.raises(ValueError, match="labels have shape"):
        load(tmp_path / "e.npz")
    np.save(tmp_path / "f.npy", np.zeros((2, 3, 4, 5, 6)))
    with pytest.raises(ValueError, match=r"shape \(2, 3, 4, 5, 6\)"):
        load(tmp_path / "f.npy")
    np.savez(tmp_path / "g.npz", x=np.eye(2), y=[0, 5], classes=["a", "b"])
    with pytest.raises(ValueError, match=r"labels must lie in \[-1, 2\)"):
        load(tmp_path / "g.npz")


def test_memory_urls():
    out = io.BytesIO()
    np.save(out, np.eye(2))
    fsspec.filesystem("memory").pipe("/arrays/x.npy", out.getvalue())
    assert load("memory://arrays/x.npy").x.shape == (2, 2)
