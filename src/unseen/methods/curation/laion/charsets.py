"""A page's bytes as text: by its byte order mark, the header's charset, or its own; and whether that failed."""

from __future__ import annotations

import codecs
import re

LOOKED_AT = 2048
"""Bytes of a page in which its own charset is looked for."""
NOT_TEXT = 0.1
"""Share of characters that no text holds, above which a page without a tag is none that was decoded."""

_MARKS = (  # the marks of UTF-32 first: that of its little endian begins with that of UTF-16
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_XML_BEGINS = {"<?x".encode(name): name for name in ("utf-16-le", "utf-16-be")}
_COMMENT = re.compile(rb"<!--.*?(?:-->|\Z)", re.DOTALL)
_META = re.compile(rb"<meta[\s/][^>]*?charset\s*=\s*[\"']?\s*([^\s\"'/>;]+)", re.IGNORECASE)
_XML = re.compile(rb"\A\s*<\?xml\s[^>]*?encoding\s*=\s*[\"']\s*([^\s\"']+)", re.IGNORECASE)
_IMAGE = re.compile(r"<img[\s/>]", re.IGNORECASE)
_IMAGE_BYTES = re.compile(rb"<img[\s/>]", re.IGNORECASE)
_TAG = re.compile(
    r"<(?:!doctype|html|head|body|title|meta|link|script|style|div|span|table|form|font|center|frameset)[\s/>]",
    re.IGNORECASE,
)
_NO_TEXT = re.compile("[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f\ufffd]")

_MEANT = {  # names that browsers take for another charset, most of them for one that holds more
    **dict.fromkeys(["iso8859-1", "ascii", "x-user-defined"], "cp1252"),
    **dict.fromkeys(["gb2312", "gbk"], "gb18030"),
    **dict.fromkeys(["shift_jis", "x-sjis", "windows-31j"], "cp932"),
    **dict.fromkeys(["euc_kr", "ks_c_5601-1987"], "cp949"),
    "big5": "big5hkscs",
    "iso8859-9": "cp1254",
    "tis-620": "cp874",
    "iso8859-11": "cp874",
    **dict.fromkeys(["utf-16", "unicode", "ucs-2"], "utf-16-le"),
    "utf-32": "utf-32-le",
}
_NO_CHARSET = ("idna", "punycode", "raw-unicode-escape", "unicode-escape", "undefined", "mbcs", "oem")
"""Codecs from bytes to text that are no charset of a page."""


def decode(html: bytes, charset: str = "") -> str:
    """HTML as text: by its byte order mark, the header's charset, its own, or UTF-8; other bytes are replaced.

    Parameters
    ----------
    html : bytes
    charset : str
        What the HTTP header names; passed over if there is no such charset.
    """
    for mark, name in _MARKS:
        if html.startswith(mark):
            return html[len(mark) :].decode(name, "replace")
    return html.decode(_codec(charset) or _own(html) or "utf-8", "replace")


def undecoded(html: bytes, text: str) -> bool:
    """Whether a page's text shows no picture because its bytes were decoded by the wrong charset, or are no text.

    Either the bytes, without the zeros of UTF-16 and UTF-32, hold an image that the text does not; or the text holds no
    tag, and more than `NOT_TEXT` of it are characters that no text holds (compressed pages, for one).
    """
    if _IMAGE.search(text):
        return False
    if _IMAGE_BYTES.search(html.replace(b"\0", b"")):
        return True
    return not _TAG.search(text) and len(_NO_TEXT.findall(text)) > NOT_TEXT * len(text)


def _own(html: bytes) -> str:
    """The codec of the charset that a page names itself; empty if it names none."""
    for begin, name in _XML_BEGINS.items():
        if html.startswith(begin):
            return name
    head = _COMMENT.sub(b"", html[:LOOKED_AT])
    named = _META.search(head) or _XML.search(head)
    name = _codec(named.group(1).decode("ascii", "replace")) if named else ""
    return "utf-8" if name.startswith(("utf-16", "utf-32")) else name  # it was read as ASCII, so it is not that


def _codec(charset: str) -> str:
    """The codec of a charset's name; empty if there is none."""
    label = charset.strip().lower()
    if label in _MEANT:
        return _MEANT[label]
    try:
        name = codecs.lookup(label).name if label.isascii() and label.isprintable() else ""
        b"".decode(name or "undefined")
    except (LookupError, ValueError):  # no charset, or one that makes no text of bytes
        return ""
    return "" if name in _NO_CHARSET else _MEANT.get(name, name)
