"""Emoji by name and in other words, and small towers that have seen other kinds of things: for claims of new classes.

Two towers have learnt names of emoji beside two vendors' drawings of them, but of no animal, plant or food. Those are
what is asked about: of some there are pictures by several other vendors, of the others there are only words.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unseen.claims import worlds
from unseen.claims.drawings import by, of_half
from unseen.claims.joined_towers import captioned, joined_towers
from unseen.data.classes import ClassSpace
from unseen.data.descriptions import DescriptionBank, Sentence
from unseen.data.domain import Domain, concatenate
from unseen.data.sources import in_common
from unseen.data.taxonomies import load
from unseen.nn.dual_encoder import DualEncoder

TAUGHT = ("twemoji", "fxemoji")
"""Vendors whose drawings of other things the towers have learnt from."""
ASKED = ("animals & nature", "food & drink")
"""Groups of emoji that they have not."""
VENDORS = {
    "development": ("noto", "openmoji", "fluent-emoji-flat", "emojione"),
    "confirmation": ("noto-v1", "fluent-emoji", "fluent-emoji-high-contrast", "emojione-v1", "emojione-monotone"),
}
WIDTHS, BESIDE = (1280, 384), 64
"""Of the tower of pictures, and of the layer beside MiniLM, which changes nothing at first."""
EPOCHS = 30
TEMPLATE = "an emoji of {}."
FIFTHS, ORDER = 5, 0
"""Into how many parts the classes of a split fall, in an order by this seed: each is unseen once."""


class Classes(NamedTuple):
    """Pictures of seen classes, pictures of unseen ones, all classes (seen ones first), and what is said of each."""

    source: Domain
    exam: Domain
    classes: ClassSpace
    bank: DescriptionBank


@functools.cache
def towers() -> DualEncoder:
    """The two towers, trained anew in each process: some seconds."""
    drawn = [by(vendor, "emoji") for vendor in TAUGHT]
    drawn = [domain.take(~np.isin(domain.columns["group"], ASKED)) for domain in drawn]
    x, captions = captioned(drawn, TEMPLATE)
    trained = joined_towers(x, captions, name="bags-towers", widths=WIDTHS, beside=BESIDE, epochs=EPOCHS)
    return trained.requires_grad_(True)


@functools.cache
def drawn(split: str) -> tuple[Domain, ...]:
    """What the vendors of a split draw of the groups asked about, in one order; a hash's bit says whose an emoji is."""
    styles = in_common(*(by(vendor) for vendor in VENDORS[split]))
    mask = np.isin(styles[0].columns["group"], ASKED) & of_half(styles[0], split)
    return tuple(style.take(mask) for style in styles)


@functools.cache
def features(split: str) -> NDArray[np.float32]:
    """EfficientNet-Lite0's features of `drawn`, (vendors, n, 1280)."""
    return np.stack([worlds.lite0(style).x for style in drawn(split)])


def numbered_features(split: str) -> NDArray[np.float32]:
    """Drawings by their numbers, for what is drawn of `features`."""
    styles = drawn(split)
    return np.arange(len(styles) * len(styles[0]), dtype=np.float32).reshape(len(styles), -1, 1)


def classes_of(
    split: str, fifth: int, few: bool = False, features: Callable[[str], NDArray[np.float32]] = features,
    glosses: bool = True,
) -> Classes:  # fmt: skip
    """A split's emoji as classes, of which the given fifth (from 1) is unseen: no two fifths share an unseen class.

    Seen are all others; or, where `few`, the next fifth alone, and then no two share a seen class either.
    """
    first = drawn(split)[0]
    named, n = first.columns["name"].tolist(), len(first)
    parts = np.array_split(np.random.default_rng(ORDER).permutation(n), FIFTHS)
    asked = parts[fifth - 1]
    learnt = parts[fifth % FIFTHS] if few else np.concatenate([*parts[: fifth - 1], *parts[fifth:]])
    order, seen = np.concatenate([learnt, asked]), len(learnt)
    n = len(order)
    space = ClassSpace(names=tuple(named[i] for i in order), seen=np.arange(seen))
    x = features(split)[:, order]
    pictures = []
    for vendor, vendor_x in zip(VENDORS[split], x):
        y = np.arange(n)
        pictures.append(Domain(x=vendor_x, y=y, classes=space, columns={"domain": np.repeat(vendor, n)}, name="emoji"))
    whole = concatenate(pictures, name="emoji")
    known = whole.labels < seen
    return Classes(whole.take(known), whole.take(~known), space, bank_of(first.take(order), glosses))


taxonomy = functools.cache(load)
"""A taxonomy, read once."""


def bank_of(domain: Domain, glosses: bool = True) -> DescriptionBank:
    """Bags of emoji: their keywords (three at a time), their group, and WordNet's gloss where it knows the name.

    Without `glosses` WordNet is not read, which takes seconds.
    """
    columns = domain.columns
    bags: dict[str, list[Sentence]] = {}
    rows = zip(columns["name"].tolist(), columns["keywords"].tolist(), columns["subgroup"].tolist())
    for name, keywords, subgroup in rows:
        words = [word for word in keywords.split(", ") if word.casefold() not in name.casefold()]
        few = [", ".join(words[i : i + 3]) for i in range(0, len(words), 3)]
        bag = [Sentence(f", {text}", "visual", True) for text in few]
        kind = subgroup.replace("-", " ")
        bags[name] = [*bag, Sentence(f", a kind of {kind}", "taxonomy", True)]
    if not glosses:
        return DescriptionBank(bags)
    known = DescriptionBank.of_taxonomy(ClassSpace(names=tuple(bags)), taxonomy("wordnet")).only("gloss")
    return DescriptionBank(bags).joined(known)


def read(case: str) -> Sequence[Domain]:
    """What is read for a case, for a stamp."""
    columns = ("name", "keywords", "subgroup")
    styles = drawn(case.split()[0])
    return [*styles, worlds.said(styles[0], *columns), *(by(vendor) for vendor in TAUGHT)]
