"""LAION-5B's decisions: pages to candidates, languages, the Bloom filter, pictures, similarity, safety."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError
from PIL import Image, ImageDraw, ImageFont

from unseen.methods.curation.laion import accept, parse, safety, similarity
from unseen.methods.curation.laion.bloom import BloomFilter
from unseen.methods.curation.laion.language import languages, stream_of

# -- pages (check 2) -----------------------------------------------------------------------------------------

GOLDEN = """<!doctype html><html><head><title>t</title></head><body>
<a href="https://creativecommons.org/licenses/by-sa/4.0/">licence</a>
<img src="http://x.org/one.jpg" alt="A valid caption">
<img src="two.jpg" alt="four">
<img src="three.svg" alt="A drawing of lines">
<img src="data:image/png;base64,AAAA" alt="A picture inside">
<img src="http://x.org/one.jpg" alt="The same, said otherwise">
<img src="pics/five.jpg" alt="Relative to the page">
<img src="six.jpg" alt="Caf&eacute; &amp; bar">
<img src="seven.jpg" alt="яблоко лежит на деревянном столе в кухне">
</body></html>""".encode()


def test_the_golden_page_gives_what_a_person_reads_on_it() -> None:
    found = parse.parse_page(parse.Page("http://x.org/dir/page.html", GOLDEN))
    assert [(one.url, one.text, one.reason) for one in found] == [
        ("http://x.org/one.jpg", "A valid caption", ""),
        ("http://x.org/dir/two.jpg", "four", parse.SHORT_TEXT),
        ("http://x.org/dir/three.svg", "A drawing of lines", parse.BAD_FORMAT),
        ("data:image/png;base64,AAAA", "A picture inside", parse.INLINE),
        ("http://x.org/one.jpg", "The same, said otherwise", parse.REPEATED),
        ("http://x.org/dir/pics/five.jpg", "Relative to the page", ""),
        ("http://x.org/dir/six.jpg", "Café & bar", ""),
        ("http://x.org/dir/seven.jpg", "яблоко лежит на деревянном столе в кухне", ""),
    ]
    assert {one.license for one in found} == {"https://creativecommons.org/licenses/by-sa/4.0/"}
    spoken = languages([one.text for one in found])
    assert stream_of(spoken[-1]) == "multi"


def test_a_page_without_a_licence_says_so_and_a_base_moves_its_links() -> None:
    page = parse.Page("http://x.org/a/b.html", b"<base href='http://y.org/c/'><img src='d.png' alt='hello there'>")
    (found,) = parse.parse_page(page)
    assert (found.url, found.license, found.reason) == ("http://y.org/c/d.png", "?", "")


def test_a_wat_record_gives_what_its_page_gives() -> None:
    links = [
        {"path": "A@/href", "url": "https://creativecommons.org/licenses/by/4.0/"},
        {"path": "IMG@/src", "url": "one.jpg", "alt": "A valid caption"},
        {"path": "IMG@/src", "url": "two.svg", "alt": "A drawing"},
        {"path": "A@/href", "url": "three.jpg", "alt": "no picture of the page"},
    ]
    record = {"Envelope": {"Payload-Metadata": {"HTTP-Response-Metadata": {"HTML-Metadata": {"Links": links}}}}}
    found = parse.candidates(parse.read_wat(record, "http://x.org/p/q.html"))
    assert [(one.url, one.reason) for one in found] == [
        ("http://x.org/p/one.jpg", ""),
        ("http://x.org/p/two.svg", parse.BAD_FORMAT),
    ]
    assert parse.read_wat({"Envelope": None}, "http://x.org/").images == ()


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("http://[1/a.jpg", parse.BAD_URL),
        ("ftp://x.org/a.jpg", parse.BAD_URL),
        ("file:///etc/passwd", parse.BAD_URL),
        ("http://user:secret@x.org/a.jpg", parse.BAD_URL),
        ("http://x.org:99999/a.jpg", parse.BAD_URL),
        ("", parse.BAD_URL),
        (f"http://{'a' * 61}/a.jpg", parse.LONG_HOST),
        (f"http://{'a' * 60}/a.jpg", ""),
        ("http://x.org/a.GIF?size=3", parse.BAD_FORMAT),
        ("JavaScript:alert(1)", parse.INLINE),
        ("http://x.org/a.gif.jpg", ""),
    ],
)
def test_a_url_that_cannot_be_a_picture_is_dropped_with_its_reason(source: str, reason: str) -> None:
    assert parse.judge("", source, "a fine caption")[2] == reason


def test_captions_are_one_clean_line() -> None:
    assert parse.clean("a\nb|c\td") == "a b c d"
    assert parse.clean("sch\u00c3\u00b6n") == "schön"  # UTF-8 read as Latin-1
    assert parse.clean("ab\x00\x07\u202egnp\u2066c\ud800") == "abgnpc\ufffd"  # half a surrogate is no letter
    assert parse.clean("می\u200cخواهم") == "می\u200cخواهم"  # a joiner is spelling
    assert len(parse.clean("x" * 2_000_000)) == parse.MOST


@given(st.text(max_size=300))
@settings(max_examples=25, deadline=None)
def test_a_cleaned_caption_has_no_controls_and_is_short_enough_for_any_text(text: str) -> None:
    found = parse.clean(text)
    assert len(found) <= parse.MOST
    assert all(letter.isprintable() or letter in "\u200c\u200d" for letter in found)
    assert found == found.strip()
    found.encode()


def test_html_is_decoded_by_header_then_by_itself_then_as_utf8() -> None:
    assert parse.decode("ä".encode("latin-1"), "iso-8859-1") == "ä"
    assert "ж" in parse.decode('<meta charset="windows-1251">ж'.encode("cp1251"))
    assert parse.decode("ä".encode()) == "ä"
    assert parse.decode(b"\xff", "no-such-charset") == "\ufffd"


def test_a_byte_order_mark_comes_before_the_header_and_the_header_before_the_page() -> None:
    page = '<meta charset="windows-1251"><p>grüße 雪</p>'
    for name in ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"):
        assert parse.decode(f"\ufeff{page}".encode(name), "windows-1251") == page
    assert parse.decode(page.encode("utf-16-le"), "UTF-16") == page
    assert parse.decode(page.encode(), "UTF-8") == page
    assert parse.decode("<?xml version='1.0'?>雪".encode("utf-16-be")).endswith("雪")


def test_what_a_page_says_of_itself_is_read_where_a_browser_reads_it() -> None:
    assert parse.decode(b"<script charset=utf-8></script><meta charset=windows-1251>\xe6").endswith("ж")
    assert parse.decode(b"<!-- <meta charset=koi8-r> --><meta charset=windows-1251>\xe6").endswith("ж")
    assert parse.decode(b"<?xml version='1.0' encoding='windows-1251'?>\xe6").endswith("ж")
    assert parse.decode("<meta charset=utf-16>雪".encode()).endswith("雪")  # it was read as ASCII: it is not UTF-16
    assert parse.decode("<meta charset=iso-2022-jp>雪".encode("iso-2022-jp")).endswith("雪")  # ASCII bytes alone
    assert parse.decode(b"<meta charset=iso-8859-1>\x93").endswith("\u201c")
    assert parse.decode(b"<meta charset=punycode>snow-9ja").endswith("snow-9ja")


PICTURE = '<html><img src="http://x.org/a.jpg" alt="snow on the roof, 雪"></html>'


@pytest.mark.parametrize("name", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_pages_of_utf_16_and_32_give_their_links_by_their_mark(name: str) -> None:
    (found,) = parse.parse_page(parse.Page("http://x.org/p", f"\ufeff{PICTURE}".encode(name)))
    assert (found.url, found.text, found.reason) == ("http://x.org/a.jpg", "snow on the roof, 雪", "")


@pytest.mark.parametrize(
    ("html", "charset"),
    [
        (PICTURE.encode("utf-16-le"), ""),  # neither mark nor header
        (PICTURE.encode("utf-16-be"), "utf-16le"),
        (PICTURE.encode(), "utf-16"),  # the header is wrong
        (PICTURE.encode("cp037", "replace"), ""),
        (np.random.default_rng(0).bytes(20_000), ""),  # compressed in a way that is not known
        (np.random.default_rng(0).bytes(20_000), "iso-8859-1"),
    ],
    ids=["unmarked", "other ends", "wrong header", "EBCDIC", "compressed", "compressed, as Latin-1"],
)
def test_a_page_that_cannot_be_decoded_is_one_dropped_link_that_says_so(html: bytes, charset: str) -> None:
    (found,) = parse.parse_page(parse.Page("http://x.org/p", html, charset))
    assert (found.url, found.page, found.reason) == ("http://x.org/p", "http://x.org/p", parse.UNDECODED)
    assert parse.UNDECODED in parse.reasons()


@pytest.mark.parametrize("html", ["", "only words", "<p>no picture</p>", "<html><p>погода</p></html>", "<!--<img -->"])
def test_a_page_without_a_picture_is_no_page_that_cannot_be_decoded(html: str) -> None:
    for name in ("utf-8", "cp1251"):
        assert parse.parse_page(parse.Page("http://x.org/p", html.encode(name))) == []


# -- languages -----------------------------------------------------------------------------------------------


def test_an_unreliable_language_is_none_and_script_endings_are_dropped() -> None:
    def detector(texts: list[str]) -> list[tuple[str, float]]:
        return [("sr-Latn", 0.9), ("en", 0.9), ("fr", 0.1)]

    found = languages(["a", "b", "c"], detector, reliable=0.7)
    assert found == ["sr", "en", ""]
    assert [stream_of(code) for code in found] == ["multi", "en", "nolang"]
    with pytest.raises(ValueError, match="3 answers"):
        languages(["a"], detector)
    with pytest.raises(ValueError, match="reliable"):
        languages(["a"], detector, reliable=2)


SHORT = {
    "en": [
        "a blue filled triangle nr 2221",
        "two red apples on a table",
        "the kitchen window at night",
        "a cup of coffee",
    ],
    "de": ["ein blaues Dreieck Nummer 2221", "zwei rote Äpfel auf dem Tisch", "graue Steinmauer", "eine Tasse Kaffee"],
    "fr": ["un triangle bleu numéro 2221", "neige sur le toit", "mur de pierre grise", "une tasse de café"],
    "es": ["un triángulo azul número 2221", "nieve en el tejado", "muro de piedra gris", "una taza de café"],
    "it": ["un triangolo blu numero 2221", "neve sul tetto", "muro di pietra grigia", "una tazza di caffè"],
    "nl": ["een blauwe driehoek nummer 2221", "sneeuw op het dak", "grijze stenen muur", "een kopje koffie"],
}
JUNK = ["IMG 2034", "asdf jkl qwer", "Nike Air Max 90", "12345", "zzkx vbnm", "SM-G973F", "---", "Toyota Corolla 1998"]


def drawn(n: int) -> list[str]:
    colours, shapes = ("red", "blue", "dark green", "purple"), ("circle", "square", "triangle", "star")
    return [f"a {colours[i % 4]} {('filled', 'hollow')[i % 3 % 2]} {shapes[i // 4 % 4]} nr {i}" for i in range(n)]


def test_short_captions_have_the_language_of_the_captions_around_them() -> None:
    assert set(languages(drawn(300))) == {"en"}
    for code, texts in SHORT.items():
        assert languages(texts * 5) == [code] * 20
    mixed = [(code, text) for code, texts in SHORT.items() for text in texts] * 5
    pairs = list(zip(languages([text for _, text in mixed]), (code for code, _ in mixed)))
    assert all(found in ("", code) for found, code in pairs)
    assert sum(found == code for found, code in pairs) >= 110
    among = languages(drawn(300) + SHORT["de"])[300:]
    assert among.count("de") >= 2
    assert set(among) <= {"de", ""}
    assert languages(["a cup of coffee"]) == [""]  # alone it may be of many
    assert languages([]) == []


def test_many_captions_are_asked_some_at_a_time_with_the_frequencies_of_some(monkeypatch: pytest.MonkeyPatch) -> None:
    from unseen.methods.curation.laion import language

    monkeypatch.setattr(language, "_SOME", 64)
    assert languages(drawn(200) + JUNK) == ["en"] * 200 + [""] * len(JUNK)


def test_what_is_no_language_is_none_among_english_captions_too() -> None:
    assert set(languages(drawn(300) + JUNK)[300:]) == {""}
    assert set(languages(JUNK)) == {""}


# -- Bloom filter (check 3) ----------------------------------------------------------------------------------


def test_a_bloom_filter_forgets_no_member_and_errs_as_designed() -> None:
    bloom = BloomFilter(20_000, 0.01)
    members = [f"http://x.org/{i}.jpg" for i in range(20_000)]
    bloom.add(members)
    assert bloom.contains(members).all()
    rate = bloom.contains([f"http://y.org/{i}.jpg" for i in range(20_000)]).mean()
    assert 0 < rate <= 0.02


@given(st.lists(st.text(max_size=8), max_size=40))
@settings(max_examples=25, deadline=None)
def test_a_key_that_was_added_is_always_there_and_repeats_are_told(keys: list[str]) -> None:
    bloom = BloomFilter(1000, 1e-6)
    met = bloom.add(keys)
    assert bloom.contains(keys).all() if keys else True
    assert met.tolist() == [key in keys[:i] for i, key in enumerate(keys)]


def test_a_bloom_filter_is_saved_and_damage_is_named(tmp_path) -> None:  # type: ignore[no-untyped-def]
    bloom = BloomFilter(100)
    bloom.add(["a", "b"])
    bloom.save(tmp_path / "urls.npz")
    loaded = BloomFilter.load(tmp_path / "urls.npz")
    assert "a" in loaded
    assert "c" not in loaded
    with pytest.raises(ValueError, match="capacity"):
        BloomFilter(0)
    with pytest.raises(ValueError, match="error"):
        BloomFilter(10, 1.0)


# -- pictures (check 4) --------------------------------------------------------------------------------------


def jpeg(size: tuple[int, int] = (300, 200), at_least: int = 6000) -> bytes:
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=90)
    assert len(stream.getvalue()) > at_least
    return stream.getvalue()


def of_length(n: int) -> bytes:
    """A whole PNG of exactly n bytes: a chunk that nobody reads fills it."""
    stream = io.BytesIO()
    Image.new("RGB", (20, 20), "red").save(stream, "PNG")
    content = stream.getvalue()
    body = bytes(n - len(content) - 12)
    filler = struct.pack(">I", len(body)) + b"fiLL" + body + struct.pack(">I", zlib.crc32(b"fiLL" + body))
    return content[:33] + filler + content[33:]


def header_of(side: int) -> bytes:
    """A PNG of `side` squared pixels of one bit, all black."""
    from unseen.data.simulate.web import png_bomb

    return png_bomb(side)


def test_a_file_of_4999_bytes_is_dropped_and_one_of_5000_is_taken() -> None:
    rule = accept.Acceptance()
    assert accept.look(of_length(4999), rule).reason == accept.SMALL_FILE
    assert accept.look(of_length(5000), rule).reason == ""


def test_9459_squared_pixels_are_taken_and_9460_squared_are_a_bomb() -> None:
    rule = accept.Acceptance()
    assert accept.look(header_of(9459), rule) == ("", 9459, 9459, "")
    assert accept.look(header_of(9460), rule).reason == accept.BOMB
    assert accept.look(header_of(30_000), rule).reason == accept.BOMB


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ({"max_area": float("nan")}, "max_area must be above 0; got nan"),
        ({"max_aspect_ratio": 0.5}, "max_aspect_ratio must be at least 1; got 0.5"),
        ({"quality": 101}, r"quality must lie in \[1, 100\]; got 101"),
        ({"min_size": -1}, "min_size must be at least 0; got -1"),
    ],
)
def test_what_cannot_be_asked_of_a_picture_is_named_alone(wanted: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=f"^{told}$"):
        accept.Acceptance(**wanted)


def test_what_is_transparent_becomes_white_when_resized() -> None:
    stream = io.BytesIO()
    image = Image.new("RGBA", (400, 300), (0, 0, 0, 0))
    image.paste((255, 0, 0, 255), (0, 0, 200, 300))
    image.save(stream, "PNG")
    rule = accept.Acceptance(resize="keep_ratio", size=60, min_bytes=0)
    found = Image.open(io.BytesIO(accept.kept(stream.getvalue(), rule)))
    assert found.mode == "RGB"
    assert found.size == (80, 60)
    assert min(found.getpixel((70, 30))) > 245
    assert found.getpixel((10, 30))[0] > 200


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", accept.EMPTY),
        (b"  <!DOCTYPE html><html>" + bytes(9000), accept.MARKUP),
        (b"<?xml version='1.0'?><svg>" + bytes(9000), accept.MARKUP),
        (b"GIF89a" + bytes(9000), accept.FORMAT),
        (bytes(9000), accept.FORMAT),
        (b"\xff\xd8\xff" + bytes(9000), accept.DAMAGED),
        (jpeg()[:7000], accept.DAMAGED),
    ],
)
def test_a_payload_that_is_no_picture_has_a_reason_and_no_crash(content: bytes, reason: str) -> None:
    assert accept.look(content, accept.Acceptance()).reason == reason


def test_size_area_and_aspect_ratio_are_asked_for() -> None:
    content = jpeg((300, 200))
    assert accept.look(content, accept.Acceptance(min_size=201)).reason == accept.SMALL
    assert accept.look(content, accept.Acceptance(max_area=59_999)).reason == accept.LARGE
    assert accept.look(content, accept.Acceptance(max_aspect_ratio=1.4)).reason == accept.NARROW
    assert accept.look(content, accept.Acceptance(min_size=200, max_area=60_000, max_aspect_ratio=1.5)).reason == ""
    with pytest.raises((ValueError, TypeCheckError), match="resize"):
        accept.Acceptance(resize="stretch")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("mode", "size"),
    [("no", (400, 200)), ("keep_ratio", (200, 100)), ("center_crop", (100, 100)), ("border", (100, 100)),
     ("keep_ratio_largest", (100, 50))],
)  # fmt: skip
def test_resize_modes_are_those_of_img2dataset(mode: accept.Resize, size: tuple[int, int]) -> None:
    image = Image.new("RGB", (400, 200), "blue")
    found = accept.resized(image, mode, 100)
    assert found.size == size
    if mode == "border":
        assert found.getpixel((50, 5)) == (255, 255, 255)
        assert found.getpixel((50, 50)) == (0, 0, 255)


def test_small_pictures_are_left_alone_or_enlarged() -> None:
    image = Image.new("RGB", (40, 20), "blue")
    assert accept.resized(image, "keep_ratio", 100).size == (40, 20)
    assert accept.resized(image, "keep_ratio", 100, only_if_bigger=False).size == (200, 100)
    assert accept.for_scoring(Image.new("RGB", (900, 450))).size == (224, 224)
    assert accept.for_scoring(Image.new("RGB", (90, 45))).size == (45, 45)


# -- similarity (checks 1 and 7) -----------------------------------------------------------------------------


def test_cosines_need_no_unit_length_and_zero_is_far_from_all() -> None:
    a = np.array([[3.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    b = np.array([[5.0, 0.0], [0.0, 2.0], [1.0, 0.0]])
    np.testing.assert_allclose(similarity.cosine(a, b), [1, 1 / np.sqrt(2), 0], rtol=1e-6)
    with pytest.raises(ValueError, match="one shape"):
        similarity.cosine(a, b[:2])


@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=30), st.floats(-1, 1), st.floats(0, 1))
@settings(max_examples=25, deadline=None)
def test_what_a_higher_threshold_keeps_a_lower_one_keeps(values: list[float], low: float, more: float) -> None:
    cosines = np.array(values, dtype=np.float32)
    streams = ["en", "multi", "nolang"] * 10
    few, many = (
        similarity.passes(cosines, streams[: len(cosines)], dict.fromkeys(("en", "multi", "nolang"), t))
        for t in (low + more, low)
    )
    assert not (few & ~many).any()


def test_thresholds_are_the_papers_or_reach_the_share_to_keep() -> None:
    rng = np.random.default_rng(0)
    cosines = rng.random(1000).astype(np.float32)
    streams = ["en"] * 600 + ["multi"] * 400
    none = np.zeros(0, dtype=np.float32)
    assert similarity.thresholds("laion-5b", None, none, []) == {"en": 0.28, "multi": 0.26, "nolang": 0.26}
    assert similarity.thresholds("laion-400m", None, none, [])["en"] == 0.30
    least = similarity.thresholds(None, 0.25, cosines, streams)
    kept = similarity.passes(cosines, streams, least)
    assert (kept[:600].sum(), kept[600:].sum()) == (150, 100)
    assert (similarity.keeps(None, 0.25, cosines, streams)[0] == kept).all()
    for told, keep in ((None, None), (0.3, 0.5), ("laion-7b", None), (None, 1.5)):
        with pytest.raises(ValueError, match=r"threshold|target_keep"):
            similarity.thresholds(told, keep, none, [])


@given(
    st.lists(st.tuples(st.sampled_from(["en", "multi", "nolang"]), st.sampled_from([0.1, 0.2, 0.3]))),
    st.floats(0.01, 1),
)
@settings(max_examples=50, deadline=None)
def test_a_share_keeps_as_many_as_it_says_whatever_the_streams_and_ties(pairs: list[Any], share: float) -> None:
    cosines = np.array([value for _, value in pairs], dtype=np.float32)
    kept, least = similarity.keeps(None, share, cosines, [stream for stream, _ in pairs])
    assert kept.sum() == (max(1, np.floor(share * len(pairs) + 0.5)) if pairs else 0)
    assert similarity.passes(cosines, [stream for stream, _ in pairs], least)[kept].all()


def test_of_a_chain_of_near_duplicates_an_end_that_is_not_alike_stays() -> None:
    """Unit vectors at angles whose neighbours have cosines .95 and .94735 and whose ends have .8."""
    first, second = np.arccos(0.95), np.arccos(0.94735)
    angles = np.array([0.0, first, first + second, 2.5])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert vectors[0] @ vectors[2] == pytest.approx(0.8, abs=0.01)

    def stands(*score: float) -> list[int]:
        return similarity.one_of_each(vectors, np.array(score, np.float32), 0.94).tolist()

    assert stands(0, 0, 0, 0) == [0, 0, 2, 3]  # the first of equals; the far end is not alike it
    assert stands(0, 0, 1, 0) == [0, 2, 2, 3]
    assert stands(0, 1, 0, 0) == [1, 1, 1, 3]


@pytest.mark.parametrize("block", [7, 2048])
def test_who_stands_for_whom_is_what_a_naive_loop_says(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(150, 4)).astype(np.float32)
    x[100:] = x[:50] + 0.01 * rng.normal(size=(50, 4))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    score = rng.integers(0, 5, 150).astype(np.float32)
    odd = rng.random((150, 150)) < 0.2

    def alike(i: np.ndarray, j: np.ndarray) -> np.ndarray:
        return ~(odd[i, j] | odd[j, i])

    def naive(cells: np.ndarray) -> list[int]:
        stands, kept = list(range(150)), []
        for i in sorted(range(150), key=lambda i: (-score[i], i)):
            same = [j for j in kept if cells[i] == cells[j] and x[i] @ x[j] >= 0.9 and alike(np.array(i), np.array(j))]
            stands[i] = same[0] if same else i
            kept += [] if same else [i]
        return stands

    monkeypatch.setattr(similarity, "BLOCK", block)
    assert similarity.one_of_each(x, score, 0.9, alike).tolist() == naive(np.zeros(150))
    monkeypatch.setattr(similarity, "CELLS_FROM", 100)
    monkeypatch.setattr(similarity, "_cells", lambda rows, k, seed: (rows[:, 0] > 0).astype(np.int64))
    assert similarity.one_of_each(x, score, 0.9, alike).tolist() == naive(x[:, 0] > 0)
    with pytest.raises(ValueError, match="threshold"):
        similarity.one_of_each(x, score, 0)


def test_cells_put_equal_rows_together() -> None:
    x = np.repeat(np.eye(4, 8, dtype=np.float32), 30, axis=0)
    labels = similarity._cells(x, 4, 0)
    assert all(len(set(labels[i * 30 : (i + 1) * 30].tolist())) == 1 for i in range(4))


def test_a_recompressed_picture_looks_alike_and_another_one_does_not() -> None:
    from unseen.data.simulate.web import rendered

    rng = np.random.default_rng(0)
    one = Image.new("RGB", (200, 200), "white")
    one.paste((200, 30, 40), (40, 60, 150, 120))
    other = Image.new("RGB", (200, 200), "white")
    other.paste((200, 30, 40), (60, 20, 110, 180))
    shown = rendered(one, np.random.default_rng(3))
    stream = io.BytesIO()
    shown.resize((200, 200)).save(stream, "JPEG", quality=60)
    again = Image.open(io.BytesIO(stream.getvalue()))
    pictures = [shown, again, rendered(other, np.random.default_rng(3)), rendered(one, rng)]
    looks = looks_of(pictures)
    assert similarity.look_alike(looks[[0, 0, 0]], looks[1:]).tolist() == [True, False, False]


def looks_of(pictures: list[Image.Image]) -> np.ndarray:
    return np.stack([np.frombuffer(similarity.look_of(picture), np.uint8) for picture in pictures])


def page_of(seed: int) -> Image.Image:
    """A page of words."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (600, 800), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size=18)
    for y in range(40, 760, 24):
        draw.text((40, y), " ".join("".join(rng.choice([*"abcdefghijklmnop"], 6)) for _ in range(8)), "black", font)
    return image


