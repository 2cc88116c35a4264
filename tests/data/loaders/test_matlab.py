"""MATLAB feature files and zero-shot benchmarks."""

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat
from scipy.sparse import csc_matrix

from unseen.data.loaders import load, load_zsl

SHARED = Path(__file__).parents[3] / ".." / "shared" / "data"


def cells(*texts):
    out = np.empty((len(texts), 1), dtype=object)
    out[:, 0] = [np.array([text]) for text in texts]
    return out


@pytest.mark.parametrize("turned", [False, True])
def test_features_with_domains(tmp_path, turned):
    x = np.arange(15.0).reshape(5, 3)
    content = {"D": csc_matrix(x.T if turned else x), "y": [[2], [1], [2], [1], [1]], "domains": [[0, 2, 5]]}
    savemat(tmp_path / "f.mat", {**content, "domain_names": cells("amazon", "dslr").T})
    domain = load(tmp_path / "f.mat")
    np.testing.assert_array_equal(domain.x, x)
    assert domain.classes.names == ("1", "2")
    assert domain.y.tolist() == [1, 0, 1, 0, 0]
    assert domain.columns["domain"].tolist() == ["amazon"] * 2 + ["dslr"] * 3


def test_labels_may_be_a_cell_array_of_names(tmp_path):
    savemat(tmp_path / "f.mat", {"features": np.eye(4), "labels": cells("run", "climb", "run", "")})
    domain = load(tmp_path / "f.mat")
    assert domain.classes.names == ("climb", "run")
    assert domain.y.tolist() == [1, 0, 1, -1]


def test_mat_errors_name_variables_and_offsets(tmp_path):
    savemat(tmp_path / "a.mat", {"points": np.eye(3)})
    with pytest.raises(ValueError, match="the variables are: points"):
        load(tmp_path / "a.mat")
    savemat(tmp_path / "b.mat", {"D": np.eye(3), "y": [1, 2, 3], "domains": [0, 2, 9]})
    with pytest.raises(ValueError, match=r"offsets from 0 to 3; got \[0, 2, 9\]"):
        load(tmp_path / "b.mat")
    (tmp_path / "c.mat").write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="not a MATLAB file"):
        load(tmp_path / "c.mat")


def test_office_caltech():
    path = SHARED / "da-features" / "da_office_caltech.mat"
    if not path.exists():
        pytest.skip("shared/data/da-features is not here")
    domain = load(path)
    assert domain.x.shape == (2533, 800)
    names, counts = np.unique(domain.columns["domain"], return_counts=True)
    assert dict(zip(names.tolist(), counts.tolist())) == {
        "amazon": 958,
        "caltech": 1123,
        "dslr": 157,
        "webcam": 295,
    }
    assert domain.classes.names == tuple(str(i) for i in range(1, 11))


def benchmark(folder, **changes):
    """Six samples of 2 features; classes 1, 2 are seen, 3 is not."""
    x = np.arange(12.0).reshape(6, 2)
    savemat(folder / "res101.mat", {"features": x.T, "labels": [[1], [2], [1], [2], [3], [3]]})
    content = {"att": np.array([[1.0, 0, 1], [0, 1, 1]]), "allclasses_names": cells("ant", "bee", "cow")}
    content |= {"trainval_loc": [[2], [1]], "test_seen_loc": [[3], [4]], "test_unseen_loc": [[5], [6]]}
    savemat(folder / "att_splits.mat", {**content, **changes})
    return x


def test_zero_shot_benchmarks(tmp_path):
    x = benchmark(tmp_path)
    train, seen, unseen, classes = load_zsl(tmp_path)
    np.testing.assert_array_equal(train.x, x[[1, 0]])
    assert train.y.tolist() == [1, 0]
    np.testing.assert_array_equal(seen.x, x[[2, 3]])
    assert unseen.y.tolist() == [2, 2]
    assert classes.names == ("ant", "bee", "cow")
    np.testing.assert_array_equal(classes.attributes, [[1, 0], [0, 1], [1, 1]])
    assert classes.seen.tolist() == [0, 1]
    assert classes.unseen.tolist() == [2]
    with pytest.raises(ValueError, match="load_zsl"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trainval_loc": [[2], [9]]}, r"trainval_loc must lie in 1\.\.6; got 2\.\.9"),
        ({"trainval_loc": [[0], [1]]}, r"must lie in 1\.\.6; got 0"),
        ({"test_seen_loc": [[2]]}, "test_seen_loc stand in another split"),
        ({"test_unseen_loc": [[4]], "test_seen_loc": [[3]]}, "class 'bee' of the unseen test"),
        ({"att": np.eye(2)}, "2 classes"),
    ],
)
def test_zero_shot_benchmarks_that_do_not_fit_are_refused(tmp_path, changes, message):
    benchmark(tmp_path, **changes)
    with pytest.raises(ValueError, match=message):
        load_zsl(tmp_path)


def test_zero_shot_files_that_are_missing_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no res101\.mat"):
        load_zsl(tmp_path)
    benchmark(tmp_path)
    savemat(tmp_path / "att_splits.mat", {"att": np.eye(3)})
    with pytest.raises(ValueError, match="lacks trainval_loc"):
        load_zsl(tmp_path)


@pytest.mark.parametrize(
    ("name", "file", "sizes", "shape", "first"),
    [
        ("AWA1", "att_splits.mat", [19832, 4958, 5685], (50, 85), "antelope"),
        ("AWA2", "att_splits.mat", [23527, 5882, 7913], (50, 85), "antelope"),
        ("CUB", "sent_splits.mat", [7057, 1764, 2967], (200, 1024), "002.Laysan_Albatross"),
        ("FLO", "att_splits.mat", [5631, 1403, 1155], (102, 1024), "class 1"),
        ("SUN", "att_splits.mat", [10320, 2580, 1440], (717, 102), "abbey"),
    ],
)
def test_the_published_splits_with_features_made_up_for_them(tmp_path, name, file, sizes, shape, first):
    """The benchmarks' own splits and class vectors; their features are not here, so labels are spread as splits ask."""
    path = SHARED / "zsl-attributes" / name / file
    if not path.exists():
        pytest.skip("shared/data/zsl-attributes is not here")
    from scipy.io import loadmat

    content = loadmat(path)
    n = max(int(content[key].max()) for key in ("trainval_loc", "test_seen_loc", "test_unseen_loc"))
    labels = np.ones((n, 1), dtype=np.int64)
    labels[content["test_unseen_loc"].reshape(-1) - 1] = 2
    savemat(tmp_path / "res101.mat", {"features": np.zeros((2, n), dtype=np.float32), "labels": labels})
    (tmp_path / file).write_bytes(path.read_bytes())
    parts = load_zsl(tmp_path)
    assert [len(part) for part in parts[:3]] == sizes
    assert parts.classes.attributes.shape == shape
    assert parts.classes.names[0] == first
    assert np.linalg.norm(parts.classes.attributes, axis=1).min() > 0
