"""Tables that come together in `compare`, `adapt` and a saved model are matched by the names of their columns."""

import logging

import numpy as np
import pandas as pd
import pytest
import torch

import unseen
from unseen.bundle import Bundle, read_zoo
from unseen.compare.inputs import prepare
from unseen.compare.introduction import what_to_mind
from unseen.compare.tables import alike_tables, column_of_labels
from unseen.data.domain import Domain

NAMES = ("Länge", "Breite", "Höhe")


def values(n=30, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    return 5 * np.eye(3)[y] + rng.normal(size=(n, 3)), np.array(["ant", "bee", "cat"])[y]


def write(tmp_path, name, order=NAMES, *, seed=0, more=(), label="label", called=None):
    """A table whose columns stand in `order`, perhaps under other names, beside columns of ones."""
    x, y = values(seed=seed)
    columns = {column: x[:, NAMES.index(column)] for column in order}
    header = ",".join([*((called or {}).get(column, column) for column in order), *more, label])
    rows = (",".join([*(f"{columns[c][i]:.4f}" for c in order), *("1" for _ in more), y[i]]) for i in range(len(y)))
    path = tmp_path / name
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def introduction(**data):
    """What `compare` says of data before anything is fitted, in its order."""
    lines = []
    ready = prepare(**data, say=lines.append)
    return lines + what_to_mind(ready)


@pytest.fixture
def source(tmp_path):
    return write(tmp_path, "source.csv")


@pytest.fixture
def saved(source, tmp_path):
    unseen.adapt(method="source-only", source=source, out=tmp_path / "m", refit=False)
    return tmp_path / "m"


def test_a_target_with_columns_in_another_order_is_the_same_target(source, tmp_path):
    straight = prepare(source=source, target=write(tmp_path, "t.csv", seed=1))
    turned = prepare(source=source, target=write(tmp_path, "u.csv", ("Höhe", "Länge", "Breite"), seed=1))
    assert np.array_equal(turned.target.x, straight.target.x)
    assert np.array_equal(turned.held_out.x, straight.held_out.x)
    assert turned.feature_names == straight.feature_names == NAMES


def test_a_target_without_a_column_is_refused_by_name(source, tmp_path):
    with pytest.raises(ValueError, match=r"^target lacks the column 'Breite' of the source; it has: Länge, Höhe$"):
        prepare(source=source, target=write(tmp_path, "t.csv", ("Länge", "Höhe")))
    swapped = write(tmp_path, "u.csv", called={"Breite": "Tiefe"})
    with pytest.raises(ValueError, match="support lacks the column 'Breite' of the source; it has: Länge, Tiefe"):
        prepare(source=source, support=swapped)
    others = write(tmp_path, "v.csv", called={"Länge": "c0", "Breite": "c1", "Höhe": "c2"})
    with pytest.raises(ValueError, match="target has none of the columns of the source"):
        prepare(source=source, target=others)


def test_what_the_source_lacks_is_left_out_and_said(source, tmp_path):
    data = dict(source=source, target=write(tmp_path, "t.csv", ("Höhe", "Länge", "Breite"), more=("Extra",)))
    assert prepare(**data).target.x.shape[1] == 3
    told = introduction(**data)
    assert "columns: 3 features: Länge, Breite, Höhe" in told
    assert "target: not used, as the source lacks it: Extra" in told


def test_what_could_not_be_read_is_told_once(source, tmp_path, caplog):
    target = write(tmp_path, "t.csv")
    target.write_text(target.read_text() + "1,,1,ant\n")
    with caplog.at_level(logging.WARNING):
        lines = introduction(source=source, target=target)
    told = [line for line in (*caplog.messages, *lines) if "000030" in line]
    assert len(told) == 1
    assert told[0].startswith("t: skipped 1 unreadable, the first row 31 (id 000030): ")


def test_arrays_without_names_are_taken_as_they_are(source):
    x, _ = values(seed=1)
    ready = prepare(source=source, target=Domain(x=x[:, ::-1].astype(np.float32)))
    assert ready.joined().target.x.shape == (30, 3)
    assert ready.feature_names == NAMES


def test_a_saved_model_reads_tables_by_the_names_of_its_columns(saved, tmp_path, caplog):
    bundle = Bundle.load(saved)
    assert bundle.feature_names == NAMES
    straight = bundle.predict(write(tmp_path, "t.csv", seed=1))
    turned = bundle.predict(write(tmp_path, "u.csv", ("Höhe", "Länge", "Breite"), seed=1, more=("Extra",)))
    assert turned.equals(straight)
    assert "not used, as the model lacks it: Extra" in caplog.text
    with pytest.raises(ValueError, match="v lacks the column 'Breite' of the model; it has: Länge, Höhe"):
        bundle.predict(write(tmp_path, "v.csv", ("Länge", "Höhe")))
    x, _ = values(seed=1)
    plain = bundle.predict(Domain(x=np.round(x, 4).astype(np.float32)))
    assert plain["class"].tolist() == straight["class"].tolist()


def test_a_saved_model_that_is_adapted_reads_its_columns_by_name(saved, source, tmp_path):
    network = Bundle.load(saved).reader()
    turned = write(tmp_path, "t.csv", ("Höhe", "Länge", "Breite"), seed=1)
    assert prepare(source=turned, model=network).feature_names == NAMES
    zoo = read_zoo(tmp_path)
    assert prepare(support=turned, teachers=zoo).feature_names == NAMES
    with pytest.raises(ValueError, match="target lacks the column 'Breite' of the model"):
        prepare(source=source, target=write(tmp_path, "u.csv", ("Länge", "Höhe")), model=network)


def test_networks_that_read_unlike_features_are_refused():
    first, second = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    first.feature_names, second.feature_names = ("a", "b"), ("b", "a")
    with pytest.raises(ValueError, match="the model reads a, b, the teacher 't' reads b, a"):
        alike_tables({}, first, {"t": second})
    assert alike_tables({}, torch.nn.Linear(2, 2), {"t": second}) == {}


def test_no_column_of_labels_is_told_with_what_it_may_be_called(source, tmp_path):
    with pytest.raises(ValueError, match=r"category, target or y \(its columns are: Art, Länge, Breite, Höhe; FILE"):
        prepare(source=write(tmp_path, "t.csv", label="Art"))
    assert column_of_labels(Domain(x=np.zeros((1, 2)))).endswith("category, target or y")


def test_odd_cells_and_columns_that_are_not_used_are_said(source, tmp_path):
    target = write(tmp_path, "t.csv", label="Art")
    target.write_text(target.read_text(encoding="utf-8") + "?,1,2,ant\n", encoding="utf-8")
    told = introduction(source=source, target=target)
    assert "target: Länge: 1 of 31 cells is no number: '?'" in told
    assert "target: not used: Art (text)" in told


def test_a_joined_source_keeps_its_names(source, caplog):
    caplog.set_level(logging.WARNING)
    ready = prepare(source=source, target=source)
    assert ready.joined().target.feature_names == NAMES


def test_a_table_of_one_feature_is_drawn_as_a_line() -> None:
    from unseen.compare.folder import _places

    x = np.linspace(0, 1, 40, dtype=np.float32)[:, None]
    places = _places(x)
    assert places.shape == (40, 2)
    assert np.isfinite(places).all()


def rows_with_y(tmp_path, name, *, label=True, seed=0):
    """A table with a feature called y and one called content, perhaps without labels."""
    x, y = values(seed=seed)
    header = "y,content,Höhe" + (",label" if label else "")
    lines = (",".join([*(f"{v:.4f}" for v in x[i]), *([y[i]] if label else [])]) for i in range(len(y)))
    path = tmp_path / name
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def test_a_feature_that_is_called_as_labels_are_stays_one_where_there_are_no_labels(tmp_path):
    source, bare = rows_with_y(tmp_path, "s.csv"), rows_with_y(tmp_path, "t.csv", label=False, seed=1)
    full = prepare(source=source, target=rows_with_y(tmp_path, "u.csv", seed=1))
    ready = prepare(source=source, target=bare)
    assert ready.feature_names == ("y", "content", "Höhe")
    assert ready.target is not None
    assert full.target is not None
    assert np.array_equal(ready.target.x, full.target.x)
    assert not ready.exams
    assert "y is taken for a feature, as it is one in the other data" in ready.records["target"]["notes"]
    unseen.adapt(method="source-only", source=source, out=tmp_path / "m", refit=False)
    saved = Bundle.load(tmp_path / "m")
    assert saved.predict(bare).equals(saved.predict(unseen.load(bare, features=saved.feature_names)))
    again = prepare(target=bare, model=saved)
    assert again.feature_names == ("y", "content", "Höhe")


def test_a_data_frame_is_read_as_the_table_that_it_is(source, tmp_path):
    frame = pd.read_csv(source)
    target = write(tmp_path, "t.csv", ("Höhe", "Länge", "Breite"), seed=1)
    read, ready = (prepare(source=a, target=b) for a, b in ((source, target), (frame, pd.read_csv(target))))
    assert np.array_equal(read.target.x, ready.target.x)
    assert ready.feature_names == NAMES
    unseen.adapt(method="source-only", source=frame, out=tmp_path / "m", refit=False)
    saved = Bundle.load(tmp_path / "m")
    assert saved.predict(pd.read_csv(target))["class"].tolist() == saved.predict(target)["class"].tolist()
    with pytest.raises(TypeError, match=r"source: path must be a path, a URL or a pandas\.DataFrame; got ndarray"):
        prepare(source=np.zeros((3, 2)))


@pytest.mark.parametrize(("value", "shown"), [(np.nan, "nan"), (np.inf, "inf")])
def test_a_number_that_is_none_is_named_by_its_sample_and_column_before_work(value, shown):
    x, y = (part.copy() for part in values())
    clean = Domain(x=x.copy(), y=y, feature_names=NAMES)
    x[6, 1] = value
    with pytest.raises(ValueError, match=f"target: column 'Breite' of sample '000006' is {shown}; all must be finite"):
        prepare(source=clean, target=Domain(x=x, feature_names=NAMES))
    x[9, 2] = value
    with pytest.raises(ValueError, match=f"source: feature 1 of sample '000006' is {shown} \\(2 samples hold such"):
        prepare(source=Domain(x=x, y=y), target=Domain(x=values(seed=1)[0]))


def test_arrays_beside_named_columns_are_taken_in_their_order_and_it_is_said(source):
    target = Domain(x=values(seed=3)[0][:, : len(NAMES)])
    lines = introduction(source=source, target=target)
    assert "target: its columns have no names, and are taken in the order of those of the source" in lines


def test_labels_that_look_like_measurements_and_features_of_few_digits_are_said():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 2)) + [1e9, 0]
    names = tuple(f"{value:.1f}" for value in np.linspace(20, 90, 30))
    lines = introduction(source=Domain(x=x, y=np.arange(60) % 30, classes=names), target=Domain(x=x + 1))
    assert (
        sum("source: its labels are 30 different numbers, of which 30 stand once or twice" in line for line in lines)
        == 1
    )
    assert sum("feature 0: its values are as large as 1e+09" in line for line in lines) == 2


@pytest.mark.parametrize("shape", [(40,), (40, 2, 2)])
def test_what_is_no_table_of_features_is_refused(source, shape):
    with pytest.raises(ValueError, match=r"target: features must be a table \(n, d\); got shape \(40"):
        prepare(source=source, target=Domain(x=np.zeros(shape) + np.arange(40).reshape(40, *[1] * (len(shape) - 1))))
