"""TRAM's fair arms: the untouched network, the mean of two, and the time of the processor."""

from pathlib import Path

import numpy as np
import pytest
import torch

from unseen.claims import tram
from unseen.claims.evidence import read_records, unopened
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.nn.classifier import feature_classifier

EVIDENCE = Path(__file__).parents[2] / "docs" / "evidence"


def blobs(shift: float) -> Domain:
    y = np.arange(40) % 4
    x = np.eye(6)[y] * 3 + shift + np.random.default_rng(round(shift)).normal(size=(40, 6))
    return Domain(x=x.astype(np.float32), y=y, classes=ClassSpace(names=tuple("abcd")), name=f"blobs {shift}")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four styles of blobs, and trainings of few steps."""
    monkeypatch.setattr(tram, "of_case", lambda case: (blobs(0), [blobs(1), blobs(2), blobs(3)]))
    monkeypatch.setattr(tram, "STEPS", {"given": 15, "arm": 4, "timed": 3})
    monkeypatch.setattr(tram, "RATES", (1e-3,))


@pytest.mark.usefixtures("small")
def test_doing_nothing_is_an_arm() -> None:
    table = tram.fair_arms("letters: cm", 0)
    assert set(table) == {*tram.SIMPLE, *tram.FAIR}
    assert table["untouched"]["moved"] == pytest.approx(0, abs=1e-6)
    assert all(row["moved"] > 0 for arm, row in table.items() if arm != "untouched")
    assert len({len(choices) for choices in tram.FAIR.values()}) == 1


@pytest.mark.usefixtures("small")
def test_the_first_style_that_follows_is_known_and_the_others_are_to_come() -> None:
    _, learn, aside, targets = tram.fine_tuning("letters: cm", 0)
    assert len(learn) + len(aside) == 40
    assert [target.name for target in targets] == ["blobs 2", "blobs 3"]


@pytest.mark.usefixtures("small")
def test_the_cost_is_a_ratio_of_processor_time() -> None:
    table = tram.processor_time("letters", 0)
    assert set(table) == {"sam", "tram"}
    assert table["sam"]["milliseconds"] > 0
    assert table["tram"]["cost"] == pytest.approx(table["tram"]["milliseconds"] / table["sam"]["milliseconds"], rel=0.5)


def test_halfway_is_the_mean_of_two_networks() -> None:
    a, b = feature_classifier(6, 4, 5), feature_classifier(6, 4, 5)
    mean = tram.halfway(a, b)
    for p, q, r in zip(a.parameters(), b.parameters(), mean.parameters(), strict=True):
        torch.testing.assert_close(r, (p + q) / 2)


def test_the_cases_of_what_was_mended_have_not_been_opened() -> None:
    mended = {tram.KIND_ARMS, tram.COST}
    records = [record for record in read_records(EVIDENCE, "tram") if not mended & set(record["cases"])]
    assert mended <= set(unopened(tram.claim, records))
