"""The page in a real browser: offline, quiet, complete, on a wide screen and on a phone."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from unseen.report import render

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def pages(fake: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    cases: dict[str, dict[str, Any]] = {
        "closed": {},
        "without labels": {"labels": False},
        "open": {"protocol": "open-partial"},
        "many": {"n_classes": 60},
        "nasty": {"classes": fake.NASTY},
        "one": {"candidates": 1, "seeds": 1},
    }
    return {name: render(fake.write_fake_run(folder / name.replace(" ", "-"), **case)) for name, case in cases.items()}


@pytest.mark.parametrize("name", ["closed", "without labels", "open", "many", "nasty", "one"])
@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (390, "dark")])
def test_the_page_opens_offline_without_a_word_and_fits(
    browser: Any, pages: dict[str, Path], name: str, width: int, scheme: str
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme, offline=True)
    said: list[str] = []
    asked: list[str] = []
    try:
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(pages[name].as_uri())
        assert said == []
        assert [url for url in asked if not url.startswith("data:")] == [pages[name].as_uri()]
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(int(v) for v in background[4:-1].split(",")) < 300) == (scheme == "dark")
    finally:
        context.close()


def test_colours_of_the_map_change_without_a_script(browser: Any, pages: dict[str, Path]) -> None:
    context = browser.new_context(java_script_enabled=True, offline=True)
    try:
        page = context.new_page()
        page.goto(pages["closed"].as_uri())
        stroke = "getComputedStyle(document.querySelector('.map path.c0')).stroke"
        before = page.evaluate(stroke)
        page.check("#by-class")
        assert page.evaluate(stroke) != before
        assert page.locator(".legend.classes").is_visible()
    finally:
        context.close()


def test_print_is_on_white(browser: Any, pages: dict[str, Path]) -> None:
    context = browser.new_context(color_scheme="dark", offline=True)
    try:
        page = context.new_page()
        page.goto(pages["closed"].as_uri())
        page.emulate_media(media="print")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    finally:
        context.close()
