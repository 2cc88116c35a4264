"""`unseen caption`: a captioner from captions alone, and captions of a folder or table of sounds by it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain, Skipped
from unseen.data.sounds import LONGEST, SOUND_SUFFIXES, find_sounds, read_sounds
from unseen.data.sources import SourceUnavailable
from unseen.encoders.sound import RATE, ClapSpace, SmallSpace, clap
from unseen.encoders.unread import unread
from unseen.evaluation.drive import Together
from unseen.evaluation.exam import Exam
from unseen.evaluation.tasks import grades_of
from unseen.files import read_plain, reads
from unseen.jobs.captioning.captioner import ABOUT, METHOD, SPACE, Captioner, Heard
from unseen.methods.base import fit_words
from unseen.methods.listing import kind_of, of_kind
from unseen.methods.sound_captioners import SoundCaptioner
from unseen.nn.captioners import decoder_of
from unseen.nn.state import refuse_foreign

DEFAULT = "audio-captioning"
WRITTEN = (ABOUT, METHOD, SPACE)
MOST = 12_000
"""Captions that a small decoder learns from, unless told otherwise: minutes of a processor."""
ARMS = ("captioner", "nearest caption", "keywords")


@dataclasses.dataclass(frozen=True)
class Captioned:
    """What `caption` found.

    Attributes
    ----------
    heard : list of Heard
    skipped : tuple of Skipped
        Sounds that are left out, each with the reason: damaged, too long, silence.
    figures : mapping of arm to figures
        Where the table told captions: of the captioner, of the nearest caption and of the keywords; empty without.
    graded : int
        How many sounds had captions.
    captioner : Captioner
    """

    heard: list[Heard]
    skipped: tuple[Skipped, ...]
    figures: Mapping[str, Mapping[str, float]]
    graded: int
    captioner: Captioner

    @property
    def verdict(self) -> str:
        """Whether the captioner is worth more than the nearest caption, in a sentence."""
        if not self.figures:
            return (
                "no caption of these sounds is known, so that nothing is graded; beside each stands the nearest of the "
                "captions learnt from: a captioner that says nothing better has learnt no more than a search gives"
            )
        if self.graded == 1:
            return (
                "one sound alone has a caption that is known: what n-grams count in CIDEr is told by the others, so "
                "that nothing can be said of the captioner; read the nearest caption of those learnt from beside it"
            )
        saved, near = (self.figures[name]["CIDEr"] for name in ARMS[:2])
        if saved > near:
            return f"on {self.graded} sounds the captions have a CIDEr of {saved:.3f}, the nearest captions {near:.3f}"
        return (
            f"on {self.graded} sounds the captions have a CIDEr of {saved:.3f}, no better than the nearest captions of "
            f"those learnt from, {near:.3f}: the decoder has learnt nothing more than a search gives, take these"
        )


def learn(
    captions: str | os.PathLike[str] | Domain | None = None,
    *,
    encoder: str | ClapSpace | SmallSpace = "small",
    pairs: str | os.PathLike[str] | None = None,
    decoder: str | None = None,
    labels: str | os.PathLike[str] | None = None,
    most: int = MOST,
    column: str | None = None,
    method: str = DEFAULT,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    say: Callable[[str], None] = lambda line: None,
) -> Captioner:
    """Train a captioner on captions; no sound is learnt from, but by a small space.

    Parameters
    ----------
    captions : path or Domain, optional
        A text in each line, or a table with a column of captions; or a folder with AudioCaps' train.csv, which if
        absent is looked for in UNSEEN_DATA/audiocaps.
    encoder : str
        ``clap:<folder or hub name>``, or ``small``: learnt from `pairs`, or from the sounds of Tux Paint's stamps.
    pairs : path, optional
        A table of sounds with captions, for the small space.
    decoder : str, optional
        See `unseen.nn.captioners.decoder_of`; small, if absent and the method reads one.
    labels : path, optional
        Names of sound events, one in each line; AudioSet's 527 if absent.
    most : int
        Captions to learn from, drawn if there are more.
    column : str, optional
        Of the captions.
    method : str
        Slug of a method that captions sounds, one of `captioners`.
    settings : mapping, optional
        Its hyperparameters.
    seed : int
    say : callable
        Takes lines that tell what goes on.

    Raises
    ------
    SourceUnavailable
        If there are no captions to learn from.
    """
    learner = _method(method, settings or {}, seed)
    words = fit_words(type(learner))
    for name, value, word in (("labels", labels, "classes"), ("decoder", decoder, "model")):
        if value is not None and word not in words:
            raise ValueError(f"{name}: {method} reads none; leave out {os.fspath(value)!r}")
    for name, path in (("captions", captions), ("labels", labels)):
        if isinstance(path, (str, os.PathLike)) and "://" not in os.fspath(path) and not Path(path).exists():
            raise ValueError(f"{name}: there is no file or folder {os.fspath(path)!r}")
    if column is not None and (
        captions is None or isinstance(captions, Domain) or Path(captions).suffix.lower() in ("", ".txt")
    ):
        raise ValueError(f"column: {column!r} can be one of a table alone, and captions are no table; leave it out")
    if isinstance(most, bool) or not isinstance(most, int) or most < 2:
        raise ValueError(f"most must be an integer of at least 2; got {most!r}")
    corpus = captions if isinstance(captions, Domain) else corpus_of(captions, column)
    if len(corpus) > most:
        corpus = corpus.take(np.sort(np.random.default_rng(seed).permutation(len(corpus))[:most]))
    if len(corpus) and len({str(text).strip() for text in corpus.x}) == 1:
        raise ValueError(
            f"captions: all {len(corpus):,} are the same, {str(corpus.x[0])!r:.60}; nothing else can be learnt"
        )
    inputs: dict[str, Any] = {}
    if "classes" in words:
        inputs["classes"] = None if labels is None else labels_of(labels)
    if "model" in words:
        decoder = decoder or "small"
        inputs["model"] = decoder_of(decoder)
    space = space_of(encoder, pairs) if isinstance(encoder, str) else encoder
    say(f"space: {space.about}")
    say(f"{len(corpus):,} captions to learn from, of {corpus.name}")
    for line in unread(space, corpus.x.tolist(), space.name).lines("captions"):
        say(f"caution: {line}")
    learner.fit(corpus=corpus, encoder=space, **inputs)
    gap, losses = learner.fitted.get("gap_", {}), learner.fitted.get("losses_", ())
    if "noise" in gap and losses:
        say(
            f"augmented captions have a cosine of {gap['noise']:.2f} with themselves; the last loss is {losses[-1]:.3f}"
        )
    return Captioner(learner, space, {
        "encoder": encoder if isinstance(encoder, str) else space.name, "about": space.about, "decoder": decoder,
        "method": method, "most": most, "seed": seed,
        "captions": len(corpus), "corpus": corpus.name, "events": len(learner.fitted.get("names_", ())), "gap": gap,
        "losses": list(losses),
    })  # fmt: skip


def caption(
    sounds: str | os.PathLike[str],
    captioner: Captioner,
    *,
    longest: float = LONGEST,
) -> Captioned:
    """Caption a folder of sounds, one sound, or a table of them; captions in the table are sealed as the exam.

    Parameters
    ----------
    sounds : path
    captioner : Captioner
    longest : float
        Seconds; a longer sound is left out and named.

    Raises
    ------
    ValueError
        If there is no sound that can be captioned; the message says why.
    """
    paths, names, truth, lost = sounds_of(sounds)
    heard, skipped = captioner.hear(paths, names, longest=longest)
    if not heard:
        raise ValueError(f"sounds: none of {len(paths)} can be captioned; {skipped[0].where}: {skipped[0].why}")
    captions = np.array([truth.get(sound.name, "") for sound in heard], dtype=np.str_)
    figures: Mapping[str, Mapping[str, float]] = {}
    if (captions != "").any():
        predictions = {
            "captioner": [sound.caption for sound in heard],
            "nearest caption": [sound.nearest for sound in heard],
            "keywords": [sound.keywords for sound in heard],
        }
        if not any(predictions["keywords"]):  # the method knows no events
            del predictions["keywords"]
        ids = np.array([sound.name for sound in heard])
        exam = Exam(Domain(x=ids, y=captions, kind="text", task="text", ids=ids, name="sounds"))
        figures = Together(grades_of("text").grade)(exam, predictions)
        if (captions != "").sum() == 1:  # of one sound it is 0, whatever is said
            figures = {name: {key: v for key, v in arm.items() if key != "CIDEr"} for name, arm in figures.items()}
    return Captioned(heard, (*lost, *skipped), figures, int((captions != "").sum()), captioner)


@reads("a table of sounds", "write a CSV with the columns file and caption")
def sounds_of(
    place: str | os.PathLike[str],
) -> tuple[list[Path], list[str], dict[str, str], tuple[Skipped, ...]]:
    """Paths, names, captions by name (a line each), and what cannot be looked into, of a folder, a sound or a table."""
    root = Path(place)
    if root.is_dir() or root.suffix.lower() in (*SOUND_SUFFIXES, ".tar"):
        paths, names, skipped = find_sounds(root)
        return paths, names, {}, skipped
    files, texts = _table(root, "sounds")
    truth: dict[str, list[str]] = {}
    for file, text in zip(files, texts if texts is not None else [""] * len(files)):
        truth.setdefault(file, [])
        if text and text not in truth[file]:
            truth[file].append(text)
    return [root.parent / file for file in truth], [*truth], {file: "\n".join(rows) for file, rows in truth.items()}, ()


def space_of(name: str, pairs: str | os.PathLike[str] | None = None) -> ClapSpace | SmallSpace:
    """A space of texts and sounds by its name: ``clap:<folder or hub name>``, or ``small``."""
    scheme, _, argument = name.partition(":")
    if scheme == "clap" and argument:
        if pairs is not None:
            raise ValueError("pairs are for the small space; a CLAP has its own")
        return clap(argument)
    if name != "small":
        raise ValueError(f"encoder must be small or clap:<folder or hub name>; got {name!r}")
    from unseen import encoders

    if pairs is None:
        from unseen.data.sources.stamps import stamp_sounds

        files, captions = stamp_sounds()
    else:
        names, texts = _table(Path(pairs), "pairs")
        if texts is None:
            raise ValueError(f"pairs: {str(pairs)!r} has no column of captions")
        files, captions = [Path(pairs).parent / file for file in names], texts
    kept, captioned, known, why = [], [], [], ""
    for (path, sound, reason), text in zip(read_sounds(files, RATE), captions):
        if sound is not None and text:
            kept.append(sound.wave)
            captioned.append(text)
            known.append(str(path))
        why = why or reason
    if not kept:
        raise ValueError(f"pairs: no sound can be read ({why})")
    return SmallSpace.learn(kept, captioned, encoders.get("minilm"), known)


def refuse_others(captioner: Captioner, given: Mapping[str, Any]) -> None:
    """Raise `ValueError` where an argument differs from what a captioner was made with; None was not given.

    Hyperparameters that count when a sound is captioned may differ, and are set.
    """
    method, record = captioner.method, captioner.facts
    known = {**method.get_params(), **{name: record.get(name) for name in ("encoder", "decoder", "most", "seed")}}
    known |= {"seed": method.random_state, "method": method.card.slug}
    for name, value in given.items():
        if value is None or name in method.card.at_prediction:
            continue
        if name not in known:
            raise ValueError(f"{method.card.slug} has no parameter {name!r}; it has {', '.join(method.get_params())}")
        if value != known[name]:
            raise ValueError(
                f"{name}: the captioner is there and was made with {known[name]!r}, not {value!r}; leave it out, or "
                "name another folder as `model`"
            )
    method.set_params(**{k: v for k, v in given.items() if v is not None and k in method.card.at_prediction})


def refuse_model(folder: Path) -> None:
    """Raise `FileExistsError` where a captioner could not be written, before any work."""
    refuse_foreign(folder, WRITTEN)


# -- reading -----------------------------------------------------------------------------------------------


def captioners() -> tuple[str, ...]:
    """All methods that caption sounds, by slug, those of other packages, too."""
    return of_kind(SoundCaptioner, "corpus")


def _method(slug: str, settings: Mapping[str, Any], seed: int) -> SoundCaptioner:
    """The method with nothing learnt yet; `ValueError` for one that captions no sounds, and for unknown settings."""
    kind = kind_of(slug, SoundCaptioner, "corpus")
    if "random_state" in settings:
        raise ValueError(f"settings must not hold random_state, which seed says; got {settings['random_state']!r}")
    return kind(**{**settings, "random_state": seed})


@reads("a list of captions", "write a caption in each line, or a CSV with the column caption")
def corpus_of(captions: str | os.PathLike[str] | None, column: str | None = None) -> Domain:
    """Texts to learn from: a line each, a table, or a folder of AudioCaps; AudioCaps of the user's data if absent."""
    from unseen.data.sources.audiocaps import audiocaps

    if captions is None:
        try:
            return audiocaps("train")
        except SourceUnavailable as error:
            raise SourceUnavailable(
                f"captions: name texts to learn from, a line each or a table; without them {error}"
            ) from error
    place = Path(captions)
    if place.is_dir():
        return audiocaps("train", place)
    if place.suffix.lower() == ".txt":
        texts = [line.strip() for line in read_plain(place).splitlines()]
        columns: dict[str, Any] = {}
    else:
        from unseen.data.loaders.common import find_column, locate
        from unseen.data.loaders.table import as_texts, read_frame

        fs, file = locate(place)
        frame = read_frame(fs, file, [] if column is None else [column])
        header = find_column(list(frame.columns), column, "column", ("caption", "captions", "text", "sentence"))
        if header is None:
            raise ValueError(f"captions: {str(place)!r} has no column caption; name one of {', '.join(frame.columns)}")
        texts = [str(text).strip() for text in as_texts(frame[header]).tolist()]
        columns = {"clip": frame["clip"].astype(str).to_numpy().astype(np.str_)} if "clip" in frame else {}
    kept = np.array([bool(text) for text in texts], dtype=bool)
    if kept.sum() < 2:
        raise ValueError(f"captions: {str(place)!r} must hold at least two texts; got {int(kept.sum())}")
    x = np.array([text for text in texts if text], dtype=np.str_)
    return Domain(x=x, kind="text", columns={key: value[kept] for key, value in columns.items()}, name=place.name)


