"""A small web whose every fault was planted: pages, pictures, wrong captions, and the truth about each link.

Pictures and their captions are given; pages, duplicates, broken files and refusals are made around them, and a local
server answers for them. What a crawler, a parser or a filter says can so be compared with what is there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import html
import io
import struct
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFont

from unseen.data.images import open_header

BLOCKED_HOST = "blocked.example"
"""A host that a crawler is told not to ask."""
PRIVATE_HOST = "10.11.12.13"
LARGEST = 300_000
"""Bytes that the pictures of a small web do not exceed, other than those that are planted as too large."""

BOILERPLATE = ("image", "photo", "click to enlarge", "product image", "thumbnail", "untitled picture")

AT_PARSE = (
    "svg",
    "inline",
    "script",
    "bad url",
    "long host",
    "no alt",
    "short alt",
    "repeated",
    "same url",
    "same pair",
)
AT_FETCH = ("missing", "private", "redirect to private", "blocked", "no ai", "oversized", "redirect loop")
AT_CHECK = ("html", "small file", "gif", "truncated", "bomb", "empty")
AT_EMBED = ("damaged inside",)
COPIES = ("same picture", "near picture")
FAULTS = (*AT_PARSE, *AT_FETCH, *AT_CHECK, *AT_EMBED, *COPIES)
"""Everything that is planted beside clean, mismatched and boilerplate captions, each in its own number of links."""


class Thing(NamedTuple):
    """A picture with captions that are true of it, by language."""

    key: str
    picture: Any  # PIL image in RGB, drawn on white
    captions: Mapping[str, str]


class Answer(NamedTuple):
    """What the server says of a path."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Link(NamedTuple):
    """An image link of a page and the truth about it.

    `kind` is ``clean``, ``mismatched``, ``boilerplate`` or one of `FAULTS`; `key` is the thing that is shown,
    `told_key` the one that the caption is of, "" for boilerplate.
    """

    source: str
    alt: str
    kind: str
    key: str = ""
    language: str = ""
    watermark: bool = False
    told_key: str = ""


@dataclasses.dataclass(frozen=True)
class SmallWeb:
    """Pages and pictures by path, and the links in the order of the pages."""

    pages: Mapping[str, bytes]
    answers: Mapping[str, Answer]
    links: tuple[Link, ...]

    @property
    def counts(self) -> Counter[str]:
        """How many links of each kind were planted."""
        return Counter(link.kind for link in self.links)

    @property
    def truth(self) -> dict[str, Link]:
        """The first link of every source path that is an ordinary picture."""
        by_source: dict[str, Link] = {}
        for link in self.links:
            by_source.setdefault(link.source, link)
        return by_source


def small_web(
    things: Sequence[Thing],
    *,
    n_pages: int,
    each_fault: int,
    wrong: float = 0.5,
    watermarked: float = 0.1,
    seed: int = 0,
) -> SmallWeb:
    """Build the pages and pictures.

    Parameters
    ----------
    things : sequence of Thing
        Each makes one ordinary link; how its picture is laid out depends on its key alone.
    n_pages : int, >= 2
    each_fault : int, >= 0
        Links of every kind of `FAULTS`; at most half as many as there are clean links.
    wrong : float, in [0, 1]
        Share of ordinary links whose caption belongs to another thing (three quarters) or is boilerplate.
    watermarked : float, in [0, 1]
        Share of ordinary pictures with a drawn watermark.
    seed : int
    """
    if n_pages < 2 or len(things) < 2:
        raise ValueError(f"a small web needs at least two pages and two things; got {n_pages} and {len(things)}")
    rng = np.random.default_rng(seed)
    answers: dict[str, Answer] = {}
    ordinary = _ordinary(things, wrong, watermarked, rng, answers)
    clean = [link for link in ordinary if link.kind == "clean"]
    if each_fault > len(clean) // 2:
        raise ValueError(f"each_fault must be at most {len(clean) // 2}, half the clean links; got {each_fault}")
    placed: list[list[Link]] = [[] for _ in range(n_pages)]
    for i, link in enumerate(ordinary):
        placed[i % (n_pages - 1)].append(link)
    once = list(clean)  # an address that was planted on two other pages might be on one of them twice
    for kind in FAULTS:
        later = kind in ("same url", "same pair")
        for i, model in enumerate(_drawn(once if later else clean, each_fault, rng)):
            link = _planted(kind, i, model, answers, rng)
            page = next(k for k, links in enumerate(placed) if model in links)
            placed[page if kind == "repeated" else _other(n_pages, page, rng, after=later)].append(link)
            if later:
                once.remove(model)
    pages = {f"/pages/{k:05d}.html": _page(k, links, rng) for k, links in enumerate(placed)}
    return SmallWeb(pages, answers, tuple(link for links in placed for link in links))


def _drawn(links: Sequence[Link], n: int, rng: np.random.Generator) -> list[Link]:
    return [links[i] for i in rng.permutation(len(links))[:n]]


