"""The page of questions in a real browser: keys, undo, the file of answers, and its grade."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain, Lazy
from unseen.data.sounds import Sound
from unseen.verification import Question, grade, read_answers, read_times, write_page

CHOICES = ("ant", "bee", "كلاب", "<i>dog</i>", "eel")

pytestmark = pytest.mark.browser


@pytest.fixture
def target() -> Domain:
    rng = np.random.default_rng(0)
    return Domain(x=rng.integers(0, 255, (4, 50, 80, 3)).astype(np.uint8), kind="image", name="zoo")


@pytest.fixture
def opened(browser: Any, target: Domain, tmp_path: Path) -> Iterator[SimpleNamespace]:
    """The page with four questions, offline, with what it says and asks for."""
    questions = [Question(i, str(target.ids[i]), str(d), CHOICES, 1 + i) for i, d in enumerate(target.digests())]
    write_page(tmp_path / "verify.html", questions, target, "unseen verify run zoo --answers answers.json")
    context = browser.new_context(offline=True, accept_downloads=True)
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto((tmp_path / "verify.html").as_uri())
    yield SimpleNamespace(page=page, said=said, digests=[one.digest for one in questions])
    context.close()


def test_keys_answer_and_the_downloaded_file_is_graded(opened: SimpleNamespace, target: Domain, tmp_path: Path) -> None:
    page = opened.page
    page.keyboard.press("1")
    page.keyboard.press("5")
    page.keyboard.press("u")  # takes the 5 back
    page.keyboard.press("4")
    page.keyboard.press("ArrowRight")  # leaves the third open
    page.keyboard.press("7")  # no such choice
    with page.expect_download() as waiting:
        page.keyboard.press("n")
        assert page.locator("#place").inner_text() == "3 of 4, 3 answered"
        page.keyboard.press("3")
    waiting.value.save_as(tmp_path / "answers.json")
    assert waiting.value.suggested_filename == "answers.json"
    found = read_answers(tmp_path / "answers.json")
    assert found == dict(zip(opened.digests, ["ant", "<i>dog</i>", "كلاب", None]))
    assert read_times(tmp_path / "answers.json") == dict(zip(opened.digests, (1, 2, 3, 4)))
    assert page.locator("#end").is_visible()
    assert opened.said == []

    class Model:
        classes = ClassSpace(names=CHOICES)

        def predict(self, samples: Domain) -> pd.DataFrame:
            return pd.DataFrame({"class": ["ant"] * len(samples)})

    result = grade(Model(), target, found)  # type: ignore[arg-type]
    assert (result.accuracy.right, result.accuracy.of, result.none) == (1, 4, 1)


def test_buttons_do_what_keys_do_and_a_part_can_be_downloaded(opened: SimpleNamespace, tmp_path: Path) -> None:
    page = opened.page
    assert page.locator("#save").is_disabled()
    page.locator("#choices button").nth(1).click()
    page.locator("#none").click()
    page.locator("#undo").click()
    with page.expect_download() as waiting:
        page.locator("#save").click()
    waiting.value.save_as(tmp_path / "part.json")
    assert read_answers(tmp_path / "part.json") == {opened.digests[0]: "bee"}
    page.keyboard.press("ArrowLeft")
    pressed = page.locator('#choices button[aria-pressed="true"]')
    assert pressed.inner_text().split() == ["2", "bee"]


def test_nothing_is_marked_and_names_are_text(opened: SimpleNamespace) -> None:
    page = opened.page
    assert page.locator('[aria-pressed="true"]').count() == 0
    assert page.locator("#choices i").count() == 0
    assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    assert page.locator("#name").inner_text() == ""


@pytest.mark.parametrize("width", [1200, 390])
def test_the_page_fits(opened: SimpleNamespace, width: int) -> None:
    opened.page.set_viewport_size({"width": width, "height": 844})
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width


# -- many classes --------------------------------------------------------------------------------------------------

MANY = (*CHOICES, *(f"animal {i}" for i in range(60)), "Zürcher Katze", "sea cucumber")


@pytest.fixture
def many(browser: Any, target: Domain, tmp_path: Path) -> Iterator[SimpleNamespace]:
    """The page of a model with more classes than stand beside a sample, on a phone."""
    questions = [Question(i, str(target.ids[i]), str(d), CHOICES) for i, d in enumerate(target.digests())]
    write_page(tmp_path / "many.html", questions, target, "unseen verify run zoo --answers answers.json", MANY)
    context = browser.new_context(offline=True, accept_downloads=True, viewport={"width": 390, "height": 844})
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto((tmp_path / "many.html").as_uri())
    yield SimpleNamespace(page=page, said=said, digests=[one.digest for one in questions])
    context.close()


def test_every_class_is_found_by_its_name_with_keys_alone(many: SimpleNamespace, tmp_path: Path) -> None:
    page = many.page
    page.keyboard.press("/")
    page.keyboard.type("zurch")  # letters typed here answer nothing, accents are not needed
    assert page.locator("#found li").all_inner_texts() == ["Zürcher Katze"]
    page.keyboard.press("Enter")
    assert page.locator("#place").inner_text() == "2 of 4, 1 answered"
    page.keyboard.press("/")
    page.keyboard.type("cu")
    assert page.locator("#found li").first.inner_text() == "sea cucumber"  # a word begins so
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.keyboard.type("animal 1")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowLeft")
    assert page.locator("#search").input_value() == "animal 10"  # what was answered is shown
    with page.expect_download() as waiting:
        page.locator("#save").click()
    waiting.value.save_as(tmp_path / "part.json")
    assert read_answers(tmp_path / "part.json") == dict(zip(many.digests, ["Zürcher Katze", "animal 10"]))
    assert many.said == []


def test_the_search_is_used_with_a_finger_and_fits_a_phone(many: SimpleNamespace) -> None:
    page = many.page
    page.locator("#search").fill("animal 5")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    sizes = page.locator("button:visible, input:visible").evaluate_all("all => all.map(b => b.offsetHeight)")
    assert min(sizes) >= 40
    page.locator("#found button").nth(1).click()
    assert page.locator("#place").inner_text() == "2 of 4, 1 answered"


def test_a_sound_is_played_and_its_name_is_not_told(browser: Any, tmp_path: Path) -> None:
    sounds = [Sound(0.3 * np.sin(np.arange(8000, dtype=np.float32) / k), 8000, 1.0) for k in (3, 30)]
    target = Domain(x=Lazy([0, 1], sounds.__getitem__), kind="audio", ids=np.array(["cat/a", "dog/b"]), name="zoo")
    questions = [Question(i, str(target.ids[i]), f"{i:02x}", ("cat", "dog")) for i in range(2)]
    write_page(tmp_path / "heard.html", questions, target, "unseen verify run zoo --answers answers.json")
    page = browser.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto((tmp_path / "heard.html").as_uri())
    page.wait_for_function("document.getElementById('sound').duration > 0")
    assert page.evaluate("document.getElementById('sound').duration") == pytest.approx(1.0, abs=0.05)
    assert page.locator("#sound").is_visible()
    assert page.locator("#picture").is_hidden()
    assert page.locator("#name").inner_text() == ""
    assert said == []
    page.close()
