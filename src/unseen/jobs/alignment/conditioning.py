"""`unseen align CAPTIONS --classification SET`: one image-text model of captions and labels, with a mode for each."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unseen.bundle import Bundle
from unseen.data.class_file import class_space
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.loaders import samples_of
from unseen.data.pairs import Pairs
from unseen.encoders import get
from unseen.encoders.defaults import DEFAULT_ENCODER
from unseen.encoders.trainable import fresh_towers
from unseen.evaluation.exam import Exam
from unseen.evaluation.metrics.retrieval import both_ways_by_chance
from unseen.jobs.alignment.reading import exam_of, legible, read, unlike
from unseen.jobs.alignment.reading import held_out as chosen_by_content
from unseen.jobs.alignment.report import (
    WRITTEN,
    Report,
    examine,
    known_among,
    recalled,
    same,
    shared_among,
    training_folder,
    variant,
    written,
)
from unseen.methods.multimodal.prefix_conditioning import PrefixConditioning
from unseen.methods.multimodal.prefix_conditioning.inputs import given_templates
from unseen.nn import parallel
from unseen.nn.dual_encoder import WordPieces
from unseen.nn.state import refuse_foreign
from unseen.runtime import current, runtime

ASKED = 2000
"""Held-out pairs that recall is measured on, the first."""
ELSEWHERE = "align them without labels, with a `right_encoder` of their language"
MODES = {"caption": "captions' mode", "classification": "labels' mode", "mean": "mean of both modes"}
"""Rows of the report: the model asked otherwise than it is saved."""


def unify(
    pairs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Pairs,
    classification: str | os.PathLike[str] | Domain,
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
    """Train one image-text model on captions and on labels, whose text tower is told which of them it reads.

    A small tower on features of a frozen encoder learns pictures, a small transformer with MiniLM's word vectors texts.

    Parameters
    ----------
    pairs : path, two paths, or Pairs
        Pictures with captions; see `unseen.jobs.alignment.reading.read`.
    classification : path or Domain
        Labelled pictures.
    out : path
        Folder of the model.
    encoder : str, optional
        Of pictures; efficientnet-lite0 if absent.
    preset, settings, seed
        Of the method prefix-conditioning: default, naive (no prefix), unicl.
    classes, prompts, exam, held_out, with_encoder, trust
        As in `align`.
    beside : bool
        Train the naive union beside, without a prefix, for as long; not under several processes.

    Raises
    ------
    ValueError
        If an argument cannot be, or nothing can be learnt from the sets; before any training.
    """
    if not 0 < held_out < 1:
        raise ValueError(f"held_out must lie in (0, 1); got {held_out!r}")
    out = Path(out)
    refuse_foreign(out, WRITTEN)
    presets = PrefixConditioning.card.presets
    if preset is not None and preset not in presets:
        raise ValueError(f"preset must be one of {', '.join(presets)}; got {preset!r}")
    begun = {**presets[preset or "default"], **(settings or {}), "random_state": seed}
    method = PrefixConditioning().set_params(**begun)
    templates = given_templates(prompts)
    space = class_space(classes)
    with parallel.launched(current().device):
        tell = say if parallel.first() else (lambda line: None)
        taken = None
        if not isinstance(pairs, Pairs):
            paths = [pairs] if isinstance(pairs, (str, os.PathLike)) else list(pairs)
            taken = read(paths, left=left, right=right)
        given = unlike(_pictures_left(taken.pairs if taken else pairs))  # type: ignore[arg-type]
        labelled = _labelled(classification, given.left.kind)
        truth = None if exam is None else exam_of(exam, given.left.kind, space, "the pairs")
        samples = None if truth is None else truth.samples
        space = space or (labelled if truth is None else truth).classes
        assert space is not None
        name = encoder or DEFAULT_ENCODER.get(given.left.kind)
        if name is None:
            raise ValueError(f"encoder: pairs must hold pictures and captions; they hold {given.left.kind}")
        reading = get(name, trust=trust, precision="fp32")
        reading.check_kind(given.left)
        model: Any = fresh_towers(reading).towers
        room = WordPieces(model.reader.tokenizer, model.text.text.context - method.tokens)
        cut, unspelt = legible(room, given.right, "right", ELSEWHERE, "the text tower (MiniLM's words)")
        chosen = chosen_by_content(given, held_out)
        report = Report(
            method="prefix-conditioning", encoders={"left": reading.name, "right": None}, frozen="left",
            pairs=int((~chosen).sum()), held_out=int(chosen.sum()), lacking=taken.lacking if taken else 0,
            cut=cut, notes=unspelt,
            partners=len(given) / len(np.unique(given.left.digests())), prompts=templates,
            variant=variant(preset, settings), shared=shared_among(given, chosen),
        )  # fmt: skip
        if truth is not None:
            report.known = known_among(truth.samples, given.left.take(np.flatnonzero(~chosen)), labelled)
        for line in [f"{report.begins()}; {len(labelled):,} labels of {len(labelled.classes or ())} classes", *unspelt]:
            tell(line)
        features = {
            key: reading.encode(domain, precision="fp32")
            for key, domain in (("pairs", given.left), ("labels", labelled), ("exam", samples)) if domain is not None
        }  # fmt: skip
        seen = given.replace(left=features["pairs"])
        learn, ask = seen.take(np.flatnonzero(~chosen)), seen.take(np.flatnonzero(chosen))
        model.image[0].measure(torch.as_tensor(np.concatenate([learn.left.x, features["labels"].x])))
        inputs = {"source": features["labels"], "pairs": learn, "model": model, "prompts": templates}
        with runtime(folder=training_folder(out)):
            method.fit(**inputs)
        method = method.adapt(classes=space)
        arms = {"aligned": method}
        if beside and method.condition != "none":
            plain = PrefixConditioning(**{**method.get_params(), "condition": "none"})
            with runtime(folder=training_folder(out) / "naive"):
                arms["naive union"] = plain.fit(**inputs).adapt(classes=space)
        if parallel.first():
            _measure(arms, report, ask, given.take(np.flatnonzero(chosen)), space, truth, features.get("exam"))
            credits = tuple(dict.fromkeys((*given.left.credits, *labelled.credits)))
            bundle = Bundle(method=method, classes=method.classes_, encoder=reading, credits=credits)
            bundle.save(out, with_encoder=with_encoder, also=WRITTEN, more=lambda part: written(report, part))
            shutil.rmtree(training_folder(out), ignore_errors=True)
        parallel.wait()
        if not parallel.first():
            bundle = Bundle.load(out, trust=trust)
    return bundle, report


def _measure(
    arms: Mapping[str, PrefixConditioning], report: Report, ask: Pairs, raw: Pairs, space: ClassSpace,
    truth: Exam | None, seen: Domain | None,
) -> None:  # fmt: skip
    """Recall of held-out captions, which are read as captions, and the zero-shot accuracy in each mode."""
    few = slice(0, ASKED)
    texts = [str(text) for text in ask.right.x[few]]
    relevant = same(raw)(np.arange(len(ask))[few])
    report.chance = both_ways_by_chance(relevant)
    predictions: dict[tuple[str, str], Any] = {}
    for name, arm in arms.items():
        with torch.no_grad():
            z = arm.encode_pictures(torch.as_tensor(ask.left.x[few]))
        report.recall |= recalled(ask, relevant, {name: (z @ arm.encode_text(texts).T).numpy()})
        report.monitors[f"mode_cosine, {name}"] = arm.mode_cosine_
        if seen is None:
            continue
        alone = arm.adapt(classes=space, prompts=("{}",))
        rows: dict[str, str] = {name: arm.mode}
        if name == "aligned" and arm.condition != "none":
            rows |= {row: mode for mode, row in MODES.items() if mode != arm.mode}
        for row, mode in rows.items():
            predictions[row, "ensemble"] = arm.predict(seen, source=mode)
            predictions[row, "name"] = alone.predict(seen, source=mode)
            if row != name:
                report.recall[row] = {}
    if truth is not None:
        examine(report, truth, space, predictions)
    first = arms["aligned"]
    report.history = {key: values.tolist() for key, values in first.history_.items()}


def _pictures_left(pairs: Pairs) -> Pairs:
    kinds = {side: getattr(pairs, side).kind for side in ("left", "right")}
    if list(kinds.values()).count("text") != 1:
        raise ValueError(f"pairs must hold pictures and captions; they hold {kinds['left']} and {kinds['right']}")
    return pairs if kinds["right"] == "text" else pairs.swap()


def _labelled(data: str | os.PathLike[str] | Domain, kind: str) -> Domain:
    domain = samples_of(data)
    if domain.kind != kind:
        raise ValueError(f"classification must hold {kind}, as the pairs; {domain.name!r} holds {domain.kind}")
    if domain.y is None or domain.classes is None or not domain.labeled.any():
        raise ValueError(f"classification must be labelled; {domain.name!r} is not: name a folder of class folders")
    return domain.take(domain.labeled)
