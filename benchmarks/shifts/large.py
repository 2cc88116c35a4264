"""Large cases: some hundred to 4,000 samples a side, up to 62 classes. They confirm once, and teach nothing.

What the choice was made on has at most 1,123 samples a side and 29 classes. These are the same kinds of data at four to
ten times that size: emoji in all their subgroups, icons, clothes, digits and letters by the encoder, words by the text
encoder, and small pictures as they are. No sample is thinned away but to stay within 4,000 a side.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from shifts.case import MOST, Case, common_classes, itemized, side, thinned, unbalanced
from shifts.fresh import code_texts, common_texts, material, noun_texts, tabler
from shifts.pictures import PICTURES, both_ways, by_column
from shifts.pixels import PIXELS, as_pictures, clothes, flattened, over_digits
from shifts.readers import ALPHANUMERIC, DIGITS, FONTS, eight_by_eight, letters, mnist_test
from shifts.sources import coded
from unseen.data.domain import Domain
from unseen.data.sources import digits, emoji


def emoji_subgroups() -> Iterator[Case]:
    """Emoji in two styles, of which no emoji is on both sides, in every subgroup that both have five of."""
    for one, other in (("noto", "openmoji"), ("fluent-emoji-high-contrast", "twemoji")):
        drawn = [coded(emoji(style, level="emoji")) for style in (one, other)]
        halves = [by_column(side(part, half), "subgroup") for half, part in enumerate(drawn)]
        yield Case("emoji-large", *(thinned(part, 60) for part in common_classes(halves, 5)), PICTURES)


def icons() -> Iterator[Case]:
    """All icons of two sets in the classes that both have, as unlike in number as they are."""
    yield from both_ways("icons-large", side(material(), 0), side(tabler(), 1))


def clothes_of_the_encoder() -> Iterator[Case]:
    """Two thousand clothes against others that are changed."""
    parts = clothes(0, MOST, piece=2000)
    for source, target in (("clothes", "rotated"), ("clothes", "inverted"), ("thinned", "blurred")):
        yield Case("fashion-large", parts[source], parts[target], PICTURES)


def digits_of_the_encoder(data: Path) -> Iterator[Case]:
    """Handwritten digits of two collections, and printed ones."""
    images, labels = mnist_test(data / "mnist-test")
    mnist = as_pictures(images[6000:], labels[6000:], DIGITS, "mnist", 6000)
    hand, printed = (digits(style, size=32) for style in ("handwritten", "printed"))
    assert hand.ids is not None
    assert printed.ids is not None
    hand, printed = (over_digits(itemized(drawn, drawn.ids.tolist())) for drawn in (hand, printed))
    yield from both_ways("digits-large", hand, mnist)
    yield Case("digits-large", thinned(printed, MOST // 10), mnist, PICTURES)


def characters() -> Iterator[Case]:
    """Capitals, small letters and digits of fonts, turned, moved and sized: 62 classes, of which some look alike."""
    drawn = [letters(font, 40, ALPHANUMERIC) for font in FONTS[:3]]
    domains = [itemized(part, [f"{part.name}/{i}" for i in range(len(part))]) for part in drawn]
    for number, source in enumerate(domains):
        yield Case("fonts-large", source, domains[(number + 1) % len(domains)], PICTURES)


def words() -> Iterator[Case]:
    """Nouns and their definitions, titles of diseases and what is filed under them, thousands of each."""
    for name, made in (("dictionary", noun_texts), ("codes", code_texts)):
        first, second = common_texts(made(0), made(1))
        each = MOST // len(first.classes or ())
        case = Case("words-large", thinned(side(first, 0), each), thinned(side(second, 1), each), ("sentences",), name)
        yield case
        yield unbalanced(case)


def small_pictures(data: Path) -> Iterator[Case]:
    """Digits and clothes as a user's own features: pixels."""
    images, labels = mnist_test(data / "mnist-test")
    part = slice(6000, 10_000)
    mnist = Domain(x=eight_by_eight(images[part]), y=labels[part], classes=DIGITS, name="mnist")
    mnist = over_digits(itemized(mnist, [f"mnist/{i}" for i in range(6000, 10_000)]))
    hand = over_digits(itemized(digits("handwritten", size=8, flat=True), [f"handwritten/{i}" for i in range(1797)]))
    yield from both_ways("pixels-large", hand, mnist, PIXELS)
    parts = flattened(clothes(0, MOST, piece=2000))
    yield Case("pixels-large", parts["clothes"], parts["rotated"], PIXELS)
    yield unbalanced(Case("pixels-large", parts["clothes"], parts["blurred"], PIXELS))
