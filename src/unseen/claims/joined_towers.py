"""Two small towers that know emoji by name: what several claims begin with.

Two layers on frozen features of EfficientNet-Lite0, and one beside frozen MiniLM, whose space both share. They learn
captions of drawings by CLIP's contrastive loss [1].

References
----------
[1] Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021, figure 3.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from unseen.claims import arms, worlds
from unseen.data.domain import Domain
from unseen.data.samplers import Batch, steps
from unseen.nn.dual_encoder import DualEncoder, dual_encoder, perceptron, side_head
from unseen.nn.train import Run
from unseen.runtime import reproducible

BATCH = 128


def captioned(drawn: Iterable[Domain], template: str) -> tuple[NDArray[np.float32], list[tuple[str, ...]]]:
    """Features of drawings, and three texts of each: its name, the name in a template, and some keywords."""
    domains = list(drawn)
    captions: list[tuple[str, ...]] = []
    for domain in domains:
        for name, words in zip(domain.columns["name"].tolist(), domain.columns["keywords"].tolist()):
            few = ", ".join(sorted(words.split(", "), key=worlds.hashed)[:3])
            captions.append((f"{name}.", template.format(name), f"a picture of {few}."))
    return np.concatenate([worlds.lite0(domain).x for domain in domains]), captions


def joined_towers(
    x: NDArray[np.float32], captions: Sequence[tuple[str, ...]], *, name: str, widths: Sequence[int], beside: int,
    epochs: int,
) -> DualEncoder:  # fmt: skip
    """Towers that have learnt which captions belong to which features; a caption of each is drawn in each step.

    Random numbers depend on `name`, that of the stage of training; `widths` are of the tower of pictures, `beside` is
    that of the layer beside MiniLM, which changes nothing, as it does not learn here.
    """
    forms = len(captions[0])
    text_vectors = worlds.minilm([text for texts in captions for text in texts])
    vectors = torch.from_numpy(text_vectors.reshape(len(captions), forms, -1))
    with reproducible(0):
        centre, spread = (torch.from_numpy(part) for part in (x.mean(axis=0), x.std(axis=0) + 1e-3))
        image, text = perceptron(widths), side_head(None, widths[-1], widths[-1], beside)
        towers = dual_encoder(image, text, {"kind": "encoder", "name": "minilm"}, 20.0)
        adam = torch.optim.AdamW([*image.parameters(), towers.logit_scale], lr=1e-3, weight_decay=1e-2)

        def objective(batch: Batch, run: Run) -> Tensor:
            which = torch.randint(forms, (len(batch.index),), generator=run.generator)
            z = towers.encode_image(F.dropout((batch.x - centre) / spread, 0.2))
            logits = towers.logit_scale.exp().clamp(max=100) * z @ towers.encode_text(vectors[batch.index, which]).T
            return arms.clip_loss(logits)

        n_steps = epochs * steps(len(x), BATCH)
        arms.in_epochs(objective, towers, adam, Domain(x=x), name=name, size=BATCH, n_steps=n_steps)
        arms.absorb(image[0], centre, spread)
        towers.logit_scale.data.clamp_(max=math.log(100))
    return towers.eval()
