"""`unseen index` and `unseen explore` as real processes, and the page in a real browser."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("faiss", reason="an index needs `pip install unseen[curate]`")

from unseen import encoders
from unseen.curation.collection import EncoderRecord, write_record, write_shard
from unseen.data.domain import Domain

from .conftest import NASTY, picture, uid

CAPTIONS = ("a red car", "a green tree", "a blue bird", "a yellow flower", "a dark night", "a white house")
ENVIRONMENT = {key: value for key, value in os.environ.items() if key != "UNSEEN_TOKEN"} | {"OMP_NUM_THREADS": "1"}
TOKEN = "a token of 16 and more"


def command(*arguments: Any) -> list[str]:
    return [sys.executable, "-m", "unseen.cli", *map(str, arguments)]


def run(*arguments: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), env=ENVIRONMENT, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 pairs whose vectors are those of their captions by `minilm`, under the name of a two-tower encoder."""
    folder = tmp_path_factory.mktemp("explore") / "birds and cars"
    encoder = encoders.get("lite-clip", precision="fp32")
    texts = [f"{CAPTIONS[i % 6]}, number {i // 6}" for i in range(48)]
    texts[6] = f"{NASTY} a red car"
    vectors = encoder.text.encode(Domain(x=texts, kind="text"), cache=False).x  # type: ignore[attr-defined]
    colours = 255 * np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0.1, 0.1, 0.1], [0.9, 0.9, 0.9]])
    pictures = [picture(colours[i % 6]) for i in range(48)]
    language = [("en", "de")[i % 2] for i in range(48)]
    table = {"uid": [uid(i) for i in range(48)], "text": texts, "language": language, "_note": ["private"] * 48}
    table["sha256"] = [hashlib.sha256(content).hexdigest() for content in pictures]  # equal files are grouped
    scores = {"punsafe": pa.array([0.9 if i == 0 else 0.1 for i in range(48)], pa.float32())}
    width = pa.array([40 + i for i in range(48)], pa.int32())
    write_record(folder, EncoderRecord(encoder.name, encoder.fingerprint, encoder.dim))
    sides = {"image": vectors, "text": vectors}
    write_shard(folder, 0, pa.table({**table, **scores, "width": width, "height": width}), pictures, sides)
    return folder


