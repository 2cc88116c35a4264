"""The parts of the claim of concept pruning: pools, copies, checks that can fail."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from unseen import claims
from unseen.claims import concept_pruning
from unseen.claims.concept_pruning import chosen_temperature, exactness, further_copies, grade, redundancy_found
from unseen.claims.pruning_pools import Pool, held_out, nearest_neighbour, pool, web_like
from unseen.nn.concepts import Concepts, Selection, find_concepts


@pytest.fixture(scope="module")
def data() -> Pool:
    return pool("handwritten digits", 5)


@pytest.fixture(scope="module")
def found(data: Pool) -> Concepts:
    return find_concepts(data.x, n_clusters=20, restarts=1)


def test_a_pool_is_skewed_and_shares_no_original_with_what_is_graded_on(data: Pool) -> None:
    counts = np.sort(np.bincount(data.y))
    assert counts[-1] > 10 * counts[0] >= 80
    assert len(set(np.bincount(data.test_y).tolist())) == len(set(np.bincount(data.validation_y).tolist())) == 1
    cosines = np.concatenate([data.test, data.validation]) @ data.x.T
    assert cosines.max() < 0.9999
    np.testing.assert_allclose(np.linalg.norm(data.x, axis=1), 1, atol=1e-5)


def test_ranks_say_how_often_a_sample_stands() -> None:
    at = web_like(np.repeat(np.arange(10), 40), np.random.default_rng(0), (5, 2), tail=0.0)
    often = np.bincount(np.bincount(at))
    assert {times: int(n) for times, n in enumerate(often) if n} == {1: 160, 2: 120, 5: 120}


def test_copies_are_those_beyond_the_first() -> None:
    assert further_copies(np.array([3, 3, 3, 7])) == 0.5
    assert further_copies(np.array([1, 2])) == 0


def test_all_of_the_pool_is_better_than_a_twentieth(data: Pool, found: Concepts) -> None:
    told = grade(data, found, {"temperature": 0.05})
    whole = nearest_neighbour(data.x, data.y, data.test, data.test_y)
    assert told["accuracy at 5%"] < told["accuracy at 20%"] < whole
    assert told["accuracy"] == pytest.approx(np.mean([told[f"accuracy at {s}"] for s in ("5%", "10%", "20%")]))
    assert chosen_temperature(data, found) > 0
    assert 0 < redundancy_found(data, found) <= 1


def test_the_check_of_budgets_finds_a_wrong_sum_and_a_wrong_order(
    found: Concepts, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert exactness(found, 0.05)["violation"] < 1e-6
    right = Concepts.select

    def one_too_many(self: Concepts, n: int, **settings: object) -> Selection:
        chosen = right(self, n, **settings)  # type: ignore[arg-type]
        assert chosen.plan is not None
        return dataclasses.replace(chosen, plan=chosen.plan._replace(whole=chosen.plan.whole + 1))

    def easiest(self: Concepts, n: int, **settings: object) -> Selection:
        return right(self, n, **{**settings, "pick": "easiest"})  # type: ignore[arg-type]

    for wrong in (one_too_many, easiest):
        monkeypatch.setattr(Concepts, "select", wrong)
        assert exactness(found, 0.05)["violation"] > 1e-3


def test_no_case_is_looked_at_twice() -> None:
    for experiment in claims.get("concept-pruning").experiments.values():
        assert not set(experiment.development) & set(experiment.confirmation)
        assert not set(experiment.seeds) & set(experiment.fresh_seeds)


def test_every_assertion_of_the_abstract_is_in_the_ledger_once() -> None:
    texts = [assertion.text for assertion in concept_pruning.claim.ledger]
    assert len(texts) == len(set(texts))
    for word in ("SSP", "specific to the concept", "complexity", "quarter", "27.7 %", "shift", "etrieval", "DataComp"):
        assert any(word in text for text in texts), word


def test_about_three_of_ten_emoji_are_held_out() -> None:
    names = np.array([f"emoji {i}" for i in range(2000)])
    assert held_out(names).mean() == pytest.approx(0.3, abs=0.04)


def test_after_deduplication_budgets_are_shares_of_what_it_leaves(data: Pool) -> None:
    unique = find_concepts(data.x, dedup=0.02, n_clusters=20, restarts=1)
    sizes: list[int] = []
    right = Concepts.select

    class Counted(Concepts):
        def select(self, n: int, **settings: object) -> Selection:  # type: ignore[override]
            sizes.append(n)
            return right(self, n, **settings)  # type: ignore[arg-type]

    counted = Counted(**{field.name: getattr(unique, field.name) for field in dataclasses.fields(unique)})
    left = len(unique.members)
    grade(data, counted, {}, of=left)
    grade(data, counted, {})
    expected = [round(share * left) for share in (0.05, 0.1, 0.2)]
    assert sizes == [*expected, *(min(round(share * len(data.x)), left) for share in (0.05, 0.1, 0.2))]
    assert left < 0.6 * len(data.x)


def test_both_forms_of_ssp_and_the_automatic_temperature_are_measured_and_named() -> None:
    out = concept_pruning.redundant("handwritten digits", 9)
    for name in ("random", "ssp", "ssp, floor 0.5", "balanced", "dbp"):
        assert out[name]["rise"] == pytest.approx(
            out[f"{name}, deduplicated, as many"]["accuracy"] - out[name]["accuracy"]
        )
        assert f"{name}, deduplicated" in out
    assert out["other rules"]["rise"] == max(out[n]["rise"] for n in ("ssp", "ssp, floor 0.5", "balanced", "dbp"))
    promised = [one.text for one in concept_pruning.claim.ledger if one.level == "effect" and one.promised]
    assert len(promised) == 3
    assert any("SSP-Pruning without a floor" in text for text in promised)
    assert not any("t chosen" in text or "validation" in text for text in promised)
