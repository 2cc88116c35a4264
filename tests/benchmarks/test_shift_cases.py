"""The benchmark of shifts: how its cases are cut, checked, kept and read back; no picture is fetched here."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from shifts import cases, pixels, tables, views
from shifts.case import (
    Case,
    apart,
    common_classes,
    hashes,
    itemized,
    opened,
    partial,
    side,
    small,
    thinned,
    unbalanced,
)

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain, Lazy
from unseen.data.sources import SourceUnavailable

SPACE = ClassSpace(names=("a", "b", "c", "d"))


def domain(name: str, each: int = 20, start: int = 0, **more: Any) -> Domain:
    """Features of four classes, whose items are numbered from `start`."""
    y = np.repeat(np.arange(4), each)
    x = np.random.default_rng([start, len(name)]).normal(y[:, None], 1, (len(y), 5)).astype(np.float32)
    made = Domain(x=x, y=y, classes=SPACE, name=name, **more)
    return itemized(made, [f"item {start + i}" for i in range(len(y))])


@pytest.fixture
def case() -> Case:
    return Case("family", domain("first"), domain("second", start=1000), ("table",))


# -- cutting -----------------------------------------------------------------------------------------------


def test_a_case_is_checked(case: Case) -> None:
    case.check()
    assert case.name == "family--first--second"
    same = dataclasses.replace(case, target=domain("second"))
    with pytest.raises(ValueError, match="are on both sides"):
        same.check()
    dataclasses.replace(same, tags=("counterparts",)).check()
    with pytest.raises(ValueError, match="are on both sides"):
        dataclasses.replace(case, target=case.source, tags=("counterparts",)).check()
    with pytest.raises(ValueError, match="9 samples, not 40"):
        dataclasses.replace(case, target=case.target.take(slice(0, 80, 9))).check()
    other = case.target.replace(classes=ClassSpace(names=("a", "b", "c", "e")))
    with pytest.raises(ValueError, match="one class space"):
        dataclasses.replace(case, target=other).check()
    with pytest.raises(ValueError, match="do not say which classes a side lacks"):
        dataclasses.replace(case, tags=("open",)).check()


def test_variants_are_as_their_tags_say(case: Case) -> None:
    lacking, more = partial(case), opened(case)
    few, rare = small(case, source=10), unbalanced(case, ratio=4)
    for made in (lacking, more, few, rare):
        made.check()
        assert made.tags == ("table", made.variant)
        assert made.source.classes.names == made.target.classes.names == SPACE.names  # type: ignore[union-attr]
    assert set(lacking.target.labels) == {0, 1}
    assert lacking.shared.all()
    assert set(more.source.labels) == set(more.target.classes.seen.tolist()) == {0, 1, 2}  # type: ignore[union-attr]
    assert more.shared.tolist() == (case.target.labels < 3).tolist()
    assert np.bincount(few.source.labels).tolist() == [10] * 4
    assert np.bincount(rare.target.labels).tolist() == [20, 13, 8, 5]


def test_what_is_chosen_does_not_depend_on_order() -> None:
    whole = domain("first")
    turned = whole.take(np.random.default_rng(0).permutation(len(whole)))
    for cut in (lambda d: thinned(d, 7), lambda d: side(d, 0)):
        assert sorted(cut(whole).columns["item"]) == sorted(cut(turned).columns["item"])
    assert set(side(whole, 0).columns["item"]).isdisjoint(side(whole, 1).columns["item"])
    assert len(side(whole, 0)) + len(side(whole, 1)) == len(whole)
    assert len(set(hashes(whole.columns["item"].tolist()).tolist())) == len(whole)


def test_common_classes_are_those_with_samples_on_all_sides() -> None:
    first, second = domain("first"), domain("second", start=1000)
    second = second.take(second.labels != 1)
    cut = common_classes([first, second], 5)
    assert [d.classes.names for d in cut] == [("a", "c", "d")] * 2  # type: ignore[union-attr]
    assert np.bincount(cut[1].labels).tolist() == [20] * 3
    assert len(apart(first, second)) == 60
    assert len(apart(first, first)) == 0


# -- the cache ---------------------------------------------------------------------------------------------


def test_cases_come_back_as_they_were(case: Case, tmp_path: Path) -> None:
    open_case = opened(dataclasses.replace(case, family="tables"))
    assert cases.keep(open_case, 0, tmp_path)
    again = cases.load(open_case.name, cache=tmp_path)
    again.check()
    assert (again.family, again.tags, again.variant, again.name) == (
        "tables",
        ("table", "open"),
        "open",
        open_case.name,
    )
    for made, kept in ((open_case.source, again.source), (open_case.target, again.target)):
        np.testing.assert_array_equal(made.x, kept.x)
        np.testing.assert_array_equal(made.labels, kept.labels)
        np.testing.assert_array_equal(made.columns["item"], kept.columns["item"])
        assert kept.classes is not None
        assert kept.classes.seen.tolist() == [0, 1, 2]
    with pytest.raises(FileNotFoundError, match="--make"):
        cases.load("tables--nothing", cache=tmp_path)


def test_a_run_that_was_cut_off_goes_on(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def first_view(domain: Domain) -> Any:
        asked.append(domain.name)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return domain.x

    monkeypatch.setattr(cases, "first_view", first_view)
    monkeypatch.setitem(cases.FAMILIES, "tables", lambda data: iter([dataclasses.replace(case, family="tables")]))
    with pytest.raises(KeyboardInterrupt):
        cases.make(["tables"], data=tmp_path, cache=tmp_path)
    assert cases.names(cache=tmp_path) == []
    assert len(list((tmp_path / "shifts" / "domains").iterdir())) == 1
    assert cases.make(["tables"], data=tmp_path, cache=tmp_path) == {}
    assert asked == ["first", "second", "second"]
    assert cases.make(["tables"], data=tmp_path, cache=tmp_path) == {}
    assert len(asked) == 3
    assert cases.names("tables", cache=tmp_path) == ["tables--first--second"]
    moved = Case("tables", case.source, domain("third", start=2000), ("table",))
    monkeypatch.setitem(cases.FAMILIES, "tables", lambda data: iter([moved]))
    cases.make(["tables"], data=tmp_path, cache=tmp_path)
    assert cases.names(cache=tmp_path) == ["tables--first--third"], "a case that is no more is gone"


def test_a_family_without_data_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def without_network(data: Path) -> Any:
        raise SourceUnavailable("needs apt-get, which is not installed")
        yield

    monkeypatch.setitem(cases.FAMILIES, "furniture", without_network)
    left_out = cases.make(["furniture", "spam"], data=tmp_path / "nothing", cache=tmp_path)
    assert set(left_out) == {"furniture", "spam"}
    assert "furniture is left out after 0 cases: needs apt-get" in capsys.readouterr().out
    assert list(cases.listing(["spam"], tmp_path / "nothing", tmp_path)) == []


def test_scores_are_of_classes_that_the_source_has(case: Case) -> None:
    shifted = case.target.replace(x=case.target.x + np.float32(10))
    figures = cases.scores(opened(dataclasses.replace(case, target=shifted)))
    assert set(figures) == {"plain, by source", "plain, by domain"}
    assert figures["plain, by domain"] > figures["plain, by source"]
    view = {"view": case.source.x, "item": case.source.columns["item"]}
    other = {"view": case.target.x, "item": case.target.columns["item"]}
    seen = dataclasses.replace(
        case, source=case.source.replace(columns=view), target=case.target.replace(columns=other)
    )
    assert set(cases.scores(seen)) >= {"both, by source", "both, by domain"}


def test_logistic_regression_in_the_span_is_the_same() -> None:
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    x, ask, y = rng.normal(size=(30, 50)), rng.normal(size=(20, 50)), np.arange(30) % 3
    plain = LogisticRegression(C=0.01, max_iter=1000).fit(x, y).predict(ask)
    np.testing.assert_array_equal(cases.logistic(x, y, ask), plain)


# -- views -------------------------------------------------------------------------------------------------


class Small(nn.Module):
    """A network with a BatchNorm layer in its middle."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, eps=1e-12)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.norm(self.first(images)).square().mean(dim=(2, 3))


