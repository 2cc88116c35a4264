"""The page in a real browser: the map is drawn, a lasso filters, tags are saved, a click finds neighbours; a phone."""

from __future__ import annotations

import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("faiss", reason="an index needs `pip install unseen[curate]`")
pytest.importorskip("fastapi", reason="the explorer needs `pip install unseen[curate]`")

from unseen.curation.concept_map import build_map
from unseen.curation.index import build_index
from unseen.curation.retrieval import RetrievalService
from unseen.explorer import create_app

from .conftest import Colours, coloured

pytestmark = [pytest.mark.browser, pytest.mark.slow]

GL = ("--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-first-run", "--disable-sync",
      "--disable-background-networking", "--disable-component-update")  # fmt: skip
"""A browser that draws WebGL without a graphics card."""


@pytest.fixture(scope="module")
def drawing(browser: Any) -> Iterator[Any]:
    """A browser with WebGL."""
    with_gl = browser.browser_type.launch(executable_path="/usr/bin/chromium", args=list(GL))
    yield with_gl
    with_gl.close()


@pytest.fixture(scope="module")
def begin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., tuple[str, Path]]]:
    """Serves a collection of colours of its own on a free port."""
    import uvicorn

    servers = []

    def serve(change: Callable[[Path], None] = lambda folder: None) -> tuple[str, Path]:
        folder = tmp_path_factory.mktemp("browser") / "colours"
        collection = coloured(folder)
        build_index(collection)
        build_map(collection)
        change(folder)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        app = create_app(RetrievalService.open(folder, encoder=Colours()))
        server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        servers.append((server, thread))
        while not server.started:
            time.sleep(0.02)
        return f"http://127.0.0.1:{port}", folder

    yield serve
    for server, thread in servers:
        server.should_exit = True
        thread.join(20)


@pytest.fixture(scope="module")
def served(begin: Callable[..., tuple[str, Path]]) -> tuple[str, Path]:
    return begin()


class Seen:
    """A page, with what it says and asks."""

    def __init__(self, drawing: Any, url: str, **more: Any) -> None:
        self.context = drawing.new_context(**{"viewport": {"width": 1280, "height": 900}, **more})
        self.page = self.context.new_page()
        self.url, self.wrong, self.asked = url, [], []
        self.page.on("console", lambda told: self.wrong.append(told.text) if told.type == "error" else None)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(url)
        self.page.wait_for_selector(".card")

    def until(self, condition: str, seconds: float = 30.0) -> None:
        """Wait for a condition; the policy of the page forbids what Playwright's own waiting would run in it."""
        end = time.monotonic() + seconds
        while not self.page.evaluate(condition):
            assert time.monotonic() < end, (condition, self.page.inner_text("#status"))
            time.sleep(0.05)

    def drawn(self) -> None:
        self.until("document.querySelector('#map canvas').dataset.drawn === '60'")
        self.until("document.querySelectorAll('#labels button').length > 0")

    def status(self, text: str) -> None:
        self.until(f"document.getElementById('status').textContent.includes({json.dumps(text)})")

    def pixel(self, row: int) -> tuple[float, float]:
        """Where a row is drawn, on the page."""
        return tuple(
            self.page.evaluate(
                "(row) => { const m = document.querySelector('#map canvas').map, b = m.box.getBoundingClientRect();"
                "const [x, y] = m.onScreen(m.places[2 * row] / 65535, m.places[2 * row + 1] / 65535);"
                "return [b.left + x, b.top + y]; }",
                row,
            )
        )

    def blue(self) -> tuple[float, float]:
        """Where a blue row is drawn that no name of a group covers."""
        for row in range(2, 60, 3):
            at = self.pixel(row)
            if self.page.evaluate("([x, y]) => document.elementFromPoint(x, y)?.closest('button') === null", list(at)):
                return at
        raise AssertionError("names cover all of them")

    def shown(self) -> list[int]:
        return [
            int(row) for row in self.page.evaluate("[...document.querySelectorAll('.card')].map((c) => c.dataset.row)")
        ]

    def colours(self) -> int:
        """How many different strong colours the map has, in pixels of 32 levels."""
        shot = Image.open(io.BytesIO(self.page.locator("#map").screenshot())).convert("RGB")
        pixels = np.asarray(shot).reshape(-1, 3).astype(int)
        strong = pixels[np.ptp(pixels, axis=1) > 60] // 32
        return len(np.unique(strong, axis=0)) if len(strong) > 100 else 0

    def lasso(self, rows: list[int], box: bool) -> None:
        """Draw around the places of rows."""
        spots = np.array([self.pixel(row) for row in rows])
        (left, top), (right, low) = spots.min(axis=0) - 9, spots.max(axis=0) + 9
        corners = [(left, top), (right, low)] if box else [(left, top), (right, top), (right, low), (left, low)]
        self.page.mouse.move(*corners[0])
        self.page.mouse.down()
        for corner in corners[1:]:
            self.page.mouse.move(*corner, steps=4)
        self.page.mouse.up()

    def close(self) -> None:
        assert self.wrong == []
        assert [one for one in self.asked if not one.startswith((self.url, "blob:"))] == []
        self.context.close()


