"""What UGT's claim measures with: parts of the data that are disjoint, baselines that are what they are called."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch

from unseen.claims import ugt
from unseen.claims.drawings import VENDORS
from unseen.claims.ugt import BLIND, PROBES, baselines, beats_all, blind, claim, drop, fonts, halves, overlap, written
from unseen.data.domain import Domain
from unseen.data.sources.digits import FONTS
from unseen.methods.adaptation.ugt import UGT


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Digits as they are kept: which of them are drawn does not depend on their size."""
    monkeypatch.setattr(ugt, "pictures", lambda style, side=224: ugt.digits(style, size=8, copies=1))
    monkeypatch.setattr(ugt, "KERNELS", 8)
    monkeypatch.setattr(ugt, "EM", 5)


def folds(experiment: str, split: str) -> set[int]:
    return {int(case.split()[-1]) for case in getattr(claim.experiments[experiment], split)}


def ids(split: str) -> set[str]:
    """Of all handwritten digits that a split reads."""
    corrupted = itertools.chain.from_iterable(halves(fold) for fold in folds("nuisances", split))
    printed = (written(fold) for fold in folds("synthetic", split))
    return {str(one) for domain in (*corrupted, *printed) for one in domain.ids}


def test_no_digit_is_in_development_and_confirmation() -> None:
    assert len(ids("development")) > 300
    assert not ids("development") & ids("confirmation")


@pytest.mark.parametrize("fold", range(5))
def test_what_is_learnt_from_is_not_what_is_corrupted(fold: int) -> None:
    source, other = halves(fold)
    assert np.bincount(source.labels).tolist() == np.bincount(other.labels).tolist() == [16] * 10
    assert not {*source.ids} & {*other.ids}


def test_typefaces_are_learnt_or_tested_and_in_one_split() -> None:
    parts = [set(part) for family in ("dejavu", "other") for part in fonts(family)]
    assert set().union(*parts) == set(FONTS)
    assert sum(map(len, parts)) == len(FONTS)
    assert [{case.split()[0] for case in getattr(claim.experiments["synthetic"], split)} for split in (
        "development", "confirmation")] == [{"dejavu"}, {"other"}]  # fmt: skip


def test_vendors_are_those_of_their_split_and_the_target_is_none_of_the_source() -> None:
    for name, split in itertools.product(("drawings", "parts"), ("development", "confirmation")):
        for case in getattr(claim.experiments[name], split):
            kind, *vendors = case.split()
            assert kind == split
            assert {*vendors} <= {*VENDORS[split]}
            assert len({*vendors}) == len(vendors)


# -- baselines -----------------------------------------------------------------------------------------------