def _other(n_pages: int, page: int, rng: np.random.Generator, *, after: bool) -> int:
    """Another page; one that is read later, where the order decides which link is the repeated one."""
    return int(rng.integers(page + 1, n_pages)) if after else int((page + rng.integers(1, n_pages)) % n_pages)


def _ordinary(
    things: Sequence[Thing], wrong: float, watermarked: float, rng: np.random.Generator, answers: dict[str, Answer]
) -> list[Link]:
    n = len(things)
    fate = np.full(n, "clean", dtype=object)
    spoilt = rng.permutation(n)[: round(wrong * n)]
    fate[spoilt] = ["boilerplate" if i % 4 == 0 else "mismatched" for i in range(len(spoilt))]
    marked = np.zeros(n, dtype=bool)
    marked[rng.permutation(n)[: round(watermarked * n)]] = True
    links = []
    for i, thing in enumerate(things):
        language = str(rng.choice(sorted(thing.captions)))
        other = things[(i + int(rng.integers(1, n))) % n]
        while other.key == thing.key and len({t.key for t in things}) > 1:
            other = things[int(rng.integers(n))]
        alt = {
            "clean": thing.captions[language],
            "mismatched": other.captions.get(language) or next(iter(other.captions.values())),
            "boilerplate": str(rng.choice(BOILERPLATE)),
        }[fate[i]]
        path = f"/img/{i:05d}.jpg"
        thing_rng = np.random.default_rng([zlib.crc32(thing.key.encode()), int(marked[i])])
        answers[path] = picture_answer(rendered(thing.picture, thing_rng, watermark=bool(marked[i])))
        caption_key = {"clean": thing.key, "mismatched": other.key, "boilerplate": ""}[fate[i]]
        links.append(Link(path, alt, str(fate[i]), thing.key, language, bool(marked[i]), caption_key))
    return links


# -- pictures ------------------------------------------------------------------------------------------------


def rendered(
    picture: Image.Image, rng: np.random.Generator, *, watermark: bool = False, side: int = 240
) -> Image.Image:
    """A drawing somewhere on a coloured, grainy ground, perhaps with a watermark: no two are alike."""
    ground = np.empty((side, side, 3), dtype=np.float32)
    ground[:] = rng.uniform(150, 255, 3)
    ground += rng.normal(0, 9, (side, side, 1))
    image = Image.fromarray(ground.clip(0, 255).astype(np.uint8))
    scale = int(side * rng.uniform(0.7, 0.95))
    left, top = (int(value) for value in rng.integers(0, side - scale + 1, 2))
    small = picture.convert("RGB").resize((scale, scale), Image.Resampling.BILINEAR)
    image.paste(ImageChops.multiply(image.crop((left, top, left + scale, top + scale)), small), (left, top))
    return watermarked_picture(image, rng) if watermark else image


