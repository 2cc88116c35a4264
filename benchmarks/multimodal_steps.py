"""Training steps of five methods of two towers beside the same towers in a bare loop, and `find` over a million."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from common import Row, processor_in_turns, row
from torch import Tensor, nn

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.pairs import Pairs
from unseen.jobs.composed_retrieval.job import nearest
from unseen.methods.multimodal.audio_captioning import AudioCaptioning
from unseen.methods.multimodal.audio_captioning.needs import HashedSpace
from unseen.methods.multimodal.genecis import GeneCIS
from unseen.methods.multimodal.graphclip import GraphCLIP
from unseen.methods.multimodal.prefix_conditioning import TEMPLATES, PrefixConditioning
from unseen.methods.multimodal.rs_m_clip import RSMCLIP
from unseen.nn.dual_encoder import Letters, dual_encoder, feature_head, token_text
from unseen.nn.prompting import pooled_text
from unseen.nn.train import Run
from unseen.runtime import reproducible

BATCH, WIDTH, DIM, STEPS = 128, 1280, 64, 10
THINGS = ("hat", "sea", "tree", "drum", "star", "road", "bird", "lamp")
Step = Callable[[], Any]


class TrainingBegins(Exception):  # noqa: N818 - no error
    """Training would begin now, with these arguments."""


def run() -> list[Row]:
    """Processor seconds of a step; `asked` is 1 / 1.15, where no second network learns or is asked."""
    torch.set_num_threads(1)
    rows = []
    for name, peer, floor, make in (
        ("prefix-conditioning", "the same towers", "0.87", prefixes),
        ("rs-m-clip", "the same towers", "0.87", languages),
        ("genecis", "the same combiner on the same vectors", "0.87", composing),
        ("graphclip, three perturbations", "the same encoder, one pass", "", graphs),
        ("graphclip, one perturbation", "the same encoder, one pass", "0.87", lambda: graphs(1)),
        ("audio-captioning, soft prompts", "transformers' GPT-2 of that size", "0.87", captions),
        ("audio-captioning, and events in words", "transformers' GPT-2 of that size", "", lambda: captions("both")),
    ):
        with reproducible(0):
            ours, bare = make()
            taken, peers = processor_in_turns(repeated(ours), repeated(bare), repeats=15)
        rows.append(row(f"a step of {name}", taken / STEPS, f"{peer}, ClipLoss" if name[:5] != "audio" else peer,
                        peers / STEPS, unit="s", floor=floor))  # fmt: skip
    return [*rows, finding()]


def finding(n: int = 1_000_000, width: int = 384) -> Row:
    """A search of `unseen find`, below .3 s, beside numpy's product and sort."""
    x = np.random.default_rng(0).normal(size=(n, width)).astype(np.float32)
    query = x[7] + 0.1
    nearest(x[:10], query, 1)
    ours, peer = processor_in_turns(lambda: nearest(x, query, 20), lambda: np.argsort(-(x @ query))[:20])
    return row(f"find among {n:,} vectors of {width}", ours, "a product and a sort in numpy", peer, floor="below .3 s")


def repeated(step: Step) -> Step:
    """Some steps, so that the clock has something to count."""
    return lambda: [step() for _ in range(STEPS)]


def caught(method: Any, module: str, **given: Any) -> dict[str, Any]:
    """What a method hands to the training loop."""

    def stop(objective: Any, **told: Any) -> None:
        raise TrainingBegins({"objective": objective, **told})

    with mock.patch.object(importlib.import_module(module), "train", stop):
        try:
            method.fit(**given)
        except TrainingBegins as begun:
            return dict(begun.args[0])
    raise AssertionError("nothing was trained")


def endless(told: dict[str, Any], run: Run) -> Iterator[Any]:
    """Batches of one epoch after the other."""
    while True:
        yield from told["batches"](run)


def stepping(told: dict[str, Any]) -> Step:
    """One step of the loop of the house after the other."""
    noted = Run("steps", told["nets"], told["optimizers"], 1000, told.get("clip"))
    batches = endless(told, noted)

    def step() -> None:
        noted.descend(told["objective"](next(batches), noted))
        if told.get("after_step"):
            told["after_step"](noted)
        noted._logged.clear()

    return step


def plain(forward: Callable[[], tuple[Tensor, Tensor]], parameters: list[Any]) -> Step:
    """A step of the bare loop: two sides, the loss of open_clip, AdamW."""
    from open_clip.loss import ClipLoss

    loss, scale = ClipLoss(), nn.Parameter(torch.tensor(2.6))
    adam = torch.optim.AdamW([*(p for p in parameters if p.requires_grad), scale], lr=1e-3)

    def step() -> None:
        adam.zero_grad()
        a, b = forward()
        loss(F.normalize(a, dim=1), F.normalize(b, dim=1), scale.exp()).backward()
        adam.step()

    return step


def towers() -> Any:
    """A perceptron on features, and two layers of a transformer over letters."""
    sizes: dict[str, Any] = {
        "hidden_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 512,
    }
    sizes |= {"vocab_size": 32, "max_position_embeddings": 32}
    text = token_text(pooled_text({"model_type": "bert", **sizes}, DIM))
    return dual_encoder(feature_head(WIDTH, DIM, 512, 0.3), text, Letters().to_json(), 14.0)


def pairs(n: int = 512, **columns: Any) -> Pairs:
    """Features and captions of things."""
    x = torch.randn(n, WIDTH).numpy()
    said = np.array([f"{THINGS[i % 8]} on {THINGS[i // 8 % 8]} {i % 97}" for i in range(n)])
    return Pairs(Domain(x=x, name="seen"), Domain(x=said, kind="text", name="said"), columns=columns)


