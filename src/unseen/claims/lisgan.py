"""LisGAN's claim: emoji that no vendor's drawing was shown of, recognized from their names and keywords."""

from __future__ import annotations

import functools
import hashlib

import numpy as np

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain

VENDORS = {
    "development": ("noto", "twemoji", "openmoji", "fluent-emoji-flat", "emojione"),
    "confirmation": (
        "noto-v1",
        "fluent-emoji",
        "fluent-emoji-high-contrast",
        "emojione-v1",
        "emojione-monotone",
    ),
}
CLASSES, UNSEEN = 250, 50
WIDTHS = 128, 64  # of features and of descriptions, by PCA


@functools.cache
def features(split: str) -> tuple[Domain, np.ndarray]:
    """Features (n, 1280) of the split's emoji as all of its vendors draw them, and description vectors (c, 384).

    The two splits share neither an emoji nor a vendor: an emoji belongs to one of them by the hash of its code.
    """
    from unseen.data.sources import emoji, in_common
    from unseen.encoders import get

    every = {vendor: emoji(vendor, level="emoji") for vendor in VENDORS[split]}
    first = in_common(*every.values())[0].columns["emoji"]
    digest = {code: hashlib.sha256(code.encode()).hexdigest() for code in first.tolist()}
    half = [code for code in digest if (int(digest[code][-1], 16) % 2 == 0) == (split == "development")]
    codes = sorted(half, key=digest.__getitem__)[:CLASSES]
    encoder = get("efficientnet-lite0")
    x, y = [], []
    for domain in every.values():
        part = domain.take([domain.columns["emoji"].tolist().index(code) for code in codes])
        x.append(encoder.encode(part).x)
        y.append(np.arange(len(codes)))
    columns = {key: part.columns[key].tolist() for key in ("name", "keywords")}
    texts = [f"{name}: {words}" for name, words in zip(columns["name"], columns["keywords"])]
    described = get("minilm").encode(Domain(x=np.array(texts), kind="text")).x
    names = ClassSpace(names=tuple(columns["name"]))
    return Domain(x=np.concatenate(x), y=np.concatenate(y), classes=names, name=split), described