@reads("a list of names", "write a name in each line")
def labels_of(file: str | os.PathLike[str]) -> ClassSpace:
    """Names of sounds, a line each."""
    names = [line.strip() for line in read_plain(file).splitlines() if line.strip()]
    if len(names) < 2 or len(set(names)) < len(names):
        raise ValueError(f"labels: {os.fspath(file)!r} must hold two names at least, one in each line, each once")
    return ClassSpace(names=tuple(names))


def _table(file: Path, argument: str) -> tuple[list[str], list[str] | None]:
    """The column of sounds of a table, relative to it, and that of captions if there is one."""
    from unseen.data.loaders.common import ABOVE, find_column, inside, locate
    from unseen.data.loaders.table import as_texts, read_frame

    if not file.is_file():
        raise ValueError(f"{argument}: there is no file or folder {str(file)!r}")
    fs, path = locate(file)
    frame = read_frame(fs, path, [])
    columns = [str(name) for name in frame.columns]
    sounding = [name for name in columns if _of_sounds(frame[name].tolist())]
    if not sounding:
        raise ValueError(f"{argument}: {str(file)!r} has no column of sounds; they end in {', '.join(SOUND_SUFFIXES)}")
    header = find_column(columns, None, argument, ("caption", "captions", "text", "sentence"))
    texts = None if header is None else [" ".join(str(text).split()) for text in as_texts(frame[header]).tolist()]
    return [inside(str(value), ABOVE) for value in frame[sounding[0]]], texts


def _of_sounds(values: Sequence[Any]) -> bool:
    return bool(values) and bool(
        np.mean([Path(str(value)).suffix.lower() in SOUND_SUFFIXES for value in values]) >= 0.9
    )
