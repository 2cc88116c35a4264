"""Mug-STAN's claim: captions that fit a part of a clip, order that a mean of frames cannot see, and where to begin."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unseen.claims import misaligned, motion_worlds, worlds
from unseen.claims.base import Claim, Experiment, Result, seeds
from unseen.claims.conditions import at_most, beats_all, better, joined, not_worse
from unseen.claims.ledger import Assertion, effect, mechanism, not_testable, paper_scale
from unseen.claims.misaligned import (
    ASKED,
    FRAMES,
    HELD,
    PAIRS,
    STEPS,
    Similarity,
    drawn_pairs,
    scored,
    still_lines,
    taken,
    taught,
)
from unseen.claims.motion_worlds import by_name, flat, frames_of, graded, learnt_and_asked, logistic, pixels_of, towers
from unseen.data.domain import Domain
from unseen.methods.video.mug_stan import MugSTAN
from unseen.methods.video.mug_stan.network import mug_stan_network
from unseen.nn.late_interaction import Mode, Words, similarity
from unseen.runtime import reproducible
from unseen.validation.recall import both_ways

WORLDS = {"aligned": FRAMES, "misaligned": 2}
"""Frames of a clip that show what its caption names, of eight."""
EACH, SHOWN_EACH = 64, 20
"""Clips of a motion that are learnt from, and asked about."""
PASSES = 20
"""Over 640 clips, in batches of 16: 800 steps. With half of them the branch has hardly begun to see along time."""
SETTINGS: dict[str, Any] = {
    "frames": motion_worlds.FRAMES, "depth": 2, "tau": 10.0, "scale": 50.0, "drop_path": 0.0, "batch_size": 16,
    "learning_rate": 5e-4, "new_rate": 6.0, "weight_decay": 0.01, "warm_up": 1,
}  # fmt: skip
"""For towers of two layers that have read still pictures."""


# -- captions that fit a part ------------------------------------------------------------------------------


def top_frames(words: Words, frames: Tensor, k: int) -> Tensor:
    """The mean of the k frames that are nearest to the mean of the words: no attention, no word by itself."""
    mask = words.mask[..., None]
    text = F.normalize((words.vectors * mask).sum(dim=1) / mask.sum(dim=1), dim=1)
    cosines = torch.einsum("ad,btd->abt", text, F.normalize(frames, dim=2))
    return cosines.topk(k, dim=2).values.mean(dim=2)


def by_mode(mode: Mode, tau: float = 1.0, unit: bool = False) -> Similarity:
    """A similarity of the library; `unit` brings frames to unit length first."""

    def of(words: Words, frames: Tensor) -> Tensor:
        return similarity(words, F.normalize(frames, dim=2) if unit else frames, tau, mode)

    return of


def words_to_frames(words: Words, frames: Tensor) -> Tensor:
    """The mean over words of their best frame, one way alone."""
    t, v = F.normalize(words.vectors, dim=2), F.normalize(frames, dim=2)
    best = torch.einsum("ald,btd->ablt", t, v).amax(dim=3)
    return (best * words.mask[:, None]).sum(dim=2) / words.mask.sum(dim=1)[:, None]


ARMS: dict[str, tuple[Similarity, Similarity]] = {
    "mean of frames": (by_mode("mean"), by_mode("mean", unit=True)),
    "top frames": tuple(functools.partial(top_frames, k=k) for k in (2, 4)),  # type: ignore[dict-item]
    "best matches": (by_mode("max"), words_to_frames),
    "mug, simple": (by_mode("simple", 5.0), by_mode("simple", 2.0)),
    "mug, full": (by_mode("full", 5.0), by_mode("full", 2.0)),
}
"""Two settings of each, of which the one is taken that finds more among pairs that were held out."""
SIMPLE = ("mean of frames", "top frames", "best matches")


def run_captions(case: str, seed: int) -> Result:
    """Retrieval among unseen clips whose captions fit all frames, or a quarter; and what was learnt from the latter,
    asked about clips of the former, as after post-pretraining on noisy pairs."""
    world = misaligned.world(case)
    start = still_lines(world, seed)
    clips = {name: drawn_pairs(world, ASKED, 10 * seed + 7, matching=matching) for name, matching in WORLDS.items()}
    table: Result = {arm: {} for arm in ("nothing", *ARMS)}
    for name, matching in WORLDS.items():
        pairs = drawn_pairs(world, PAIRS, 10 * seed, matching=matching)
        order = torch.arange(len(pairs.frames))
        learn, held = taken(pairs, order[HELD:]), taken(pairs, order[:HELD])
        for arm, ways in {"nothing": ARMS["best matches"], **ARMS}.items():
            fits = [(start if arm == "nothing" else taught(start, learn, way, seed, STEPS), way) for way in ways]
            lines, way = max(fits, key=lambda fit: both_ways(scored(fit[0], held, fit[1]))["mean"])
            exams = {name: clips[name]} | ({"learnt there": clips["aligned"]} if name == "misaligned" else {})
            table[arm] |= {f"R@1, {key}": first_place(scored(lines, part, way)) for key, part in exams.items()}
    return table


def drawn_captions(case: str, seed: int) -> list[Any]:
    """What a cell draws: views of things, and which of them some clips show under which captions."""
    views, names = misaligned.views_of(case)
    some = [misaligned.clips_and_captions(names, 40, 10 * seed, matching=matching) for matching in WORLDS.values()]
    return [views, names, some]


def first_place(scores: Any) -> float:
    """How often the clip of a caption, and the caption of a clip, stand at the first place, on average."""
    return both_ways(scores, ks=(1,))["mean"]


# -- order -------------------------------------------------------------------------------------------------


def fitted(source: Domain, model: nn.Module, seed: int, **changes: Any) -> MugSTAN:
    """Mug-STAN, or what is left of it, after as many passes for all."""
    settings = {**SETTINGS, "epochs": PASSES, "random_state": seed, **changes}
    return MugSTAN(**settings).fit(source=source, model=model)


def run_motion(case: str, seed: int) -> Result:
    """Ten motions by their names, of things never seen: where time is read, and simple heads on all frames."""
    model = towers(case)
    source, exam = learnt_and_asked(motion_worlds.world(case), EACH, SHOWN_EACH, seed)
    scores = {"nothing": by_name(model, exam)}
    for temporal in ("branch", "intermediate", "posterior", "none"):
        scores[temporal] = fitted(source, model, seed, temporal=temporal).decision_function(exam).numpy()
    scores["branch, frozen towers"] = fitted(source, model, seed, frozen=True).decision_function(exam).numpy()
    x, new, y = frames_of(model, source), frames_of(model, exam), source.labels
    scores["concatenated, logistic"] = logistic(flat(x), y)(flat(new))
    scores["pixels, logistic"] = logistic(flat(pixels_of(source)), y)(flat(pixels_of(exam)))
    return {arm: graded(np.asarray(values), exam.labels) for arm, values in scores.items()}


def run_start(case: str, seed: int) -> Result:
    """A branch beside frozen towers that begins with the tower's layers, with fresh ones, or with modules of time that
    do not begin at 0."""
    model = towers(case)
    source, exam = learnt_and_asked(motion_worlds.world(case), EACH, SHOWN_EACH, seed)
    options = {key: SETTINGS[key] for key in ("depth", "tau", "drop_path")}
    table: Result = {}
    for arm, change in {"copied": None, "fresh layers": fresh_layers, "time not at 0": fresh_time}.items():
        with reproducible(seed):
            network = mug_stan_network(model, **options)
            if change is not None:
                change(network)
        scores = fitted(source, network, seed, frozen=True).decision_function(exam).numpy()
        table[arm] = graded(scores, exam.labels)
    return table


def fresh_layers(network: Any) -> None:
    """Weights of the spatial modules as those of a layer that has read nothing."""
    for spatial in network.stan_branch.spatial:
        for name, weight in spatial.block.named_parameters():
            if weight.ndim == 2:
                nn.init.normal_(weight, std=weight.shape[1] ** -0.5 * (0.5 if "out" in name or "proj" in name else 1))
            else:
                nn.init.constant_(weight, 1.0 if name.startswith("ln") and name.endswith("weight") else 0.0)


def fresh_time(network: Any) -> None:
    """What the modules of time add does not begin at 0."""
    for temporal in network.stan_branch.temporal:
        nn.init.normal_(temporal.fc.weight, std=temporal.fc.in_features**-0.5)


# fmt: off
LEDGER: tuple[Assertion, ...] = (
    mechanism("motion", at_most("none", "pair", 0.56),
        "A clip and its reverse have the same frames: an image-text model that is fine-tuned frame by frame cannot "
        "tell them apart."),
    mechanism("motion", better("branch", "none", "pair", by=0.1),
        "The branch beside the image tower sees along time: a motion is told from its reverse."),
    effect("motion", better("branch", "posterior", "accuracy"),
        "A branch models time better than layers on top of the tower."),
    effect("motion", better("branch", "intermediate", "accuracy"),
        "A branch models time better than layers within the tower."),
    effect("motion", better("branch", "nothing", "accuracy"),
        "It is better than the image-text model as it was, which knows no motion."),
    effect("motion", better("branch", "concatenated, logistic", "accuracy"),
        "With 64 clips of a motion, of other things, it is better than logistic regression on the frozen tower's "
        "frames beside each other."),
    effect("motion", better("branch", "pixels, logistic", "accuracy"),
        "It is better than logistic regression on small frames beside each other."),
    effect("motion", better("branch, frozen towers", "none", "pair", by=0.1),
        "With the towers frozen, the branch alone sees along time."),
    effect("start", better("copied", "fresh layers", "accuracy"),
        "Layers of the branch that begin with the tower's weights learn more in as many steps than fresh ones."),
    effect("start", better("copied", "time not at 0", "accuracy"),
        "Modules of time that begin by adding nothing learn more in as many steps."),
    effect("captions", better("mug, simple", "mean of frames", "R@1, misaligned", by=0.05),
        "Where a caption fits two frames of eight, and says more, token-wise aggregation finds five points more at the "
        "first place than the cosine with the mean of frames."),
    effect("captions", better("mug, full", "mean of frames", "R@1, misaligned", by=0.05),
        "There the full mode finds five points more than the mean of frames, too."),
    effect("captions", beats_all("mug, simple", SIMPLE, "R@1, misaligned"),
        "Where captions fit a part, it is better than the best of the mean of frames, of the few nearest frames and of "
        "the best matches of words and frames, each with as much tuning."),
    effect("captions", joined(
            not_worse("mug, simple", "mean of frames", "R@1, aligned", within=0.01),
            not_worse("mug, full", "mean of frames", "R@1, aligned", within=0.01)),
        "Where captions fit the whole clip, nothing is lost against the mean of frames."),
    effect("captions", better("mug, simple", "mean of frames", "R@1, learnt there"),
        "What was learnt from partly misaligned pairs finds more among aligned ones: it suppresses the misalignment of "
        "what it learns from, as in post-pretraining."),
    effect("captions", beats_all("mug, simple", SIMPLE, "R@1, learnt there"),
        "And more than what the best of the three simple similarities has learnt from the same pairs."),
    effect("captions", better("mug, full", "mug, simple", "R@1, misaligned"),
        "The full mode, which costs more, is a little better than the simple one."),
    paper_scale("State of the art, zero-shot and fine-tuned, on MSR-VTT, DiDeMo and LSMDC.",
        "Neither they nor CLIP's weights nor WebVid-10M are at hand. With them: `MugSTAN.load`'s network after preset "
        "pretraining on `Pairs` of clips and captions, then preset msr-vtt or didemo, on `prunable_towers(encoders.get("
        "'open_clip:ViT-B-32/openai'))`; not run."),
    paper_scale("State of the art on Kinetics-400, Something-Something-2, HMDB-51, UCF-101 and AVA.",
        "They are not at hand; `fit(source=ready(load('kinetics'), (224, 224)), model=..., prompts=...)`; boxes of AVA "
        "are left out; not run."),
    paper_scale("It improves both CLIP and CoCa.",
        "Weights of neither are at hand; open_clip's towers of either plug in where their image tower reads a class "
        "token; not run."),
    not_testable("Zero-shot video chatting is possible with a multimodal dialogue model.",
        "The dialogue model is another system."),
    not_testable("Image-language models expand to video against two obstacles: temporal modules that do not "
        "generalize, and partly misaligned pairs.", "It is about the field; what the remedies do here is above."),
    not_testable("Codes are available.",
        "They are at github.com/farewellthree/STAN; the card says where this one differs."),
)

SPLITS = motion_worlds.of_first(1, 2)

claim = Claim(
    slug="mug-stan",
    ledger=LEDGER,
    experiments={
        "captions": Experiment(run=run_captions, drawn=drawn_captions, nothing="nothing", **SPLITS, **seeds(1)),
        "motion": Experiment(
            run=run_motion, drawn=motion_worlds.drawn_motions, nothing="nothing", **SPLITS, **seeds(1)),
        "start": Experiment(run=run_start, drawn=motion_worlds.drawn_motions, **SPLITS, **seeds(1)),
    },
    licences=(worlds.EMOJI, worlds.LITE0, worlds.MINILM),
)
# fmt: on