def test_the_map_is_drawn_and_moves(drawing: Any, served: tuple[str, Path]) -> None:
    seen = Seen(drawing, served[0])
    page = seen.page
    seen.drawn()
    page.select_option("#colour", "column:language")
    seen.until("document.querySelectorAll('#legend button').length === 3")
    time.sleep(0.3)
    assert seen.colours() >= 3
    assert len(seen.shown()) == 54  # without what is unsafe
    before = seen.pixel(7)
    page.hover("#map")
    page.mouse.wheel(0, -400)
    seen.until("document.querySelector('#map canvas').map.view.scale > 700")
    page.focus("#map")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("-")
    assert seen.pixel(7) != before
    page.keyboard.press("0")
    time.sleep(0.3)
    assert seen.pixel(7) == pytest.approx(before, abs=1)
    x, y = seen.pixel(7)
    page.mouse.move(x, y)
    seen.until("!document.getElementById('hover').hidden")
    seen.until("document.querySelector('#hover img').naturalWidth > 0")
    assert "number" in page.inner_text("#hover .says")
    page.mouse.move(x - 150, y)
    page.select_option("#colour", "column:width")
    seen.until("document.querySelector('#legend .ramp') !== null")
    seen.close()


@pytest.mark.parametrize("box", [True, False])
def test_a_lasso_filters_the_pictures_and_the_counts(drawing: Any, served: tuple[str, Path], box: bool) -> None:
    seen = Seen(drawing, served[0])
    page = seen.page
    seen.drawn()
    page.uncheck("#safe")
    seen.status("60 pairs")
    page.click(f"[data-mode={'box' if box else 'lasso'}]")
    spots = np.array([seen.pixel(row) for row in range(60)])
    greens = [row for row in range(60) if row % 3 == 1]
    seen.lasso(greens, box)
    seen.until("!document.getElementById('selection').hidden")
    (left, top), (right, low) = spots[greens].min(axis=0) - 9, spots[greens].max(axis=0) + 9
    within = [r for r, (x, y) in enumerate(spots.tolist()) if left < x < right and top < y < low]
    assert set(greens) <= set(within) != set(range(60))
    seen.until(f"document.querySelectorAll('.card').length === {len(within)}")
    assert seen.shown() == within
    assert page.inner_text("#selection").startswith(f"{len(within)} pairs chosen")
    assert {"width, pixels", "probability of being unsafe"} <= set(page.locator("#facets legend").all_inner_texts())
    seen.until(
        "[...document.querySelectorAll('#facets .count')].slice(0, 3)"
        f".reduce((sum, one) => sum + Number(one.textContent), 0) === {len(within)}"
    )
    page.fill("#words", "green")
    page.keyboard.press("Enter")
    seen.status(f"among {len(within)} rows that pass")
    assert set(seen.shown()) <= set(within)
    page.click("#drop-selection")
    page.fill("#words", "")
    page.keyboard.press("Enter")
    seen.status("60 pairs")
    page.click("[data-mode=move]")
    x, y = spots[greens].min(axis=0) - 12
    page.mouse.move(x, y)
    page.keyboard.down("Shift")
    seen.lasso(greens, False)
    page.keyboard.up("Shift")
    seen.until("!document.getElementById('selection').hidden")
    page.focus("#map")
    page.keyboard.press("Escape")
    seen.until("document.getElementById('selection').hidden")
    seen.close()


