"""Steps 1-3 and 5 of LAION-5B: from a page to image-text candidates, each kept or with the reason why not."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

from unseen.methods.curation.laion.charsets import decode, undecoded

MOST = 2000
"""Characters of a URL or a caption; what is longer is cut."""
SHORTEST = 5
"""Characters of a caption."""
LONGEST_HOST = 60
"""Characters of a host."""

UNKNOWN_LICENSE = "?"
"""The licence of a page that names none."""
_REFUSED_ENDINGS = (".svg", ".gif")
_REFUSED_SCHEMES = ("data:", "javascript:")
_LICENSE = re.compile(r"^(?:https?:)?//(?:www\.)?creativecommons\.org/(?:licenses|publicdomain)/\S+", re.IGNORECASE)
_HOST = re.compile(r"[A-Za-z0-9._~\-\[\]:%\u0080-\U0010ffff]+")
_JOINERS = "\u200c\u200d"  # part of the spelling of Persian, Hindi and of composed emoji
_SEPARATORS = str.maketrans("|\t\u2028\u2029", "    ")

NO_TEXT, SHORT_TEXT = "no alt text", f"caption shorter than {SHORTEST} characters"
BAD_FORMAT, INLINE = "an SVG or GIF", "a data: or javascript: source"
BAD_URL, LONG_HOST, REPEATED = "no valid URL", f"host longer than {LONGEST_HOST} characters", "URL repeated on the page"
UNDECODED = "a page that cannot be decoded"
ENDLESS = "a page that takes too much time or memory to read"


class Page(NamedTuple):
    """A page as it was fetched: its address, its bytes, and the charset that its header names."""

    url: str
    html: bytes
    charset: str = ""


class Links(NamedTuple):
    """What a page says of pictures: (source, alt text) of every image, in the page's order.

    `undecoded` says that it shows none because its charset is not the one that it names, or it is no text.
    """

    base: str
    license: str
    images: tuple[tuple[str, str], ...]
    undecoded: bool = False


class Candidate(NamedTuple):
    """An image link; `reason` is empty if it is kept."""

    url: str
    text: str
    license: str
    page: str
    reason: str


def read_links(page: Page) -> Links:
    """All image links of a page, its base address and its Creative Commons licence ("?" if it names none).

    A parser takes the square of the number of elements that lie in each other, in time and sometimes in memory:
    `unseen curate` reads large pages in a process that may take so much and no more (`unseen.scale.apart`).

    Raises
    ------
    ImportError
        If selectolax is missing.
    """
    try:
        from selectolax.lexbor import LexborHTMLParser
    except ImportError as error:
        raise ImportError("reading pages needs selectolax: pip install 'unseen[curate]'") from error
    text = decode(page.html, page.charset)
    tree = LexborHTMLParser(text)
    base = page.url
    first = tree.css_first("base[href]")
    if first is not None:
        base = _joined(page.url, first.attributes.get("href") or "") or page.url
    images = tuple(
        (attributes.get("src") or "", attributes.get("alt") or "")
        for attributes in (node.attributes for node in tree.css("img"))
    )
    targets = (node.attributes.get("href") or "" for node in tree.css("a[href], link[href]"))
    return Links(base, _license_of(targets), images, not images and undecoded(page.html, text))


def read_wat(record: dict[str, Any], url: str) -> Links:
    """The same of a record of a WAT file, which lists a page's links as JSON."""
    metadata: Any = record
    for key in ("Envelope", "Payload-Metadata", "HTTP-Response-Metadata", "HTML-Metadata"):
        metadata = metadata.get(key, {}) if isinstance(metadata, dict) else {}
    metadata = metadata if isinstance(metadata, dict) else {}
    listed = metadata.get("Links")
    links = [link for link in listed if isinstance(link, dict)] if isinstance(listed, list) else []
    head = metadata.get("Head")
    base = _text_of(head.get("Base")) if isinstance(head, dict) else ""
    images = tuple(
        (_text_of(link.get("url")), _text_of(link.get("alt"))) for link in links if link.get("path") == "IMG@/src"
    )
    targets = (_text_of(link.get("url")) for link in links if link.get("path") in ("A@/href", "LINK@/href"))
    return Links(_joined(url, base) or url, _license_of(targets), images)


