"""The front page: what it says, that the line for a terminal works where it is pasted, and the form in a browser."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("fastapi", reason='serving needs: pip install "unseen[serve]"')

from unseen.bundle import Bundle
from unseen.serving.front import example
from unseen.serving.limits import Limits
from unseen.serving.mistakes import FIELD
from unseen.serving.model import Served
from unseen.serving.rows import ServedRows

TOKEN = "a-token-of-the-tests"
Client = Callable[..., Any]


def test_the_page_allows_its_own_script_only_and_names_are_text(client: Client, pictures: Bundle) -> None:
    answer = client(pictures).get("/")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert "tells 3 classes apart: ant, bee, &lt;b&gt;猫&lt;/b&gt;" in answer.text
    assert re.findall(r"(?:src|href)=\"?(https?:[^\" >]+)", answer.text) == []


def test_with_a_token_the_page_names_no_class(client: Client, pictures: Bundle) -> None:
    test = client(pictures, token=TOKEN, host="example.org")
    text = test.get("/").text
    assert "ant" not in re.findall(r"apart(.*?)\.", text)[0]
    assert 'Authorization: Bearer $UNSEEN_TOKEN"' in text.replace("&#34;", '"')
    assert TOKEN not in text


def test_a_form_for_a_table_says_which_number_is_which(client: Client, vectors: Bundle) -> None:
    named = dataclasses.replace(vectors, feature_names=("age", "<b>size</b>", "c", "d"))
    text = client(named).get("/").text
    assert "4 numbers with commas or spaces between, in this order" in text
    assert text.count("age, &lt;b&gt;size&lt;/b&gt;, c, d") == 2  # on the form, and at the line for a terminal
    assert "in this order" not in client(vectors).get("/").text
    many = dataclasses.replace(vectors, feature_names=tuple(f"f{i}" for i in range(21)))
    assert "<summary>All 21 names</summary>" in client(many).get("/").text
    assert "age, " not in client(named, token=TOKEN, host="example.org").get("/").text


@pytest.mark.parametrize("host", ["a.b';rm -rf ~'", '"$(id)"', "[::1", "x" * 300])
def test_a_host_that_is_no_address_stands_in_no_command(client: Client, vectors: Bundle, host: str) -> None:
    text = client(vectors, token=TOKEN, host="example.org").get("/", headers={"host": host}).text
    assert "http://localhost/predict?top=3" in text


def test_another_web_page_may_not_ask(client: Client, vectors: Bundle) -> None:
    test = client(vectors)
    body = {"samples": [[1, 2, 3, 4]]}
    for headers in ({"sec-fetch-site": "cross-site"}, {"origin": "http://evil.example"}):
        assert test.post("/predict", json=body, headers=headers).status_code == 403
    assert test.post("/predict", json=body, headers={"sec-fetch-site": "same-origin"}).status_code == 200


def test_one_name_for_the_field_everywhere(client: Client, pictures: Bundle) -> None:
    test = client(pictures)
    content = test.get("/openapi.json").json()["paths"]["/predict"]["post"]["requestBody"]["content"]
    assert [list(told["schema"]["properties"]) for told in content.values()] == [[FIELD], [FIELD]]
    assert f"-F {FIELD}=@" in test.get("/").text
    assert test.post("/predict", files=[(FIELD, ("example.png", example(), "image/png"))]).status_code == 200
    docs = (Path(__file__).resolve().parents[2] / "docs" / "serve.md").read_text()
    assert f"-F {FIELD}=@" in docs
    assert "files=@" not in docs


# -- in a browser --------------------------------------------------------------------------------------------------


@pytest.fixture
def start() -> Iterator[Callable[[Bundle | ServedRows], str]]:
    """Serves a model on a port of this machine and says where."""
    import uvicorn

    from unseen.serving.app import create_app

    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def begin(model: Bundle | ServedRows) -> str:
        served = model if isinstance(model, ServedRows) else Served(model, max_pixels=Limits().pixels)
        app = create_app(served)
        server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None))
        thread = threading.Thread(target=server.run)
        thread.start()
        running.append((server, thread))
        while not server.started:
            time.sleep(0.02)
        return f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"

    yield begin
    for server, thread in running:
        server.should_exit = True
        thread.join(30)


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[..., SimpleNamespace]]:
    """Opens a page as on a phone or a desk, with what it says."""
    contexts = []

    def go(url: str, width: int = 1200) -> SimpleNamespace:
        context = browser.new_context(viewport={"width": width, "height": 844})
        contexts.append(context)
        page, said = context.new_page(), []
        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(url)
        return SimpleNamespace(page=page, said=said)

    yield go
    for context in contexts:
        context.close()


@pytest.mark.browser
@pytest.mark.slow
def test_a_picture_is_dropped_and_the_line_is_pasted(
    start: Any, opened: Any, pictures: Bundle, tmp_path: Path, picture: Callable[..., bytes]
) -> None:
    at = opened(start(pictures))
    (tmp_path / "red.png").write_bytes(picture((255, 0, 0)))
    (tmp_path / "none.png").write_bytes(b"<svg onload=alert(1)>")
    at.page.locator("#file").set_input_files(tmp_path / "red.png")
    at.page.locator("#answers li").first.wait_for()
    names = at.page.locator("#answers li span:first-child").all_inner_texts()
    shares = at.page.locator("#answers li span:nth-child(2)").all_inner_texts()
    assert len(names) == 3
    assert all(re.fullmatch(r"\d+\.\d %", one) for one in shares)
    pasted = subprocess.run(
        ["bash", "-c", at.page.locator("#curl").inner_text()], capture_output=True, text=True, timeout=60
    )
    assert len(json.loads(pasted.stdout)["predictions"][0]["top"]) == 3, pasted.stderr
    at.page.locator("#file").set_input_files(tmp_path / "none.png")
    at.page.locator("#status", has_text="is no picture in JPEG").wait_for()
    assert at.page.locator("#answers li").count() == 0
    assert [line for line in at.said if "422" not in line] == []


@pytest.mark.browser
@pytest.mark.slow
def test_a_vector_is_typed_on_a_phone(start: Any, opened: Any, vectors: Bundle) -> None:
    at = opened(start(vectors), width=390)
    assert at.page.evaluate("document.documentElement.scrollWidth") <= 390
    at.page.locator("#sample").fill("1 2")
    at.page.get_by_role("button", name="Ask the model").click()
    at.page.locator("#status", has_text="Give 4 numbers").wait_for()
    at.page.locator("#sample").fill("0, 4, 0, 0")
    at.page.get_by_role("button", name="Ask the model").click()
    at.page.locator("#answers li").first.wait_for()
    assert at.page.locator("#answers li span").first.inner_text() == "bee"
    sizes = at.page.locator("button:visible, textarea:visible").evaluate_all("all => all.map(b => b.offsetHeight)")
    assert min(sizes) >= 40
    assert at.said == []


@pytest.mark.browser
@pytest.mark.slow
def test_rows_of_a_model_that_names_no_classes_are_lines_a_mask_in_its_colours_or_a_curve(
    start: Any, opened: Any, tmp_path: Path, picture: Callable[..., bytes]
) -> None:
    from saved_kinds import forecaster, segmenter, tagger
    from unseen import jobs

    def served(folder: Path) -> ServedRows:
        kind, place = jobs.saved_model(folder) or pytest.fail("it is not known")
        return ServedRows.of(kind, place, max_pixels=10**6)

    at = opened(start(served(tagger(tmp_path)[0])), width=390)
    assert at.page.title() == "Ask the model · unseen serve"
    at.page.locator("#sample").fill("because the risk rises . <b>")
    at.page.locator("button.primary").click()
    at.page.locator("#answers li").first.wait_for()
    assert at.page.locator("#answers li").inner_text().startswith("Premise 'risk")
    assert at.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    at = opened(start(served(segmenter(tmp_path)[0])))
    (tmp_path / "red.png").write_bytes(picture((255, 0, 0)))
    at.page.locator("#file").set_input_files(tmp_path / "red.png")
    mask = at.page.locator("#answers img.mask")
    mask.wait_for()
    assert mask.evaluate("mask => mask.decode().then(() => mask.naturalWidth > 0)")
    assert at.page.locator("#answers .key").count() == 1
    assert at.said == []
    model = served(forecaster(tmp_path)[0])
    at = opened(start(model))
    (tmp_path / "tide.csv").write_bytes(model.example or b"")
    at.page.locator("#file").set_input_files(tmp_path / "tide.csv")
    at.page.locator("#answers svg.curve").wait_for()
    assert at.page.locator("#answers .band").evaluate("band => band.getBBox().height > 10")
    at.page.locator("#answers summary").click()
    assert len(at.page.locator("#answers pre").inner_text().splitlines()) == 4
    assert at.said == []
