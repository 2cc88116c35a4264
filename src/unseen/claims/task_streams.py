"""Streams of unlike tasks, and two small towers that know them by name a little, for claims about what is forgotten.

The towers are two layers each, of pictures on frozen features of EfficientNet-Lite0, of texts beside frozen MiniLM,
whose space both share. The one of pictures has learnt names and keywords of emoji as two vendors draw them, by CLIP's
contrastive loss; of no other vendor, and of no task, have they seen a picture. A task is a kind of pictures that the
others are unlike.
"""

from __future__ import annotations

import functools
import gzip
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.claims import worlds
from unseen.claims.arms import few_of_each, of_classes, parted
from unseen.claims.drawings import by, readable
from unseen.claims.joined_towers import captioned, joined_towers
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.sources import characters, digits
from unseen.data.sources.debian import fetch_deb, read_deb
from unseen.encoders.lite_clip import imagenet_classes
from unseen.encoders.two_tower import name_and_description
from unseen.nn.dual_encoder import DualEncoder

TAUGHT = ("twemoji", "fxemoji")
"""Vendors whose drawings the towers have learnt from."""
WIDTHS, BESIDE = (1280, 256, 384), 64
"""Of the tower of pictures, and of the layer beside MiniLM, which changes nothing at first."""
EPOCHS = 40
HELD_OUT = 0.4
"""Share of each task's pictures that nothing is learnt from."""
EACH = 30
"""Pictures of a class of digits, letters and clothes."""
SENTENCES = 300

