"""`unseen align CAPTIONS --languages en,de,ko`: an image-text model of captions in several languages."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from unseen.bundle import Bundle
from unseen.data.class_file import class_space
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain, Lazy, concatenate
from unseen.data.duplicates import perceptual
from unseen.data.pairs import Pairs
from unseen.data.translations import LANGUAGE, TranslatedCorpus, Translator, translator_of, with_translations
from unseen.encoders import Encoder, TwoTowerEncoder, get
from unseen.encoders.defaults import DEFAULT_ENCODER
from unseen.encoders.trainable import multilingual_towers, tower_heads, whole_towers
from unseen.evaluation.exam import Exam
from unseen.evaluation.metrics.retrieval import both_ways_by_chance, by_language
from unseen.jobs.alignment.reading import exam_of, held_out_by, language_of, legible, none_twice, read, unlike
from unseen.jobs.alignment.report import (
    WRITTEN,
    Report,
    examine,
    known_among,
    shared_among,
    training_folder,
    variant,
    written,
)
from unseen.jobs.alignment.spoken import codes_of, silent, spelt_as, templates_in
from unseen.methods.multimodal.rs_m_clip import RSMCLIP
from unseen.methods.multimodal.rs_m_clip.asking import given_sentences
from unseen.methods.multimodal.rs_m_clip.sampler import GROUP, pictures_of
from unseen.nn import parallel
from unseen.nn.dual_encoder import Standardized
from unseen.nn.state import refuse_foreign
from unseen.runtime import runtime, track

IN_MEMORY = 2**31
"""Bytes of prepared pictures that are kept in memory; of more, each is read when its turn comes."""
ELSEWHERE = "beside an encoder of pictures alone a text tower learns any language"
ASKED = 2000
"""Held-out pictures that recall is measured on, the first."""


@dataclasses.dataclass(frozen=True)
class Translating:
    """How captions and sentences of classes come into other languages.

    Attributes
    ----------
    by : callable, "apertium" or a command, optional
        See `unseen.data.translations`; None translates nothing.
    folder : path, optional
        Where translations are kept, whatever becomes of a call; `OUT.translations` if absent.
    least_agreement : float in [0, 1], optional
        Of what comes back with its source.
    source : str
        The language of captions that no column says the language of, and of templates.
    """

    by: Translator | str | None = None
    folder: str | os.PathLike[str] | None = None
    least_agreement: float | None = None
    source: str = "en"

    def opened(self, out: Path) -> Translating:
        """The same with a translator that can be called, and a folder."""
        translator = translator_of(self.by) if isinstance(self.by, str) else self.by
        return dataclasses.replace(self, by=translator, folder=self.folder or out.parent / f"{out.name}.translations")

    def of(self, captions: Sequence[str], language: str) -> TranslatedCorpus:
        """Captions in a language, of which those that were translated before are only read."""
        assert callable(self.by)
        return TranslatedCorpus(
            captions, self.by, [language], source=self.source, folder=self.folder,
            least_agreement=self.least_agreement,
        ).translate()  # fmt: skip


def multilingual(
    pairs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Pairs,
    languages: Sequence[str],
    *,
    out: str | os.PathLike[str],
    translating: Translating | None = None,
    left: str | None = None,
    right: str | None = None,
    encoder: str | None = None,
    crops: bool = False,
    text: str = "grams",
    preset: str | None = None,
    settings: Mapping[str, Any] | None = None,
    classes: Any = None,
    prompts: Sequence[str] | None = None,
    exam: str | os.PathLike[str] | Domain | None = None,
    language: str | None = None,
    held_out: float = 0.1,
    beside: bool = True,
    seed: int = 0,
    with_encoder: bool = False,
    trust: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> tuple[Bundle, Report]:
    """Train an image-text model on captions in several languages, translated where people wrote none.

    Parameters
    ----------
    pairs : path, paths, or Pairs
        Tables or shards of pictures with captions, all of one corpus: nearly equal pictures of several are one.
    languages : sequence of str
        That are learnt. What no caption is in is translated.
    out : path
        Folder of the model. A call that was killed goes on when it is made again.
    translating : Translating, optional
    left, right : str, optional
        Columns of the tables.
    encoder : str, optional
        Of pictures. Small layers learn on its features, efficientnet-lite0's if absent; of two towers, beside both.
    crops : bool
        Learn a picture tower whole, from pictures and their crops, with self-distillation: that of two towers, or a
        small network on 64 pixels (``pixels?size=64&crop=1``).
    text : {"grams", "byte-pairs"}
        The text tower where none comes with the encoder.
    preset, settings, seed
        Of the method rs-m-clip; small where towers begin fresh, or are few layers.
    classes, exam, held_out, with_encoder, trust
        As in `align`.
    prompts : sequence of str, optional
        Templates with {}, which are translated; with a language in front (``de=ein Bild von {}.``) they stay. If
        absent an English one where English is learnt or translated, else the names alone.
    language : str, optional
        The column that says which language a caption is in.
    beside : bool
        Train beside, for as many steps: the source language alone, and without self-distillation.

    Raises
    ------
    ValueError
        If an argument cannot be, a language lacks both captions and a translator, or nothing can be learnt; before any
        translation or training.
    """
    if not 0 < held_out < 1:
        raise ValueError(f"held_out must lie in (0, 1); got {held_out!r}")
    wanted = codes_of(languages)
    out = Path(out)
    refuse_foreign(out, WRITTEN)
    if parallel.started() > 1:
        raise ValueError("languages: a model of several languages is trained in one process; start one")
    how = (translating or Translating()).opened(out)
    codes = {*wanted, *codes_of([how.source], "source_language")}
    spoken = templates_in(prompts, how.source, wanted, callable(how.by))
    space = class_space(classes)
    tables = [pairs] if isinstance(pairs, (str, os.PathLike, Pairs)) else list(pairs)
    none_twice(tables)
    given, lacking = united(tables, left, right, language, how.source)
    unlike(given)
    given = given.replace(columns={LANGUAGE: spelt_as(codes, given.columns[LANGUAGE])})
    reading = _reading(encoder, given.left.kind, crops, trust)
    method = _method(preset, settings, wanted, how.source, seed, whole=crops and isinstance(reading, TwoTowerEncoder))
    truth = None if exam is None else exam_of(exam, given.left.kind, space, "the pairs")
    space = space if truth is None else truth.classes
    there = set(given.columns[LANGUAGE].tolist())
    if how.by is None and (absent := [name for name in wanted if name not in there]):
        raise ValueError(
            f"translator: no caption is in {', '.join(absent)}; name one, such as apertium, or a column of languages "
            f"that has them (there are {', '.join(sorted(there))})"
        )
    given, others = _asked_for(given, codes)
    if space is not None and not prompts and ("{}",) in spoken.values():
        others.append(f"No template was named in {next(iter(spoken))}: classes are asked about by their names alone.")
    given, alike = grouped(given)
    keys = given.columns[GROUP]
    chosen = held_out_by(keys, held_out)
    dropped = shown(given, truth) & ~chosen
    given, counts = _translated(given, wanted, how, say)
    origin = np.concatenate([np.arange(len(keys)), _origins(given, len(keys))])
    chosen, dropped = chosen[origin], dropped[origin]
    report = Report(
        method="rs-m-clip", encoders={"left": reading.name, "right": None}, frozen="left",
        pairs=int((~chosen & ~dropped).sum()), held_out=len(np.unique(given.columns[GROUP][chosen])), lacking=lacking,
        cut=0, partners=len(given) / len(np.unique(given.columns[GROUP])), prompts=tuple(sum(spoken.values(), ())),
        variant=variant(preset, settings), translations=counts, alike=alike, like_exam=int(dropped.sum()), notes=others,
        shared=shared_among(given, chosen, ~chosen & ~dropped),
    )  # fmt: skip
    say(report.begins())
    towers, seen = _towers(reading, given, crops, text)
    report.cut, unspelt = legible(towers.reader, given.right, "right", ELSEWHERE)
    report.notes += unspelt
    for line in unspelt:
        say(line)
    learn, ask = seen.take(np.flatnonzero(~chosen & ~dropped)), seen.take(np.flatnonzero(chosen))
    first = towers.image[0] if isinstance(towers.image, nn.Sequential) else None
    if isinstance(first, Standardized):
        first.measure(torch.as_tensor(learn.left.x))
    with runtime(folder=training_folder(out)):
        method.fit(pairs=learn, model=towers)
    arms = {"aligned": method} | (_beside(method, learn, towers, how.source, training_folder(out)) if beside else {})
    _measure(arms, report, ask)
    sentences = None if space is None else _sentences(space, spoken, wanted, how)
    if space is not None:
        for name, arm in list(arms.items()):
            arms[name] = arm.adapt(classes=space, prompts=sentences)
        if truth is not None:
            report.known = known_among(truth.samples, given.left.take(np.flatnonzero(~chosen & ~dropped)))
            _examined(arms, report, truth, reading, space, crops)
    method = arms["aligned"]
    report.kept, report.monitors = method.kept_, dict(method.monitors_)
    report.history = {key: values.tolist() for key, values in method.history_.items()}
    bundle = Bundle(method=method, classes=method.classes_, encoder=reading, credits=given.left.credits, whole=crops)
    bundle.save(out, with_encoder=with_encoder, also=WRITTEN, more=lambda part: written(report, part))
    shutil.rmtree(training_folder(out), ignore_errors=True)
    return bundle, report


# -- the corpus --------------------------------------------------------------------------------------------


def united(
    tables: Sequence[Any], left: str | None, right: str | None, language: str | None, source: str
) -> tuple[Pairs, int]:
    """Pictures and captions of all tables with the language of each, and how many pairs lack a side."""
    parts, lacking = [], 0
    for table in tables:
        taken = None if isinstance(table, Pairs) else read([table], left=left, right=right)
        part = table if taken is None else taken.pairs
        lacking += taken.lacking if taken else 0
        kinds = [part.left.kind, part.right.kind]
        if kinds.count("text") != 1:
            raise ValueError(f"pairs must hold pictures and captions; they hold {kinds[0]} and {kinds[1]}")
        part = part if kinds[1] == "text" else part.swap()
        spoken = language_of(part, language)
        languages = np.full(len(part), source) if spoken is None else np.where(silent(spoken), source, spoken)
        parts.append(part.replace(columns={LANGUAGE: languages}))
    if len(parts) == 1:
        return parts[0], lacking
    sides = [concatenate([getattr(part, side).unlabeled() for part in parts]) for side in ("left", "right")]
    spoken = np.concatenate([part.columns[LANGUAGE] for part in parts])
    return Pairs(sides[0], sides[1], ids=sides[0].ids, columns={LANGUAGE: spoken}), lacking


def _asked_for(pairs: Pairs, codes: Set[str]) -> tuple[Pairs, list[str]]:
    """The pairs in some languages, and a note of how many others there were."""
    language = pairs.columns[LANGUAGE]
    wanted = np.isin(language, sorted(codes))
    if wanted.all():
        return pairs, []
    named = ", ".join(sorted(set(language[~wanted].tolist())))
    if not wanted.any():
        raise ValueError(f"languages: no pair is in {', '.join(sorted(codes))}; they are in {named}")
    n = int((~wanted).sum())
    count = "1 pair" if n == 1 else f"{n:,} pairs"
    return pairs.take(np.flatnonzero(wanted)), [f"Not asked for, and left out: {count} in {named}."]


def grouped(pairs: Pairs) -> tuple[Pairs, int]:
    """The pairs with a column that says which of them show one picture, and how many pictures are such of others.

    Pictures of equal content are one; so are those that look alike after resizing or recompression, as data sets share
    their sources.
    """
    digests = pairs.left.digests()
    number, first = pictures_of(pairs, digests)
    names = digests[first].copy()
    if pairs.left.kind == "image":
        distinct = pairs.left.take(first)
        for i, j, _ in perceptual(distinct, distinct):
            if i < j and names[i] != names[j]:
                names[names == names[j]] = names[i]
    return pairs.replace(columns={**pairs.columns, GROUP: names[number]}), len(first) - len(np.unique(names))


def shown(pairs: Pairs, truth: Exam | None) -> NDArray[np.bool_]:
    """Which pairs have a picture that looks like one of the exam, or a copy that does, (n,): none is learnt from."""
    out = np.zeros(len(pairs), dtype=bool)
    if truth is None or pairs.left.kind != "image":
        return out
    _, first, number = np.unique(pairs.left.digests(), return_index=True, return_inverse=True)
    alike = {i for i, _, _ in perceptual(pairs.left.take(first), truth.samples)}
    like_exam = np.isin(number.reshape(-1), list(alike))
    return np.isin(pairs.columns[GROUP], pairs.columns[GROUP][like_exam]) if GROUP in pairs.columns else like_exam


def _translated(
    pairs: Pairs, wanted: tuple[str, ...], how: Translating, say: Callable[[str], None]
) -> tuple[Pairs, dict[str, dict[str, int]]]:
    """The pairs in the languages that are wanted: captions in the source language are translated for pictures that have
    none in another one."""
    language, keys = pairs.columns[LANGUAGE], pairs.columns[GROUP]
    corpora, counts = [], {}
    for code in wanted:
        has = np.unique(keys[language == code])
        rows = np.flatnonzero((language == how.source) & ~np.isin(keys, has))
        if code == how.source or how.by is None or not len(rows):
            continue
        say(f"{len(rows):,} captions into {code}")
        corpus = how.of([str(text) for text in pairs.right.x[rows]], code)
        counts[code] = corpus.counts()[code]
        if not counts[code].get("kept") and not len(has):
            why = ", ".join(f"{n:,} {reason}" for reason, n in counts[code].items() if n)
            raise ValueError(f"translator: none of {len(rows):,} captions into {code} can be used: {why}")
        corpora.append((rows, corpus))
    grown = with_translations(pairs, corpora)
    origin = _origins(grown, len(pairs))
    columns = {**grown.columns, GROUP: np.concatenate([keys, keys[origin]])}
    return grown.replace(columns=columns), counts


def _origins(pairs: Pairs, n: int) -> NDArray[np.int64]:
    """Rows of the first n pairs that translations behind them are of."""
    assert pairs.ids is not None
    place = {identity: i for i, identity in enumerate(pairs.ids[:n].tolist())}
    return np.array([place[of] for of in pairs.columns["translation_of"][n:].tolist()], dtype=np.int64)


# -- the model ---------------------------------------------------------------------------------------------


def _reading(name: str | None, kind: str, crops: bool, trust: bool) -> Encoder:
    if crops and kind != "image":
        raise ValueError(f"crops are of pictures; the pairs hold {kind}")
    name = name or ("pixels?size=64&crop=1" if crops else DEFAULT_ENCODER.get(kind))
    if name is None:
        raise ValueError(f"encoder: pairs must hold pictures and captions; they hold {kind}")
    reading = get(name, trust=trust, precision="fp32")
    if crops and not (isinstance(reading, TwoTowerEncoder) or name.startswith("pixels")):
        raise ValueError(f"encoder: crops need a picture tower that learns, pixels?size=64 or two towers; got {name!r}")
    return reading


def _towers(reading: Encoder, pairs: Pairs, crops: bool, text: str) -> tuple[Any, Pairs]:
    """The towers as they begin, and the pairs as they read them."""
    captions = [str(caption) for caption in pairs.right.x]
    if crops:
        both = isinstance(reading, TwoTowerEncoder)
        towers = whole_towers(reading) if both else multilingual_towers(None, captions, text=text).towers
        return towers, pairs.replace(left=pairs.left.replace(x=_prepared(reading, pairs)))
    if isinstance(reading, TwoTowerEncoder):
        towers, reading = tower_heads(reading)
    else:
        towers = multilingual_towers(reading, captions, text=text).towers
    return towers, pairs.replace(left=reading.encode(pairs.left, precision="fp32"))


def _prepared(reading: Encoder, pairs: Pairs) -> Lazy:
    """Pictures as the towers read them, each once however many captions it has; kept in memory where they fit."""
    digests = pairs.left.digests()
    _, first, number = np.unique(digests, return_index=True, return_inverse=True)
    number = number.reshape(-1)

    def read_one(k: int) -> torch.Tensor:
        picture: torch.Tensor = reading.preprocess([pairs.left.x[int(first[k])]])[0]
        return picture

    sample = read_one(0)
    kept = None
    if sample.numel() * sample.element_size() * len(first) <= IN_MEMORY:
        kept = torch.stack([read_one(k) for k in track(range(len(first)), "pictures")])

    def one(i: int) -> torch.Tensor:
        k = int(number[i])
        return read_one(k) if kept is None else kept[k]

    return Lazy(range(len(pairs)), one, lambda i: str(digests[i]))


def _method(
    preset: str | None, settings: Mapping[str, Any] | None, wanted: tuple[str, ...], source: str, seed: int, whole: bool
) -> RSMCLIP:
    presets = RSMCLIP.card.presets
    if preset is not None and preset not in presets:
        raise ValueError(f"preset must be one of {', '.join(presets)}; got {preset!r}")
    begun: dict[str, Any] = {**({} if whole else presets["small"]), **presets[preset or "default"], **(settings or {})}
    return RSMCLIP().set_params(**{**begun, "languages": wanted, "source_language": source, "random_state": seed})


def _beside(method: RSMCLIP, learn: Pairs, towers: Any, source: str, folder: Path) -> dict[str, RSMCLIP]:
    """The simple alternatives, for as many steps: the source language alone, and no self-distillation.

    Pictures without a caption in the source language leave it fewer steps in an epoch: it has more epochs, the last of
    which may make it a few steps more.
    """
    arms: dict[str, Mapping[str, Any]] = {}
    if len(method.languages_) > 1 and source in method.languages_:
        arms[f"{source} alone"] = {"languages": (source,)}
    if method.distilled_:
        arms["no self-distillation"] = {"distillation": 0.0}
    trained = {}
    for name, change in arms.items():
        arm = RSMCLIP(**{**method.get_params(), **change})
        arm.set_params(epochs=-(-method.steps_ // arm.steps_of(learn)))
        with runtime(folder=folder / name.replace(" ", "-")):
            trained[name] = arm.fit(pairs=learn, model=towers)
    return trained


# -- what is measured --------------------------------------------------------------------------------------


def _measure(arms: Mapping[str, RSMCLIP], report: Report, ask: Pairs) -> None:
    """Recall on pictures held out: the mean over languages of each arm, and that of every language."""
    number, first = pictures_of(ask, ask.left.digests())
    few = np.flatnonzero((number < ASKED) & np.isin(ask.columns[LANGUAGE], arms["aligned"].languages_))
    spoken = {str(code): few[ask.columns[LANGUAGE][few] == code] for code in np.unique(ask.columns[LANGUAGE][few])}
    report.asked = {code: len(rows) for code, rows in spoken.items()}
    luck = [both_ways_by_chance(np.unique(number[rows])[:, None] == number[rows]) for rows in spoken.values()]
    report.chance = {key: float(np.mean([of[key] for of in luck])) for key in luck[0]}
    for name, arm in arms.items():
        recall = retrieval_report(arm, ask.left.take(first[:ASKED]), {
            code: ([str(text) for text in ask.right.x[rows]], number[rows]) for code, rows in spoken.items()
        })  # fmt: skip
        report.recall[name] = {
            key: float(np.mean([of[key] for of in recall.values()])) for key in next(iter(recall.values()))
        }
        if name == "aligned":
            report.languages = recall
        else:
            report.beside[name] = {code: of["mean"] for code, of in recall.items()}


def retrieval_report(
    model: RSMCLIP, pictures: Domain, captions: Mapping[str, tuple[Sequence[str], NDArray[np.integer]]]
) -> dict[str, dict[str, float]]:
    """Recall both ways in each language; see `unseen.validation.recall.by_language`.

    Parameters
    ----------
    model : RSMCLIP
        Fitted.
    pictures : Domain
        As the model reads them, each once.
    captions : mapping of language to (texts, array)
        And the row of the picture of each.
    """
    from unseen.methods.checks import as_input

    z = model.encode_pictures(as_input(pictures)).numpy()
    return by_language(z, {code: (model.encode_text(texts).numpy(), of) for code, (texts, of) in captions.items()})


def _examined(
    arms: Mapping[str, RSMCLIP], report: Report, truth: Exam, reading: Encoder, space: ClassSpace, crops: bool
) -> None:
    """Zero-shot accuracy: the ensemble of languages of every arm, each language of what is saved, and names alone."""
    method = arms["aligned"]
    asked = Bundle(method=method, classes=space, encoder=reading, whole=crops)
    samples = asked.features(truth.samples)
    predictions: dict[tuple[str, str], Any] = {}
    for name, arm in arms.items():
        predictions[name, "ensemble"] = arm.predict(samples)
        predictions[name, "name"] = arm.adapt(classes=space, prompts=("{}",)).predict(samples)
    predictions |= {("spoken", code): method.predict(samples, language=code) for code in method.spoken_}
    examine(report, truth, space, predictions)
    report.spoken = report.accuracy.pop("spoken")


def _sentences(
    space: ClassSpace, spoken: Mapping[str, tuple[str, ...]], wanted: tuple[str, ...], how: Translating
) -> dict[str, Any]:
    """What is said of each class in each language: templates as they were given, or the source's, translated.

    A translation that is dropped leaves the class its others, or else the sentence of the source.
    """
    sentences: dict[str, Any] = {code: list(texts) for code, texts in spoken.items()}
    if how.source not in spoken or not callable(how.by):
        return sentences
    originals = given_sentences(space, spoken[how.source], how.source)[how.source]
    flat = [text for texts in originals for text in texts]
    each = len(originals[0])
    for code in wanted:
        if code not in sentences:
            kept: dict[int, list[str]] = {}
            for translation in how.of(flat, code).kept():
                kept.setdefault(translation.caption // each, []).append(translation.text)
            sentences[code] = [tuple(kept.get(k, originals[k])) for k in range(len(originals))]
    if how.source not in wanted:
        del sentences[how.source]  # the model has not learnt it: it was there to be translated
    return sentences
