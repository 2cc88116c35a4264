"""`unseen align CLIPS --method mug-stan`: an image-text model that finds videos by captions, and captions by videos."""

from __future__ import annotations

import hashlib
import math
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from unseen.bundle import Bundle
from unseen.data.class_file import class_space
from unseen.data.classes import ClassSpace
from unseen.data.clips import FRAMES
from unseen.data.damage import undamaged
from unseen.data.domain import Domain
from unseen.data.loaders import samples_of
from unseen.data.pairs import Pairs
from unseen.data.rows import unit_rows
from unseen.encoders import TwoTowerEncoder, get
from unseen.encoders.frames import FramesEncoder
from unseen.encoders.two_tower import class_texts, mean_of
from unseen.encoders.whole_clips import every_frame, network_of_frames, whole_clips
from unseen.evaluation.drive import HeldOut, Together
from unseen.evaluation.exam import Exam
from unseen.evaluation.metrics.retrieval import both_ways, both_ways_by_chance
from unseen.jobs.alignment.reading import VIDEO, exam_of, held_out_by, legible, read, undamaged_pairs, unread_clips
from unseen.jobs.alignment.report import (
    WRITTEN,
    Report,
    examine,
    known_among,
    same,
    training_folder,
    variant,
    written,
)
from unseen.methods.multimodal.ridge_map import RidgeMap
from unseen.methods.video.mug_stan import MugSTAN
from unseen.methods.video.mug_stan.network import mug_stan_network
from unseen.nn import parallel
from unseen.nn.dual_encoder import templates_of
from unseen.nn.late_interaction import in_parts
from unseen.nn.state import refuse_foreign
from unseen.runtime import current, runtime
from unseen.validation.recall import middle_ranks

ASKED = 2000
"""Held-out pairs that recall is measured on, the first."""
FEW = 50
"""Held-out pairs below which figures are told to be coarse."""
GUESSING = 0.95
"""Share of the loss of guessing above which nothing is learnt."""
VIDEOS = 4
"""Videos below which parts of one video may be learnt from and held out."""
UNTOUCHED = "mean of frames, untouched"