def test_the_second_view_is_on_the_statistics_of_the_domain(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).random((12, 3, 4, 4), dtype=np.float32)
    drawn = Domain(x=Lazy(range(12), lambda i: pixels[i]), kind="image", name="drawn")
    network = Small().eval().requires_grad_(False)
    encoder = SimpleNamespace(module=network, dim=4, preprocess=lambda batch: torch.from_numpy(np.stack(batch)))
    monkeypatch.setattr(views.encoders, "get", lambda name: encoder)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    features = views.second_view(drawn, batch=12)
    hidden = network.first(torch.from_numpy(pixels)).numpy()
    mean, variance = hidden.mean((0, 2, 3)), hidden.var((0, 2, 3), ddof=1)
    by_hand = (((hidden.transpose(0, 2, 3, 1) - mean) ** 2) / variance).mean((1, 2))
    np.testing.assert_allclose(features, by_hand, rtol=1e-4)
    order = np.random.default_rng(1).permutation(12)
    np.testing.assert_array_equal(
        views.second_view(drawn.take(order), batch=5), views.second_view(drawn, batch=5)[order]
    )
    after = network.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before), "the encoder's own network stays as it is"


# -- families that need nothing but the install ------------------------------------------------------------


@pytest.mark.parametrize("family", [tables.cut_tables, tables.drifted_tables, pixels.font_pixels])
def test_families_of_the_install_are_sound(family: Any) -> None:
    made = list(family())
    for case in made:
        case.check()
    assert 4 <= len(made) <= 9
    assert len({case.name for case in made}) == len(made)
    json.dumps([case.name for case in made])


def test_every_family_has_a_name_of_its_own() -> None:
    assert len(cases.FAMILIES) >= 15
