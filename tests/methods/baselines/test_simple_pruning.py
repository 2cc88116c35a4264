"""`simple-pruning`: each rule beside a naive version of it, and what it says of samples that it has not seen."""

from __future__ import annotations

import numpy as np
import pytest

from unseen.data.domain import Domain
from unseen.methods.baselines.simple_pruning import SimplePruning
from unseen.nn.concepts import MEMBER


def groups(n: int = 200, columns: dict[str, np.ndarray] | None = None) -> Domain:
    """Three groups, of which the first is by far the largest."""
    rng = np.random.default_rng(0)
    y = rng.choice(3, n, p=[0.8, 0.15, 0.05])
    x = np.eye(8)[y] + 0.1 * rng.normal(size=(n, 8))
    return Domain(x=x.astype(np.float32), kind="features", columns=columns or {})


def fitted(**settings: object) -> SimplePruning:
    return SimplePruning(n_clusters=3, **settings).fit(target=groups())  # type: ignore[arg-type]


def test_by_default_concepts_keep_equally_many_as_far_as_they_have_members() -> None:
    method = fitted(keep=0.2)
    sizes = np.bincount(method.clusters_)
    left, fair = 40, np.zeros(3, dtype=int)
    while left:  # a sample at a time, to the concept that has fewest
        open_ones = np.flatnonzero(fair < sizes)
        fair[open_ones[fair[open_ones].argmin()]] += 1
        left -= 1
    assert sorted(method.budgets_) == sorted(fair)
    assert method.transduction_.sum() == 40
    other = fitted(keep=0.2, random_state=1)
    assert (method.transduction_ != other.transduction_).any()  # which members stay is drawn


def test_ssp_without_a_floor_keeps_what_is_farthest_from_its_centroid() -> None:
    method = fitted(rule="ssp", floor=0.0)
    farthest = np.argsort(-method.distances_, kind="stable")[:60]
    assert set(np.flatnonzero(method.transduction_)) == set(farthest)
    near = fitted(rule="ssp", floor=0.0, pick="easiest")
    assert set(np.flatnonzero(near.transduction_)) == set(np.argsort(near.distances_, kind="stable")[:60])


def test_the_floor_of_ssp_gives_each_concept_half_of_an_equal_budget() -> None:
    method = fitted(rule="ssp", keep=0.12)
    sizes = np.bincount(method.clusters_)
    assert (method.budgets_ >= np.minimum(24 // 3 // 2, sizes - 1)).all()


def test_random_draws_and_similarity_takes_the_most_similar() -> None:
    assert fitted(rule="random").transduction_.sum() == 60
    similarity = np.random.default_rng(1).permutation(200) / 200
    method = SimplePruning(rule="similarity", n_clusters=3, keep=0.1).fit(
        target=groups(columns={"similarity": similarity})
    )
    assert set(np.flatnonzero(method.transduction_)) == set(np.argsort(-similarity)[:20])


def test_new_samples_are_kept_as_far_out_as_those_that_are_kept() -> None:
    method = fitted(rule="ssp", floor=0.0)
    x = groups().x
    assert (method.predict(x) == method.transduction_).all()
    drawn = fitted(rule="random")
    assert (drawn.fates_ == MEMBER).all()
    assert drawn.predict(x).all()  # no rule for what was not seen


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"rule": "random", "floor": 0.2}, "floor has no effect with rule='random', only with ssp"),
        (
            {"rule": "similarity", "pick": "hardest"},
            "pick has no effect with rule='similarity', only with ssp or uniform",
        ),
        ({"rule": "ssp", "pick": "random"}, "pick must be hardest or easiest with rule='ssp'"),
    ],
)
def test_settings_without_effect_are_told(settings: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        SimplePruning(**settings).check(settings)  # type: ignore[arg-type]
