"""Digits, printed and handwritten: a domain shift that needs nothing but the install."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain, Lazy, _digest_of

FONTS = (
    *(f"DejaVuSans{cut}" for cut in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSansMono{cut}" for cut in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSerif{cut}" for cut in ("", "-Bold", "-Italic", "-BoldItalic")),
    *(f"STIXGeneral{cut}" for cut in ("", "Bol", "Italic", "BolIta")),
    *("cmb10", "cmr10", "cmss10", "cmti10", "cmtt10"),
)
"""Fonts inside matplotlib that have digits of the usual shape."""

_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_OVERSAMPLED = 4
_LARGE = 128
"""Pixels of a canvas from which on it is worth to look for its ink first."""
_CREDITS = {
    "printed": "Fonts: DejaVu (Bitstream Vera licence), STIX and Computer Modern, as matplotlib ships them",
    "handwritten": "Optical Recognition of Handwritten Digits, Alpaydin and Kaynak, UCI, in scikit-learn",
}


def digit_styles() -> tuple[str, ...]:
    """Return the styles that `digits` has."""
    return tuple(_CREDITS)


def digits(style: str, *, size: int = 32, copies: int = 8, flat: bool = False) -> Domain:
    """Return pictures of the ten digits, dark ink on white.

    Parameters
    ----------
    style : {"printed", "handwritten"}
        Printed: every font of `FONTS` with `copies` variations of size, place and angle, with the column
        ``font``. Handwritten: the 1,797 digits of scikit-learn.
    size : int
        Width and height in pixels, from 8 to 224. The handwritten ones are 8 x 8 and are enlarged smoothly.
    copies : int
        Variations of each printed digit in each font.
    flat : bool
        Return features of shape (n, size * size), 0 for paper and 1 for ink, in place of pictures.
    """
    if style not in _CREDITS:
        raise ValueError(f"style must be one of {', '.join(_CREDITS)}; got {style!r}")
    if not 8 <= size <= 224:
        raise ValueError(f"size must lie in [8, 224] pixels; got {size}")
    if copies < 1:
        raise ValueError(f"copies must be at least 1; got {copies}")
    ink, y, columns, ids = _printed(size, copies) if style == "printed" else _handwritten(size)
    x: Any = (ink.reshape(len(ink), -1) / np.float32(255)) if flat else _pictures(ink)
    descriptions = tuple(f"the digit {word}" for word in _WORDS)
    return Domain(
        x=x,
        y=y,
        kind="features" if flat else "image",
        classes=ClassSpace(names=tuple("0123456789"), descriptions=descriptions),
        ids=np.array(ids),
        columns=columns,
        name=style,
        credits=(_CREDITS[style],),
    )


def characters(text: str, *, size: int = 32, copies: int = 8) -> Domain:
    """Return printed characters in those fonts of `FONTS` that have all of them, as features.

    Parameters
    ----------
    text : str
        The characters, which are the classes in this order: letters or digits. ASCII is in all fonts, Greek and
        Cyrillic in DejaVu and STIX, Armenian and Georgian in DejaVu.
    size, copies : int
        As in `digits`.

    Returns
    -------
    Domain
        Features of shape (n, size * size), 0 for paper and 1 for ink, with the column ``font``.

    Raises
    ------
    ValueError
        If an argument cannot be, or no font has all characters.
    """
    if not text or len(set(text)) != len(text) or not text.isalnum():
        raise ValueError(f"text must be different letters or digits; got {text!r}")
    if not 8 <= size <= 224 or copies < 1:
        raise ValueError(f"size must lie in [8, 224] and copies be at least 1; got {size} and {copies}")
    ink, y, columns, ids = _printed(size, copies, text)
    return Domain(
        x=ink.reshape(len(ink), -1) / np.float32(255),
        y=y,
        classes=ClassSpace(names=tuple(text)),
        ids=np.array(ids),
        columns=columns,
        name="printed characters",
        credits=(_CREDITS["printed"],),
    )


def _pictures(ink: NDArray[np.uint8]) -> Lazy:
    from PIL import Image

    paper = 255 - ink
    return Lazy(
        range(len(paper)),
        lambda i: Image.fromarray(paper[i]).convert("RGB"),
        lambda i: _digest_of(paper[i]),
    )


def _handwritten(size: int) -> tuple[NDArray[np.uint8], Any, dict[str, Any], list[str]]:
    """Ink of scikit-learn's digits, enlarged from 8 x 8."""
    from PIL import Image
    from sklearn.datasets import load_digits

    data = load_digits()
    ink = np.rint(data.images * (255 / 16)).astype(np.uint8)
    if size != 8:
        enlarge = Image.Resampling.BICUBIC
        ink = np.stack([np.asarray(Image.fromarray(glyph).resize((size, size), enlarge)) for glyph in ink])
    return ink, data.target.astype(np.int64), {}, [f"handwritten/{i:04d}" for i in range(len(ink))]


