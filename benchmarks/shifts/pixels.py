"""Families of shifts between small pictures: as pixels, and by the encoder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from shifts.case import Case, itemized, opened, partial, small, thinned, unbalanced
from shifts.pictures import PICTURES, both_ways
from shifts.readers import DIGITS, FONTS, LETTERS, eight_by_eight, letters, mnist_test
from shifts.sources import fashion, pictures
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.sources import characters, digits

PIXELS = ("pixels",)
CLOTHES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")


# -- digits ------------------------------------------------------------------------------------------------


def digit_pixels(data: Path) -> Iterator[Case]:
    """Digits of 8 x 8 pixels: handwritten, of MNIST, printed, and other printed ones in bold negative."""
    family, drawn = "digits-pixels", _digits(data, 40)
    hand, mnist, printed, negative = drawn
    yield from both_ways(family, hand, mnist, PIXELS)
    yield from both_ways(family, printed, hand, PIXELS)
    yield Case(family, mnist, negative, PIXELS)
    yield Case(family, negative, printed, PIXELS)
    yield small(Case(family, hand, printed, PIXELS), source=4)
    yield partial(Case(family, printed, mnist, PIXELS), 0.6)


def _digits(data: Path, each: int) -> tuple[Domain, Domain, Domain, Domain]:
    images, labels = mnist_test(data / "mnist-test")
    hand = itemized(digits("handwritten", size=8, flat=True), [f"handwritten/{i}" for i in range(1797)])
    few = slice(0, 3000)
    mnist = Domain(x=eight_by_eight(images[few]), y=labels[few], classes=DIGITS, name="mnist")
    printed = digits("printed", size=8, flat=True)
    assert printed.ids is not None
    printed = itemized(printed, printed.ids.tolist())
    first = thinned(printed, each, "first")
    others = printed.take(~np.isin(printed.columns["item"], first.columns["item"]))
    negative = thinned(others, each).replace(name="negative")
    return (
        over_digits(thinned(hand, each)),
        over_digits(thinned(itemized(mnist, [f"mnist/{i}" for i in range(3000)]), each)),
        over_digits(first),
        over_digits(negative.replace(x=np.sqrt(1 - negative.x))),
    )


def digit_pictures(data: Path) -> Iterator[Case]:
    """The same kinds of digits as pictures, by the encoder."""
    family, each = "digits-encoded", 20
    images, labels = mnist_test(data / "mnist-test")
    mnist = as_pictures(images[3000:6000], labels[3000:6000], DIGITS, "mnist", 3000)
    hand, printed = (digits(style, size=32) for style in ("handwritten", "printed"))
    sides = []
    for drawn in (hand, printed):
        assert drawn.ids is not None
        sides.append(over_digits(itemized(drawn, drawn.ids.tolist())))
    first = thinned(sides[1], each, "first")
    others = thinned(sides[1].take(~np.isin(sides[1].columns["item"], first.columns["item"])), each)
    negative = others.replace(x=pictures(255 - np.asarray(picture) for picture in others.x), name="negative")
    hand, mnist = thinned(sides[0], each), thinned(mnist, each)
    yield from both_ways(family, hand, mnist)
    yield from both_ways(family, first, hand)
    yield Case(family, mnist, negative, PICTURES)
    yield Case(family, negative, first, PICTURES)


def over_digits(domain: Domain) -> Domain:
    """The domain over the ten digits, with no column but the item."""
    names = ClassSpace(names=DIGITS.names)
    return domain.replace(columns={"item": domain.columns["item"]}).with_labels(domain.labels, names)


def as_pictures(images: Any, labels: Any, classes: ClassSpace, name: str, first: int) -> Domain:
    """Arrays as pictures, whose items are numbers from `first` on."""
    drawn = Domain(x=pictures(images), y=labels, kind="image", classes=classes, name=name)
    return itemized(drawn, [f"{name}/{first + i}" for i in range(len(images))])


# -- fonts -------------------------------------------------------------------------------------------------


def font_pixels() -> Iterator[Case]:
    """Capital letters of 16 x 16 pixels in families of fonts."""
    drawn = characters("".join(LETTERS.names), size=16, copies=3)
    assert drawn.ids is not None
    drawn = itemized(drawn, drawn.ids.tolist())
    starts = {"sans": "DejaVuSans", "mono": "DejaVuSansMono", "serif": "DejaVuSerif", "stix": "STIX", "cm": "cm"}
    fonts = drawn.columns["font"].tolist()
    of = [max((len(start), name) for name, start in starts.items() if font.startswith(start))[1] for font in fonts]
    domains = {name: drawn.take(np.array(of) == name).replace(name=name, columns={}) for name in starts}
    domains = {name: itemized(domain, domain.ids.tolist()) for name, domain in domains.items()}  # type: ignore[union-attr]
    for source, target in (("sans", "cm"), ("cm", "stix"), ("serif", "mono"), ("mono", "sans"), ("stix", "serif")):
        yield Case("fonts-pixels", domains[source], domains[target], PIXELS)
    yield partial(Case("fonts-pixels", domains["serif"], domains["cm"], PIXELS))
    yield small(Case("fonts-pixels", domains["stix"], domains["sans"], PIXELS), source=3)


def font_pictures() -> Iterator[Case]:
    """Capital letters of five fonts, turned, moved and sized, by the encoder."""
    domains = []
    for font in FONTS:
        drawn = letters(font, 8)
        domains.append(itemized(drawn, [f"{font}/{i}" for i in range(len(drawn))]))
    n = len(domains)
    for i in range(n):
        yield Case("fonts-encoded", domains[i], domains[(i + 1) % n], PICTURES)
    yield Case("fonts-encoded", domains[2], domains[0], PICTURES)
    yield opened(Case("fonts-encoded", domains[3], domains[1], PICTURES))


# -- clothes -----------------------------------------------------------------------------------------------


def fashion_pixels() -> Iterator[Case]:
    """Clothes of Fashion-MNIST against other ones that are rotated, inverted, blurred or thinned, as pixels."""
    family, flat = "fashion-pixels", flattened(clothes(0, 50))
    yield from _of_clothes(family, flat, PIXELS)
    yield unbalanced(Case(family, flat["clothes"], flat["blurred"], PIXELS))
    yield partial(Case(family, flat["blurred"], flat["clothes"], PIXELS), 0.6)


def flattened(parts: dict[str, Domain]) -> dict[str, Domain]:
    """Pictures as rows of grey pixels in [0, 1]."""
    flat = {
        name: part.replace(x=np.stack([np.asarray(p.convert("L")) for p in part.x]).reshape(len(part), -1) / 255)
        for name, part in parts.items()
    }
    return {name: part.replace(x=part.x.astype(np.float32), kind="features") for name, part in flat.items()}


def fashion_pictures() -> Iterator[Case]:
    """The same changes of other clothes, by the encoder."""
    parts = clothes(5000, 20)
    yield from _of_clothes("fashion-encoded", parts, PICTURES)


def _of_clothes(family: str, parts: dict[str, Domain], tags: Sequence[str]) -> Iterator[Case]:
    for name in ("rotated", "inverted", "blurred", "thinned"):
        yield Case(family, parts["clothes"], parts[name], tuple(tags))
    yield Case(family, parts["inverted"], parts["clothes"], tuple(tags))
    yield Case(family, parts["thinned"], parts["rotated"], tuple(tags))


def clothes(first: int, each: int, piece: int = 1000) -> dict[str, Domain]:
    """Pieces of the pictures from `first` on, each with a change of its own."""
    images, labels = fashion()
    changes = {
        "clothes": lambda image: image,
        "rotated": lambda image: np.asarray(Image.fromarray(image).rotate(35, Image.Resampling.BILINEAR)),
        "inverted": lambda image: 255 - image,
        "blurred": lambda image: ndimage.gaussian_filter(image, 1.8),
        "thinned": lambda image: ndimage.grey_erosion(image, 3),
    }
    domains = {}
    for number, (name, work) in enumerate(changes.items()):
        start = first + number * piece
        rows = np.arange(start, start + piece)
        drawn = as_pictures(images[rows], labels[rows], ClassSpace(names=CLOTHES), "clothes", start)
        drawn = thinned(drawn, each)
        kept = [int(item.rpartition("/")[2]) for item in drawn.columns["item"].tolist()]
        domains[name] = drawn.replace(x=pictures(work(images[i]) for i in kept), name=name)
    return domains
