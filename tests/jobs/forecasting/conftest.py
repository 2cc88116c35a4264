"""What the tests of forecasting share: a shorter look at the past."""

from __future__ import annotations

import pytest

from unseen.evaluation import rolling


@pytest.fixture(autouse=True)
def shorter_look_back(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A third of the forecasts of the past, most of what these tests do; a test marked `usefixtures` has them all."""
    if "whole_look_back" not in request.fixturenames:
        monkeypatch.setattr(rolling, "ORIGINS", 20)


@pytest.fixture
def whole_look_back() -> None:
    """As many forecasts of the past as for a user."""