def card_of(number: int) -> Image.Image:
    """A product's card, on which its number is all that differs."""
    image = Image.new("RGB", (600, 800), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 600, 200), fill="navy")
    draw.text((60, 400), f"Product number {number}", "black", ImageFont.load_default(size=40))
    return image


@pytest.mark.parametrize("drawn", [page_of, card_of])
def test_pages_of_other_words_and_cards_with_another_number_are_other_pictures(drawn: Any) -> None:
    looks = looks_of([drawn(i) for i in range(12)])
    i, j = np.triu_indices(12, 1)
    assert not similarity.look_alike(looks[i], looks[j]).any()
    for size, quality in (((480, 640), 80), ((300, 400), 50)):
        stream = io.BytesIO()
        drawn(0).resize(size, Image.Resampling.LANCZOS).save(stream, "JPEG", quality=quality)
        again = looks_of([Image.open(io.BytesIO(stream.getvalue()))])
        assert similarity.look_alike(looks[:1], again).tolist() == [True]


def test_pictures_of_one_brightness_and_two_colours_are_two() -> None:
    shown = []
    for colour in ((200, 60, 60), (60, 60, 200)):
        image = Image.new("RGB", (200, 200), (220, 220, 220))
        image.paste(colour, (80, 80, 110, 110))
        shown.append(image)
    looks = looks_of(shown)
    assert not similarity.look_alike(looks[:1], looks[1:])[0]


