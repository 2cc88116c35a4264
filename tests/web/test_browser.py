"""`unseen web` as a real process, used in a real browser: four tabs, a picture, no request to anyone else."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
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

pytest.importorskip("gradio", reason="the app needs `pip install unseen[web]`")
pytestmark = [pytest.mark.browser, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
NASTY = "<img src=x onerror=alert(1)>"
COLOURS = {"red": (230, 30, 30), NASTY: (30, 200, 40), "{{blue}} ${1}": (30, 40, 220)}


def pictures(n: int, size: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Pictures of three colours with some noise, (n, size, size, 3), and which one each is."""
    rng = np.random.default_rng(n)
    y = np.arange(n) % 3
    x = np.array(list(COLOURS.values()))[y][:, None, None] + rng.integers(-25, 25, (n, size, size, 3))
    return x.clip(0, 255).astype(np.uint8), y


@pytest.fixture(scope="module")
def folder(results: Callable[..., dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, a model of pictures and one of vectors, with markup in their names and classes."""
    folder = tmp_path_factory.mktemp("web")
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
        process.terminate()  # which also removes its folder of uploads
        process.communicate(timeout=60)


@pytest.fixture(scope="module")
def app(start: Callable[..., tuple[subprocess.Popen[str], str]]) -> str:
    return start("--evidence", str(ROOT / "docs" / "evidence"))[1]


@pytest.fixture
def opened(browser: Any, app: str) -> Iterator[SimpleNamespace]:
    """The app in a browser, with what it says and asks for."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    context.on("request", lambda request: asked.append(request.url))
    page.goto(app)
    page.locator("#words").wait_for()
    yield SimpleNamespace(page=page, said=said, asked=asked)
    context.close()


def choose(page: Any, box: str, name: str) -> None:
    """Choose from a list with the keyboard."""
    page.locator(f"#{box} input").click()
    page.get_by_role("option", name=name, exact=True).click()


def test_four_tabs_are_used_and_nobody_else_is_asked(opened: SimpleNamespace, app: str, folder: Path) -> None:
    page = opened.page
    page.locator("#words input").nth(0).check()
    page.locator("#words input").nth(1).check()
    page.locator("#fit h3", has_text="methods fit").wait_for()
    command = "unseen compare --source photos --target sketches --out runs/mine"
    page.wait_for_function("text => document.querySelector('#command textarea').value === text", arg=command)
    assert "needs support" in page.locator("#fit").inner_text()

    page.get_by_role("tab", name="Evidence").click()
    choose(page, "system", "loki")
    page.locator("#ledger h3", has_text="loki").wait_for()
    assert page.locator("#ledger .verdict.held").count() > 1
    assert page.locator("#ledger .verdict.not-held").first.is_visible()

    page.get_by_role("tab", name="Compare two runs").click()
    page.locator("#runs table").first.wait_for()
    shown = page.locator("#runs").inner_text()
    assert f"runs/{NASTY}" in shown
    assert "coral reaches" in shown

    page.get_by_role("tab", name="Try a model").click()
    choose(page, "model", f"models/{NASTY}")
    page.locator("#picture input[type=file]").set_input_files(folder / "new.png")
    page.locator("#answer .answers li").first.wait_for()
    names = page.locator("#answer .answers li span:first-child").all_inner_texts()
    assert names[0] == NASTY
    assert set(names) == set(COLOURS)
    assert page.locator("#answer .preview").evaluate("image => image.naturalWidth") == 40

    assert [url for url in opened.asked if not url.startswith((app, "data:", "blob:"))] == []
    assert opened.said == []


def test_markup_stays_text_and_a_file_that_is_no_picture_is_a_sentence(opened: SimpleNamespace, folder: Path) -> None:
    page = opened.page
    page.get_by_role("tab", name="Try a model").click()
    choose(page, "model", f"models/{NASTY}")
    page.locator("#picture input[type=file]").set_input_files(folder / "no picture.png")
    page.locator("#answer .notice").wait_for()
    assert "is no picture in JPEG" in page.locator("#answer").inner_text()
    page.get_by_role("tab", name="Compare two runs").click()
    page.locator("#runs table").first.wait_for()
    assert page.locator("img[src=x]").count() == 0
    assert opened.said == []


def test_a_vector_is_typed_and_answered(opened: SimpleNamespace) -> None:
    page = opened.page
    page.get_by_role("tab", name="Try a model").click()
    choose(page, "model", "models/vectors")
    page.locator("#sample textarea").fill("0 0 4")
    page.get_by_role("button", name="Ask the model").click()
    page.locator("#answer .answers li").first.wait_for()
    assert page.locator("#answer .answers li span").first.inner_text() == "{{blue}} ${1}"
    assert opened.said == []


def test_it_is_no_wider_than_a_telephone(opened: SimpleNamespace) -> None:
    page = opened.page
    page.set_viewport_size({"width": 400, "height": 860})
    page.locator("#words input").nth(0).check()
    page.locator("#fit table").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 400


def ask(url: str, path: str, verb: str = "GET", body: Any = None, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
    try:
        sent = {"content-type": "application/json", **headers}
        connection.request(verb, path, None if body is None else json.dumps(body), sent)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def given(app: str, picture: dict[str, Any]) -> str:
    """What the app answers to a picture that is only named, as a program might do."""
    config = json.loads(ask(app, "/config")[1])
    names = {part["id"]: part["props"].get("elem_id") for part in config["components"]}
    number = next(d["id"] for d in config["dependencies"] if [names[i] for i in d["inputs"]] == ["model", "picture"])
    named = picture | {"meta": {"_type": "gradio.FileData"}}
    body = {"data": [None, named], "fn_index": number, "session_hash": "tests"}
    assert ask(app, "/gradio_api/queue/join", "POST", body)[0] == 200
    return ask(app, "/gradio_api/queue/data?session_hash=tests")[1].decode()


def test_files_of_the_machine_and_names_of_others_are_refused(app: str, folder: Path) -> None:
    for file in ("/etc/hostname", str(folder / "runs" / "second" / "results.json"), str(ROOT / "pyproject.toml")):
        assert ask(app, f"/gradio_api/file={file}")[0] in (403, 404)
        assert '"success":false' in given(app, {"path": file})
    assert ask(app, "/", host="evil.example")[0] == 400
    assert ask(app, "/")[0] == 200


def test_on_all_addresses_it_asks_for_the_token_and_ends_with_0(start: Any) -> None:
    token = "a-token-of-the-tests"
    process, url = start("--host", "0.0.0.0", UNSEEN_TOKEN=token)
    for path in ("/", "/config", "/gradio_api/info", "/static/img/logo.svg"):
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
