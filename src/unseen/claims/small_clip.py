"""A small image-text model for claims: EfficientNet-Lite0 and a small transformer, joined on the emoji of one vendor.

It has read the names, keywords and groups of all emoji beside the pictures of Twemoji, by the contrastive loss of CLIP
[1]; of no other vendor has it seen any. Its text tower is a transformer of two layers, so that a method that reads a
text per image and class is affordable on one core.

References
----------
[1] Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021, figure 3.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unseen.claims import arms
from unseen.claims.drawings import by, readable
from unseen.claims.worlds import encoder, numbered, space_of
from unseen.data.domain import Domain
from unseen.data.samplers import Batch, steps
from unseen.encoders.base import Encoder
from unseen.encoders.trainable import small_text
from unseen.encoders.vision import LITE0_PREPROCESS, lite0_network
from unseen.nn.classifier import pooled
from unseen.nn.layer_statistics import LayerReader, Reading, layer_reader, pack, row_reader, unpack
from unseen.nn.prompting import PromptableTowers
from unseen.nn.train import Run
from unseen.runtime import reproducible

VENDOR = "twemoji"
"""Whose drawings the towers have learnt from."""
STAGES = ("blocks.0", "blocks.1", "blocks.2", "blocks.4", "blocks.6")
WIDTHS = (16, 24, 40, 112, 320)
"""Channels of the stages after which the resolution changes, and of the last one."""
POOLED, DIM, WORD = 1280, 64, 64
EPOCHS, BATCH = 30, 128


class Joined(NamedTuple):
    """Towers that read rows, and what makes their embedding (b, 64) of pooled features (b, 1280)."""

    towers: PromptableTowers
    image: nn.Module


@functools.cache
def stages(style: str, level: str = "subgroup") -> Domain:
    """What five stages of EfficientNet-Lite0 say of a vendor's emoji, and its features: rows of a `LayerReader`."""
    return _stage_encoder().encode(by(style, level))


@functools.cache
def _stage_encoder() -> Any:
    network = pooled(lite0_network())
    reader: LayerReader = layer_reader(network, tuple(f"network.{stage}" for stage in STAGES), WIDTHS, POOLED)
    return Encoder(name="efficientnet-lite0/stages", module=reader, preprocess=LITE0_PREPROCESS, precision="fp32")


def numbered_style(style: str) -> Domain:
    """A vendor's emoji by their numbers, for what is drawn of `seen_by`."""
    rows = numbered(by(style, "subgroup"))
    classes = space_of(rows)
    return rows.replace(classes=classes.replace(names=readable(classes.names)))


def seen_by(joined: Joined, style: str) -> Domain:
    """A vendor's emoji as rows of the towers; classes are the subgroups, called by Unicode's words for them."""
    rows = stages(style)
    classes = space_of(rows)
    reading = unpack(torch.as_tensor(rows.x), WIDTHS, POOLED)
    with torch.no_grad():
        embedding = F.normalize(joined.image(reading.embedding), dim=1)
    packed = pack(Reading(reading.means, reading.stds, embedding)).numpy()
    return rows.replace(x=packed, classes=classes.replace(names=readable(classes.names)))


@functools.cache
def towers() -> Joined:
    """The two towers, trained anew in each process: about a minute."""
    drawn = stages(VENDOR, "emoji")
    features = unpack(torch.as_tensor(drawn.x), WIDTHS, POOLED).embedding
    captions = _captions(drawn)
    with reproducible(0):
        image = nn.Linear(POOLED, DIM)
        text = small_text(WORD, DIM)  # two layers on the first 64 principal components of MiniLM's word vectors
        scale = nn.Parameter(torch.tensor(20.0).log())
        net = nn.ModuleDict({"image": image, "text": text})
        net.register_parameter("scale", scale)
        adam = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-2)
        centre, spread = features.mean(dim=0), features.std(dim=0)

        def objective(batch: Batch, run: Run) -> Tensor:
            which = torch.randint(len(captions[0]), (len(batch.index),), generator=run.generator)
            texts = [captions[i][j] for i, j in zip(batch.index.tolist(), which.tolist())]
            noisy = F.dropout((batch.x - centre) / spread, 0.2)
            cosines = F.normalize(image(noisy), dim=1) @ text.encode_tokens(texts).T
            return arms.clip_loss(scale.exp().clamp(max=100) * cosines)

        source, n_steps = Domain(x=features.numpy()), EPOCHS * steps(len(drawn), BATCH)
        arms.in_epochs(objective, net, adam, source, name="small-clip", size=BATCH, n_steps=n_steps)
        arms.absorb(image, centre, spread)
    net.eval().requires_grad_(False)
    promptable = PromptableTowers(row_reader(WIDTHS, DIM), text, float(scale.exp()), _pieces)
    return Joined(promptable, image)


# -- the text tower ------------------------------------------------------------------------------------------


def _pieces(texts: Sequence[str]) -> list[list[int]]:
    """Word pieces with the tokens that begin and end a text."""
    ids, mask = encoder("minilm").preprocess(list(texts)).unbind(dim=1)
    return [row[keep.bool()].tolist() for row, keep in zip(ids, mask)]


def _captions(drawn: Domain) -> list[list[list[int]]]:
    """Of each emoji its name, its group, some of its keywords, and longer texts with these words; tokenized."""
    groups = readable(drawn.columns["subgroup"])
    names, keywords = drawn.columns["name"].tolist(), drawn.columns["keywords"].tolist()
    rng = np.random.default_rng(0)
    forms: list[list[str]] = []
    for name, group, words in zip(names, groups, keywords):
        some = words.split(", ")
        few = ", ".join(rng.permutation(some)[:3].tolist())
        forms.append([f"{name}.", f"{group}.", f"{few}.", f"a photo of a {name}.", f"a drawing of a {group}."])
    flat = iter(_pieces([text for texts in forms for text in texts]))
    return [[next(flat) for _ in texts] for texts in forms]