@pytest.fixture(scope="module")
def built(data: Path) -> Path:
    done = run("index", data, "--side", "image", "--memory", "1GB", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["key"] == "Flat"
    return data


@pytest.fixture(scope="module")
def start(built: Path) -> Iterator[Callable[..., tuple[subprocess.Popen[str], str]]]:
    running: list[subprocess.Popen[str]] = []

    def begin(*arguments: str, **more: str) -> tuple[subprocess.Popen[str], str]:
        order = command("explore", built, "--port", "0", *arguments)
        process = subprocess.Popen(order, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT | more)
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
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_a_collection_is_searched_and_exported_from_the_shell(built: Path, tmp_path: Path) -> None:
    found = run(
        "explore", built, "--query", "a green tree", "--query", "night::0.2", "--k", "3", "--duplicates", "--json"
    )
    assert found.returncode == 0, found.stderr
    hits = json.loads(found.stdout)["hits"]
    nearness = [hit["query_similarity"] for hit in hits]  # not the similarity of a pair's picture and caption
    assert nearness == sorted(nearness, reverse=True)
    assert [hit["row"] % 6 for hit in hits] == [1] * 3
    assert not {"_note", "offset", "size"} & set(hits[0])
    file = tmp_path / "subset.parquet"
    where = ("--where", "language=de", "--where", "width=50:")
    done = run("explore", built, "--query", "a green tree", "--above", "0.6", *where, "--export", file)
    assert done.returncode == 0, done.stderr
    rows = pq.read_table(file).to_pylist()
    assert rows
    assert all(row["language"] == "de" and row["width"] >= 50 and row["query_similarity"] >= 0.6 for row in rows)
    plain = run("explore", built, "--row", "6", "--k", "1")
    assert plain.stdout.split()[1] == "6"
    for wrong, told in (
        (("explore", built, "--export", file), "name what to look for"),
        (("explore", built, "--query", "tree", "--export", tmp_path / "a.exe"), "export must name a file"),
        (("explore", built, "--query", "tree", "--where", "width"), "--where takes"),
        (("explore", built, "--query", "tree", "--side", "text"), "there is no index of texts"),
        (("explore", tmp_path), "is no collection of pairs"),
        (("explore", built, "--host", "0.0.0.0"), "so a token is needed"),
        (("index", built, "--add"), "there is nothing to add"),
        (("index", built, "--memory", "lots"), "memory must be a size"),
    ):
        refused = run(*wrong)
        assert (refused.returncode, told in refused.stderr) == (1, True), refused.stderr
        assert "Traceback" not in refused.stderr


@pytest.mark.slow
def test_the_process_serves_the_client_and_ends_with_0(start: Callable[..., Any]) -> None:
    from unseen.explorer import ExplorerClient

    process, url = start(UNSEEN_TOKEN=TOKEN)
    with ExplorerClient(url) as stranger, pytest.raises(ValueError, match="the token is missing or wrong"):
        stranger.indices()
    with ExplorerClient(url, token=TOKEN) as client:
        found = client.search(texts="a blue bird", k=4, deduplicate=False)
        assert [hit["row"] % 6 for hit in found["hits"]] == [2] * 4
        assert found["seconds"] < 2
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0


def until(page: Any, condition: str, seconds: float = 30.0) -> None:
    """Wait for a condition of the page; its policy forbids what Playwright's own waiting would run in it."""
    end = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < end, condition
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.browser
def test_a_person_searches_filters_and_downloads(start: Callable[..., Any], browser: Any, tmp_path: Path) -> None:
    _, url = start("--build")
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    page = context.new_page()
    asked: list[str] = []
    wrong: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.goto(url)
    page.wait_for_selector("#facets fieldset")
    assert page.inner_text("h1") == "birds and cars"

    page.wait_for_selector(".card")
    page.uncheck("#deduplicate")
    page.fill("#words", "a red car")
    page.keyboard.press("Enter")
    until(page, "document.getElementById('status').textContent.includes('results')")
    captions = page.locator(".caption").all_inner_texts()
    assert sum("red car" in caption for caption in captions[:7]) == 7
    assert any(NASTY in caption for caption in captions)  # as text
    assert page.title() == "birds and cars · unseen explore"
    assert page.locator(".caption script, .caption img").count() == 0
    assert "a red car, number 0" not in captions  # it is unsafe
    page.uncheck("#safe")
    until(page, "[...document.querySelectorAll('.caption')].some((c) => c.textContent === 'a red car, number 0')")
    until(page, "[...document.querySelectorAll('.shot img')].slice(0, 3).every((i) => i.naturalWidth > 0)")
    page.screenshot(path=str(tmp_path / "search.png"))

    page.check("[data-facet='language/de']")
    until(page, "document.getElementById('status').textContent.includes('among 24 rows')")
    page.click("#clear")
    until(page, "!document.getElementById('status').textContent.includes('among')")

    page.click("#add")
    page.fill("#words", "a dark night")
    page.keyboard.press("Enter")
    until(page, "document.querySelectorAll('.term').length === 1")
    page.fill(".term input", "-1")
    page.keyboard.press("Tab")
    until(page, "document.querySelector('.caption').textContent.includes('dark night')")
    page.fill(".term input", "0")  # put aside, as it says, not 1
    page.keyboard.press("Tab")
    until(page, "document.querySelector('.caption').textContent.includes('dark night')")
    assert page.input_value(".term input") == "0"
    page.click(".term button")
    assert page.evaluate("document.activeElement.id") == "words"

    page.check("#deduplicate")
    page.fill("#words", "a blue bird")
    page.keyboard.press("Enter")
    page.wait_for_selector(".alike")
    page.locator(".alike").first.click()
    assert page.locator(".alike").first.get_attribute("aria-expanded") == "true"
    assert page.locator(".group img").count() >= 1

    page.locator(".pick input").first.check()
    page.select_option("#format", "csv")
    with page.expect_download() as waiting:
        page.click("#download")
    lines = Path(waiting.value.path()).read_text().splitlines()
    assert len(lines) == 2
    assert "blue bird" in lines[1]
    page.click("#untick")
    assert page.locator(".pick input:checked").count() == 0
    assert page.inner_text("#download").startswith("Download all ")
    assert page.evaluate("document.activeElement.id") == "all"

    page.locator(".like").first.focus()
    page.keyboard.press("Enter")
    until(page, "document.querySelector('.term .what')?.textContent.startsWith('like:')")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith("Weight of like:")
    said = page.evaluate("[...document.querySelectorAll('.like')].map((e) => e.getAttribute('aria-label'))")
    assert all(one.startswith("Neighbours of ") for one in said)
    page.click(".term button")

    (tmp_path / "new.png").write_bytes(picture((250, 0, 0)))
    page.set_input_files("#picture", str(tmp_path / "new.png"))
    page.wait_for_selector(".term img")

    unnamed = page.evaluate(
        "[...document.querySelectorAll('input,select,button')].filter((e) => !e.labels?.length && "
        "!e.textContent.trim() && !e.getAttribute('aria-label')).map((e) => e.outerHTML)"
    )
    assert unnamed == []
    assert wrong == []
    assert [one for one in asked if not one.startswith((url, "blob:"))] == []
    context.close()
