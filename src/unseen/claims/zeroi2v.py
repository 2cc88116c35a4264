"""ZeroI2V's claim: what a frozen transformer of still pictures sees of order once its heads look along time.

First what no order is needed for: where a thing lies in a still picture, and whether it moved sideways or up and down,
by the mean and the spread of frozen vectors over time. Then order: emoji in ten motions that are five pairs of a
motion and its reverse, of things that are in no clip that is learnt from.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from unseen.claims import arms, worlds
from unseen.claims import motion_worlds as motions
from unseen.claims.base import Claim, Experiment, Result, seeds
from unseen.claims.conditions import at_least, at_most, better, equals, joined, not_worse
from unseen.claims.ledger import Assertion, effect, mechanism, not_testable, paper_scale
from unseen.claims.motion_worlds import FRAMES, SIDE
from unseen.data.domain import Domain
from unseen.data.samplers import Batch
from unseen.data.segments import stacked
from unseen.data.simulate.motions import MOTIONS, clips_of
from unseen.methods.video.zeroi2v import ZeroI2V
from unseen.methods.video.zeroi2v.network import VideoTransformer, video_transformer
from unseen.nn.towers import VisionTower, vision_tower
from unseen.nn.train import Run
from unseen.runtime import reproducible

FEW, MANY, ASKED = 8, 64, 20
"""Clips of a motion that are learnt from, and that are asked about."""
STILLS, VIEWS, HELD_OUT = 96, 80, 1000
"""Things of whose pictures two thirds are read, times that each is shown, and pictures that are kept to look whether
they were read."""
WIDTH, HEAD, LAYERS, STILL_STEPS = 64, 8, 2, 800
BINS = (7, 7, 7, 4)
"""Of where the ink of a picture lies (across, down), of how far it spreads, and of how dark it is."""
SETTINGS: dict[str, Any] = {
    "frames": FRAMES, "batch_size": 16, "learning_rate": 5e-3, "scale": 1.0, "dropout": 0.0, "head_dropout": 0.1,
    "operations": 0, "smallest": 0.8, "flip": 0.0,
}  # fmt: skip
"""The preset `small`."""
EPOCHS = {MANY: 10, FEW: 30}
BLIND: dict[str, Any] = {"offsets": (), "temporal": False}
TUNED: dict[str, Any] = {"frozen": False, "adapters": "none", "learning_rate": 1e-3}
ARMS: dict[str, dict[str, Any]] = {
    "zeroi2v": {}, "order-blind": BLIND, "fine-tuned": TUNED, "places alone": {"offsets": ()},
}  # fmt: skip
"""`places alone` has the embedding of frames and no head that looks along time; `fine-tuned` has these heads, and all
weights learn. Of five rates from .00003 to .003 it had .19, .20, .22, .26 and .27 on the development case."""
PARTS: dict[str, dict[str, Any]] = {
    "zeroi2v": {}, "with a gelu": {"linear": False}, "keys alone": {"shift": "k"},
    "values alone": {"shift": "v"}, "behind attention alone": {"adapters": "attn-out"},
}  # fmt: skip


class Stills(NamedTuple):
    """A transformer that has read still pictures, and its grades on pictures that were kept."""

    tower: VisionTower
    grades: Mapping[str, float]


def read_off(x: NDArray[np.uint8]) -> Int[Tensor, "n 4"]:
    """Where the ink of pictures (n, 3, h, h) lies, how far it spreads and how dark it is, as numbers of `BINS`."""
    ink = (255 - torch.as_tensor(x).float()).mean(dim=1) / 255
    line, mass = torch.linspace(-1, 1, x.shape[2]), ink.sum(dim=(1, 2)).clamp(min=1e-6)
    across, down = ((ink * axis).sum(dim=(1, 2)) / mass for axis in (line[None, :], line[:, None]))
    far = (line[None, None, :] - across[:, None, None]).square() + (line[None, :, None] - down[:, None, None]).square()
    spread = ((ink * far).sum(dim=(1, 2)) / mass).sqrt()
    values = ((across + 1) / 2, (down + 1) / 2, spread / 0.7, ink.flatten(1).amax(dim=1))
    return torch.stack([(v * n).long().clamp(0, n - 1) for v, n in zip(values, BINS)], dim=1)


def in_any_place(many: motions.Things, seed: int, views: int = VIEWS) -> tuple[NDArray[np.uint8], Int[Tensor, "n 5"]]:
    """Still pictures of two thirds of some things, each so many times, and what is to be told of each."""
    rows, rng = np.flatnonzero(~many.asked), np.random.default_rng(seed)
    shown = rng.permutation(np.repeat(rows, views))
    drawn = clips_of(many.pictures, shown, rng.integers(len(MOTIONS), size=len(shown)), seed, frames=2, side=SIDE)[:, 0]
    return drawn, torch.cat([torch.as_tensor(np.searchsorted(rows, shown))[:, None], read_off(drawn)], dim=1)


def drawn_motions(case: str, seed: int) -> list[Any]:
    """What a cell draws, of fewer pictures and clips than it."""
    split, vendor = case.split()[:2]
    return [in_any_place(motions.things(vendor, split, STILLS), 0, 1), motions.drawn_motions(case, seed)]


@functools.cache
def stills(case: str, seed: int = 0) -> Stills:
    """A small vision transformer that has learnt of still pictures what is there, where, how large and how dark.

    It has read two thirds of the things of a vendor; those that are asked about are none of them.
    """
    split, vendor = case.split()[:2]
    many = motions.things(vendor, split, STILLS)
    rows = np.flatnonzero(~many.asked)
    drawn, y = in_any_place(many, seed)
    x, sizes = drawn.astype(np.float32) / 127.5 - 1, (len(rows), *BINS)
    with reproducible(seed):
        heads: dict[str, Any] = {"heads": (WIDTH // HEAD,) * LAYERS, "mlp": (4 * WIDTH,) * LAYERS}
        tower = vision_tower((SIDE, SIDE), (8, 8), width=WIDTH, head=HEAD, dim=WIDTH, **heads)
        net = read_by(tower, sum(sizes), frozen=False)
        adam = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], lr=2e-3, weight_decay=0.05)

        def objective(batch: Batch, run: Run) -> Tensor:
            parts, truth = net(batch.x[:, None]).split(sizes, dim=1), y[HELD_OUT:][batch.index]
            losses = [
                F.cross_entropy(part, truth[:, i], label_smoothing=0.1 * (i == 0)) for i, part in enumerate(parts)
            ]
            return torch.stack(losses).sum()

        source = Domain(x=x[HELD_OUT:], kind="image")
        arms.in_steps(objective, net, adam, source, name="stills", size=64, n_steps=STILL_STEPS, warm=50, clip=5.0)
        net.eval()
        with torch.no_grad():
            logits = net(torch.as_tensor(x[:HELD_OUT, None])).split(sizes, dim=1)
    right = [float((part.argmax(dim=1) == y[:HELD_OUT, i]).float().mean()) for i, part in enumerate(logits)]
    usual = [float(torch.bincount(y[:HELD_OUT, i]).max()) / HELD_OUT for i in range(len(sizes))]
    names = ("thing", "across", "down", "spread", "dark")
    return Stills(net.tower.eval(), dict(zip(names, right)) | {f"{n}, usual": v for n, v in zip(names, usual)})


def read_by(tower: VisionTower, classes: int, *, frozen: bool = True) -> VideoTransformer:
    """The transformer as it is on single frames, with a line behind it."""
    network: VideoTransformer = video_transformer(
        tower, classes, 1, offsets=(), adapters="none", temporal=False, frozen=frozen, head_dropout=0.0
    )
    return network


@torch.no_grad()
def frames_of(tower: VisionTower, clips: Domain) -> NDArray[np.float32]:
    """Vectors of frames by the frozen transformer, (n, t, w)."""
    return read_by(tower, 1).eval().embed(stacked(clips, frames=FRAMES)).numpy()


def fitted(source: Domain, tower: VisionTower, each: int, seed: int, **changes: Any) -> ZeroI2V:
    """ZeroI2V, or what an arm makes of it, after the same number of steps."""
    settings = {**SETTINGS, "epochs": EPOCHS[each], "random_state": seed, **changes}
    return ZeroI2V(**{**settings, "warm_up": settings["epochs"] / 10}).fit(source=source, model=tower)


def told(scores: NDArray[Any], y: NDArray[Any]) -> dict[str, float]:
    """Accuracy of ten motions; of a motion against its reverse; of sideways against up and down; of the five pairs."""
    pairs = scores.reshape(len(scores), -1, 2).max(axis=2)
    moved = y < 4
    return motions.graded(scores, y) | {
        "axis": float((pairs[moved, :2].argmax(axis=1) == y[moved] // 2).mean()),
        "kind": float((pairs.argmax(axis=1) == y // 2).mean()),
    }


def both(rows: Float[NDArray[Any], "n t d"]) -> Float[NDArray[Any], "n e"]:
    """Mean and deviation over time: of the set of frames, whatever their order."""
    return np.concatenate([rows.mean(axis=1), rows.std(axis=1)], axis=1)


def simple(source: Domain, asked: Domain, tower: VisionTower, seed: int) -> dict[str, NDArray[Any]]:
    """Scores by heads on the frozen transformer's frames, or on frames of 8 x 8 pixels."""
    x, new, y = frames_of(tower, source), frames_of(tower, asked), source.labels
    pixels, new_pixels = motions.pixels_of(source), motions.pixels_of(asked)
    return {
        "nothing": np.zeros((len(asked), len(MOTIONS))),
        "mean, logistic": motions.logistic(x.mean(axis=1), y)(new.mean(axis=1)),
        "mean and spread, logistic": motions.logistic(both(x), y)(both(new)),
        "concatenated, logistic": motions.logistic(motions.flat(x), y)(motions.flat(new)),
        "pixels, logistic": motions.logistic(motions.flat(pixels), y)(motions.flat(new_pixels)),
        "gru": motions.gated(x, y, seed)(new),
    }