def _printed(
    size: int, copies: int, text: str = "0123456789"
) -> tuple[NDArray[np.uint8], Any, dict[str, Any], list[str]]:
    """Ink of every character in every font, drawn large, turned, and reduced."""
    from matplotlib import get_data_path
    from PIL import ImageFont

    folder = Path(get_data_path()) / "fonts" / "ttf"
    rng = np.random.default_rng(0)
    ink, y, fonts, ids = [], [], [], []
    for font in _having(text, folder):
        for copy in range(copies):
            height = round(size * _OVERSAMPLED * rng.uniform(0.96, 1.26))
            file = str(folder / f"{font}.ttf")
            face = ImageFont.truetype(file, height, layout_engine=ImageFont.Layout.BASIC)
            for label, character in enumerate(text):
                shift, angle = rng.uniform(-0.06, 0.06, 2), rng.uniform(-10, 10)
                ink.append(_glyph(face, character, size, shift, angle))
                y.append(label)
                fonts.append(font)
                ids.append(f"printed/{font}/{character}-{copy}")
    return np.stack(ink), np.array(y, dtype=np.int64), {"font": np.array(fonts)}, ids


def _having(text: str, folder: Path) -> list[str]:
    """The fonts of `FONTS` that have all characters."""
    from matplotlib.ft2font import FT2Font

    wanted = set(map(ord, text))
    fonts = [font for font in FONTS if wanted <= FT2Font(str(folder / f"{font}.ttf")).get_charmap().keys()]
    if not fonts:
        raise ValueError(f"text must be characters that a font of matplotlib has, all of them; got {text!r}")
    return fonts


def _glyph(face: Any, text: str, size: int, shift: NDArray[Any], angle: float) -> NDArray[np.uint8]:
    """One character as ink, moved by shares of its side and turned by degrees."""
    from PIL import Image, ImageDraw

    side = size * _OVERSAMPLED
    canvas = Image.new("L", (side, side))
    place = side / 2 + shift * side
    left, top, right, bottom = face.getbbox(text)
    corner = (place[0] - (left + right) / 2, place[1] - (top + bottom) / 2)
    ImageDraw.Draw(canvas).text(corner, text, fill=255, font=face)
    return np.asarray(_turned(canvas, angle).resize((size, size), Image.Resampling.BOX))


def _turned(canvas: Any, angle: float) -> Any:
    """``canvas.rotate(angle, BICUBIC)`` to the bit, computed only where ink comes to lie: in a third of the time."""
    from PIL import Image

    box = canvas.getbbox()
    if box is None or canvas.width < _LARGE:
        return canvas.rotate(angle, Image.Resampling.BICUBIC)
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    turn, middle = np.array([[cos, -sin], [sin, cos]]).round(15), canvas.width / 2
    corners = np.array([(x, y) for x in box[::2] for y in box[1::2]])
    there = (corners - middle) @ turn + middle  # where the corners go; `turn` leads from there to the canvas
    low = np.maximum(np.floor(there.min(axis=0)).astype(int) - 3, 0)
    high = np.minimum(np.ceil(there.max(axis=0)).astype(int) + 3, canvas.width)
    shift = turn @ (low - middle) + middle
    affine = (*turn[0].tolist(), float(shift[0]), *turn[1].tolist(), float(shift[1]))
    part = canvas.transform(tuple((high - low).tolist()), Image.Transform.AFFINE, affine, Image.Resampling.BICUBIC)
    turned = Image.new("L", canvas.size)
    turned.paste(part, tuple(low.tolist()))
    return turned