FASHION: Mapping[str, Any] = {
    "version": "0.0~git20200523.55506a9-1",
    "file": "dataset-fashion-mnist_0.0~git20200523.55506a9-1_all.deb",
    "bytes": 30_900_652,
    "sha256": "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0",
}
"""Debian's package of Fashion-MNIST."""
CLOTHES = ("t-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
FASHION_CREDIT = "Fashion-MNIST by Zalando SE: MIT"

GROUPS = {
    "development": {
        "people": ("noto", ("people & body",)),
        "things": ("openmoji", ("objects", "food & drink")),
    },
    "confirmation": {
        "places": ("fluent-emoji", ("travel & places", "animals & nature")),
        "leisure": ("noto-v1", ("activities", "smileys & emotion", "symbols")),
    },
}
"""Tasks of emoji: the vendor who draws them, and the groups whose subgroups are the classes."""
STAMPS = {
    "development": ("animals", "clothes", "food", "household", "plants", "town"),
    "confirmation": ("people", "seasonal", "space", "symbols", "vehicles", "hobbies"),
}
REFERENCES = {
    "development": ("emojione", ("animals & nature", "travel & places", "activities", "smileys & emotion", "symbols")),
    "confirmation": ("emojione-v1", ("objects", "food & drink", "people & body")),
}
"""Reference pictures: another vendor, and groups that no task of the split is of."""
ORDERS = {
    "development": (
        ("people", "digits", "things", "letters", "stamps"),
        ("stamps", "letters", "digits", "things", "people"),
    ),
    "confirmation": (
        ("places", "digits", "clothes", "leisure", "letters", "stamps"),
        ("stamps", "letters", "leisure", "clothes", "digits", "places"),
        ("clothes", "stamps", "places", "letters", "leisure", "digits"),
        ("leisure", "places", "stamps", "digits", "letters", "clothes"),
        ("digits", "clothes", "letters", "places", "stamps", "leisure"),
    ),
}
"""Streams: each task once, in so many orders."""


class Task(NamedTuple):
    """Pictures to learn from and pictures to be asked about, as features, and how a class is written in a sentence."""

    name: str
    source: Domain
    exam: Domain
    prompts: tuple[str, ...]


class References(NamedTuple):
    """Pictures without labels, some to be held by and some to look at afterwards, and sentences that belong to none."""

    pictures: Domain
    others: Domain
    sentences: Domain


@functools.cache
def pictures(split: str, name: str) -> Domain:
    """The pictures of a task, with the classes that it is about."""
    if name in GROUPS[split]:
        vendor, groups = GROUPS[split][name]
        drawn = by(vendor, "subgroup")
        return in_words(_where(drawn, np.isin(drawn.columns["group"], groups)))
    if name == "stamps":
        stamps = worlds.stamps()
        return _where(stamps, np.isin(stamps.columns["category"], STAMPS[split]))
    if name == "clothes":
        return fashion()
    if name == "digits":
        return _digits("handwritten" if split == "development" else "printed")
    return _letters("ABCDEFGHIJ" if split == "development" else "klmnopqrst")


@functools.cache
def features(split: str, name: str) -> Domain:
    """The pictures of a task as EfficientNet-Lite0's features."""
    return worlds.lite0(pictures(split, name))


PROMPTS: Mapping[str, tuple[str, ...]] = {
    "digits": ("the digit {}.", "a picture of the number {}."),
    "letters": ("the letter {}.", "a printed letter {}."),
    "clothes": ("a picture of a {}.", "{}, a piece of clothing."),
    "stamps": ("a picture of {}.", "{}."),
}


def numbered_pictures(split: str, name: str) -> Domain:
    """The pictures of a task by their numbers, for what is drawn of `features`."""
    return worlds.numbered(pictures(split, name))


def task(split: str, name: str, seed: int, seen: Callable[[str, str], Domain] = features) -> Task:
    """A task with its pictures in two parts."""
    parts = parted(seen(split, name).replace(name=name), HELD_OUT, seed)
    return Task(name, *parts, PROMPTS.get(name, ("an emoji of {}.", "{}.")))


@functools.cache
def references(split: str, seen: Callable[[Domain], Domain] = worlds.lite0) -> References:
    """What a model may be held by: emoji of other groups by another vendor, and ImageNet's classes with definitions."""
    vendor, groups = REFERENCES[split]
    drawn = by(vendor, "emoji")
    encoded = seen(drawn.take(np.isin(drawn.columns["group"], groups))).unlabeled()
    classes = imagenet_classes()
    texts = [name_and_description(*pair) for pair in zip(classes.names, classes.descriptions or ())]
    chosen = sorted(texts, key=worlds.hashed)[:SENTENCES]
    even = np.arange(len(encoded)) % 4 > 0
    return References(encoded.take(even), encoded.take(~even), worlds.of_texts(chosen))


# -- the towers --------------------------------------------------------------------------------------------


@functools.cache
def taught() -> tuple[NDArray[np.float32], tuple[tuple[str, ...], ...]]:
    """Features of the emoji that the towers learn from, (n, 1280), and the captions of each."""
    x, captions = captioned((by(vendor, "emoji") for vendor in TAUGHT), "an emoji of {}.")
    return x, tuple(captions)


@functools.cache
def small_towers() -> DualEncoder:
    """The two towers, trained anew in each process: some ten seconds."""
    x, captions = taught()
    towers = joined_towers(x, captions, name="task-streams", widths=WIDTHS, beside=BESIDE, epochs=EPOCHS)
    text: Any = towers.text
    for part in (towers.image, text.side, towers.logit_scale):
        part.requires_grad_(True)
    return towers


# -- pictures ----------------------------------------------------------------------------------------------


def _where(domain: Domain, wanted: NDArray[np.bool_]) -> Domain:
    """Some samples, whose classes are then all there are."""
    kept = domain.take(wanted)
    return of_classes(kept, np.unique(kept.labels))


def in_words(domain: Domain) -> Domain:
    """Emoji by subgroup, of which nothing is said but Unicode's words for it."""
    return domain.replace(classes=ClassSpace(names=readable(worlds.space_of(domain).names)))


def _digits(style: str) -> Domain:
    drawn = digits(style, size=64)
    return drawn.take(few_of_each(drawn.labels, EACH)).replace(classes=ClassSpace(names=worlds.NUMBERS))


def _letters(text: str) -> Domain:
    drawn = characters(text, size=64, copies=4)
    drawn = drawn.take(few_of_each(drawn.labels, EACH))
    return worlds.on_paper(drawn, drawn.x.reshape(-1, 64, 64))


@functools.cache
def fashion() -> Domain:
    """Some of Fashion-MNIST's test pictures, dark on white."""
    root = "usr/share/datasets/fashion-mnist/t10k-"
    names = {"x": f"{root}images-idx3-ubyte.gz", "y": f"{root}labels-idx1-ubyte.gz"}
    files = read_deb(fetch_deb("dataset-fashion-mnist", FASHION), lambda name: name in names.values())
    y = np.frombuffer(gzip.decompress(files[names["y"]]), dtype=np.uint8, offset=8).astype(np.int64)
    x = np.frombuffer(gzip.decompress(files[names["x"]]), dtype=np.uint8, offset=16).reshape(-1, 28, 28)
    chosen = few_of_each(y, EACH)
    domain = Domain(x=np.zeros((len(chosen), 1)), y=y[chosen], classes=ClassSpace(names=CLOTHES), name="clothes")
    return worlds.on_paper(domain, x[chosen] / 255)


def read(case: str) -> Sequence[Domain]:
    """What is read for a case, for a stamp."""
    split = case.split()[0]
    names = sorted({name for order in ORDERS[split] for name in order})
    vendor, _ = REFERENCES[split]
    return [*(pictures(split, name) for name in names), by(vendor, "emoji"), *(by(v, "emoji") for v in TAUGHT)]


def no_pictures(like: Domain, seed: int) -> Domain:
    """Features that are noise with the mean and deviation of others: references without any meaning."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(like.x.mean(axis=0), like.x.std(axis=0) + 1e-6, like.x.shape)
    return Domain(x=noise.astype(np.float32), name="noise")


def distance(start: Mapping[str, Tensor], network: nn.Module) -> float:
    """How far weights are from where a stream began."""
    weights = network.state_dict()
    return float(torch.stack([(weights[name] - value).square().sum() for name, value in start.items()]).sum().sqrt())