def scenes(n: int, seed: int, shift: float = 0.0) -> Domain:
    """Two classes that differ in where two parts are, not in how often: 4 x 4 cells of 6 values."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    upper = np.arange(16) < 8
    part = np.where(upper[None] == (y[:, None] == 0), 0, 1)
    regions = (np.eye(6)[part] + 0.1 * rng.normal(size=(n, 16, 6)) + shift).astype(np.float32)
    output = rng.normal(size=(n, 3)).astype(np.float32)
    return Domain(x=regions.mean(axis=1), y=y, columns={"regions": regions, "output": output})


def test_probes_read_the_mean_all_regions_or_the_output() -> None:
    source, target, test = scenes(60, 0), scenes(60, 1, 0.1), scenes(200, 2)
    wide = {look: baselines(source, target, look) for look in ugt.LOOKS}
    right = {}
    for look, found in wide.items():
        probe, sight = found["linear probe"]
        assert sight(test).n_features == {"pooled": 6, "regions": 96, "output": 3}[look]
        right[look] = (probe.predict(sight(test)) == test.labels).mean()
    assert right["regions"] > 0.95
    assert right["pooled"] < 0.7  # the mean does not say where
    assert wide["regions"]["coral"][1](test).n_features == 96
    assert PROBES == ("linear probe, pooled", "linear probe, regions", "linear probe, output")


def test_no_blind_map_of_the_cells_covered_most_is_better_than_the_best() -> None:
    true = np.zeros((4, 4, 4), dtype=bool)
    true[:3, 1:3, 1:3] = True
    true[3, :2, :2] = True
    maps = blind(true, 0)
    assert tuple(maps) == BLIND
    assert overlap(maps["everywhere"], true) == pytest.approx(true.mean())
    assert overlap(maps["best constant"], true) == pytest.approx((3 + 1 / 7) / 4)
    assert np.array_equal(maps["central"][0], true[0])
    distinct = np.arange(4)[:, None, None] == np.arange(4)[None, :, None]
    other = blind(np.broadcast_to(distinct, (4, 4, 4)), 1)["another picture"]
    assert not (other & distinct).any()  # never its own, each once
    assert (other.sum(axis=0) == 1).all()


def table(rows: dict[tuple[str, str, str], float]) -> pd.DataFrame:
    return pd.DataFrame([dict(arm=a, case=c, metric=m, seed=0, value=v) for (a, c, m), v in rows.items()])


def test_the_best_of_several_may_be_another_in_each_case() -> None:
    rows = {("a", "1", "m"): 0.6, ("b", "1", "m"): 0.5, ("c", "1", "m"): 0.1}
    rows |= {("a", "2", "m"): 0.6, ("b", "2", "m"): 0.1, ("c", "2", "m"): 0.55}
    found = beats_all("a", ("b", "c"), metric="m", by=0.05)(table(rows))
    assert found.value == pytest.approx(0.075)
    assert found.held
    assert not beats_all("a", ("b", "c"), metric="m", by=0.08)(table(rows)).held


def test_the_least_drop_decides() -> None:
    rows = {("a", "1", "clean"): 0.9, ("a", "1", "shifted"): 0.5, ("b", "1", "clean"): 0.9, ("b", "1", "shifted"): 0.85}
    assert drop(("a",), by=0.1)(table(rows)).held
    found = drop(("a", "b"), by=0.1)(table(rows))
    assert not found.held
    assert found.value == pytest.approx(0.05)


# -- arms ----------------------------------------------------------------------------------------------------


def test_no_arm_reads_a_label_of_the_target() -> None:
    source, target, test = scenes(40, 0), scenes(40, 1, 0.3), scenes(20, 2, 0.3)
    wrong = target.replace(y=1 - target.labels)
    one, other = ({arm: ugt.arm_of(arm, source, domain, 0) for arm in ugt.ARMS} for domain in (target, wrong))
    for arm in one:
        assert torch.equal(one[arm].decision_function(test), other[arm].decision_function(test)), arm
    for look in ugt.LOOKS:
        for name in ("linear probe", "coral"):
            (a, sight), (b, _) = (baselines(source, domain, look)[name] for domain in (target, wrong))
            assert np.array_equal(a.predict(sight(test)), b.predict(sight(test)))


def test_the_control_of_refinement_takes_as_many_steps_on_the_source_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: dict[str, list[tuple[int, int, bool]]] = {"compnet, refined": [], "compnet, longer": []}
    source, target = scenes(40, 0), scenes(40, 1, 0.3)
    known = {row.tobytes() for row in source.columns["regions"]}
    learn = UGT._learn
    for arm, seen in calls.items():

        def noted(self, network, cells, y, weight, *, epochs, name, seen=seen):  # type: ignore[no-untyped-def]
            seen.append((len(cells), epochs, all(row.tobytes() in known for row in cells)))
            assert float(weight.mean()) == pytest.approx(1, abs=1e-5)
            return learn(self, network, cells, y, weight, epochs=epochs, name=name)

        monkeypatch.setattr(UGT, "_learn", noted)
        ugt.arm_of(arm, source, target, 0)
    refined, longer = calls.values()
    assert [call[1] for call in refined] == [call[1] for call in longer] == [10, 5, 5]
    assert [-(-call[0] // 64) for call in refined] == [-(-call[0] // 64) for call in longer]
    assert [call[2] for call in refined] == [True, False, False]
    assert all(call[2] for call in longer)