def _text_of(value: Any) -> str:
    """What should be a text in a WAT record; empty if it is none."""
    return value if isinstance(value, str) else ""


def candidates(links: Links, page: str = "") -> list[Candidate]:
    """Every image link of a page with the reason why it is dropped, if it is; in the page's order.

    A page that could not be decoded is one candidate, dropped, with the page's own address.

    Parameters
    ----------
    links : Links
    page : str
        Its address, kept beside the candidate; `links.base` if empty.
    """
    judged: list[Candidate] = []
    if links.undecoded:
        judged.append(unread(page or links.base, UNDECODED, links.license))
    seen: set[str] = set()
    for source, alt in links.images:
        url, text, reason = judge(links.base, source, alt)
        if not reason and url in seen:
            reason = REPEATED
        if not reason:
            seen.add(url)
        judged.append(Candidate(url, text, links.license, page or links.base, reason))
    return judged


def unread(page: str, reason: str, license: str = UNKNOWN_LICENSE) -> Candidate:
    """What stands for a page that shows no links: its own address, dropped."""
    return Candidate(page[:MOST], "", license, page, reason)


def parse_page(page: Page) -> list[Candidate]:
    """`candidates` of a page of HTML."""
    return candidates(read_links(page), page.url)


def parse_pages(pages: Iterable[Page]) -> list[Candidate]:
    """`candidates` of many pages, in their order."""
    return [candidate for page in pages for candidate in parse_page(page)]


def judge(base: str, source: str, alt: str) -> tuple[str, str, str]:
    """The absolute URL and the cleaned caption of a link, and why it is dropped ("" if it is kept)."""
    source = source.strip()
    text = clean(alt)
    if source[:12].lower().startswith(_REFUSED_SCHEMES):
        return source[:MOST], text, INLINE
    url = (_joined(base, source) if source else "")[:MOST]
    reason = _fault(url)
    if not reason:
        reason = NO_TEXT if not alt.strip() else SHORT_TEXT if len(text) < SHORTEST else ""
    return url or source[:MOST], text, reason


def clean(text: str) -> str:
    """A caption in one line: mojibake mended, separators and newlines to spaces, no control or direction marks.

    Raises
    ------
    ImportError
        If ftfy is missing.
    """
    try:
        from ftfy import fix_text
    except ImportError as error:
        raise ImportError("mending captions needs ftfy: pip install 'unseen[curate]'") from error
    cut = text[: 4 * MOST].replace("\r", " ").replace("\n", " ").translate(_SEPARATORS)
    if not cut.isascii() or "&" in cut:
        cut = fix_text(cut).replace("\n", " ").translate(_SEPARATORS)
    return "".join(c for c in cut if c.isprintable() or c in _JOINERS)[:MOST].strip()


def uid(url: str, text: str) -> str:
    """MD5 of URL and caption, 32 hexadecimal digits: the key of a pair everywhere."""
    return hashlib.md5((url + text).encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()


def _joined(base: str, source: str) -> str:
    """The absolute URL without its fragment; empty if there is none."""
    try:
        return urljoin(base, source).partition("#")[0]
    except ValueError:
        return ""


def is_address(url: str) -> bool:
    """Whether a URL is one of the web: http or https, with a host and no user."""
    return _fault(url) in ("", BAD_FORMAT, LONG_HOST)


def _fault(url: str) -> str:
    """What is wrong with an absolute URL; empty if nothing is."""
    try:
        parts = urlsplit(url)
        host, path = parts.hostname or "", parts.path.lower()
        _ = parts.port  # raises where the port is no number below 65,536
    except ValueError:
        return BAD_URL
    if parts.scheme not in ("http", "https") or not _HOST.fullmatch(host) or parts.username is not None:
        return BAD_URL
    if len(host) > LONGEST_HOST:
        return LONG_HOST
    return BAD_FORMAT if path.endswith(_REFUSED_ENDINGS) else ""


def _license_of(targets: Iterable[str]) -> str:
    return next((target.strip()[:MOST] for target in targets if _LICENSE.match(target.strip())), UNKNOWN_LICENSE)


def reasons() -> Sequence[str]:
    """Every reason of this stage."""
    return (INLINE, BAD_URL, LONG_HOST, BAD_FORMAT, NO_TEXT, SHORT_TEXT, REPEATED, UNDECODED, ENDLESS)
