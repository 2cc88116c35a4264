"""The parts of LAION-5B's claim that can be wrong by themselves: the books, the small towers, the captions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from unseen.claims import arms, laion_site, small_web, worlds
from unseen.curation.accounting import Accounting
from unseen.data import sources
from unseen.data.domain import Domain
from unseen.data.simulate.web import FAULTS, Link, Thing
from unseen.data.simulate.web import small_web as build

THINGS = [
    Thing(f"v/{i}", Image.new("RGB", (32, 32), (9 * i, 20, 30)), {"en": f"a plain square, number {i}"})
    for i in range(12)
]


@pytest.fixture(autouse=True)
def _nothing_remembered() -> Iterator[None]:
    """Stamps that a test puts in the place of others are not there for the next one."""
    worlds.stamps.cache_clear()
    yield
    worlds.stamps.cache_clear()


def test_every_planted_fault_has_a_reason_that_the_books_must_show() -> None:
    planted = [kind for kinds in laion_site.EXPECTED.values() for kind in kinds]
    assert sorted(planted) == sorted(FAULTS)


def test_a_site_without_stamps_is_one_of_emoji_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def lacking() -> Any:
        raise sources.SourceUnavailable("no apt here")

    monkeypatch.setattr(sources, "stamps", lacking)
    assert small_web.stamps.__wrapped__() == ()
    assert "emoji alone, no stamps: no apt here" in caplog.text


def test_stamps_bring_their_captions_and_a_short_one_is_put_in_more_words(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {f"caption_{code}": np.array(["", ""]) for code in small_web.FORMS}
    told |= {"caption_en": np.array(["A cat.", "A red pear."]), "caption_zh": np.array(["猫。", ""])}
    drawn = Domain(x=[THINGS[0].picture, THINGS[1].picture], kind="image", ids=np.array(["s/a", "s/b"]), columns=told)
    monkeypatch.setattr(sources, "stamps", lambda: drawn)
    cat, pear = small_web.stamps.__wrapped__()
    assert (cat.key, dict(cat.captions)) == ("s/a", {"en": "a picture of A cat", "zh": "这是一张猫的图片"})
    assert (pear.key, dict(pear.captions)) == ("s/b", {"en": "A red pear."})


def test_emoji_and_stamps_are_graded_apart() -> None:
    """Of the vendor every true caption is nearer than a wrong one, of stamps it is the other way round."""
    kinds = ["clean", "clean", "mismatched", "mismatched"] * 2
    links = [Link(f"/img/{i}.jpg", "", kind, f"{'v' if i < 4 else 'stamps'}/{i}", "en") for i, kind in enumerate(kinds)]
    similarity = np.array([0.9, 0.8, 0.2, 0.1, 0.1, 0.2, 0.8, 0.9])
    run = laion_site.Run(
        None, None, [], np.array(["en"] * 8), similarity, similarity > 0.5, "", None  # type: ignore[arg-type]
    )  # fmt: skip
    emoji = laion_site.of_vendor("v", links)
    assert emoji.tolist() == [True] * 4 + [False] * 4
    vendor, stamps = (laion_site._graded(run, links, own, 0)["similarity"] for own in (emoji, ~emoji))
    assert [vendor[m] for m in ("average precision", "precision", "recall")] == [1, 1, 1]
    assert [stamps[m] for m in ("precision", "recall")] == [0, 0]
    assert stamps["average precision"] == pytest.approx((1 / 3 + 2 / 4) / 2)


def test_books_that_are_right_miss_nothing_and_a_shifted_link_is_two_misses() -> None:
    web = build(THINGS, n_pages=4, each_fault=1)
    right = {reason: len(kinds) for reason, kinds in laion_site.EXPECTED.items()}
    assert laion_site.misses(Accounting(sum(right.values()) + 12, 12, right), web) == 0
    (first, second) = list(right)[:2]
    wrong = {**right, first: right[first] - 1, second: right[second] + 1}
    assert laion_site.misses(Accounting(sum(right.values()) + 12, 12, wrong), web) == 2
    extra = {**right, ("checks", "something new"): 1}
    assert laion_site.misses(Accounting(sum(right.values()) + 13, 12, extra), web) == 1


def test_hashed_words_are_of_fixed_length_and_know_scripts_without_spaces() -> None:
    grams = small_web.Grams()
    table = grams(["a red apple", "", "赤いりんごのイラスト", "word " * 500])
    assert table.shape == (4, small_web.LENGTH)
    assert table.max() < small_web.BUCKETS
    assert (table > 0).sum(dim=1).min() >= 1
    shared = set(table[2].tolist()) & set(grams(["りんごの絵"])[0].tolist()) - {0}
    assert len(shared) >= 3
    assert torch.equal(grams(["A  Red, apple."]), grams(["a red apple"]))


def test_the_discriminant_points_along_what_tells_things_apart_not_along_what_varies_most() -> None:
    rng = np.random.default_rng(0)
    shows = np.repeat(np.arange(40), 5)
    features = rng.normal(size=(200, 3)) * [0.1, 5.0, 1.0] + 7
    features[:, 0] += rng.normal(size=40)[shows]
    image = small_web.discriminant(torch.from_numpy(features).float(), shows, dim=1)
    weight = image.weight[0].abs() / image.weight[0].norm()
    assert weight[0] > 0.99
    assert abs(float(image(torch.from_numpy(features).float()).mean())) < 1e-2 * float(image.weight.norm())


def test_a_thing_that_was_drawn_once_says_nothing_about_how_drawings_of_one_thing_differ() -> None:
    rng = np.random.default_rng(0)
    features, shows = torch.from_numpy(rng.normal(size=(60, 4))).float(), np.repeat(np.arange(20), 3)
    alone = features.mean(dim=0, keepdim=True)  # so that the means of things vary as before, but for a factor
    image = small_web.discriminant(features, shows, dim=2)
    again = small_web.discriminant(torch.cat([features, alone]), np.append(shows, 20), dim=2)
    cosines = torch.nn.functional.cosine_similarity(image.weight, again.weight).abs()
    assert cosines.min() > 0.9999


def test_texts_are_read_to_the_place_of_what_they_are_of_and_words_of_all_say_nothing() -> None:
    places = torch.nn.functional.normalize(torch.randn(50, 16, generator=torch.Generator().manual_seed(0)), dim=1)
    names = [f"thing{i}" for i in range(50)]
    text = small_web.reader([[f"a picture of {name}", f"{name} und {name}, eine Zeichnung"] for name in names], places)
    read = text(small_web.Grams()(names))
    assert (read @ places.T).argmax(dim=1).tolist() == list(range(50))
    common = text(small_web.Grams()(["a picture of"]))
    assert (common @ places.T).max() < (read * places).sum(dim=1).min()


def test_towers_learn_pairs_and_name_pictures_better_than_chance() -> None:
    rng = torch.Generator().manual_seed(0)
    features = torch.randn(60, 1280, generator=rng)
    names = [f"thing{i} of kind {i}" for i in range(60)]
    towers = small_web.learn(features, [[name] for name in names], seed=0, n_steps=60)
    assert small_web.grade(towers, features, names, names, 60)["R@1"] > 0.8
    again = small_web.learn(features, [[name] for name in names], seed=0, n_steps=60)
    assert torch.equal(towers.image[-1].weight, again.image[-1].weight)


@pytest.mark.parametrize("n", [5, 60, 200])
def test_steps_are_as_many_as_asked_for_whatever_the_number_of_pairs(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(arms, "train", lambda *args, **told: asked.append(told))
    small_web.learn(torch.randn(n, 1280), [["a thing"]] * n, seed=0, n_steps=37, batch=64)
    assert asked[0]["epochs"] * asked[0]["steps_per_epoch"] == 37


def test_grades_are_perfect_where_pictures_and_names_agree_and_chance_where_they_do_not() -> None:
    rng = torch.Generator().manual_seed(0)
    features = torch.randn(40, 1280, generator=rng)
    names = [f"thing{i} of kind{i % 4}" for i in range(40)]
    groups = [f"kind{i % 4}" for i in range(40)]
    towers = small_web.learn(features, [[name] for name in names], seed=0, n_steps=80, hidden=64, buckets=512)
    right = small_web.grade(towers, features, groups, names, 40)
    assert right["R@1"] > 0.9
    assert right["classification"] > 0.9
    wrong = small_web.grade(towers, features.roll(1, dims=0), groups, names, 40)
    assert wrong["R@1"] < 0.1
    assert wrong["classification"] < 0.5


def test_links_tell_what_is_shown_and_what_the_caption_is_of() -> None:
    web = build(THINGS, n_pages=4, each_fault=1)
    captions = {one.key: one.captions["en"] for one in THINGS}
    for link in web.links:
        if link.kind in ("clean", "mismatched"):
            assert captions[link.told_key] == link.alt
            assert (link.told_key == link.key) == (link.kind == "clean")
        if link.kind == "boilerplate":
            assert link.told_key == ""


@pytest.mark.parametrize("locale", list(small_web.FORMS))
def test_captions_hold_the_name_in_every_language(locale: str) -> None:
    for code in ("1F600", "1F34E", "1F697", "2600"):
        assert "NAME" in small_web._caption(locale, "NAME", ("tag",), code)
