"""One glossary: what the package says and what the documentation says are the same."""

from __future__ import annotations

import re
from pathlib import Path

from unseen.report.glossary import GLOSSARY, REPORT_WORDS

PAGE = Path(__file__).parents[2] / "docs" / "words.md"


def test_the_page_of_words_holds_the_glossary_and_nothing_else() -> None:
    rows = re.findall(r"^\| (.+?) \| (.+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert {word.strip("`"): meaning for word, meaning in rows if word != "Word"} == GLOSSARY


def test_words_of_the_report_are_of_the_glossary() -> None:
    assert set(REPORT_WORDS.items()) <= set(GLOSSARY.items())