def drawing(size: int, place: int, ink: tuple[int, int, int], ground: tuple[int, int, int]) -> Image.Image:
    """A disc and a frame in flat colours."""
    image = Image.new("RGB", (size, size), ground)
    draw = ImageDraw.Draw(image)
    x, y = (size * (2 + place % 3) // 8, size * (1 + place // 3) // 6)
    draw.ellipse((x, y, x + 3 * size // 8, y + 3 * size // 8), fill=ink)
    draw.rectangle((size // 12, size // 12, 11 * size // 12, 11 * size // 12), outline=ink, width=size // 32)
    return image


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (((119, 20, 34), (215, 240, 222)), ((112, 26, 66), (218, 226, 240))),  # dark red on green, purple on blue
        (((139, 64, 33), (249, 222, 228)), ((146, 40, 36), (248, 224, 226))),  # brown on rose, red on rose
        (((150, 90, 40), (240, 240, 236)), ((150, 62, 44), (240, 238, 236))),  # an orange frame, a red one
    ],
)
def test_drawings_in_another_hue_are_other_pictures(one: Any, other: Any) -> None:
    for size in (96, 128, 300):
        looks = looks_of([drawing(size, 4, *one), drawing(size, 4, *other)])
        assert not similarity.look_alike(looks[:1], looks[1:])[0]
        grey = [tuple(min(255, v + 5) for v in colour) for colour in one]
        again = looks_of([drawing(size, 4, *grey)])
        assert similarity.look_alike(looks[:1], again)[0]  # another shade of the same


@pytest.mark.parametrize("size", [96, 128])
@pytest.mark.parametrize("scale", [0.5, 2 / 3, 1])
def test_copies_of_small_drawings_are_found_in_half_their_size_and_as_jpeg(size: int, scale: float) -> None:
    colours = [((20, 60, 140), (240, 230, 220)), ((150, 20, 30), (220, 250, 230)), ((0, 90, 20), (250, 250, 250))]
    shown = [drawing(size, place, *colours[place % 3]) for place in range(9)]
    small = [image.resize((round(size * scale),) * 2, Image.Resampling.BICUBIC) for image in shown]
    again = []
    for image in small:
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=60 if scale == 1 else 85)
        again.append(Image.open(io.BytesIO(stream.getvalue())))
    looks = looks_of(shown)
    for copies in (looks_of(small), looks_of(again)):
        assert similarity.look_alike(looks, copies).all()
        i, j = np.nonzero(~np.eye(9, dtype=bool))
        assert not similarity.look_alike(looks[i], copies[j]).any()


@pytest.mark.parametrize("side", [64, 80, 95, 110, 135])
def test_small_cards_with_another_number_are_other_pictures(side: int) -> None:
    shown = []
    for number in range(40):
        image = Image.new("RGB", (side, side * 4 // 3), "white")
        draw = ImageDraw.Draw(image)
        draw.rectangle((0, 0, side, side // 3), fill="navy")
        draw.text((side // 15, side * 2 // 3), f"Nr {number}", "black", ImageFont.load_default(size=max(10, side // 8)))
        shown.append(image)
    looks = looks_of(shown)
    i, j = np.triu_indices(40, 1)
    assert not similarity.look_alike(looks[i], looks[j]).any()


def test_outlines_part_no_two_pictures_that_look_alike() -> None:
    rng = np.random.default_rng(0)
    looks = rng.integers(0, 255, (60, similarity.LOOK), dtype=np.uint8)
    blocks = rng.integers(0, 255, (60, 4, 1, 4, 1, 3)) + np.zeros((1, 1, 4, 1, 4, 1))
    looks[:, : 3 * similarity.COLOURS**2] = blocks.reshape(60, -1)  # pictures of which an outline tells all
    twice = np.repeat(looks, 20, axis=0)
    spread = np.linspace(0, 12, len(twice))[:, None]
    other = np.clip(twice + np.round(rng.normal(0, 1, twice.shape) * spread), 0, 255).astype(np.uint8)
    bound = {"share": 1.0, "spot": 1e6}
    alike = similarity.look_alike(twice, other, **bound)
    close = similarity.outlines_alike(similarity.outlines(twice), similarity.outlines(other))
    assert 0.2 < alike.mean() < 0.9
    assert not (alike & ~close).any()
    strangers = similarity.outlines_alike(similarity.outlines(looks), similarity.outlines(looks[::-1]))
    assert not strangers.any()
    assert similarity.outlines(looks[:0]).shape == (0, 48)  # of a shard that was dropped whole


# -- safety (check 8) ----------------------------------------------------------------------------------------

PROMPTS = {"a cat": [1, 0, 0, 0], "a dog": [0.9, 0.1, 0, 0], "blood": [0, 0, 1, 0], "a knife": [0, 0, 0.9, 0.2]}


def embed(texts) -> np.ndarray:  # type: ignore[no-untyped-def, type-arg]
    return np.array([PROMPTS.get(text, [0, 1, 0, 0]) for text in texts], dtype=np.float32)


RULE = safety.Rule(name="unsafe", neutral=("a cat", "a dog"), flagged=("blood", "a knife"))


def test_none_of_the_two_nearest_prompts_is_unlikely_both_are_nsfw_one_is_unsure() -> None:
    assert [safety.tag(n) for n in (0, 1, 2)] == ["UNLIKELY", "UNSURE", "NSFW"]
    images = np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0.72, -0.5, 0.7, 0]], dtype=np.float32)
    found = safety.judge([RULE], images, ["x", "y", "z"], embed)
    assert found.tags == ["UNLIKELY", "NSFW", "UNSURE"]
    assert found.dropped == ["", "", ""]


def test_drop_rules_look_at_tagged_pairs_their_prompts_and_whole_words() -> None:
    images = np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0], [0, 0, 1, 0]], dtype=np.float32)
    captions = ["a child's toy", "A CHILD plays", "childhood", "nothing"]
    words = safety.Rule(name="words", action="drop", keywords=("child",))
    assert safety.judge([words, RULE], images, captions, embed).dropped == ["", "rule words", "", ""]
    always = safety.Rule(name="words", action="drop", keywords=("child",), only_tagged=False)
    assert safety.judge([always], images, captions, embed).dropped == ["rule words", "rule words", "", ""]
    prompts = safety.Rule(name="both", action="drop", neutral=("a cat",), flagged=("blood", "a knife"), hits=2)
    assert safety.judge([RULE, prompts], images, captions, embed).dropped == ["", *["rule both"] * 3]


def test_rules_are_read_from_json_and_what_is_wrong_is_named(tmp_path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "rules.json"
    file.write_text('[{"name": "unsafe", "neutral": ["a cat", "a dog"], "flagged": ["blood", "a knife"]}]')
    assert safety.read_rules(file) == (RULE,)
    file.write_text('[{"name": "unsafe", "prompts": []}]')
    with pytest.raises(ValueError, match="list of objects"):
        safety.read_rules(file)
    for wrong in ({"action": "hide"}, {"hits": 3}, {"flagged": ()}, {"keywords": ("a",)}):
        with pytest.raises((ValueError, TypeCheckError), match=r"rule 'unsafe'|action|hits"):
            safety.Rule(**{"name": "unsafe", "neutral": ("a",), "flagged": ("b",), **wrong})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="one rule"):
        safety.judge([RULE, RULE], np.eye(4), ["a"] * 4, embed)


@pytest.mark.parametrize("source", ["data:" + "A/" * 50_000, "x.png"])
def test_long_quoted_attributes_are_not_many(source: str) -> None:
    page = f'<img src="{source}" alt="{"word " * 9000}">'.encode()
    (found,) = parse.parse_page(parse.Page("http://e.example/", page))
    assert found.reason == (parse.INLINE if source.startswith("data") else "")
