"""The small web: what was planted is what is served."""

from __future__ import annotations

import http.client
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unseen.data.simulate.web import FAULTS, Thing, crawl, png_bomb, rendered, serve, small_web

THINGS = [
    Thing(f"t{i}", Image.new("RGB", (32, 32), (9 * i, 20, 30)), {"en": f"a plain square, number {i}"})
    for i in range(20)
]


def test_every_fault_is_planted_as_often_as_was_asked_for_and_half_of_the_captions_are_wrong() -> None:
    web = small_web(THINGS, n_pages=6, each_fault=2)
    assert {kind: web.counts[kind] for kind in FAULTS} == dict.fromkeys(FAULTS, 2)
    assert web.counts["clean"] == 10
    assert web.counts["mismatched"] + web.counts["boilerplate"] == 10
    captions = {thing.key: thing.captions["en"] for thing in THINGS}
    for link in web.links:
        if link.kind == "clean":
            assert link.alt == captions[link.key]
        if link.kind == "mismatched":
            assert link.alt != captions[link.key]
    assert sum(link.watermark for link in web.links) == 2
    again = small_web(THINGS, n_pages=6, each_fault=2)
    assert again.links == web.links
    assert again.answers == web.answers
    assert small_web(THINGS, n_pages=6, each_fault=2, seed=1).links != web.links


@pytest.mark.parametrize("seed", range(5))
def test_on_no_page_does_a_planted_link_repeat_an_address_other_than_those_that_are_to(seed: int) -> None:
    web = small_web(THINGS, n_pages=3, each_fault=5, seed=seed)
    read = iter(web.links)
    repeated = 0
    for page in web.pages.values():
        sources = [next(read).source for _ in range(page.count(b"<img"))]
        repeated += len(sources) - len(set(sources))
    assert repeated == web.counts["repeated"] == 5


def test_the_server_answers_for_pages_and_pictures_and_a_crawl_holds_all_pages(tmp_path: Path) -> None:
    web = small_web(THINGS, n_pages=6, each_fault=1)
    with serve(web) as address:
        connection = http.client.HTTPConnection(address.partition("://")[2])
        for path, status in (("/pages/00000.html", 200), ("/img/00000.jpg", 200), ("/missing/0000.jpg", 404)):
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
            assert answer.status == status
            if path in web.answers:
                assert body == web.answers[path].body
        connection.close()
        pytest.importorskip("warcio")
        crawl(address, web, tmp_path / "a.warc.gz")
    from warcio.archiveiterator import ArchiveIterator

    with (tmp_path / "a.warc.gz").open("rb") as stream:
        pages = [record.content_stream().read() for record in ArchiveIterator(stream)]
    assert pages == list(web.pages.values())


def test_pictures_differ_by_layout_and_a_watermark_shows() -> None:
    one, same, other = (rendered(THINGS[3].picture, np.random.default_rng(seed)) for seed in (0, 0, 1))
    marked = rendered(THINGS[3].picture, np.random.default_rng(0), watermark=True)
    plain, again, else_, drawn = (np.asarray(image, dtype=np.int16) for image in (one, same, other, marked))
    assert np.array_equal(plain, again)
    assert np.abs(plain - else_).mean() > 5
    assert 2 < np.abs(plain - drawn).mean() < 60


def test_a_bomb_is_small_and_whole() -> None:
    with Image.open(io.BytesIO(png_bomb(64))) as image:
        image.load()
        assert image.size == (64, 64)
    assert len(png_bomb()) < 50_000


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="two pages and two things"):
        small_web(THINGS[:1], n_pages=5, each_fault=0)
    with pytest.raises(ValueError, match="each_fault"):
        small_web(THINGS, n_pages=5, each_fault=11)
