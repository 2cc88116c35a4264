"""Learning from names: a step over bags of sentences beside a bare step of CLIP's loss; prompts on cached features."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from common import Row, in_turns, row

from unseen.data.classes import ClassSpace
from unseen.data.descriptions import DescriptionBank
from unseen.data.domain import Domain
from unseen.methods import get
from unseen.nn.dual_encoder import DualEncoder, Letters, dual_encoder, token_text
from unseen.nn.layer_statistics import row_reader
from unseen.nn.prompting import PromptableTowers, pooled_text

WIDTH, LAYERS, DIM, BATCH, CLASSES = 192, 4, 128, 64, 20
SHOTS, EPOCHS = 16, 50


def run() -> list[Row]:
    """A step of adaptclipzs, and whole fits of coop and ogen."""
    torch.set_num_threads(1)
    return [*step_rows(), *prompt_rows()]


def step_rows(count: int = 4) -> list[Row]:
    """Steps of both towers, a small ViT of open_clip and a small BERT, by `adaptclipzs` and by hand."""
    towers, x, y, names = pictures()
    bank = DescriptionBank({name: [f"it has {k} legs and a name" for k in range(5)] for name in names})
    source = Domain(x=x, y=y, kind="image", classes=ClassSpace(names=names))
    classes = ClassSpace(names=(*names, "other"), seen=np.arange(CLASSES))

    def fit(epochs: int) -> None:
        get("adaptclipzs")(epochs=epochs, batch_size=BATCH, order="shuffled", learning_rate=1e-5).fit(  # type: ignore[call-arg]
            source=source, classes=classes, encoder=towers, prompts=bank
        )

    bare = by_hand(towers, x, y, names, count)
    short, long, peer = in_turns(lambda: fit(1), lambda: fit(2), bare, repeats=3)
    own = max(long - short, 1e-6)  # a pass of `count` steps, without what a fit costs beside
    peers = "a bare step of CLIP's loss"
    return [row(f"a step of adaptclipzs, batch {BATCH}", own / count, peers, peer / count, floor=">= 0.87")]


def pictures(count: int = 4) -> tuple[DualEncoder, Any, Any, tuple[str, ...]]:
    """Towers with fresh weights, and noise to read: `count` batches."""
    import open_clip

    torch.manual_seed(0)
    vision = open_clip.model.CLIPVisionCfg(layers=LAYERS, width=WIDTH, head_width=64, patch_size=16, image_size=96)
    image = open_clip.model._build_vision_tower(DIM, vision)
    sizes = {
        "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 3,
        "intermediate_size": 4 * WIDTH,
    }
    text = pooled_text({"model_type": "bert", "vocab_size": 32, "max_position_embeddings": 64, **sizes}, dim=DIM)
    towers = dual_encoder(image, token_text(text), Letters(60).to_json(), 20.0).eval()
    x = torch.randn(count * BATCH, 3, 96, 96).numpy()
    return towers, x, np.arange(count * BATCH) % CLASSES, tuple(f"class {k}" for k in range(CLASSES))


def by_hand(towers: DualEncoder, x: Any, y: Any, names: tuple[str, ...], count: int) -> Callable[[], None]:
    """As many steps as open_clip's training loop has them: both losses, AdamW."""
    from unseen.data.augment import jitter, random_flip, random_resized_crop

    tokens = towers.tokenize([f"a photo of a {names[k]}, it has {k % 5} legs and a name" for k in y])
    whole = torch.as_tensor(x)
    adam = torch.optim.AdamW(towers.parameters(), lr=1e-5, betas=(0.9, 0.98), eps=1e-6)
    generator = torch.Generator().manual_seed(0)

    def steps() -> None:
        order = torch.randperm(len(whole), generator=generator)
        for part in order.split(BATCH)[:count]:
            seen = random_flip(random_resized_crop(whole[part], generator, scale=(0.08, 1.0)), generator)
            z, w = towers.encode_image(jitter(seen, generator, strength=0.4)), towers.encode_text(tokens[part])
            logits = towers.logit_scale.exp() * z @ w.T
            own = torch.arange(len(part))
            adam.zero_grad(set_to_none=True)
            (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)).backward()
            adam.step()

    return steps


def prompt_rows() -> list[Row]:
    """Whole fits on cached features of 20 base and 20 new classes, 16 shots, 50 epochs; the text tower alone beside."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 256}
    text = pooled_text({"model_type": "bert", "vocab_size": 32, "max_position_embeddings": 64, **sizes}, dim=64)
    towers = PromptableTowers(row_reader((), 64), text, 20.0, numbered)
    names = tuple(f"class {k}" for k in range(2 * CLASSES))
    x = F.normalize(torch.randn(SHOTS * CLASSES, 64), dim=1).numpy()
    classes = ClassSpace(names=names, seen=np.arange(CLASSES))
    source = Domain(x=x, y=np.arange(len(x)) % CLASSES, classes=classes)
    steps = EPOCHS * (len(x) // 32)

    def fit(slug: str, **settings: Any) -> Callable[[], Any]:
        return lambda: get(slug)(epochs=EPOCHS, **settings).fit(source=source, classes=classes, encoder=towers)

    learner: Any = get("coop")(epochs=0)._task(source, classes, towers).learner  # type: ignore[call-arg, attr-defined]
    base, both = learner.named(names[:CLASSES]), learner.named(names)

    def alone(named: Any) -> Callable[[], None]:
        def job() -> None:
            for _ in range(steps):
                learner.text_features(named).sum().backward()

        return job

    jobs = {"coop": fit("coop"), "ogen": fit("ogen"), "ogen, no teacher": fit("ogen", teacher="none")}
    taken = in_turns(*jobs.values(), alone(base), alone(both), repeats=1)
    about = f"{steps} steps on cached features"
    peers = {"coop": taken[-2], "ogen": taken[-1], "ogen, no teacher": taken[-1]}
    told = {"coop": "its text tower, 20 names", "ogen": "its text tower, 40 names", "ogen, no teacher": "the same"}
    return [row(f"{name}: {about}", own, told[name], peers[name]) for name, own in zip(jobs, taken)]


def numbered(texts: Any) -> list[list[int]]:
    """Begin, a number for every letter, end."""
    return [[30, *(ord(letter) % 30 for letter in text), 31] for text in texts]
