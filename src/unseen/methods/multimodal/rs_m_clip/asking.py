"""How classes are asked about: sentences in several languages, and the mean of what they say."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.pairs import Pairs
from unseen.data.translations import LANGUAGE
from unseen.methods.needs import Given, Need
from unseen.nn.dual_encoder import in_parts

TEMPLATE = "a picture of a {}."
"""Where nothing else is told."""

Sentences = dict[str, tuple[tuple[str, ...], ...]]
"""By language, what is said of each class: k classes with one sentence each, or several."""


def given_sentences(classes: ClassSpace, prompts: Any, source: str) -> Sentences:
    """What is said of each class in each language.

    Parameters
    ----------
    classes : ClassSpace
    prompts : None, str, sequence of str, or mapping of language to sequence of str
        Templates with {} for the name of a class, in the source language or in several; or, of a language, a sentence
        for each class in their order (translated ones say its name in that language), or several for each.
    source : str
        The language of what is no mapping.

    Raises
    ------
    TypeError, ValueError
        If they are something else.
    """
    if prompts is None or isinstance(prompts, str):
        prompts = (TEMPLATE,) if prompts is None else (prompts,)
    of = prompts if isinstance(prompts, Mapping) else {source: prompts}
    if not of:
        raise ValueError("prompts must hold at least one language; it is empty")
    return {str(language): _of_one(classes, texts, str(language)) for language, texts in of.items()}


def _of_one(classes: ClassSpace, texts: Any, language: str) -> tuple[tuple[str, ...], ...]:
    if isinstance(texts, str):
        texts = (texts,)
    if not isinstance(texts, Sequence) or not len(texts):
        raise TypeError(
            f"prompts must be templates, or a mapping of languages to such or to sentences; got {type(texts).__name__}"
        )
    rows = [(text,) if isinstance(text, str) else tuple(text) if isinstance(text, Sequence) else None for text in texts]
    if any(row is None or not row or not all(isinstance(text, str) and text.strip() for text in row) for row in rows):
        raise ValueError(f"prompts in {language!r} must be texts that are not empty")
    plain = [row[0] for row in rows if row is not None and len(row) == 1]
    if len(plain) == len(rows) and all(text.count("{}") == 1 for text in plain):
        names = [name.replace("_", " ") for name in classes.names]
        return tuple(tuple(text.replace("{}", name) for text in plain) for name in names)
    if any("{}" in text for row in rows if row is not None for text in row):
        raise ValueError(
            f"prompts in {language!r} must have one place {{}} for the name of a class each, or none at all"
        )
    if len(rows) != len(classes):
        raise ValueError(
            f"prompts in {language!r} must have a place {{}} for the name of a class, or be a sentence for each of "
            f"{len(classes)} classes; got {len(rows)}"
        )
    return tuple(row for row in rows if row is not None)


@torch.no_grad()
def prototypes(towers: Any, sentences: Sentences) -> Float[Tensor, "l k d"]:
    """Of each language and class the mean of the unit vectors of its sentences, of unit length."""
    means = []
    for per_class in sentences.values():
        vectors = in_parts(towers.encode_text, towers.tokenize([text for texts in per_class for text in texts]))
        parts = torch.split(vectors, [len(texts) for texts in per_class])
        means.append(F.normalize(torch.stack([part.mean(dim=0) for part in parts]), dim=1))
    return torch.stack(means)


def ensembled(each: Float[Tensor, "l k d"]) -> Float[Tensor, "k d"]:
    """The mean of the languages' unit prototypes, of unit length again."""
    return F.normalize(each.mean(dim=0), dim=1)


@dataclasses.dataclass(frozen=True)
class CaptionsInLanguages(Need):
    """`pairs` of pictures and captions, and a `model` of two towers that read them."""

    def lacks(self, given: Given) -> str | None:
        """Return that there are no captions."""
        if isinstance(given.inputs.get("pairs"), Pairs):
            return None
        return "learns from captions in several languages: unseen align CAPTIONS --languages en,de,..."

    def example(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return small towers, pairs in three languages of what they read, and two templates."""
        from unseen.nn.small_towers import small_dual_encoder

        pictures = any(isinstance(part, torch.nn.Conv2d) for part in inputs["model"].modules())
        rng = np.random.default_rng(3)
        of = np.arange(48) // 3 % 8
        shape = (3, 8, 8) if pictures else (16,)
        x = 1.5 * rng.normal(size=(8, *shape))[of] + np.repeat(rng.normal(size=(16, *shape)), 3, axis=0)
        words = (
            ("hat", "Hut", "cappello"),
            ("sea", "Meer", "mare"),
            ("tree", "Baum", "albero"),
            ("star", "Stern", "stella"),
        )
        captions = [f"{words[k % 4][i % 3]} {'xyz'[k // 4 % 3]}" for i, k in enumerate(of)]
        kind: Any = "image" if pictures else "features"
        left = Domain(x=x.astype(np.float32), kind=kind, name="pictures")
        right = Domain(x=np.array(captions), kind="text", name="captions")
        columns = {LANGUAGE: np.array(["en", "de", "it"] * 16)}
        examples: dict[str, Any] = {
            "pairs": Pairs(left, right, columns=columns), "model": small_dual_encoder(kind, 0 if pictures else 16),
        }  # fmt: skip
        if "prompts" in inputs:
            examples["prompts"] = ("a {}.", "the {}")
        return examples
