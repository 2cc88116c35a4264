"""Small towers for claims: emoji of 32 pixels by four vendors and what is said of them, a fifth to be asked about.

The towers are transformers from which parts can be taken (`unseen.nn.towers`). They learn from the pictures of four
vendors with three texts each, by the loss of CLIP; of a fifth of the emoji they see nothing.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unseen.claims import arms
from unseen.claims.drawings import by, of_half, readable
from unseen.claims.worlds import hashed, numbered
from unseen.data.domain import Domain
from unseen.data.pairs import Pairs
from unseen.data.samplers import Batch
from unseen.data.sources import in_common
from unseen.evaluation.metrics.retrieval import both_ways
from unseen.nn.contrastive import LARGEST, same_label
from unseen.nn.dual_encoder import DualEncoder, WordPieces, class_vectors, dual_encoder, in_parts
from unseen.nn.towers import text_tower, vision_tower
from unseen.nn.train import Run
from unseen.runtime import reproducible

SIDE, PATCH, DIM = 32, 8, 64
WIDTH, HEAD, IMAGE_LAYERS, TEXT_LAYERS = 64, 16, 4, 3
STEPS, BATCH, RATE = 600, 128, 2e-3
OTHERS = ("symbols", "flags", "people & body")
"""Groups of emoji that 32 pixels do not tell apart."""
LIMIT = 12
"""Tokens of a text."""


class World(NamedTuple):
    """What is learnt from, and what is asked."""

    pairs: Pairs
    exam: Domain
    known: NDArray[np.bool_]
    tokenizer: str


def pixels(style: Domain) -> NDArray[np.float32]:
    """Pictures of 32 x 32 with values in [-1, 1], (n, 3, 32, 32)."""
    from PIL import Image

    small = [np.asarray(picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)) for picture in style.x]
    return (np.stack(small).transpose(0, 3, 1, 2) / 127.5 - 1).astype(np.float32)


def small_numbers(style: Domain) -> NDArray[np.float32]:
    """The numbers of pictures instead of their pixels, for what is drawn of them."""
    return np.broadcast_to(numbered(style).x[:, None, None], (len(style), 3, 1, 1))


@functools.cache
def world(
    split: str, taught: tuple[str, ...], asked: str, pixels: Callable[[Domain], NDArray[np.float32]] = pixels
) -> World:
    """The pictures of some vendors with three texts each, and those of another; all of a split's emoji of things.

    `exam` has all emoji, `known` says of which the other vendors' pictures are learnt from: four fifths.
    """
    styles = in_common(*(by(vendor) for vendor in (*taught, asked)))
    mask = of_half(styles[0], split) & ~np.isin(styles[0].columns["group"], OTHERS)
    styles = tuple(style.take(np.flatnonzero(mask)) for style in styles)
    known = np.array([hashed(f"towers {code}") % 5 > 0 for code in styles[0].columns["emoji"].tolist()])
    x, texts = [], []
    for style in styles[:-1]:
        seen = style.take(np.flatnonzero(known))
        drawn = pixels(seen)
        for captions in said_of(seen):
            x.append(drawn)
            texts += captions
    pictures = Domain(x=np.concatenate(x), kind="image", name=" and ".join(taught))
    pairs = Pairs(pictures, Domain(x=np.array(texts), kind="text", name="captions"), name="emoji")
    exam = styles[-1].replace(x=pixels(styles[-1]))
    return World(pairs, exam, known, word_tokenizer(texts))


def said_of(style: Domain) -> list[list[str]]:
    """Three texts of each emoji: its name, its subgroup, some of its keywords."""
    names = style.columns["name"].tolist()
    groups = list(readable(style.columns["subgroup"]))
    words = [", ".join(keywords.split(", ")[:3]) for keywords in style.columns["keywords"].tolist()]
    return [names, groups, [keywords or name for keywords, name in zip(words, names)]]


def some_pixels(vendor: str) -> NDArray[np.float32]:
    """The pixels of some pictures of a vendor."""
    return pixels(by(vendor).take(slice(0, 3)))


def word_tokenizer(texts: Sequence[str]) -> str:
    """The JSON of a tokenizer of whole words, those of some texts."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    counts = Counter(word for text in texts for word in re.findall(r"\w+|[^\w\s]", text.lower()))
    words = ["[UNK]", "[CLS]", "[SEP]", *sorted(counts, key=lambda word: (-counts[word], word))]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token=words[0]))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return tokenizer.to_str()


@functools.cache
def teacher(split: str, taught: tuple[str, ...], asked: str, seed: int = 0) -> DualEncoder:
    """Two towers that have learnt from the pairs of a world."""
    return taught_towers(world(split, taught, asked), seed)


def taught_towers(data: World, seed: int = 0) -> DualEncoder:
    """Two towers that have learnt from pairs, in whose batches those of one text are all right."""
    reader = WordPieces(data.tokenizer, LIMIT)
    with reproducible(seed):
        sizes: dict[str, Any] = {"width": WIDTH, "head": HEAD, "dim": DIM}
        image = vision_tower((SIDE, SIDE), (PATCH, PATCH), **sizes, **layers(IMAGE_LAYERS))
        text = text_tower(reader.vocabulary, LIMIT, **sizes, **layers(TEXT_LAYERS))
        towers = dual_encoder(image, text, reader.to_json(), 1 / 0.07)
        tokens = towers.tokenize(data.pairs.right.x.tolist())
        labels = torch.as_tensor(np.unique(data.pairs.right.x, return_inverse=True)[1])
        adam = torch.optim.AdamW(towers.parameters(), lr=RATE, weight_decay=0.1, betas=(0.9, 0.98))

        def objective(batch: Batch, run: Run) -> Tensor:
            scale = towers.logit_scale.exp().clamp(max=LARGEST)
            logits = scale * towers.encode_image(batch.x) @ towers.encode_text(tokens[batch.index]).T
            return arms.clip_loss(logits, same_label(labels[batch.index]))

        source = data.pairs.left
        arms.in_steps(objective, towers, adam, source, name="emoji-towers", size=BATCH, n_steps=STEPS, clip=5.0)
    return towers.eval()


def layers(n: int) -> dict[str, Any]:
    """Heads and units of so many layers."""
    return {"heads": (WIDTH // HEAD,) * n, "mlp": (4 * WIDTH,) * n}


@torch.no_grad()
def asked_of(towers: Any, data: World) -> dict[str, float]:
    """What towers say of the pictures of the vendor that nobody learnt from.

    `recall` is the mean recall among the first 5, both ways, of names by pictures whose emoji other vendors' pictures
    were learnt from; `subgroup` is the zero-shot accuracy on all pictures, `new` on those of emoji never seen, nan if
    there are none.
    """
    z = in_parts(towers.encode_image, torch.as_tensor(data.exam.x))
    names = data.exam.columns["name"][data.known].tolist()
    scores = (z[torch.as_tensor(data.known)] @ class_vectors(towers, names, ("{}",)).T).numpy()
    groups, truth = np.unique(data.exam.columns["subgroup"], return_inverse=True)
    predicted = (z @ class_vectors(towers, readable(groups), ("{}",)).T).argmax(dim=1).numpy()
    right = predicted == truth
    return {
        "recall": both_ways(scores, ks=(5,))["mean"],
        "subgroup": float(right.mean()),
        "new": float(right[~data.known].mean()) if not data.known.all() else float("nan"),
    }