def run_order(case: str, seed: int) -> Result:
    """Ten motions of things never seen, by many clips of each."""
    tower, grades = stills(case)
    source, exam = motions.learnt_and_asked(motions.world(case), MANY, ASKED, seed)
    table: Result = {arm: told(values, exam.labels) for arm, values in simple(source, exam, tower, seed).items()}
    for name in ("thing", "across", "down", "spread", "dark"):
        table.setdefault("frozen on stills", {})[name] = grades[name]
        table["nothing"][name] = grades[f"{name}, usual"]
    for arm, changes in ARMS.items():
        method, seconds = arms.timed(functools.partial(fitted, source, tower, MANY, seed, **changes))
        table[arm] = told(method.decision_function(exam).numpy(), exam.labels) | {"seconds": seconds}
        cost = method.report()
        table[arm]["learns"] = cost.trained_parameters / cost.training_parameters
        if arm == "zeroi2v":
            table["merged"] = merged(method, exam)
    return table


def merged(method: ZeroI2V, asked: Domain) -> dict[str, float]:
    """What is predicted after merging, and what it costs beside the image transformer on as many frames."""
    fused, cost = method.merge(), method.report()
    network: Any = fused.network_
    beside = sum(p.numel() for p in (*network.head.parameters(), network.temporal))
    return told(fused.decision_function(asked).numpy(), asked.labels) | {
        "agreement": float((fused.predict(asked) == method.predict(asked)).mean()),
        "more parameters": float(fused.report().training_parameters - cost.image_parameters - beside),
        "operations": fused.report().training_operations / cost.image_operations,
        "operations with adapters": cost.training_operations / cost.image_operations,
    }


