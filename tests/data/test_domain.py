"""`Domain`: what it accepts, what it hides, and how it is identified."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, TensorDataset

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain, Lazy, Skipped, concatenate
from unseen.data.sounds import Sound
from unseen.methods.checks import as_input

CLASSES = ClassSpace(names=("cat", "dog", "owl"))


def table(n: int = 6, **more: Any) -> Domain:
    x = np.random.default_rng(0).normal(size=(n, 3)).astype(np.float32)
    given = dict(x=x, y=np.arange(n) % 3, classes=CLASSES, name="photos")
    return Domain(**given | more)


def lazy(n: int = 6, reads: list[Any] | None = None) -> Lazy:
    def read(item: str) -> np.ndarray:
        if reads is not None:
            reads.append(item)
        return np.full(2, float(item.rpartition("/")[2]))

    return Lazy([f"cat/{i}" for i in range(n)], read)


# -- what it accepts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "error", "match"),
    [
        ({"kind": "smell"}, ValueError, "kind must be one of image.*'smell'"),
        ({"task": "sing"}, ValueError, "task must be one of .*class.*'sing'"),
        ({"y": np.arange(4)}, ValueError, "y has 4 entries, x has 6 samples"),
        ({"ids": ["a"]}, ValueError, "ids has 1 entries"),
        ({"columns": {"domain": ["a"]}}, ValueError, "domain has 1 entries"),
        ({"ids": list("aabcde")}, ValueError, "ids must be unique; 'a' stands 2 times"),
        ({"y": np.arange(6) - 2}, ValueError, "y must be -1 .* got -2"),
        ({"y": np.arange(6)}, ValueError, "y must be below the number of classes, 3; got 5"),
        ({"y": np.ones((6, 2), int)}, TypeError, r"y must be a vector.*\(6, 2\)"),
        ({"y": np.full(6, 0.5)}, ValueError, "labels must name classes; got the real number 0.5"),
        ({"y": np.full(6, 3.0)}, ValueError, "y must be below the number of classes, 3; got 3"),
        ({"x": 3.0}, TypeError, "x must be a sequence of samples; got float"),
        ({"x": None}, TypeError, "x must be a sequence of samples; got NoneType"),
        ({"x": scipy.sparse.eye(6).tocsr()}, TypeError, r"x must .* got csr_matrix: .toarray\(\) makes an array"),
        ({"x": DataLoader(TensorDataset(torch.ones(6)))}, TypeError, "x must .* got DataLoader: stack its samples"),
        ({"x": (row for row in "abcdef")}, TypeError, r"x must .* got generator: list\(...\) keeps"),
        ({"x": (row for row in "abcdef"), "kind": "text"}, TypeError, r"x must .* got generator: list\(...\) keeps"),
        ({"columns": ["place"]}, TypeError, "columns must be a mapping of names to arrays; got list"),
        ({"classes": {"cat", "dog"}}, TypeError, "classes must be a ClassSpace or a list of names; got set"),
        ({"x": np.ones((6, 8, 8, 3))}, TypeError, r"x holds arrays of shape \(8, 8, 3\).*give kind='image'"),
        ({"x": np.ones((6, 8, 8), np.uint8)}, TypeError, r"x holds arrays of shape \(8, 8\).*give kind='image'"),
        ({"x": list("abcdef")}, TypeError, "x holds texts, and not features: give kind='text'"),
        ({"x": np.ones((6, 2), complex)}, TypeError, "x holds complex numbers: give their magnitudes"),
        ({"x": [[1, "a"]] * 6}, TypeError, "x holds texts, and not features"),
        ({"x": np.array([[1, {}]] * 6)}, TypeError, "x must hold numbers for kind='features'; got objects"),
        ({"x": np.ones((6, 800)), "kind": "audio"}, TypeError, r"x must hold sounds .*Sound\(wave, rate, seconds\)"),
        ({"x": pd.DataFrame({"a": range(6), "b": list("abcdef")})}, TypeError, "x: column 'b' holds .* and no numbers"),
    ],
)
def test_what_does_not_fit_is_named(more: dict[str, Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        table(**more)


def test_labels_of_any_integer_type_become_one_type() -> None:
    for dtype in (np.int8, np.uint8, np.int32, np.uint64):
        assert table(y=(np.arange(6) % 3).astype(dtype)).y.dtype == np.int64
    assert table(y=np.linspace(0, 1, 6), task="value").y.dtype == np.float64


@pytest.mark.parametrize(
    ("y", "expected"),
    [
        (np.array([0.0, np.nan, 2.0]), [0, -1, 2]),
        (pd.array([0, None, 2], dtype="Int64"), [0, -1, 2]),
        ([0, None, 2], [0, -1, 2]),
        ([None, None, None], [-1, -1, -1]),
        (np.array([[0], [1], [2]]), [0, 1, 2]),
        (np.array([0, 1, 2], dtype=object), [0, 1, 2]),
        ([True, None, False], [1, -1, 0]),
        (pd.Categorical(["owl", None, "cat"]), [2, -1, 0]),
        (["dog", np.nan, "cat"], [1, -1, 0]),
    ],
)
def test_labels_are_read_as_they_are_kept(y: Any, expected: list[int]) -> None:
    assert table(3, y=y).y.tolist() == expected


def test_true_and_false_are_names_where_none_are_given() -> None:
    read = table(3, y=[True, False, True], classes=None)
    assert (read.y.tolist(), read.classes.names) == ([1, 0, 1], ("False", "True"))
    assert table(3, y=np.array([2.0, np.nan, 0.0]), classes=None).y.tolist() == [2, -1, 0]


@pytest.mark.parametrize("kept", [list, tuple, np.array, pd.Series])
def test_names_of_classes_stand_in_any_row(kept: Any) -> None:
    assert table(y=None, classes=kept(["a", "b"])).classes.names == ("a", "b")
    assert table(y=None, classes=kept([1, 2])).classes.names == ("1", "2")


@pytest.mark.parametrize(
    ("x", "error", "match"),
    [
        (["fry an egg", float("nan")], ValueError, r"sample 'v' is missing \(nan\): leave it out"),
        (pd.Series(["fry an egg", np.nan]), ValueError, r"sample 'v' is missing \(nan\)"),
        (np.array(["fry an egg", None], dtype=object), ValueError, r"sample 'v' is missing \(None\)"),
        (["fry an egg", 3], TypeError, "sample 'v' is of int"),
        (np.array([["a", "b"], ["c", "d"]]), TypeError, "sample 'u' is of list"),
    ],
)
def test_what_is_no_text_is_named_by_its_id(x: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=f"x must hold texts.*{match}"):
        Domain(x=x, kind="text", ids=["u", "v"])


def test_a_data_frame_gives_the_names_of_its_features() -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [True, False], "c": pd.array([1, None], dtype="Int64")})
    read = Domain(x=frame)
    assert read.feature_names == ("a", "b", "c")
    np.testing.assert_array_equal(read.x, [[1, 1, 1], [2, 0, np.nan]])
    assert Domain(x=frame, feature_names=("u", "v", "w")).feature_names == ("u", "v", "w")


def test_sounds_are_told_apart_by_wave_and_rate() -> None:
    wave = np.linspace(-1, 1, 800, dtype=np.float32)
    digests = Domain(x=[Sound(wave, 8000, 0.1), Sound(wave, 4000, 0.2), Sound(wave, 8000, 0.1)], kind="audio").digests()
    assert digests[0] == digests[2] != digests[1]


def test_tensors_lists_and_texts_become_arrays() -> None:
    assert Domain(x=torch.ones(2, 3, requires_grad=True)).x.shape == (2, 3)
    assert Domain(x=[[1, 2], [3, 4]]).n_features == 2
    for said in (["a", "ü"], np.array(["a", "ü"]), np.array(["a", "ü"], dtype=object)):
        read = Domain(x=said, kind="text").x
        assert (read.dtype, [*map(type, read)], read.tolist()) == (object, [str, str], ["a", "ü"])
    assert Domain(x=np.ones((2, 2), ">f4")).x.dtype.isnative


def test_ids_are_positions_unless_given() -> None:
    assert table().ids.tolist() == [f"{i:06d}" for i in range(6)]


def test_labels_tells_how_many_are_missing() -> None:
    half = table(y=np.array([0, -1, 1, -1, 2, -1]))
    assert half.labeled.tolist() == [True, False] * 3
    with pytest.raises(ValueError, match="photos: 3 of 6 samples have no label"):
        half.labels  # noqa: B018
    with pytest.raises(ValueError, match="photos: 6 of 6 samples have no label"):
        table(y=None).labels  # noqa: B018
    assert repr(half) == "Domain('photos', 6 x features, 3 labelled)"
    assert repr(table(y=None)) == "Domain('photos', 6 x features, no labels)"


def test_only_a_table_has_a_width() -> None:
    with pytest.raises(TypeError, match="photos holds image, not a table"):
        table(x=lazy(), kind="image").n_features  # noqa: B018


# -- other views -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", [[4, 0], slice(1, 5, 2), np.array([True, False] * 3), [], np.int64(2), 2, -1])
@pytest.mark.parametrize("of", ["array", "lazy"])
def test_take_keeps_samples_labels_ids_and_columns_together(index: Any, of: str) -> None:
    columns = {"place": np.arange(12).reshape(6, 2)}
    whole = table(columns=columns, **({"x": lazy()} if of == "lazy" else {}))
    some = whole.take(index)
    positions = np.atleast_1d(np.arange(6)[index])
    assert len(some) == len(positions)
    for place, position in enumerate(positions):
        np.testing.assert_array_equal(some.x[place], whole.x[int(position)])
    assert some.y.tolist() == whole.y[positions].tolist()
    assert some.ids.tolist() == whole.ids[positions].tolist()
    assert some.columns["place"].tolist() == columns["place"][positions].tolist()


def test_batches_are_consecutive_and_cover_all() -> None:
    assert [len(part) for part in table().batches(4)] == [4, 2]
    assert np.concatenate([part.ids for part in table().batches(4)]).tolist() == table().ids.tolist()


def test_unlabeled_leaves_nothing_that_tells_a_label() -> None:
    whole = table(
        ids=[f"cat/{i}.png" for i in range(6)],
        columns={"domain": np.repeat("a", 6), "class": np.arange(6) % 3},
        skipped=(Skipped("dog/7.png", "broken"),),
        credits=("the cats",),
    )
    bare = whole.unlabeled()
    assert (bare.y, bare.classes) == (None, None)
    assert bare.ids.tolist() == [f"{i:06d}" for i in range(6)]
    assert list(bare.columns) == ["domain"]
    assert (bare.skipped, bare.credits) == ((), ())
    assert whole.y is not None


def test_unlabeled_hides_the_paths_of_lazy_samples() -> None:
    bare = table(x=lazy()).unlabeled()
    assert not [item for item in bare.x.items if "cat" in str(item)]
    assert [sample.tolist() for sample in bare.x] == [[i, i] for i in range(6)]
    assert bare.digests().tolist() == table(x=lazy()).digests().tolist()
    assert [sample.tolist() for sample in bare.take([3, 1]).x] == [[3, 3], [1, 1]]


# -- lazy --------------------------------------------------------------------------------------------------


def test_lazy_samples_are_read_when_asked_for_only() -> None:
    reads: list[Any] = []
    samples = lazy(6, reads)
    part = Domain(x=samples.map(lambda x: x + 1), kind="image").take([5, 2])
    joined = part.x + samples[:1]
    assert reads == []
    assert [value.tolist() for value in joined] == [[6, 6], [3, 3], [0, 0]]
    assert reads == ["cat/5", "cat/2", "cat/0"]


def test_a_digest_of_the_content_is_used_where_there_is_one() -> None:
    reads: list[Any] = []
    base = lazy(3, reads)
    cheap = Lazy(base.items, base.read, lambda item: f"hash of {item}")
    assert [(cheap + base[:1]).digest(i) for i in range(2)] == ["hash of cat/0", "hash of cat/1"]
    assert cheap.map(lambda x: x * 2).digest(2) == "hash of cat/2"
    assert reads == []


# -- identity ----------------------------------------------------------------------------------------------


@given(st.integers(0, 1000), st.integers(1, 12))
def test_the_canonical_order_depends_on_content_alone(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 3, size=(n, 2)).astype(np.float32)  # with repeated rows
    place = np.array([["a", "b"][i] for i in rng.integers(0, 2, n)])
    whole = Domain(x=x, columns={"domain": place})
    mixed = whole.take(rng.permutation(n)).replace(ids=None, name="other")
    first, second = (d.take(d.canonical_order()) for d in (whole, mixed))
    assert first.x.tolist() == second.x.tolist()
    assert first.columns["domain"].tolist() == second.columns["domain"].tolist()
    assert whole.fingerprint() == mixed.fingerprint()


def test_a_fingerprint_sees_every_bit_but_no_label() -> None:
    x = table().x.copy()
    x[2, 1] = np.nextafter(x[2, 1], np.inf)
    assert table(x=x).fingerprint() != table().fingerprint()
    assert table(y=None, ids=list("abcdef")).fingerprint() == table().fingerprint()
    assert Domain(x=np.ones((1, 4))).fingerprint() != Domain(x=np.ones((1, 2, 2))).fingerprint()


def test_the_type_of_numbers_is_no_content() -> None:
    x = np.random.default_rng(0).normal(size=(6, 3))
    whole = np.arange(18).reshape(6, 3)
    for same, types in ((x, ("f4", "f8", ">f8")), (whole, ("f2", "f4", "f8", "u1", "i2", "i8"))):
        orders = {tuple(table(x=same.astype(kind)).canonical_order()) for kind in types}
        assert len({table(x=same.astype(kind)).fingerprint() for kind in types}) == len(orders) == 1
    clouds = [Domain(x=x.reshape(3, 2, 3).astype(kind), kind="points").fingerprint() for kind in ("f4", "f8")]
    assert clouds[0] == clouds[1]
    large = np.array([[1e300], [2e300]])  # beyond what single precision holds
    assert len(set(Domain(x=large).digests())) == 2


def test_samples_of_parts_are_told_apart_by_what_is_in_the_parts() -> None:
    def digests(*samples: Any) -> list[str]:
        return Domain(x=Lazy(samples, lambda sample: sample), kind="clip").digests().tolist()

    clip = [np.ones((2, 2)), np.ones((3, 2))]
    assert len(set(digests(clip, [clip[1], clip[0]], {"a": 1.0}, {"a": 2.0}, {"b": 1.0}, ["x", "yy"]))) == 6
    assert digests(clip) == digests([part.copy() for part in clip])
    with pytest.raises(TypeError, match="must be a text, numbers or a picture; got object"):
        digests(object())


@pytest.mark.parametrize("kind", ["points", "clip", "image", "series"])
def test_samples_of_unlike_sizes_are_digested_taken_and_joined(kind: str) -> None:
    width = 5 if kind == "image" else 3  # (n, h, 3) is one picture in colour
    clouds = [np.arange(float(width * n), dtype=">f8").reshape(n, width) for n in (2, 4, 4)]
    whole = Domain(x=clouds, y=[0, 1, 0], kind=kind, name="clouds")
    assert [len(cloud) for cloud in whole.x] == [2, 4, 4]
    assert whole.x[0].dtype.isnative
    joined = concatenate([whole.take([1, 2]), whole.take([0])])
    assert joined.fingerprint() == whole.fingerprint()
    stacked = Domain(x=np.stack(clouds[1:]), kind=kind)
    assert concatenate([stacked, Domain(x=[clouds[0]], kind=kind)]).fingerprint() == whole.fingerprint()
    assert whole.digests()[1:].tolist() == stacked.digests().tolist()
    assert len(whole.unlabeled().take(whole.canonical_order())) == 3
    with pytest.raises(ValueError, match="all samples of x must be of one shape"):
        Domain(x=clouds)


# -- several domains ---------------------------------------------------------------------------------------


def test_concatenated_domains_are_told_apart_by_a_column() -> None:
    both = concatenate([table(name="a", credits=("me",)), table(n=3, name="b", y=None, credits=("me", "you"))])
    assert both.columns["domain"].tolist() == ["a"] * 6 + ["b"] * 3
    assert both.y.tolist() == [0, 1, 2, 0, 1, 2, -1, -1, -1]
    assert (both.ids[0], both.ids[-1]) == ("a/000000", "b/000002")
    assert both.credits == ("me", "you")


def test_domains_of_one_name_stay_apart_and_lazy_ones_stay_lazy() -> None:
    reads: list[Any] = []
    parts = [Domain(x=lazy(2, reads), kind="image"), Domain(x=lazy(2, reads), kind="image")]
    both = concatenate(parts)
    assert reads == []
    assert both.columns["domain"].tolist() == ["data-0"] * 2 + ["data-1"] * 2
    assert len(set(both.ids)) == 4


def test_domains_that_do_not_fit_together_are_named() -> None:
    other = table(classes=ClassSpace(names=("x", "y", "z")), name="b")
    with pytest.raises(ValueError, match="photos and b have different classes"):
        concatenate([table(), other])
    with pytest.raises(ValueError, match="of one kind; got features and image"):
        concatenate([table(), table(x=lazy(), kind="image")])
    with pytest.raises(ValueError, match="of one task; got class and value"):
        concatenate([table(), table(task="value")])
    with pytest.raises(ValueError, match="at least one"):
        concatenate([])
    with pytest.raises(ValueError, match=r"photos has samples of shape .3,., b of shape .2,."):
        concatenate([table(), table(x=np.ones((6, 2)), name="b")])


def test_names_of_features_are_carried_and_are_no_content():
    plain = Domain(x=np.arange(6.0).reshape(3, 2), y=[0, 1, 0], classes=ClassSpace(names=("u", "v")))
    named = plain.replace(feature_names=("a", "b"), notes=("not used: c (text)",))
    assert named.take([2, 0]).feature_names == named.unlabeled().feature_names == ("a", "b")
    assert named.take([2, 0]).notes == named.notes
    assert named.fingerprint(labels=True) == plain.fingerprint(labels=True)
    assert named.digests().tolist() == plain.digests().tolist()
    assert named.replace(x=named.x[:, :1]).feature_names == ()
    assert next(iter(named.batches(2))).feature_names == ("a", "b")


@pytest.mark.parametrize(
    ("names", "said"),
    [(("a",), "feature_names has 1 names, x has 2 features"), (("a", "a"), "must be unique; 'a' stands 2 times")],
)
def test_names_of_features_that_cannot_be_are_refused(names, said):
    with pytest.raises(ValueError, match=said):
        Domain(x=np.zeros((3, 2)), feature_names=names)


def test_names_in_a_list_are_classes():
    x = np.zeros((2, 3))
    assert Domain(x=x, y=[0, 1], classes=["ant", "bee"]).classes.names == ("ant", "bee")
    with pytest.raises(TypeError, match="classes must be a ClassSpace or a list of names; got str"):
        Domain(x=x, y=[0, 1], classes="ant")


def test_labels_may_be_names():
    x = np.zeros((4, 3))
    named = Domain(x=x, y=["bee", "ant", None, "bee"])
    assert named.classes.names == ("ant", "bee")
    assert named.y.tolist() == [1, 0, -1, 1]
    told = Domain(x=x, y=np.array(["bee", "", "cat", "bee"]), classes=["cat", "bee"])
    assert told.y.tolist() == [1, -1, 0, 1]
    with pytest.raises(ValueError, match="classes lacks 1 of the labels in the data, such as 'dog'"):
        Domain(x=x, y=["dog", "cat", "cat", "cat"], classes=["cat", "bee"])
    assert Domain(x=x, y=["", "", "", ""]).y is None
    for gone in (None, np.nan):
        assert Domain(x=x, y=np.array(["bee", gone, "ant", "bee"], dtype=object)).y.tolist() == [1, -1, 0, 1]


def test_a_long_text_among_many_takes_no_room_for_each():
    import tracemalloc

    said = ["word"] * 5000 + ["w" * 100_000]
    tracemalloc.start()
    domain = Domain(x=said, kind="text")
    taken = domain.take(np.arange(5001)[::-1])
    assert tracemalloc.get_traced_memory()[1] < 20e6  # 2 GB, were each as wide as the longest
    tracemalloc.stop()
    assert taken.x[0] == said[-1]
    assert concatenate([domain, taken]).x.dtype == object
    assert Domain(x=np.array(["a", "bc"]), kind="text").digests().tolist() == domain_of("a", "bc").digests().tolist()


def domain_of(*said):
    return Domain(x=list(said), kind="text")


# -- masked arrays -----------------------------------------------------------------------------------------


def test_numbers_that_are_masked_are_not_read_as_numbers() -> None:
    masked = np.ma.masked_greater(np.array([[1.0, 2.0], [3.0, 9.0]]), 5)
    with pytest.raises(ValueError, match="x must have all its numbers; masked: 1, the first in sample 1, feature 1"):
        Domain(x=masked)
    with pytest.raises(ValueError, match="x must have all its numbers; some of sample 1 are masked"):
        Domain(x=[masked[0], masked[1]])
    with pytest.raises(ValueError, match="x must have all its numbers"):
        as_input(masked)
    whole = Domain(x=np.ma.masked_greater(masked.data, 10))
    assert type(whole.x) is np.ndarray
    assert whole.x.tolist() == masked.data.tolist() == Domain(x=[*np.ma.asarray(masked.data)]).x.tolist()


@pytest.mark.parametrize("y", [[0, 1, 1], ["cat", "dog", "dog"], [0.0, 1.0, 1.0]])
def test_a_label_that_is_masked_is_missing(y: Any) -> None:
    labels = np.ma.masked_array(y, [False, False, True])
    assert Domain(x=np.eye(3), y=labels, classes=CLASSES).y.tolist() == [0, 1, -1]  # type: ignore[union-attr]
    assert Domain(x=np.eye(3), y=np.ma.asarray(np.array(y)), classes=CLASSES).labels.tolist() == [0, 1, 1]