def bare_towers(model: Any, given: Pairs, prompts: Sequence[str] = ()) -> Step:
    """Both towers on a batch of each; texts are captions, but for some prompts in their place."""
    network = copy.deepcopy(model).requires_grad_(True).train()
    texts = [*prompts, *given.right.x[: BATCH - len(prompts)]]
    x, tokens = torch.as_tensor(given.left.x[:BATCH]), network.tokenize(texts)
    return plain(lambda: (network.encode_image(x), network.encode_text(tokens)), list(network.parameters()))


def prefixes() -> tuple[Step, Step]:
    """Labels and captions in one batch, each with its prefix."""
    both, model = pairs(), towers()
    source = Domain(x=both.left.x[:256], y=np.arange(256) % 8, classes=ClassSpace(names=THINGS), name="labels")
    method = PrefixConditioning(iterations=1000, batch_size=BATCH)
    given = {"source": source, "pairs": both, "model": model}
    told = caught(method, "unseen.methods.multimodal.prefix_conditioning.method", **given)
    prompts = [template.format(name) for template in TEMPLATES for name in THINGS]
    return stepping(told), bare_towers(model, both, prompts[: BATCH // 2])


def languages() -> tuple[Step, Step]:
    """Captions of three languages; no crops, so that there is no second network but the average."""
    both, model = pairs(language=np.array(["en", "de", "ko"] * 171)[:512]), towers()
    method = RSMCLIP(epochs=1, batch_size=BATCH, validation=0.0, distillation=0.0)
    told = caught(method, "unseen.methods.multimodal.rs_m_clip.method", pairs=both, model=model)
    return stepping(told), bare_towers(model, both)


def composing() -> tuple[Step, Step]:
    """A head that combines a picture and a text, on vectors of frozen towers."""
    n = 512
    rows = {
        "subject": np.array([THINGS[i % 8] for i in range(n)]),
        "relation": np.array(["on"] * n),
        "object": np.array([THINGS[i // 8 % 8] for i in range(n)]),
    }
    both, model = pairs(n, **rows), towers()
    method = GeneCIS(triplets=2048, epochs=1, batch_size=BATCH, scope="head", held_out=0.0)
    told = caught(method, "unseen.methods.multimodal.genecis.method", pairs=both, model=model)
    head: Any = copy.deepcopy(told["nets"]["combiner"]).train()
    a, b, target = (F.normalize(torch.randn(BATCH, DIM), dim=1) for _ in range(3))
    return stepping(told), plain(lambda: (head(a, b), target), list(head.parameters()))


def graphs(perturbed: int = 3) -> tuple[Step, Step]:
    """Subgraphs of 24 nodes and the vectors of their summaries; both sides draw their batches."""
    n, size, width = 512, 24, 384
    linked = np.triu(np.random.default_rng(0).random((n, size, size)) < 0.15, 1)
    x = F.normalize(torch.randn(n, size, width), dim=2).numpy()
    samples = np.concatenate([(linked | linked.transpose(0, 2, 1)).astype(np.float32), x], axis=2)
    both = Pairs(Domain(x=samples, kind="node", name="subgraphs"), Domain(x=x[:, 0], name="summaries"))
    method = GraphCLIP(epochs=1, batch_size=BATCH, adversarial_steps=perturbed)
    told = caught(method, "unseen.methods.multimodal.graphclip.method", pairs=both)
    network: Any = copy.deepcopy(told["nets"]["towers"]["network"]).train()
    batches, summaries = endless(told, Run("bare", {}, {}, 1, None)), torch.as_tensor(x[:, 0])

    def forward() -> tuple[Tensor, Tensor]:
        nodes, index = next(batches)
        return network(*nodes), summaries[index]

    return stepping(told), plain(forward, list(network.parameters()))


def captions(prompts: str = "soft") -> tuple[Step, Step]:
    """A decoder of one layer on vectors of captions, beside transformers' GPT-2 of that size and as long a prefix."""
    from transformers import GPT2Config, GPT2LMHeadModel

    said = pairs(2048).right
    method = AudioCaptioning(pretrain=0, epochs=1, batch_size=BATCH, prompts=prompts)
    told = caught(method, "unseen.methods.multimodal.audio_captioning.method", corpus=said, encoder=HashedSpace())
    decoder = told["nets"]["decoder"]
    ids = [torch.tensor(decoder.caption_ids(text)) for text in said.x[:BATCH]]
    tokens = nn.utils.rnn.pad_sequence(ids, batch_first=True)
    prefix = nn.Linear(16, method.length * method.width)
    sizes = {"n_embd": method.width, "n_layer": method.layers, "n_head": method.heads, "n_positions": 128}
    peer: Any = GPT2LMHeadModel(
        GPT2Config(vocab_size=len(decoder.words), bos_token_id=0, eos_token_id=0, **sizes)
    ).train()
    adam = torch.optim.AdamW([*peer.parameters(), *prefix.parameters()], lr=1e-3)
    z = F.normalize(torch.randn(BATCH, 16), dim=1)
    labels = torch.cat([torch.full((BATCH, method.length), -100), tokens.masked_fill(tokens == 0, -100)], dim=1)

    def bare() -> None:
        adam.zero_grad()
        front = prefix(z).view(BATCH, method.length, method.width)
        peer(inputs_embeds=torch.cat([front, peer.transformer.wte(tokens)], dim=1), labels=labels).loss.backward()
        nn.utils.clip_grad_norm_(peer.parameters(), 1.0)
        adam.step()

    return stepping(told), bare