def run_few(case: str, seed: int) -> Result:
    """The same by a few clips of each motion."""
    tower = stills(case).tower
    source, exam = motions.learnt_and_asked(motions.world(case), FEW, ASKED, seed)
    scores = simple(source, exam, tower, seed)
    for arm in ("zeroi2v", "fine-tuned"):
        scores[arm] = fitted(source, tower, FEW, seed, **ARMS[arm]).decision_function(exam).numpy()
    return {arm: told(values, exam.labels) for arm, values in scores.items()}


def run_parts(case: str, seed: int) -> Result:
    """What each choice is good for."""
    tower = stills(case).tower
    source, exam = motions.learnt_and_asked(motions.world(case), MANY, ASKED, seed)
    methods = {arm: fitted(source, tower, MANY, seed, **changes) for arm, changes in PARTS.items()}
    return {arm: told(method.decision_function(exam).numpy(), exam.labels) for arm, method in methods.items()}


@functools.cache
def read(case: str) -> list[Domain]:
    """The things of a case."""
    split, vendor = case.split()[:2]
    many = motions.things(vendor, split, STILLS)
    return [Domain(x=np.stack([*many.pictures, *motions.world(case).pictures]), kind="image")]


# fmt: off
LEDGER: tuple[Assertion, ...] = (
    mechanism("order", joined(better("frozen on stills", "nothing", "across", by=0.3),
                              better("frozen on stills", "nothing", "down", by=0.3),
                              better("frozen on stills", "nothing", "thing", by=0.1)),
        "Before anything else: the frozen transformer has learnt to read still pictures."),
    mechanism("order", at_least("mean and spread, logistic", "axis", 0.8),
        "Before anything else: the mean and the spread of its frozen vectors tell sideways from up and down, for which "
        "no order is needed."),
    mechanism("order", at_most("order-blind", "pair", 0.56),
        "A clip and its reverse have the same frames: adapters alone, without heads that look along time, cannot tell "
        "them apart."),
    mechanism("order", better("zeroi2v", "order-blind", "pair", by=0.1),
        "Spatial-temporal dual-headed attention gives an image transformer the sense of time."),
    mechanism("order", joined(equals("merged", "more parameters", 0), at_most("merged", "operations", 1.001)),
        "Once merged it has the parameters and the operations of the image transformer, beside an embedding of frames "
        "and a head."),
    mechanism("order", at_least("merged", "operations with adapters", 1.05),
        "As long as adapters stand beside the layers they do cost more: a twentieth and more of the operations."),
    mechanism("order", equals("merged", "agreement", 1),
        "All adapters merge into the projections beside them, and predictions stay."),
    effect("order", better("zeroi2v", "places alone", "pair"),
        "Heads that look along time see more of order than an embedding of frames alone."),
    effect("order", better("zeroi2v", "order-blind", "pair", by=0.25),
        "They see it in 25 points more of the cases than adapters alone."),
    effect("order", better("zeroi2v", "mean, logistic", "accuracy", by=0.05),
        "It is five points better than a linear head on the mean of frozen frames."),
    effect("order", better("zeroi2v", "concatenated, logistic", "accuracy"),
        "It is better than logistic regression on all frozen frames beside each other."),
    effect("order", better("zeroi2v", "gru", "accuracy"), "It is better than a GRU over frozen frames."),
    effect("order", better("zeroi2v", "pixels, logistic", "accuracy"),
        "It is better than logistic regression on small frames beside each other."),
    effect("order", not_worse("zeroi2v", "fine-tuned", "accuracy", within=0.01),
        "Fine-tuning all weights, with the same heads, for as many steps, is not needed: it is no more than a point "
        "better."),
    effect("order", at_most("zeroi2v", "learns", 0.2), "A fifth of the weights learn, or fewer."),
    effect("few", joined(not_worse("zeroi2v", "fine-tuned", "accuracy", within=0.01),
                         better("zeroi2v", "nothing", "accuracy", by=0.05)),
        "With eight clips of a motion, fine-tuning all weights with the same heads is no more than a point better, and "
        "it learns something: two that are at chance do not hold it."),
    effect("few", better("zeroi2v", "concatenated, logistic", "accuracy"),
        "With eight clips of a motion it is better than logistic regression on all frozen frames."),
    effect("few", better("zeroi2v", "pixels, logistic", "accuracy"),
        "With eight clips of a motion it is better than logistic regression on small frames beside each other."),
    effect("parts", not_worse("zeroi2v", "with a gelu", "accuracy", within=0.02),
        "Adapters that are linear do as well as those with a GELU."),
    effect("parts", better("zeroi2v", "behind attention alone", "accuracy"),
        "Adapters at all four places are better than one behind the attention."),
    effect("parts", better("zeroi2v", "keys alone", "accuracy"),
        "Keys and values of other frames are better than their keys alone."),
    effect("parts", better("zeroi2v", "values alone", "accuracy"),
        "Keys and values of other frames are better than their values alone."),
    paper_scale("It matches or outperforms the state of the art of fully supervised video recognition, with fewer "
                "parameters and less inference.",
        "Neither Kinetics-400, Something-Something v2 nor CLIP's weights are at hand. With them: "
        "`unseen.ZeroI2V(frames=8).fit(source=..., model=prunable_towers(encoders.get('open_clip:ViT-B-16/openai')))` "
        "on `ready(load('kinetics'), (224, 224))`, preset motion for Something-Something; not run."),
    paper_scale("It matches or outperforms the state of the art of few-shot video recognition.",
        "HMDB-51 and UCF-101 are not at hand; preset few-shot; not run."),
    not_testable("Other ways of adapting image models to videos inevitably bring extra cost.",
        "It is about other systems; what adapters cost that are not merged is above."),
    not_testable("Research moves from full fine-tuning to parameter-efficient adaptation.", "It is about the field."),
)

SPLITS = {**motions.of_first(1, 3, read), "drawn": drawn_motions}

claim = Claim(
    slug="zeroi2v",
    ledger=LEDGER,
    experiments={
        "order": Experiment(run=run_order, nothing="nothing", **SPLITS, **seeds(1), clocks=("seconds",)),
        "few": Experiment(run=run_few, nothing="nothing", **SPLITS, **seeds(1)),
        "parts": Experiment(run=run_parts, **SPLITS, **seeds(1)),
    },
    licences=(worlds.EMOJI,),
)
# fmt: on
