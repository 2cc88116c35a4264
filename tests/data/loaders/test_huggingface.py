"""Folders of the Hugging Face `datasets` library."""

import sys

import numpy as np
import pytest
from PIL import Image

from unseen.compare.asked import check_types
from unseen.data.domain import Domain, Lazy
from unseen.data.loaders import load

datasets = pytest.importorskip("datasets")


def save(folder, columns, features=None):
    data = datasets.Dataset.from_dict(columns, features=features)
    data.save_to_disk(str(folder))
    return data


def test_pictures_with_class_labels(tmp_path):
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=["dog", "cat"]),
            "site": datasets.Value("string"),
        }
    )
    pictures = [Image.new("RGB", (4, 4), colour) for colour in ("red", "lime", "blue")]
    save(tmp_path / "d", {"image": pictures, "label": [1, 0, -1], "site": ["a", "b", "a"]}, features)
    domain = load(tmp_path / "d")
    assert domain.kind == "image"
    assert isinstance(domain.x, Lazy)
    assert domain.classes.names == ("dog", "cat")
    assert domain.y.tolist() == [1, 0, -1]
    assert domain.x[1].getpixel((0, 0)) == (0, 255, 0)
    assert domain.columns["site"].tolist() == ["a", "b", "a"]
    assert len(set(domain.digests())) == 3


def test_broken_pictures_and_pictures_elsewhere_are_refused(tmp_path, monkeypatch):
    """`save_to_disk` takes pictures in, so that only a data set made by hand can point elsewhere."""
    Image.new("RGB", (4, 4)).save(tmp_path / "elsewhere.png")
    rows = [{"bytes": b"bad", "path": None}, {"bytes": None, "path": str(tmp_path / "elsewhere.png")}]
    whole = {"bytes": (tmp_path / "elsewhere.png").read_bytes(), "path": None}
    table = save(tmp_path / "d", {"image": [*rows, whole], "n": [1, 2, 3]})
    monkeypatch.setattr(datasets, "load_from_disk", lambda _: table.cast_column("image", datasets.Image()))
    domain = load(tmp_path / "d")
    assert domain.ids.tolist() == ["000002"]
    assert domain.columns["n"].tolist() == [3]
    assert [entry.where for entry in domain.skipped] == ["row 1 (id 000000)", "row 2 (id 000001)"]
    assert "points to it" in domain.skipped[1].why


def test_splits_become_a_column(tmp_path):
    parts = {key: datasets.Dataset.from_dict({"text": [key, "x"], "label": ["u", "v"]}) for key in ("train", "test")}
    datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "d"))
    domain = load(tmp_path / "d")
    assert domain.kind == "text"
    assert domain.x.tolist() == ["train", "x", "test", "x"]
    assert domain.columns["split"].tolist() == ["train", "train", "test", "test"]
    assert domain.y.tolist() == [0, 1, 0, 1]
    assert domain.notes == ("its splits (train, test) are read as one; the column split tells which a sample is of",)


def test_data_in_memory_are_told_how_to_be_given():
    held = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [0, 1]})
    for given in (held, datasets.DatasetDict(train=held)):
        with pytest.raises(
            TypeError, match=rf"path must be .*; got {type(given).__name__}: its .save_to_disk\(folder\)"
        ):
            load(given)
    columns = Domain(x=held["text"], y=held["label"], kind="text")
    assert (columns.x.tolist(), columns.y.tolist()) == (["a", "b"], [0, 1])
    with pytest.raises(TypeError, match=r"source must be a Domain.*: its .save_to_disk\(folder\)"):
        check_types("compare", source=held)


def test_numbers_and_vectors_are_features(tmp_path):
    save(tmp_path / "d", {"v": [[1.0, 2.0], [3.0, 4.0]], "w": [5, 6], "label": ["a", "b"]})
    domain = load(tmp_path / "d")
    np.testing.assert_array_equal(domain.x, [[1, 2, 5], [3, 4, 6]])
    assert domain.feature_names == ("v[0]", "v[1]", "w")
    with pytest.raises(ValueError, match="labels_column 'lable' is not there; did you mean 'label'"):
        load(tmp_path / "d", labels_column="lable")


def test_the_missing_extra_is_named(tmp_path, monkeypatch):
    save(tmp_path / "d", {"text": ["a"]})
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ImportError, match=r'pip install "unseen\[hub\]"'):
        load(tmp_path / "d")
