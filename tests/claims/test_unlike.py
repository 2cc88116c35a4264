"""Styles of unlike kinds: what a case is, and how tables and clouds become features."""

import numpy as np
import pandas as pd
import pytest

from unseen.claims import unlike
from unseen.data.domain import Domain


def test_kinds_to_develop_on_are_not_those_to_confirm_on() -> None:
    assert not {*unlike.KINDS["development"]} & {*unlike.KINDS["confirmation"]}
    assert {*unlike.KINDS["development"], *unlike.KINDS["confirmation"]} == {*unlike.STYLES}
    for split in ("development", "confirmation"):
        names = unlike.cases(split)
        assert len(names) == len(set(names))
        assert [unlike.kind_of(name) for name in names] == [k for k in unlike.KINDS[split] for _ in unlike.STYLES[k]]


def test_the_styles_after_a_case_follow_in_a_circle(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    made = {name: Domain(x=rng.normal(size=(9, 2)) * (i + 1), name=name) for i, name in enumerate(unlike.SEASONS)}
    monkeypatch.setattr(unlike, "styles", lambda kind: made)
    style, others = unlike.of_case("Beijing: summer")
    assert style.name == "summer"
    assert [other.name for other in others] == ["autumn", "winter", "spring"]
    np.testing.assert_allclose(style.x.std(axis=0), 1)
    np.testing.assert_allclose(others[0].x * made["summer"].x.std(axis=0), made["autumn"].x)


def test_the_spread_is_a_distance_from_the_mean() -> None:
    assert unlike.spread(np.array([[0, 0], [6, 8]], dtype=np.float32)) == pytest.approx(5)


def test_every_font_is_of_one_family() -> None:
    families = unlike.printed("ab", copies=1)
    assert [len(domain) for domain in families.values()] == [2 * n for n in (4, 4, 4, 4, 5)]
    fonts = families["DejaVuSans"].columns["font"].tolist()
    assert not any("Mono" in font or "Serif" in font for font in fonts)


def test_a_grid_holds_the_points_of_a_cloud() -> None:
    corner = np.full((1, 10, 3), -0.95, dtype=np.float32)
    grid = unlike.cells(corner)
    assert grid.shape == (1, unlike.GRID**3)
    assert np.square(grid).sum() == pytest.approx(1, abs=1e-4)
    assert grid[0].argmax() == 0


def test_rows_of_a_season_know_the_time_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(unlike.EACH, "Beijing", 5)
    times = pd.date_range("2020-01-01", periods=366 * 24, freq="h")
    values, y = np.arange(len(times), dtype=float) ** 2, np.arange(len(times) - 1) % 2
    y[0] = -1
    values[50] = np.nan
    seasons = unlike.by_season("Beijing", times[1:], [values], y, ("even", "odd"))
    assert list(seasons) == list(unlike.SEASONS)
    for domain in seasons.values():
        assert domain.x.shape == (10, 4)
        assert domain.classes is not None
        assert domain.classes.names == ("even", "odd")
        root = np.sqrt(domain.x[:, 0].astype(float))
        np.testing.assert_allclose(domain.x[:, 1], 2 * root - 1, rtol=1e-3)
        np.testing.assert_allclose(np.square(domain.x[:, 2:]).sum(axis=1), 1, rtol=1e-5)