def align_clips(
    pairs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Pairs,
    *,
    out: str | os.PathLike[str],
    left: str | None = None,
    right: str | None = None,
    encoder: str | None = None,
    preset: str | None = None,
    settings: Mapping[str, Any] | None = None,
    classes: Any = None,
    prompts: Sequence[str] | None = None,
    exam: str | os.PathLike[str] | Domain | None = None,
    held_out: float = 0.1,
    beside: bool = True,
    seed: int = 0,
    with_encoder: bool = False,
    trust: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> tuple[Bundle, Report]:
    """Train an image-text model on clips and captions that may fit a part of them alone; ask about pairs held out.

    Parameters
    ----------
    pairs : path, two paths, or Pairs
        A table with a column of videos (perhaps ``start`` and ``end``) and one of captions.
    out : path
        Folder of the model. A call that was killed goes on from its last epoch when it is made again.
    left, right : str, optional
        Columns of a table.
    encoder : str
        Two towers that look at frames, such as ``frames:open_clip:ARCH/WEIGHTS``: a copy of them learns.
    preset, settings, seed
        Of the method mug-stan.
    classes : ClassSpace, file or names, optional
        What the model predicts; captions of the pairs if absent.
    prompts : sequence of str, optional
        Templates with {} for a class name; the name alone if absent.
    exam : path or Domain, optional
        Labelled clips: the zero-shot accuracy is told.
    held_out : float in (0, 1)
        Share of the videos that is asked about and never learnt, by content; all parts of a video stay together.
    beside : bool
        Train beside, for as many steps: the same towers with the mean of frames; not under several processes.
    with_encoder, trust
        As in `Bundle.save` and `Bundle.load`.

    Raises
    ------
    ValueError
        If an argument cannot be, the encoder has no two towers of transformers, or nothing can be learnt from the
        pairs; before a clip is decoded.
    """
    if not 0 < held_out < 1:
        raise ValueError(f"held_out must lie in (0, 1); got {held_out!r}")
    out = Path(out)
    refuse_foreign(out, WRITTEN)
    presets = MugSTAN.card.presets
    if preset is not None and preset not in presets:
        raise ValueError(f"preset must be one of {', '.join(presets)}; got {preset!r}")
    method = MugSTAN().set_params(**{**presets[preset or "default"], **(settings or {}), "random_state": seed})
    templates, space = templates_of(prompts, ("{}",)), class_space(classes)
    reading = _two_towers(encoder, trust)
    towers: Any = network_of_frames(reading)
    method.check_network(towers)
    shown = every_frame(reading, method.test_frames or method.frames)
    frames = max(FRAMES, method.frames, method.test_frames)
    with parallel.launched(current().device):
        tell = say if parallel.first() else (lambda line: None)
        taken = None
        if not isinstance(pairs, Pairs):
            paths = [pairs] if isinstance(pairs, (str, os.PathLike)) else list(pairs)
            taken = read(paths, left=left, right=right, frames=frames)
        given = _clips_left(taken.pairs if taken else pairs)  # type: ignore[arg-type]
        truth = samples = None
        if exam is not None:
            samples = samples_of(exam, frames=frames)
            truth = exam_of(samples, "clip", space, "the pairs")
            space = truth.classes
        learn, ask, notes = _parted(given, held_out)
        cut, unspelt = legible(towers.reader, given.right, "right", "`encoder` must be one of their language")
        whole = undamaged_pairs(given)
        lacking, given = len(given) - len(whole) + (taken.lacking if taken else 0), whole
        if samples is not None:
            samples = undamaged(samples)
            truth = exam_of(samples, "clip", space, "the pairs")
        learn, ask, notes = _parted(given, held_out)
        report = Report(
            method="mug-stan", encoders={"left": reading.name, "right": None}, frozen="left",
            pairs=len(learn), held_out=len(ask), lacking=lacking,
            cut=cut,
            partners=len(given) / len(np.unique(given.left.digests())), prompts=templates,
            variant=variant(preset, settings), notes=[*unread_clips(given.left, samples), *unspelt, *notes],
            shared=known_among(ask.right, learn.right),
        )  # fmt: skip
        if truth is not None:
            report.known = known_among(truth.samples, learn.left)
        for line in [report.begins(), *unspelt]:
            tell(line)
        inputs: dict[str, Any] = {"pairs": _whole(learn, reading), "model": towers, "classes": space}
        with runtime(folder=training_folder(out)):
            method.fit(**inputs, prompts=templates)
        arms = {"aligned": method}
        if beside and (method.alignment, method.temporal) != ("mean", "none"):
            tell("and beside it, for as many steps, the same towers with the mean of frames")
            plain = MugSTAN(**{**method.get_params(), "alignment": "mean", "temporal": "none", "frozen": False})
            with runtime(folder=training_folder(out) / "mean"):
                arms["mean of frames, trained"] = plain.fit(**inputs, prompts=templates)
        if parallel.first():
            _found(arms, report, towers, shown, learn, ask)
            if truth is not None and space is not None:
                _examined(arms, report, truth, shown, space)
            report.history = {key: values.tolist() for key, values in method.history_.items()}
            report.notes += learnt_nothing(method, len(learn))
            bundle = Bundle(
                method=method, classes=method.classes_, encoder=shown, credits=given.left.credits, whole=True
            )
            bundle.save(out, with_encoder=with_encoder, also=WRITTEN, more=lambda part: written(report, part))
            shutil.rmtree(training_folder(out), ignore_errors=True)
        parallel.wait()
        if not parallel.first():
            bundle = Bundle.load(out, trust=trust)
    return bundle, report


# -- what is read ------------------------------------------------------------------------------------------


def _two_towers(name: str | None, trust: bool) -> TwoTowerEncoder:
    """The encoder, two towers that look at frames."""
    wanted = "two towers that look at frames, such as frames:open_clip:ARCH/WEIGHTS or frames:towers:FOLDER"
    if name is None:
        raise ValueError(f"encoder must be named: {wanted}")
    reading = get(name, trust=trust, precision="fp32")
    if not isinstance(reading, TwoTowerEncoder) or not isinstance(reading.image, FramesEncoder):
        raise ValueError(f"encoder must be {wanted}; got {name!r}")
    return reading


def _clips_left(pairs: Pairs) -> Pairs:
    kinds = pairs.left.kind, pairs.right.kind
    if set(kinds) != {"clip", "text"}:
        raise ValueError(
            f"pairs must hold clips and captions, a column of videos and one of texts; they hold {kinds[0]} and "
            f"{kinds[1]}"
        )
    return pairs if kinds[1] == "text" else pairs.swap()


def videos_of(pairs: Pairs) -> tuple[NDArray[np.str_], list[str]]:
    """A digest of each clip's video, (n,), so that its parts stay together; of the clip alone where videos are few."""
    digests = pairs.left.digests()
    if VIDEO not in pairs.columns:
        return digests, []
    names, place = np.unique(pairs.columns[VIDEO], return_inverse=True)
    if len(names) == len(place):
        return digests, []
    if len(names) < VIDEOS:
        return digests, [
            f"The clips are parts of {len(names)} video{'s' * (len(names) > 1)}: parts that are held out are of videos "
            "that were learnt from, and other videos may be harder."
        ]
    parts = [sorted(set(digests[place == i].tolist())) for i in range(len(names))]
    keys = [video[0] if len(video) == 1 else hashlib.sha256("".join(video).encode()).hexdigest() for video in parts]
    return np.array(keys)[place], []


def _parted(pairs: Pairs, held_out: float) -> tuple[Pairs, Pairs, list[str]]:
    """The pairs to learn from, those held out, and what is said of that."""
    keys, notes = videos_of(pairs)
    chosen = held_out_by(keys, held_out)
    learn, ask = (pairs.take(np.flatnonzero(which)) for which in (~chosen, chosen))
    _check_captions(learn)
    return learn, ask, notes


def _check_captions(learn: Pairs) -> None:
    captions = {str(text).strip() for text in learn.right.x}
    if len(captions) < 2:
        raise ValueError(
            f"pairs must have captions that differ; all {len(learn)} clips to learn from are called {captions.pop()!r}"
        )


def _whole(pairs: Pairs, reading: TwoTowerEncoder) -> Pairs:
    return pairs.replace(left=whole_clips(pairs.left, reading))


# -- what is measured --------------------------------------------------------------------------------------


def _found(arms: Mapping[str, MugSTAN], report: Report, towers: Any, shown: Any, learn: Pairs, ask: Pairs) -> None:
    """Recall and middle ranks of pairs held out: what was trained, the towers as they were, and a ridge map on them."""
    ask = ask.take(slice(0, ASKED))
    texts, clips = [str(text) for text in ask.right.x], whole_clips(ask.left, shown)
    scores = {name: arm.similarity(clips, texts).numpy() for name, arm in arms.items()}
    seen = {name: _encoded(part, shown) for name, part in (("learn", learn), ("ask", ask))}
    scores[UNTOUCHED] = seen["ask"].left.x @ seen["ask"].right.x.T
    scores["best matches, untouched"] = _best_matches(arms["aligned"], towers, clips, texts)
    ridge = RidgeMap(frozen="right").fit(pairs=seen["learn"])
    scores["ridge map, mean of frames"] = (
        ridge.transform(seen["ask"].left, "trained") @ ridge.transform(seen["ask"].right, "frozen").T
    ).numpy()
    relevant = same(ask)(np.arange(len(ask)))
    places = Together(lambda right, table: (both_ways(table, right), middle_ranks(table, right)))
    for name, (recall, middle) in places(HeldOut(ask, relevant), scores).items():
        report.recall[name] = recall
        report.ranks[name] = {way: middle[f"{way} median"] for way in ("there", "back")}
    report.chance = both_ways_by_chance(relevant)
    if len(ask) < FEW:
        report.notes.append(f"{len(ask)} pairs held out are few: one of them is {100 / len(ask):.1f} % in a column.")


def learnt_nothing(method: MugSTAN, n: int) -> list[str]:
    """That the loss ended where guessing is: -log 1/b each way among the b clips of a step."""
    loss, guessing = float(method.history_["loss"][-1]), 2 * math.log(min(method.batch_size, n) * parallel.world())
    if loss < GUESSING * guessing:
        return []
    return [
        f"The loss ended at {loss:.2f}, and guessing gives {guessing:.2f}: it does not tell clips apart that it "
        "learnt from; another learning_rate, a smaller scale or more epochs may."
    ]


def _encoded(pairs: Pairs, shown: Any) -> Pairs:
    return pairs.replace(**{
        side: shown.encode(getattr(pairs, side), precision="fp32") for side in ("left", "right")
    })  # fmt: skip


def _best_matches(method: MugSTAN, towers: Any, clips: Domain, texts: Sequence[str]) -> NDArray[np.float32]:
    """The plain rival of Mug: the best frame of each word and the best word of each frame, (clips, texts)."""
    plain = MugSTAN(**{**method.get_params(), "temporal": "none", "alignment": "simple"})
    network = plain.network_ = mug_stan_network(towers, "none", 0).eval()
    frames = F.normalize(plain.frame_vectors(clips), dim=2)
    with torch.no_grad():
        similarity: NDArray[np.float32] = in_parts(network.read(list(texts)), frames, mode="max").T.numpy()
    return similarity


def _examined(arms: Mapping[str, MugSTAN], report: Report, truth: Exam, shown: Any, space: ClassSpace) -> None:
    """Zero-shot accuracy on labelled clips, with the templates and by the name alone."""
    clips = whole_clips(truth.samples, shown)
    predictions: dict[tuple[str, str], Any] = {}
    for name, arm in arms.items():
        predictions[name, "ensemble"] = arm.predict(clips)
        predictions[name, "name"] = arm.adapt(classes=space, prompts=("{}",)).predict(clips)
    seen = shown.encode(truth.samples, precision="fp32").x
    for key, prompts in (("ensemble", report.prompts), ("name", ("{}",))):
        vectors = mean_of([shown.encode_text(texts) for texts in class_texts(space.bare(), prompts)])
        predictions[UNTOUCHED, key] = (unit_rows(seen) @ vectors.T).argmax(axis=1)
    examine(report, truth, space, predictions)
