"""`unseen web` as a real process, used in a real browser: a run from a small folder, a model, evidence, a phone."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unseen import encoders
from unseen.bundle import Bundle
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.methods import get

pytest.importorskip("starlette", reason="the app needs `pip install unseen[web]`")
pytestmark = [pytest.mark.browser, pytest.mark.slow]

NASTY = "<img src=x onerror=alert(1)>"
COLOURS = {"red": (230, 30, 30), NASTY: (30, 200, 40), "{{blue}} ${1}": (30, 40, 220)}
LONG = 300_000
"""Milliseconds that a run of forty pictures may take on a busy machine."""


def pictures(n: int, size: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Pictures of three colours with some noise, (n, size, size, 3), and which one each is."""
    rng = np.random.default_rng(n)
    y = np.arange(n) % 3
    x = np.array(list(COLOURS.values()))[y][:, None, None] + rng.integers(-25, 25, (n, size, size, 3))
    return x.clip(0, 255).astype(np.uint8), y


@pytest.fixture(scope="module")
def folder(results: Callable[..., dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty pictures, two runs, a model of pictures and one of vectors, with markup in their names and classes."""
    folder = tmp_path_factory.mktemp("web")
    for k, (picture, label) in enumerate(zip(*pictures(40))):
        side = folder / ("photos" if k < 20 else "own")
        place = side / ("red", "green", "blue")[label] if k < 20 else side
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(place / f"{k}.png")
    with zipfile.ZipFile(folder / "photos.zip", "w") as archive:
        for file in (folder / "photos").rglob("*.png"):
            archive.write(file, file.relative_to(folder))
    second = results(seeds=1, given={"source": {"name": NASTY, "samples": 3}})
    for name, content in ((NASTY, results()), ("second", second)):
        (folder / "runs" / name).mkdir(parents=True)
        (folder / "runs" / name / "results.json").write_text(json.dumps(content))
    classes = ClassSpace(names=tuple(COLOURS))
    x, y = pictures(24)
    encoder = encoders.get("efficientnet-lite0", precision="fp32")
    for name, source, reads in (
        (NASTY, encoder.encode(Domain(x=x, kind="image"), cache=False).x, encoder),
        ("vectors", np.eye(3, dtype=np.float32)[y] * 4, None),
    ):
        method = get("source-only")().fit(source=Domain(x=source, y=y, classes=classes))
        Bundle(method=method, classes=classes, encoder=reads).save(folder / "models" / name)
    Image.fromarray(pictures(5)[0][1]).save(folder / "new.png")
    (folder / "no picture.png").write_bytes(b"<svg onload=alert(1)>")
    return folder


@pytest.fixture(scope="module")
def start(folder: Path) -> Iterator[Callable[..., tuple[subprocess.Popen[str], str]]]:
    """Starts the app in the folder and says where it listens."""
    running: list[subprocess.Popen[str]] = []

    def begin(*arguments: str, **more: str) -> tuple[subprocess.Popen[str], str]:
        order = [sys.executable, "-m", "unseen.cli", "web", "--port", "0", *arguments]
        env = {key: value for key, value in os.environ.items() if key != "UNSEEN_TOKEN"} | {"OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(order, stderr=subprocess.PIPE, text=True, env=env | more, cwd=folder)
        running.append(process)
        assert process.stderr is not None
        told = ""
        for line in process.stderr:
            told += line
            if found := re.search(r"listening on (http://[^ ;]*);", line):
                return process, found[1]
        raise AssertionError(f"it ended before it listened: {told}")

    yield begin
    for process in running:
        process.terminate()
        process.communicate(timeout=60)


@pytest.fixture(scope="module")
def app(start: Callable[..., tuple[subprocess.Popen[str], str]]) -> str:
    return start()[1]


@pytest.fixture
def opened(browser: Any, app: str) -> Iterator[SimpleNamespace]:
    """The app in a browser, with what it says and asks for."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    context.set_default_timeout(LONG)
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    context.on("request", lambda request: asked.append(request.url))
    page.goto(app)
    yield SimpleNamespace(page=page, said=said, asked=asked, context=context)
    context.close()


def test_a_run_of_a_small_folder_is_started_followed_and_finished_after_a_restart(
    browser: Any, start: Any, folder: Path
) -> None:
    process, url = start()
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    said: list[str] = []
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(url)
    page.locator(".field.data[data-word=source] input[type=file]").set_input_files(folder / "photos.zip")
    page.locator(".field.data[data-word=source] .state", has_text="photos.zip is here").wait_for()
    assert page.locator("#source").input_value().startswith("upload:")
    page.locator("#target").fill("own")
    page.locator("#go").click()
    page.wait_for_url("**/run?name=*")
    page.locator(".steps").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    path = page.url.removeprefix(url)

    process.send_signal(signal.SIGTERM)  # the app ends, its run goes on
    assert process.wait(60) == 0
    url = start()[1]
    page.goto(url + path)
    page.get_by_role("link", name="Open the report").wait_for(timeout=LONG)  # without a reload
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_role("link", name="Open the report").click()
    page.locator("h1").wait_for()
    assert "/report?" in page.url
    page.go_back()
    page.get_by_role("link", name="Try its model").click()
    page.locator("#file").set_input_files(folder / "new.png")
    page.locator("#answer .answers li").first.wait_for()
    assert set(page.locator("#answer .answers li span:first-child").all_inner_texts()) == {"red", "green", "blue"}
    assert said == []
    context.close()


def test_a_run_is_stopped_goes_on_and_is_taken_away(opened: SimpleNamespace) -> None:
    page = opened.page
    page.locator("#source").fill("photos")
    page.locator("#target").fill("own")
    page.locator("summary", has_text="More").click()
    page.locator("#name").fill("stopped")
    page.locator("#seeds").select_option("5")
    page.locator("#go").click()
    page.get_by_role("button", name="Stop").click(timeout=30_000)
    page.get_by_text("Stopped.").wait_for(timeout=30_000)
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("button", name="Stop").click(timeout=30_000)
    page.get_by_role("button", name="Remove from the list").click(timeout=30_000)
    page.locator(".runs").wait_for()
    assert page.locator(".to", has_text="runs/stopped").count() == 0
    assert opened.said == []


def test_pages_are_used_and_nobody_else_is_asked(opened: SimpleNamespace, app: str, folder: Path) -> None:
    page = opened.page
    page.get_by_role("link", name="Methods").click()
    page.locator("input[value=source]").check()
    page.locator("input[value=target]").check()
    page.locator("#command", has_text="unseen compare --source photos --target sketches --out runs/mine").wait_for()
    page.locator("input[value=target]:focus").wait_for()  # the next key goes where the last one went

    held = []
    page.route("**/methods?*", lambda route: held.append(route))
    page.locator("input[value=support]").check()
    page.locator("[aria-busy=true]").wait_for()  # it says that it looks
    page.locator("input[value=classes]").check()
    for _ in range(LONG // 50):
        if len(held) == 2:
            break
        page.wait_for_timeout(50)
    assert len(held) == 2  # each tick asked
    for route in reversed(held):  # the older answer comes last
        with page.expect_response(route.request.url):
            route.continue_()
    page.unroute("**/methods?*")
    page.locator("#command", has_text="--classes classes.csv").wait_for()
    page.wait_for_timeout(300)
    assert "--classes classes.csv" in page.locator("#command").inner_text()
    for word in ("support", "classes"):
        page.locator(f"input[value={word}]").uncheck()
    page.locator("#command", has_text="unseen compare --source photos --target sketches --out runs/mine").wait_for()
    assert page.locator(".ranked li").count() == 3
    assert "have=source&have=target" in page.url  # a reload shows the same

    page.get_by_role("link", name="Evidence").click()
    page.get_by_role("link", name="loki", exact=True).click()
    page.locator("h1", has_text="loki").wait_for()
    assert page.locator(".verdict.held").count() > 1
    assert page.locator(".verdict.not-held").first.is_visible()

    page.get_by_role("link", name="Runs").click()
    for name in (f"runs/{NASTY}", "runs/second"):
        page.locator(f'input[name=run][value="{name}"]').check()
    page.get_by_role("button", name="Compare the ticked runs").click()
    page.locator(".shares svg").first.wait_for()
    assert f"runs/{NASTY}" in page.locator("main").inner_text()
    assert page.locator(".shares .dot.chosen").count() == 2

    page.get_by_role("link", name="Try a model").click()
    page.locator("#model").select_option(f"models/{NASTY}")
    page.locator("#file").set_input_files(folder / "new.png")
    page.locator("#answer .answers li").first.wait_for()
    names = page.locator("#answer .answers li span:first-child").all_inner_texts()
    assert names[0] == NASTY
    assert set(names) == set(COLOURS)
    assert page.locator("#picture").evaluate("image => image.naturalWidth") == 40
    page.locator("#file").set_input_files(folder / "no picture.png")
    page.locator("#answer .notice", has_text="is no picture in JPEG").wait_for()

    assert [url for url in opened.asked if not url.startswith((app, "data:", "blob:"))] == []
    assert page.locator("img[src=x]").count() == 0
    assert opened.said == []


def test_data_are_looked_at_and_a_run_begins_with_them(opened: SimpleNamespace, app: str) -> None:
    page = opened.page
    page.locator("#source").fill("photos")
    page.locator("#target").fill("own")
    page.get_by_role("button", name="Say what to try first").click()
    page.locator(".steps").wait_for()
    page.locator(".read li", has_text="source: ").wait_for(timeout=LONG)  # said before it is encoded
    page.locator(".ranked li").first.wait_for(timeout=LONG)  # without a reload
    assert 1 <= page.locator(".ranked li").count() <= 3
    assert page.evaluate("document.documentElement.scrollWidth") <= 1200
    page.get_by_role("button", name="Start a run with these data").click()
    page.wait_for_url("**/run?name=runs%2Frun-*")
    page.get_by_role("button", name="Stop").click(timeout=30_000)
    page.get_by_role("button", name="Remove from the list").click(timeout=30_000)
    assert opened.said == []


def test_a_vector_is_typed_and_answered(opened: SimpleNamespace, app: str) -> None:
    page = opened.page
    page.goto(f"{app}/try?model=models/vectors")
    page.locator("#sample").fill("0 0 4")
    page.get_by_role("button", name="Ask the model").click()
    page.locator("#answer .answers li").first.wait_for()
    assert page.locator("#answer .answers li span").first.inner_text() == "{{blue}} ${1}"
    assert opened.said == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_is_wider_than_a_phone_and_all_can_be_touched(browser: Any, app: str, scheme: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    page = context.new_page()
    small = """() => [...document.querySelectorAll("button, select, summary, textarea, .button, nav a")]
      .filter((e) => e.offsetParent && e.getBoundingClientRect().height < 40).map((e) => e.outerHTML)"""
    for path in ("/", "/run?name=runs/second", "/compare?run=runs/second", "/try?model=models/vectors",
                 "/methods?have=source&have=target", "/evidence", "/evidence?system=loki"):  # fmt: skip
        page.goto(app + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
        assert page.evaluate(small) == [], path
    context.close()


def ask(url: str, path: str, verb: str = "GET", body: str | None = None, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
    try:
        connection.request(verb, path, body, {key.replace("_", "-"): value for key, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_files_of_the_machine_and_other_sites_are_refused(app: str) -> None:
    form = {"content_type": "application/x-www-form-urlencoded"}
    for place in ("%2Fetc", "..%2F..", "http:%2F%2F127.0.0.1%2Fx"):
        status, told = ask(app, "/runs", "POST", f"source={place}&target={place}", **form)
        assert status == 422
        assert b"root:" not in told
    assert ask(app, "/runs", "POST", "source=photos&target=own", sec_fetch_site="cross-site", **form)[0] == 403
    assert ask(app, "/upload?name=x.csv", "POST", "x", origin="http://evil.example")[0] == 403
    assert ask(app, "/", host="evil.example")[0] == 400
    assert ask(app, "/")[0] == 200


def test_on_all_addresses_it_asks_for_the_token_and_ends_with_0(start: Any) -> None:
    token = "a-token-of-the-tests"
    process, url = start("--host", "0.0.0.0", UNSEEN_TOKEN=token)
    for path in ("/", "/app.js", "/style.css", "/try", "/run?name=runs/second"):
        assert ask(url, path)[0] == 401, path
    assert ask(url, "/", authorization=f"Bearer {token}")[0] == 200
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0


def test_other_addresses_without_a_token_are_refused_in_one_line() -> None:
    env = {key: value for key, value in os.environ.items() if key != "UNSEEN_TOKEN"}
    order = [sys.executable, "-m", "unseen.cli", "web", "--host", "0.0.0.0"]
    done = subprocess.run(order, capture_output=True, text=True, env=env)
    assert done.returncode == 1
    assert done.stderr.startswith("unseen: host '0.0.0.0' can be reached from other machines, so a token is needed")
