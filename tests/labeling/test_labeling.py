"""Which samples are proposed, in what order, with what beside them, and what labels are expected to buy."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import unseen
from unseen.bundle import Bundle
from unseen.compare.inputs import prepare
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.label_metrics import TreeMetric
from unseen.data.loaders import load
from unseen.labeling import propose
from unseen.labeling.class_order import classes_to_label
from unseen.labeling.gain import expected_gain
from unseen.labeling.margin import margin
from unseen.labeling.propose import Proposal
from unseen.labeling.typiclust import typiclust
from unseen.methods import SourceOnly
from unseen.verification import seal
from videos import write_video

NAMES = ("ant", "bee", "cat", "dog")


@pytest.fixture(autouse=True)
def _own_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UNSEEN_DATA", str(tmp_path / "data"))


def groups(sizes: tuple[int, ...] = (60, 40, 30, 20), seed: int = 0, distance: float = 8.0) -> Domain:
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(len(sizes)), sizes)
    x = (distance * np.eye(10)[y] + rng.standard_normal((len(y), 10))).astype(np.float32)
    return Domain(x=x, y=y, classes=ClassSpace(names=NAMES))


# -- the choice --------------------------------------------------------------------------------------------


def test_one_sample_of_each_group_is_chosen_the_largest_group_first():
    domain = groups()
    found = typiclust(domain.x, 4)
    assert domain.y[found.positions].tolist() == [0, 1, 2, 3]
    assert found.covers.tolist() == [60, 40, 30, 20]


def test_the_chosen_sample_is_the_most_typical_of_its_group_by_a_second_slow_formula():
    x = groups((40, 30)).x
    z = x - x.mean(axis=0)
    z = (z / np.linalg.norm(z, axis=1, keepdims=True))[:40]
    far = [np.sort(np.linalg.norm(z - row, axis=1))[1:21].mean() for row in z]
    assert typiclust(x, 2).positions[0] == np.argmin(far)


def test_a_group_that_holds_a_label_is_passed_over():
    domain = groups()
    labeled = np.arange(150) == 3
    found = typiclust(domain.x, 3, labeled=labeled)
    assert domain.y[found.positions].tolist() == [1, 2, 3]


def test_equal_rows_are_chosen_without_repetition():
    found = typiclust(np.ones((9, 3)), 9)
    assert sorted(found.positions) == list(range(9))


@pytest.mark.parametrize("budget", [0, 8])
def test_a_budget_out_of_range_is_named(budget):
    with pytest.raises(ValueError, match=r"budget must be in \[1, 7\]"):
        typiclust(np.eye(10), budget, labeled=np.arange(10) < 3)


def test_the_choice_changes_neither_with_scale_nor_with_a_shift_of_all():
    x = groups().x
    assert typiclust(3 * x + 7, 6).positions.tolist() == typiclust(x, 6).positions.tolist()


def test_chosen_labels_teach_more_than_random_ones():
    gain = expected_gain(groups(distance=3.0), 6)
    assert gain.proposed["prototypes"] > gain.random["prototypes"] + 0.05
    assert "estimate" in gain.sentence()
    assert "6 labels" in gain.sentence()


def test_a_source_that_is_too_small_gives_no_estimate():
    assert expected_gain(groups((5, 5)), 6) is None


# -- what stands beside ------------------------------------------------------------------------------------


def test_margins_are_small_where_models_disagree():
    a, b = np.array([[0.9, 0.1, 0.0]] * 2), np.array([[0.9, 0.1, 0.0], [0.1, 0.9, 0.0]])
    np.testing.assert_allclose(margin([a, b]), [0.8, 0.0], atol=1e-12)
    np.testing.assert_allclose(margin([a]), [0.8, 0.8])
    with pytest.raises(ValueError, match="one shape"):
        margin([a, b[:, :2]])


def test_classes_are_ordered_by_what_they_add_to_what_can_be_predicted():
    names = ("root", "left", "right", "left-left", "left-right", "right-right")
    space = ClassSpace(names=names, metric=TreeMetric([-1, 0, 0, 1, 1, 2]), seen=[3, 4])
    assert classes_to_label(space) == ["right-right"]  # the path to it passes through all others
    assert classes_to_label(ClassSpace(names=names, seen=[0])) == []


# -- the whole ---------------------------------------------------------------------------------------------


def test_a_proposal_has_guesses_margins_an_order_of_classes_and_an_estimate():
    source, target = groups(), groups(seed=1).unlabeled()
    model = Bundle(method=SourceOnly().fit(source=source), classes=source.classes)
    parents = [-1, 0, 0, 0, 0, 4]  # a fifth class below a node that is no class
    tree = TreeMetric(parents, nodes=[1, 2, 3, 4, 5])
    classes = ClassSpace(names=(*NAMES, "dingo"), metric=tree)
    found = propose(target, budget=4, model=model, source=source, classes=classes)
    assert sorted(found.guesses) == sorted(NAMES)
    assert found.margins.min() > 0.8
    assert found.classes == ("dingo",)
    assert set(found.gain.proposed) == {"prototypes", "linear-probe"}
    assert propose(target, budget=np.int64(4), model=model, classes=classes).classes == ("dingo",)


def test_without_a_model_there_are_samples_and_nothing_beside_them():
    found = propose(groups().unlabeled(), budget=4)
    assert found.guesses == (None,) * 4
    assert found.margins is None
    assert found.gain is None


def test_without_a_budget_there_are_twenty_samples_or_all_where_there_are_fewer(caplog):
    few = groups().take(slice(0, 8)).unlabeled()
    part = groups().take(slice(0, 8))
    part = part.with_labels(np.where(np.arange(8) < 2, part.y, -1))
    assert len(propose(groups().unlabeled()).samples) == 20
    assert not caplog.records
    assert len(propose(few).samples) == 8
    assert not propose(part).samples.labeled.any()
    assert len(propose(part).samples) == 6
    assert "all 6 samples without a label are to be labelled" in caplog.text
    with pytest.raises(ValueError, match=r"budget must be in \[1, 6\]"):
        propose(part, budget=7)


def test_labelled_and_verified_samples_are_not_proposed():
    domain = groups()
    part = domain.with_labels(np.where(np.arange(150) < 60, domain.y, -1))
    first = propose(part, budget=5).samples
    assert not first.labeled.any()
    seal(dict.fromkeys(first.digests().tolist(), "ant"))
    assert not set(propose(part, budget=5).samples.digests()) & set(first.digests())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"budget": 0}, "budget must be a whole number, at least 1, or None; got 0"),
        ({"budget": 1.5}, "budget must be a whole number, at least 1, or None; got 1.5"),
        ({"budget": "3"}, "budget must be a whole number, at least 1, or None; got '3'"),
        ({"model": "runs/1"}, "model must be a Bundle, or None; got 'runs/1'"),
        ({"budget": 151}, "budget must be in"),
        ({"classes": ClassSpace(names=NAMES)}, "classes must come with"),
        ({"target": groups()}, "have one"),
    ],
)
def test_mistakes_are_named(change, told):
    with pytest.raises((TypeError, ValueError), match=told):
        propose(**({"target": groups().unlabeled(), "budget": 4} | change))


def test_the_table_filled_is_a_support(tmp_path):
    source, target = groups(), groups(seed=1)
    found = propose(target.unlabeled(), budget=8, source=source)
    found.save(tmp_path / "to_label.csv")
    table = pd.read_csv(tmp_path / "to_label.csv", keep_default_na=False)
    assert set(table["label"]) == {""}
    table["label"] = table["guess"]
    table.to_csv(tmp_path / "to_label.csv", index=False)
    support = load(tmp_path / "to_label.csv")
    np.testing.assert_allclose(support.x, found.samples.x, rtol=1e-6)
    bundle = unseen.adapt(method="prototypes", support=support)
    assert (bundle.predict(target)["class"] == np.array(NAMES)[target.y]).mean() > 0.9
    assert [file.name for file in tmp_path.glob(".*.tmp")] == []
    with pytest.raises(ValueError, match=r"\.csv"):
        found.save(tmp_path / "to_label.txt")


def test_paths_in_the_table_lead_to_the_pictures_and_texts_stand_in_it(tmp_path):
    (tmp_path / "pictures").mkdir()
    for i in range(3):
        Image.new("RGB", (9, 9), (80 * i, 0, 0)).save(tmp_path / "pictures" / f"{i}.png")
    beside = {"covers": np.array([2, 1]), "guesses": ("red", None), "margins": None, "classes": (), "gain": None}
    Proposal(samples=load(tmp_path / "pictures").take([2, 0]), **beside).save(tmp_path / "out.csv")
    assert pd.read_csv(tmp_path / "out.csv")["path"].tolist() == ["pictures/2.png", "pictures/0.png"]
    assert load(tmp_path / "out.csv").kind == "image"
    texts = Domain(x=np.array(["fine, thanks", "花"]), kind="text")
    Proposal(samples=texts, **beside).save(tmp_path / "texts.csv")
    assert load(tmp_path / "texts.csv").x.tolist() == ["fine, thanks", "花"]


def test_a_table_to_label_is_read_by_the_names_of_the_source() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    x = (np.array([[0, 6, 0], [6, 0, 0]])[y] + rng.normal(size=(40, 3))).astype(np.float32)
    source = Domain(x=x, y=y, classes=ClassSpace(names=("u", "v")), feature_names=("a", "b", "c"))
    target = Domain(x=x[:, [1, 2, 0]], feature_names=("b", "c", "a"))
    proposed = propose(target, budget=6, source=source)
    assert proposed.samples.ids is not None
    assert list(proposed.guesses) == [("u", "v")[y[int(i)]] for i in proposed.samples.ids]


def test_a_table_keeps_the_names_of_its_columns_so_that_it_is_read_beside_its_target(tmp_path: Path) -> None:
    table = pd.DataFrame(groups((20, 20)).x[:, :3], columns=["radius", "texture", "area"])
    table.assign(ward=["east", "west"] * 20).to_csv(tmp_path / "cells.csv", index=False)
    propose(str(tmp_path / "cells.csv"), budget=4).save(tmp_path / "ask.csv")
    asked = pd.read_csv(tmp_path / "ask.csv")
    assert list(asked.columns) == ["id", "label", "radius", "texture", "area", "ward", "guess"]
    asked.assign(label=["a", "b", "a", "b"]).to_csv(tmp_path / "ask.csv", index=False)
    ready = prepare(target=str(tmp_path / "cells.csv"), support=str(tmp_path / "ask.csv"))
    assert ready.feature_names == ("radius", "texture", "area")
    assert (len(ready.support), len(ready.target) + len(ready.held_out)) == (4, 36)


def test_classes_are_names_with_commas_too_beside_a_model() -> None:
    source, target = groups(), groups(seed=1).unlabeled()
    model = Bundle(method=SourceOnly().fit(source=source), classes=source.classes)
    named = ",".join((*NAMES, "dingo"))
    found = propose(target, budget=4, model=model, classes=named)
    assert found.samples.ids.tolist() == propose(target, budget=4, model=model).samples.ids.tolist()
    with pytest.raises(ValueError, match="at least one class of the model"):
        propose(target, budget=4, model=model, classes="yak,zebu")


def beside(n: int) -> Any:
    return {"covers": np.ones(n, int), "guesses": (None,) * n, "margins": None, "classes": (), "gain": None}


def test_the_table_of_a_folder_of_texts_is_known_in_it_whatever_ends_their_lines(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    contents = (b"one\r\ntwo\r\n", b"  old\rmac", b"plain\nlines\n", b"\xef\xbb\xbfwith a mark\r\n")
    for i, content in enumerate(contents):
        (tmp_path / "texts" / f"{i}.txt").write_bytes(content)
    texts = load(tmp_path / "texts")
    Proposal(samples=texts, **beside(4)).save(tmp_path / "ask.csv")
    assert load(tmp_path / "ask.csv").digests().tolist() == texts.digests().tolist()
    assert texts.digests()[2] == hashlib.sha256(contents[2]).hexdigest()  # which it was before
    assert texts.x[0] == "one\r\ntwo\r\n"  # models read what stands there


def test_the_table_of_videos_says_where_they_are_and_which_parts(tmp_path: Path) -> None:
    for i in range(2):
        write_video(tmp_path / "street" / f"{i}.mp4", 20)
    for i in range(3):
        (tmp_path / "frames" / "c").mkdir(exist_ok=True, parents=True)
        Image.new("RGB", (9, 9), (80 * i, 0, 0)).save(tmp_path / "frames" / "c" / f"frame_{i}.png")
    rows = {"path": ["street/0.mp4", "street/0.mp4", "street/1.mp4"], "start": ["", 1 / 3, ""], "end": ["", 1.1, 0.7]}
    pd.DataFrame(rows).to_csv(tmp_path / "parts.csv", index=False)
    for samples in (load(tmp_path / "parts.csv"), load(tmp_path / "street"), load(tmp_path / "frames")):
        Proposal(samples=samples, **beside(len(samples))).save(tmp_path / "ask.csv")
        read = load(tmp_path / "ask.csv")
        assert read.kind == "clip"
        assert read.digests().tolist() == samples.digests().tolist()
