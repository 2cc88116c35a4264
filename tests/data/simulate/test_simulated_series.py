"""Simulated series: equal for a seed, finite, and of the season that they claim."""

from __future__ import annotations

import numpy as np
import pytest

from unseen.data.simulate.series import shape, simulated_series


def test_one_seed_gives_the_same_series_and_another_gives_others() -> None:
    a, b, c = (simulated_series(5, 300, seed=s) for s in (1, 1, 2))
    assert all(np.array_equal(x, y) for x, y in zip(a.x, b.x))
    assert not any(np.array_equal(x, y) for x, y in zip(a.x, c.x))


def test_they_are_finite_vary_and_are_credited() -> None:
    made = simulated_series(40, 500, seed=0)
    assert all(np.isfinite(x).all() and x.shape == (500, 1) for x in made.x)
    assert sum(float(np.std(x)) > 1e-3 for x in made.x) >= 38
    assert "simulated" in made.credits[0]


def test_a_season_repeats() -> None:
    phase = np.arange(96) / 24
    for seed in range(10):
        line = shape(phase, np.random.default_rng(seed))
        np.testing.assert_allclose(line[:24], line[24:48], atol=1e-9)


def test_bad_sizes_are_told() -> None:
    with pytest.raises(ValueError, match="n and length"):
        simulated_series(0, 10)