def test_tags_are_saved_and_there_again(drawing: Any, begin: Callable[..., tuple[str, Path]]) -> None:
    url, folder = begin()
    seen = Seen(drawing, url)
    page = seen.page
    seen.drawn()
    page.locator(".card[data-row='4'] .pick input").check()
    page.locator(".card[data-row='7'] .pick input").check()
    assert page.inner_text("#tag-on") == "Tag 2 ticked"
    page.click("#tag-on")
    seen.status("Type a tag first")
    page.fill("#tag", "wrong caption")
    page.keyboard.press("Enter")
    seen.status("2 pairs tagged “wrong caption”")
    assert page.inner_text(".card[data-row='7'] .own-tags") == "wrong caption"
    assert len((folder / "tags.jsonl").read_text().splitlines()) == 2
    page.select_option("#colour", "tags")
    seen.until("document.querySelector('#legend button')?.textContent === 'wrong caption'")
    page.reload()
    page.wait_for_selector(".card")
    seen.until("document.querySelector('[data-facet=\"tags/wrong caption\"]') !== null")
    assert page.inner_text(".card[data-row='4'] .own-tags") == "wrong caption"
    page.check("[data-facet='tags/wrong caption']")
    seen.until("document.querySelectorAll('.card').length === 2")
    assert seen.shown() == [4, 7]
    page.fill("#tag", "wrong caption")
    page.click("#tag-off")
    seen.status("2 pairs untagged")
    assert (folder / "tags.jsonl").read_text() == ""
    seen.close()


def test_a_click_goes_to_neighbours(drawing: Any, served: tuple[str, Path]) -> None:
    seen = Seen(drawing, served[0])
    page = seen.page
    seen.drawn()
    page.uncheck("#deduplicate")
    page.mouse.click(*seen.blue())
    seen.until("document.querySelector('.term .what')?.textContent.startsWith('like:')")
    seen.status("results")
    found = seen.shown()
    assert found[0] % 3 == 2
    assert all(row % 3 == 2 for row in found[:15])  # blues
    assert page.evaluate("document.querySelector('#map canvas').map.marked") == len(found)
    page.fill("#change", "red")
    page.press("#change", "Enter")
    seen.until("[...document.querySelectorAll('.card')].every((card) => card.dataset.row % 3 !== 1)")  # blue but red
    assert {row % 3 for row in seen.shown()} == {0, 2}
    page.locator("#labels button:not([hidden])").first.click()
    seen.until("!document.getElementById('selection').hidden")
    page.click(".term button")
    seen.until("document.querySelectorAll('.term').length === 0")
    assert page.is_hidden("#change")
    seen.status("of 60 pairs")
    seen.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_one_of_three_views(drawing: Any, served: tuple[str, Path], scheme: Any) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "color_scheme": scheme}
    seen = Seen(drawing, served[0], **phone)
    page = seen.page
    for view in ("pictures", "map", "filters"):
        page.click(f"nav [data-view={view}]")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        low = page.evaluate(
            "[...document.querySelectorAll('nav button, #tools button, #map-panel .bar button')]"
            ".filter((b) => b.offsetParent && b.offsetHeight < 38).map((b) => b.outerHTML)"
        )
        assert low == []
    assert page.is_visible("#facets")
    assert not page.is_visible("#results")
    page.click("nav [data-view=map]")
    seen.drawn()
    time.sleep(0.3)
    page.touchscreen.tap(*seen.blue())
    seen.until("document.body.dataset.view === 'pictures'")
    seen.status("results")
    assert seen.shown()[0] % 3 == 2
    seen.close()


def test_broken_pictures_and_a_missing_map_are_named(drawing: Any, begin: Callable[..., tuple[str, Path]]) -> None:
    def change(folder: Path) -> None:
        (folder / "index" / "map.json").unlink()
        tar = folder / "shards" / "00000" / "images.tar"
        tar.write_bytes(b"\0" * tar.stat().st_size)

    seen = Seen(drawing, begin(change)[0])
    assert "Build it: unseen explore DATA --build" in seen.page.inner_text("#no-map")
    seen.until("document.querySelectorAll('.no-picture').length > 0")
    assert "cannot be read" in seen.page.locator(".no-picture").first.inner_text()
    seen.wrong = [one for one in seen.wrong if "Failed to load resource" not in one]
    seen.close()


def test_a_browser_without_webgl_says_so(drawing: Any, browser: Any, served: tuple[str, Path]) -> None:
    plain = browser.browser_type.launch(
        executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu", "--disable-3d-apis"]
    )
    seen = Seen(plain, served[0])
    seen.until("document.getElementById('no-map').textContent.includes('no WebGL 2')")
    assert len(seen.shown()) == 54
    seen.close()
    plain.close()
