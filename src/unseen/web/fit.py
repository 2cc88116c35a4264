"""What do you have? Which methods fit it, why the others do not, and the command that compares those that do."""

from __future__ import annotations

import shlex
from collections.abc import Collection

import numpy as np
from markupsafe import Markup

from unseen import catalogue, methods
from unseen.catalogue import Given
from unseen.data.classes import ClassSpace
from unseen.encoders.defaults import DEFAULT_ENCODER
from unseen.methods.vocabulary import VOCABULARY
from unseen.web.markup import code, folded, heading, joined, paragraph, table

WORDS = ("source", "target", "support", "classes", "model")
"""Words of `fit` that the command line takes."""

KINDS = {
    "image": "pictures",
    "text": "texts",
    "features": "vectors of numbers",
    "audio": "sounds",
    "clip": "videos",
    "series": "time series",
    "node": "nodes of a graph",
    "points": "point clouds",
}
"""Kinds of samples, in the words of a user."""

TOWER = "lite-clip"
"""An encoder that places class names among pictures and texts."""

EXAMPLES = {"source": "photos", "target": "sketches", "support": "few", "classes": "classes.csv", "model": "run"}


def sentence(word: str) -> str:
    """A word of `fit` with what it is."""
    return f"{word}: {VOCABULARY[word].sentence}"


def situation(words: Collection[str], kind: str = "image", *, new_classes: bool = False, tower: bool = False) -> Given:
    """What a user says to have, as the catalogue asks for it; stand-ins take the place of data.

    Parameters
    ----------
    words : of `WORDS`
    kind : one of `KINDS`
        Methods see features of all but vectors, which are features.
    new_classes : bool
        Whether some of the described classes have no labelled sample.
    tower : bool
        Whether the encoder places class names among the samples.

    Raises
    ------
    ValueError
        If a word or the kind is not known.
    """
    for word in words:
        if word not in WORDS:
            raise ValueError(f"words must be of {', '.join(WORDS)}; got {word!r}")
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}; got {kind!r}")
    tower = tower and kind in DEFAULT_ENCODER
    inputs: dict[str, object] = {word: True for word in words if word != "classes"}
    if "classes" in words or tower:
        n = 1 + (new_classes and "classes" in words)
        inputs["classes"] = ClassSpace(names=("known", "new")[:n], embeddings=np.eye(n, 2), seen=[0])
    return Given(inputs, shared_space=tower)


def command(words: Collection[str], kind: str = "image", *, tower: bool = False) -> str:
    """The `unseen compare` that does it, with example names; empty where it has nothing labelled to learn from."""
    if not {"source", "support"} & set(words):
        return ""
    parts = ["unseen", "compare"]
    for word in WORDS:
        if word in words:
            parts += [f"--{word}", EXAMPLES[word]]
    if tower and kind in DEFAULT_ENCODER:
        parts += ["--encoder", TOWER]
    elif kind not in DEFAULT_ENCODER and kind != "features":
        parts += ["--encoder", "ENCODER"]
    return shlex.join([*parts, "--out", "runs/mine"])


def page(words: Collection[str], kind: str = "image", *, new_classes: bool = False, tower: bool = False) -> Markup:
    """What fits and what does not, as tables."""
    if not words:
        return paragraph("Tick what you have; the methods that fit appear here.", "quiet")
    rows = catalogue.recommend(situation(words, kind, new_classes=new_classes, tower=tower))
    fitting = [[_name(row["slug"]), row["why"]] for row in rows if row["fits"]]
    others = [
        [_name(row["slug"]), row["why"], methods.get(row["slug"]).card.summary] for row in rows if not row["fits"]
    ]
    parts = [
        *(paragraph(line, "notice") for line in remarks(words, kind)),
        heading(f"{len(fitting)} of {len(rows)} methods fit"),
        table(["method", "what it does"], fitting) if fitting else "",
    ]
    if others:
        parts += [
            heading("These do not"),
            table(["method", "why not", "what it would do"], others),
        ]
    if "model" in words:
        parts.append(folded("Make the model smaller, without any data", _smaller()))
    return joined(parts)


def remarks(words: Collection[str], kind: str) -> list[str]:
    """What must be said before the tables."""
    lines = []
    if not {"source", "support"} & set(words):
        lines.append(
            "unseen compare needs something labelled: a source or a support (or --labels support, if the target has "
            "labels that may be learned from). From Python, fit takes what the methods below ask for."
        )
    if kind not in DEFAULT_ENCODER and kind != "features":
        lines.append(
            f"There is no default encoder for {KINDS[kind]}: put the name of one in the place of ENCODER, or bring "
            "vectors that you made yourself."
        )
    return lines


def _name(slug: str) -> Markup:
    card = methods.get(slug).card
    told = ", ".join(filter(None, [card.venue, "baseline" if card.baseline else ""]))
    return Markup('{} <span class="quiet">{}</span>').format(code(slug), told)


def _smaller() -> Markup:
    cards = [entry.card for entry in catalogue.entries(planned=False) if entry.card]
    rows = [
        [
            code(card.slug),
            card.summary,
            code(f"unseen quantize {EXAMPLES['model']} --method {card.slug} --out models/small"),
        ]
        for card in cards
        if "quantization" in card.protocols
    ]
    return table(["method", "what it does", "command"], rows)
