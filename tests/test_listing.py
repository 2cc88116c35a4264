"""`unseen methods` without importing one: the list that is kept says what the cards say."""

from __future__ import annotations

import json

import pytest

from unseen import catalogue
from unseen.methods import listing


def test_the_list_that_is_kept_is_that_of_the_cards() -> None:
    kept = json.loads(listing.resources.files("unseen.methods").joinpath(listing.FILE).read_text(encoding="utf-8"))
    assert kept == catalogue.listing(), "run: python docs/generate.py"


@pytest.mark.parametrize(
    ("text", "given"),
    [("", None), ("prompt", None), ("", ["source", "target"]), ("domain", ["source"]), ("nothing", [])],
)
def test_the_same_systems_are_found_as_in_the_catalogue(text: str, given: list[str] | None) -> None:
    found = listing.search(text, given)
    assert found is not None
    assert [line.slug for line in found] == [entry.slug for entry in catalogue.search(text, given)]
    assert [line.built for line in found] == [entry.built for entry in catalogue.search(text, given)]


def test_words_that_no_list_knows_are_left_to_the_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    assert listing.search("", ["sauce"]) is None
    monkeypatch.setattr("unseen.plugins.found", lambda group: {"mine": object()})
    assert listing.search() is None


def test_what_cannot_be_searched_for_and_settings_that_are_none_are_told() -> None:
    with pytest.raises(TypeError, match="text must be a text; got 3"):
        catalogue.search(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"settings: coral has no 'zzz'\. It has random_state"):
        catalogue.make("coral", zzz=1)
