"""A choice without any target: copies of held-out source pictures stand for domains never seen."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

import unseen
from unseen.compare.cells import split_source
from unseen.compare.crafted import crafted_checks
from unseen.compare.inputs import prepare
from unseen.compare.validators import _on_copies
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.shifts import FAMILIES


def pictures(n=20):
    """Discs and bars of two colours."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:48, :48]
    x = np.full((n, 48, 48, 3), 255, dtype=np.uint8)
    for i, one in enumerate(x):
        top, left = rng.integers(14, 34, size=2)
        shape = (rows - top) ** 2 + (columns - left) ** 2 < 100 if i % 2 else abs(rows - top) < 5
        one[shape] = rng.integers(0, 160, size=3)
    return Domain(x=x, y=np.arange(n) % 2, kind="image", classes=ClassSpace(names=("bar", "disc")))


@pytest.fixture(scope="module")
def run():
    return unseen.compare(source=pictures(), methods="source-only,tram", seeds=1, say=lambda line: None)


def test_without_a_target_crafted_validation_decides(run):
    told = {row["name"]: row["validators"]["crafted validation"]["mean"] for row in run.results["candidates"]}
    assert run.chosen == max(told, key=told.get)
    assert run.results["chosen"]["by"] == ["crafted validation"]
    assert "changed strongly in ten ways" in run.results["chosen"]["why"]
    assert len(run.bundle.predict(pictures(3))) == 3


def test_copies_are_of_pictures_that_no_fit_of_the_seed_learns_from():
    inputs = prepare(source=pictures())
    found = crafted_checks(inputs, seeds=2)
    for seed, copies in found.items():
        aside = split_source(inputs.source, seed)[1]
        assert len(copies) == aside.sum() * len(FAMILIES)
        assert set(copies.columns["family"]) == set(FAMILIES)
        np.testing.assert_array_equal(copies.labels, np.tile(inputs.source.labels[aside], len(FAMILIES)))
    assert found[0].fingerprint() != found[1].fingerprint()


def test_with_a_target_they_are_made_only_if_asked_for():
    inputs = prepare(source=pictures(), target=pictures(8).unlabeled())
    assert crafted_checks(inputs, 1) == {}
    assert len(crafted_checks(inputs, 1, asked=True)[0])
    assert crafted_checks(prepare(source=pictures()), 1, asked=False) == {}


def test_beside_a_target_it_is_a_column_of_every_candidate_and_has_no_say():
    asked = {
        "source": pictures(),
        "target": pictures(30).unlabeled(),
        "methods": "source-only,coral:default",
        "seeds": 2,
    }
    with_it, without = (
        unseen.compare(**asked, crafted=crafted, refit=False, say=lambda line: None).results for crafted in (True, None)
    )
    column = "crafted validation"
    for row, other in zip(with_it["candidates"], without["candidates"]):
        scores = row["validators"].pop(column)["per_seed"]
        assert len(scores) == 2
        assert all(0 <= score <= 1 for score in scores)
        assert row["validators"] == other["validators"]
        assert row["vote"] == other["vote"]
    assert with_it["chosen"]["name"] == without["chosen"]["name"]
    assert column not in with_it["chosen"]["by"]


def test_it_is_the_mean_over_families_of_the_accuracy_on_the_copies_of_each():
    wrong = {("blur", 0), ("blur", 1), ("weather", 0)}
    copies = [(family, y) for family in FAMILIES for y in (0, 1)]
    copies += [("blur", 1)] * 2  # a family with more copies counts as much as any other
    told = torch.eye(2)[[1 - y if (family, y) in wrong else y for family, y in copies]]
    domain = Domain(
        x=np.zeros((len(copies), 1), dtype=np.float32),
        y=np.array([y for _, y in copies]),
        columns={"family": np.array([family for family, _ in copies])},
    )
    method = SimpleNamespace(decision_function=lambda asked: told if asked is domain else None)
    assert _on_copies(method, domain) == pytest.approx((8 * 1 + 0 + 0.5) / 10)


def test_where_a_support_or_classes_never_seen_decide_no_copy_is_made(tmp_path):
    assert crafted_checks(prepare(source=pictures(), support=pictures(4)), 1) == {}
    file = tmp_path / "classes.json"
    file.write_text('[{"name": "bar"}, {"name": "disc"}, {"name": "star"}]')
    assert crafted_checks(prepare(source=pictures(), classes=file), 1) == {}


def test_tables_have_no_copies():
    table = Domain(x=np.eye(6, dtype=np.float32), y=np.arange(6) % 2)
    assert crafted_checks(prepare(source=table), 1) == {}
    with pytest.raises(ValueError, match="needs a source of pictures, which an encoder reads; it holds features"):
        unseen.compare(source=table, crafted=True)
