"""IDM's claim: its arms say what every assertion asks, and its cases share no photograph."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from unseen.claims import idm
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain


def cut_outs(style: str) -> Domain:
    """Squares in four colours, which nobody has to download."""
    x = np.zeros((8, 4, 16, 16), dtype=np.uint8)
    for i, channels in enumerate(((0,), (1,), (2,), (0, 1)) * 2):
        x[i, list(channels)] = 200
    x[:, 3, 2:14, 2:14] = 255
    return Domain(x=x, y=np.arange(8) % 4, kind="image", classes=ClassSpace(names=("a", "b", "c", "d")))


def test_confirmation_looks_at_other_vendors_photographs_and_lights() -> None:
    photos = [{name for side in idm.PHOTOS[split] for name in side} for split in ("development", "confirmation")]
    assert not photos[0] & photos[1]
    for experiment in idm.claim.experiments.values():
        mine, theirs = (
            {part for case in cases for part in case.split("/")[1:]} - {"plain"}
            for cases in (experiment.development, experiment.confirmation)
        )
        assert not mine & theirs
    assert len(set(idm.SOURCE.values())) == 2
    source, target = idm.PHOTOS["confirmation"]
    assert not set(source) & set(target)


@pytest.mark.slow
def test_every_assertion_with_a_condition_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    small: dict[str, Any] = {"TRAINING": 4, "STEPS": 3, "N_SOURCE": 24, "N_TARGET": 3, "N_TEST": 4}
    for name, value in small.items():
        monkeypatch.setattr(idm, name, value)
    monkeypatch.setattr(idm, "emoji_cutouts", cut_outs)
    monkeypatch.setattr(idm, "photograph", lambda name: np.full((80, 90, 3), 90, dtype=np.uint8))
    for function in (idm.known, idm.trained, idm.known_test):
        function.cache_clear()
    try:
        rows = idm.claim.cell("lights", idm.claim.experiments["lights"].development[0], 0)
        rows += idm.claim.cell("style", idm.claim.experiments["style"].development[0], 0)
    finally:
        for function in (idm.known, idm.trained, idm.known_test):
            function.cache_clear()
    judged = idm.claim.judge(pd.DataFrame(rows))
    assert [assertion.text for assertion, verdict in judged if assertion.holds is not None and verdict is None] == []
    arms = {row["arm"]: row["value"] for row in rows if row["metric"] == "mIoU" and row["experiment"] == "lights"}
    assert all(0 <= value <= 1 for value in arms.values())
    assert set(idm.SIMPLE) < set(arms)