def watermarked_picture(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The picture with a line of text drawn across it several times, half transparent."""
    words = str(rng.choice(["SAMPLE", "STOCK PHOTO", "(c) preview", "watermark"]))
    layer = Image.new("RGBA", (2 * image.width, 2 * image.height), (0, 0, 0, 0))
    draw = ImageDraw.Draw(layer)
    font = ImageFont.load_default(size=int(rng.integers(20, 30)))
    step = int(rng.integers(48, 72))
    for y in range(0, layer.height, step):
        line = "   ".join([words] * 12)
        draw.text((-int(rng.integers(0, 60)), y), line, font=font, fill=(255, 255, 255, 150))
        draw.text((1 - int(rng.integers(0, 60)), y + 1), line, font=font, fill=(70, 70, 70, 110))
    turned = layer.rotate(float(rng.uniform(15, 40)))
    left, top = image.width // 2, image.height // 2
    cut = turned.crop((left, top, left + image.width, top + image.height))
    return Image.alpha_composite(image.convert("RGBA"), cut).convert("RGB")


def jpeg(image: Image.Image, quality: int = 90) -> bytes:
    """A picture as JPEG."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def picture_answer(image: Image.Image) -> Answer:
    """A JPEG as a server sends it."""
    return Answer(200, {"Content-Type": "image/jpeg"}, jpeg(image))


@functools.cache
def png_bomb(side: int = 10_000) -> bytes:
    """A PNG of few bytes and `side` times `side` pixels of one bit."""
    row = bytes(1 + -(-side // 8))
    packer = zlib.compressobj(9)
    body = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


def damaged_inside(image: Image.Image) -> bytes:
    """A PNG whose header and end are whole and whose middle is not."""
    stream = io.BytesIO()
    image.save(stream, "PNG")
    content = bytearray(stream.getvalue())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(64)
    return bytes(content)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


# -- faults --------------------------------------------------------------------------------------------------


def _planted(kind: str, i: int, model: Link, answers: dict[str, Answer], rng: np.random.Generator) -> Link:
    """A link with one fault; it borrows caption and picture of a clean one."""
    name = kind.replace(" ", "-")
    path = f"/{name}/{i:04d}.jpg"
    link = Link(path, model.alt, kind, model.key, model.language, told_key=model.told_key)
    plain = answers[model.source]
    outright = {
        "svg": f"/{name}/{i}.svg",
        "inline": f"data:image/png;base64,{i}",
        "script": f"javascript:show({i})",
        "bad url": f"http://[{i}/a.jpg",
        "long host": f"http://{'a' * 61}.example/{i}.jpg",
        "private": f"http://{PRIVATE_HOST}/{i}.jpg",
        "blocked": f"http://images.{BLOCKED_HOST}/{i}.jpg",
        "repeated": model.source,
        "same url": model.source,
        "same pair": model.source,
    }
    if kind in outright:
        return link._replace(source=outright[kind], alt=f"{model.alt} again" if kind == "same url" else model.alt)
    if kind in ("no alt", "short alt"):
        return link._replace(alt="" if kind == "no alt" else "pic")
    if kind == "missing":
        return link
    html_page = b"<!DOCTYPE html><html><body>" + b"<p>please log in</p>" * 400 + b"</body></html>"
    picture = {"Content-Type": "image/jpeg"}
    make: dict[str, Callable[[], Answer]] = {
        "redirect to private": lambda: Answer(302, {"Location": f"http://{PRIVATE_HOST}:{i + 1}/x.jpg"}, b""),
        "redirect loop": lambda: Answer(302, {"Location": path}, b""),
        "no ai": lambda: Answer(200, {**picture, "X-Robots-Tag": "noai, noimageai"}, plain.body),
        "oversized": lambda: Answer(200, picture, plain.body + bytes(LARGEST)),
        "html": lambda: Answer(200, picture, html_page),
        "small file": lambda: Answer(200, picture, jpeg(Image.new("RGB", (32, 32), "white"))),
        "gif": lambda: Answer(200, picture, b"GIF89a" + plain.body),
        "truncated": lambda: Answer(200, picture, plain.body[: max(6000, len(plain.body) * 3 // 4)]),
        "bomb": lambda: Answer(200, picture, png_bomb()),
        "empty": lambda: Answer(200, picture, b""),
        "damaged inside": lambda: Answer(200, picture, damaged_inside(open_header(plain.body))),
        "same picture": lambda: plain,
        "near picture": lambda: picture_answer(_again(plain.body, rng)),
    }
    answers[path] = make[kind]()
    return link


def _again(content: bytes, rng: np.random.Generator) -> Image.Image:
    """A picture in another size, a little lighter."""
    image = open_header(content).convert("RGB")
    side = int(image.width * rng.uniform(0.9, 1.1))
    return image.resize((side, side), Image.Resampling.BICUBIC).point(lambda value: min(255, value + 2))


def _page(number: int, links: Sequence[Link], rng: np.random.Generator) -> bytes:
    """HTML with the links; every third page names a licence, and ways to write an address differ."""
    license_ = (
        '<a rel="license" href="https://creativecommons.org/licenses/by/4.0/">CC BY</a>' if number % 3 == 0 else ""
    )
    shown = []
    for link in links:
        source = f"..{link.source}" if link.source.startswith("/") and rng.random() < 0.5 else link.source
        alt = f' alt="{html.escape(link.alt)}"' if link.kind != "no alt" else ""
        shown.append(f'<p>Text {number}. <img src="{html.escape(source)}"{alt}></p>')
    body = f"<title>Page {number}</title>{license_}{''.join(shown)}"
    return f"<!doctype html><html><head><meta charset=utf-8></head><body>{body}</body></html>".encode()


# -- the server ----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def serve(web: SmallWeb) -> Iterator[str]:
    """Answer for the web on a free port of this machine; its address, such as ``http://127.0.0.1:40123``."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            page = web.pages.get(path)
            html_type = {"Content-Type": "text/html; charset=utf-8"}
            answer = web.answers.get(path, Answer(404, {}, b"")) if page is None else Answer(200, html_type, page)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            with contextlib.suppress(ConnectionError):  # a client may have had enough
                self.wfile.write(answer.body)

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *args: Any) -> None:
            """A client that hangs up is no news."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def crawl(address: str, web: SmallWeb, file: Any) -> None:
    """Fetch all pages from the server and write them as a gzipped WARC file; `ImportError` without warcio."""
    from http.client import HTTPConnection
    from urllib.parse import urlsplit

    try:
        from warcio.statusandheaders import StatusAndHeaders
        from warcio.warcwriter import WARCWriter
    except ImportError as error:
        raise ImportError("writing crawls needs warcio: pip install 'unseen[curate]'") from error
    connection = HTTPConnection(urlsplit(address).netloc, timeout=10)
    with open(file, "wb") as stream:  # noqa: PTH123 - a path or a descriptor
        writer = WARCWriter(stream, gzip=True)
        for path in web.pages:
            connection.request("GET", path)
            answer = connection.getresponse()
            headers = StatusAndHeaders(f"{answer.status} {answer.reason}", answer.getheaders(), protocol="HTTP/1.1")
            body = io.BytesIO(answer.read())
            date = {"WARC-Date": "2026-01-01T00:00:00Z"}
            writer.write_record(
                writer.create_warc_record(
                    f"{address}{path}", "response", payload=body, http_headers=headers, warc_headers_dict=date
                )
            )
    connection.close()
