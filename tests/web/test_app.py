"""What the tabs answer, in the process itself: empty folders, damaged ones, names that are not on the list."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("gradio", reason="the app needs `pip install unseen[web]`")

from gradio import processing_utils

from unseen.serving.limits import Limits
from unseen.web.app import Shown, build, mounted


@pytest.fixture
def shown(tmp_path: Path) -> Shown:
    return Shown(runs=tmp_path / "runs", models=tmp_path / "models", evidence=None, limits=Limits(), trust=False)


def test_empty_folders_say_what_to_run(shown: Shown) -> None:
    assert "unseen demo --data digits" in shown.compared(None, None)
    assert "unseen demo --data digits" in shown.model(None)[0]
    assert shown.answer(None, "text") == ""
    assert "Tick what you have" in shown.fitting([], "image", False, False)[1]


def test_names_and_damage_are_told_without_a_place_on_this_machine(shown: Shown, tmp_path: Path) -> None:
    for folder, mark in (("runs/r", "results.json"), ("models/m", "bundle.json")):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / mark).write_text("{")
    told = [
        shown.compared("runs/r", None),
        shown.compared("../etc", "runs/r"),
        shown.model("models/m")[0],
        shown.model("<b>")[0],
        shown.answer("models/m", "1 2"),
        shown.system("../loki"),
    ]
    assert "the run r cannot be read" in told[0]
    assert "run must be one of the list" in told[1]
    assert "m is not a saved model" in told[2]
    assert "&lt;b&gt;" in told[3]
    assert "m is not a saved model" in told[4]
    assert "system must be one of" in told[5]
    for line in told:
        assert 'class="notice"' in line
        assert str(tmp_path) not in line


def test_gradio_checks_what_is_named_and_fetches_nothing(shown: Shown, tmp_path: Path) -> None:
    app = build(runs=tmp_path, models=tmp_path)
    mounted(app, Limits())
    assert app.has_launched
    assert app.allowed_paths == []
    with pytest.raises(ValueError, match="addresses are not fetched"):
        processing_utils.save_url_to_cache("https://example.org/a.png", str(tmp_path))
    assert all(call.api_visibility == "private" for call in app.fns.values())
