"""`unseen compose` trains a combiner from captions; `unseen find` finds pictures by a picture and a text, or clips."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from unseen import encoders
from unseen.data.domain import Domain
from unseen.data.pairs import Pairs, read_captioned
from unseen.encoders import TwoTowerEncoder
from unseen.encoders.trainable import EncodedTexts
from unseen.encoders.unread import unread
from unseen.evaluation.composed_templates import KINDS, Kind, Template, build_templates
from unseen.evaluation.drive import HeldOut, Together, evaluate_templates
from unseen.files import reads
from unseen.jobs.composed_retrieval.clips import is_model_of_clips, scored_by_text
from unseen.jobs.composed_retrieval.composer import ABOUT, ENCODER, METHOD, Composer, collection_of, picture
from unseen.methods.base import fit_words
from unseen.methods.listing import kind_of, of_kind
from unseen.methods.query_composers import Mode, QueryComposer, Question
from unseen.nn.dual_encoder import DualEncoder, dual_encoder, perceptron
from unseen.nn.state import refuse_foreign, write_folder

DEFAULT = "genecis"
PAGE = "report.html"
WRITTEN = (ABOUT, METHOD, ENCODER, PAGE)
SHARES = tuple(np.linspace(0, 1, 11).round(1).tolist())
"""Shares of the text that are tried for the sum."""
ITSELF, SAME = 16, 1e-5
"""Answers beyond those asked for, among which the picture that asks is looked for; how near its vector must be."""
MODES: tuple[Mode, ...] = get_args(Mode)
WAYS: tuple[Mode, ...] = ("combiner", "image", "text")
"""Ways of asking beside the sum."""
TUNED_ON = 1000
"""Triplets on which the share is chosen."""
FEW_SUBJECTS = 5
"""From so few a combiner learns hardly more than what these look like."""
FEW, SAMPLED = 30, 10_000
"""Fewest pictures of which a hit is told to be weak, and of how many the mean of all is taken."""


@dataclasses.dataclass(frozen=True)
class Bench:
    """Templates from a table: the columns of what a picture is of, of what it is like, and of what is beside."""

    table: str | os.PathLike[str] | Domain
    subject: str
    attributes: Sequence[str] = ()
    objects: Sequence[str] = ()
    words: Mapping[str, str] = dataclasses.field(default_factory=dict)
    n: int = 200
    gallery: int = 10

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Kinds of templates that its columns allow; which attribute counts is asked where there are two."""
        lacking = set[str]()
        lacking |= set() if self.attributes else {"change-attribute"}
        lacking |= set() if len(set(self.attributes)) > 1 else {"focus-attribute"}
        lacking |= set() if self.objects else {"focus-object", "change-object"}
        return tuple(kind for kind in KINDS if kind not in lacking)

    def templates(self, seed: int) -> tuple[Domain, list[Template]]:
        """The pictures of the table, and the questions that its columns make; `ValueError` where there are none."""
        domain = collection_of(self.table)
        for name in (self.subject, *self.attributes, *self.objects):
            if name not in domain.columns:
                raise ValueError(f"bench: the table has no column {name!r}; it has {', '.join(domain.columns)}")
        return domain, build_templates(
            domain.columns, subject=self.subject, attributes=self.attributes, objects=self.objects, words=self.words,
            kinds=self.kinds, n=self.n, gallery=self.gallery, seed=seed,
        )  # fmt: skip


def compose(
    pairs: str | os.PathLike[str] | Pairs,
    *,
    out: str | os.PathLike[str],
    encoder: str | TwoTowerEncoder = "lite-clip",
    image: str | None = None,
    text: str | None = None,
    concreteness: str | os.PathLike[str] | None = None,
    bench: Bench | None = None,
    method: str = DEFAULT,
    preset: str | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    trust: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Train a combiner of pictures and texts on captions alone, and tune the sum that it is compared with.

    Parameters
    ----------
    pairs : path or Pairs
        Pictures and their captions; columns subject, relation and object, where they are, stand for the parser.
    out : path
        Folder, written whole or not at all.
    encoder : name or TwoTowerEncoder
        Two towers that rest; a combiner works on any vectors of this encoder, also on those of an index.
    image, text : str, optional
        Columns of the table.
    concreteness : path, optional
        A CSV file of words and ratings from 1 to 5 (columns word and concreteness): triplets of abstract words are left
        out.
    bench : Bench, optional
        Templates on which all ways of asking are compared; nothing is learnt from them.
    method : str
        Slug of a method that composes queries, one of `composers`.
    preset, settings, seed
        Of the method; the preset of it that is for towers that rest, if absent.
    trust : bool
    say : callable (line) -> None

    Returns
    -------
    dict
        `slug` of the method, `relations`, `subjects` (that could be learnt from; None where the method parses no
        captions), `share` (of the text in the tuned sum), `recall` of
        each way of asking, and by chance, among the triplets on which share and epoch were chosen, and `bench` where
        there is one.

    Raises
    ------
    ValueError
        If an argument cannot be, a table lacks a column, or captions give no triplets.
    """
    learner = _method(method, preset, settings or {}, seed)
    if concreteness is not None and "auxiliary" not in fit_words(type(learner)):
        raise ValueError(f"concreteness: {method} reads none; leave out {os.fspath(concreteness)!r}")
    refuse_foreign(Path(out), WRITTEN)
    ratings = None if concreteness is None else read_ratings(concreteness)
    captioned = pairs if isinstance(pairs, Pairs) else read_captioned(pairs, image=image, text=text)
    captioned = _with_captions(captioned)
    asked = None if bench is None else bench.templates(seed)
    towers = encoders.get(encoder, trust=trust) if isinstance(encoder, str) else encoder
    composer = Composer(towers)
    say(f"{len(captioned)} pairs; pictures and captions are encoded")
    x = _vectors(composer.encoder, captioned.left)
    table = captioned.replace(left=captioned.left.replace(x=x, kind="features"))
    inputs: dict[str, Any] = {} if ratings is None else {"auxiliary": ratings}
    learner.fit(pairs=table, model=identity(composer.encoder), **inputs)
    relations, subjects = learner.fitted.get("relations_"), learner.fitted.get("subjects_")
    if relations is not None and subjects is not None:
        say(f"relations: {relations:,}; subjects to mine triplets of: {subjects:,}")
    if subjects is not None and subjects < FEW_SUBJECTS:
        say(f"fewer than {FEW_SUBJECTS} subjects hardly teach anything: captions should name several things of a kind")
    questions = learner.questions(table, ratings, TUNED_ON)
    share, recalls = _tuned(Composer(composer.encoder, learner), x, questions)
    tuned = Composer(composer.encoder, learner, share)
    notes = unread(composer.encoder, sorted({question.condition for question in questions})).lines("texts that ask")
    about: dict[str, Any] = {
        "method": repr(learner),
        "slug": method,
        "pairs": len(captioned),
        "relations": relations,
        "subjects": subjects,
        "share": share,
        "recall": recalls,
        "history": list(learner.fitted.get("history_", ())),
        "notes": notes,
    }
    if asked is not None:
        about["bench"] = graded(tuned, _vectors(tuned.encoder, asked[0]), asked[1])
    write_folder(out, lambda folder: _saved(folder, tuned, about), also=WRITTEN)
    return about | {"folder": str(out)}


def graded(composer: Composer, x: NDArray[np.float32], templates: Sequence[Template]) -> dict[str, Any]:
    """`evaluate_templates` for every way of asking, on vectors of pictures."""
    texts = sorted({template.condition for template in templates})
    t = dict(zip(texts, composer.encoder.encode_text(texts)))
    gallery = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)

    def embed(mode: Mode) -> Callable[[Sequence[int], Sequence[str]], NDArray[np.floating]]:
        return lambda at, conditions: composer.composed(x[list(at)], np.stack([t[text] for text in conditions]), mode)

    return {mode: evaluate_templates(embed(mode), gallery, templates) for mode in composer.modes}


@dataclasses.dataclass(frozen=True)
class Found:
    """A picture that was found, its place in the collection, its cosine with the query, and where it came from."""

    id: str
    place: int
    score: float
    url: str = ""


def find(
    collection: str | os.PathLike[str] | Domain,
    *,
    image: Any = None,
    text: str = "",
    model: str | os.PathLike[str] | Composer | None = None,
    encoder: str | None = None,
    mode: Mode | None = None,
    share: float | None = None,
    top: int = 10,
    trust: bool = False,
) -> tuple[list[Found], dict[str, Any]]:
    """The pictures of a collection that are like another with respect to a text, or its clips that fit a text.

    Parameters
    ----------
    collection : path or Domain
        Clips where the model is one of clips; else pictures, as `unseen.load` reads them, whose vectors are kept; or a
        collection of `unseen curate` with an index of the same encoder.
    image : path or picture, optional
        Without it the text alone asks.
    text : str
        What counts of it, or changes; empty: the picture alone asks.
    model : path or Composer, optional
        What `unseen compose` wrote, without which picture and text are added; or, for clips and a text alone,
        `unseen align --method mug-stan`.
    encoder : str, optional
        Where there is no model, which has its own; lite-clip if absent.
    mode : {"combiner", "sum", "image", "text"}, optional
        The combiner where there is one.
    share : float in [0, 1], optional
        Of the text in the sum; the tuned one of the model, or 0.5.
    top : int, >= 1

    Returns
    -------
    (list of Found, dict)
        And `seconds` of the search alone, `mode`, `size` of the collection, and notes.

    Raises
    ------
    ValueError
        If there is neither a picture nor a text, there are both a model and an encoder, or something cannot be read.
    """
    phrase = str(text or "").strip()
    if image is None and not phrase:
        raise ValueError("image and text: name a picture, a text, or both; got neither")
    if top < 1:
        raise ValueError(f"top must be at least 1; got {top}")
    if mode is not None and mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}; got {mode!r}")
    if model is not None and encoder is not None:
        raise ValueError(f"encoder: the model has its own encoder; name one of the two, got also {encoder!r}")
    if is_model_of_clips(model):
        if image is not None or share is not None or mode not in (None, "text"):
            raise ValueError(f"model {str(model)!r} finds clips by a text alone; image, mode and share do not apply")
        return _clips(collection, phrase, model, top, trust)
    index = None if isinstance(collection, Domain) or not (Path(collection) / "index").is_dir() else Path(collection)
    pictures = collection_of(collection) if index is None else None  # found to be such before an encoder is loaded
    composer = _composer(model, encoder or "lite-clip", share, trust)
    if mode is not None and mode not in composer.modes:
        raise ValueError(f"mode must be one of {', '.join(composer.modes)}; got {mode!r}")
    way: Mode = mode or ("text" if image is None else "image" if not phrase else composer.modes[0])
    if way in ("image", "combiner", "sum") and image is None:
        raise ValueError(f"mode {way!r} needs an image")
    if way in ("text", "combiner", "sum") and not phrase:
        raise ValueError(f"mode {way!r} needs a text")
    shown = image if image is None or not isinstance(image, (str, os.PathLike)) else picture(image)
    notes = [*unread(composer.encoder, [phrase]).lines()] if way != "image" else []
    query = composer.encoder.encode_text([phrase])[0] if shown is None else composer.vectors([shown], [phrase], way)[0]
    itself = None if shown is None else composer.encoder.encode_image([shown])[0]
    if index is not None:
        weak = ""
        hits, seconds, size, left_out = _in_index(index, composer.encoder, query, itself, top)
    else:
        assert pictures is not None
        x = _vectors(composer.encoder, pictures)
        nearest(x[:1], query, 1)  # what is loaded once is no part of a search
        started = time.perf_counter()
        places, scores = nearest(x, query, top + ITSELF)
        seconds, size = time.perf_counter() - started, len(pictures)
        same = _same(x[places], itself)
        ids: Any = pictures.ids
        kept = [(i, s) for i, s, is_itself in zip(places, scores, same) if not is_itself][:top]
        hits, left_out = [Found(str(ids[i]), int(i), float(s)) for i, s in kept], int(same.sum())
        weak = _weak(x[:: max(len(x) // SAMPLED, 1)] @ query, kept[0][1], len(x)) if kept else ""
    if text and not phrase:
        notes.append("text is blank: the picture alone asks")
    if left_out:
        notes.append("the picture itself is left out" + (f", {left_out} times" if left_out > 1 else ""))
    if weak:
        notes.append(weak)
    record = {
        "seconds": seconds, "mode": way, "size": size, "share": composer.share, "what": "pictures", "notes": notes,
        "method": None if composer.method is None else composer.method.card.slug,
    }  # fmt: skip
    return hits, record


def _clips(collection: Any, text: str, model: Any, top: int, trust: bool) -> tuple[list[Found], dict[str, Any]]:
    """Clips by a text."""
    clips, scores, seconds, notes = scored_by_text(collection, text, model, trust=trust)
    order = np.argsort(-scores, kind="stable")[:top]
    ids: Any = clips.ids
    weak = _weak(scores, float(scores[order[0]]), len(clips), "clips")
    about: dict[str, Any] = {"seconds": seconds, "mode": "text", "size": len(clips), "share": 1.0, "what": "clips"}
    about["notes"] = [*notes, weak] if weak else notes
    return [Found(str(ids[i]), int(i), float(scores[i])) for i in order], about


def _weak(scores: NDArray[np.float32], best: float, n: int, what: str = "pictures") -> str:
    """That the best hit of n pictures is no nearer than chance puts the best of as many; empty where it is nearer.

    `scores` are those of all pictures or of a sample. The largest of n normal numbers is expected at the quantile
    (n - 3/8) / (n + 1/4) (Blom 1958).
    """
    if n < FEW:
        return ""
    apart = float(best - scores.mean()) / max(float(scores.std()), 1e-12)
    by_chance = NormalDist().inv_cdf((n - 0.375) / (n + 0.25))
    if apart >= by_chance:
        return ""
    return (
        f"the first stands {apart:.1f} deviations above the mean of all {what}, where chance alone puts the best of "
        f"{n:,} at about {by_chance:.1f}: perhaps none of them is what was asked for"
    )


def nearest(x: NDArray[np.float32], query: NDArray[np.float32], k: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Places and inner products of the k rows nearest to a query, the nearest first; every row is compared.

    By faiss where it is installed: a million rows of 384 numbers take a tenth of a second or two.
    """
    k = min(k, len(x))
    rows = np.ascontiguousarray(x, dtype=np.float32)
    queries = np.ascontiguousarray(query, dtype=np.float32)[None]
    try:
        import faiss
    except ImportError:
        scores = rows @ queries[0]
        part = np.argpartition(-scores, k - 1)[:k]
        order = part[np.lexsort((part, -scores[part]))]
        return order, scores[order]
    scores, places = faiss.knn(queries, rows, k, metric=faiss.METRIC_INNER_PRODUCT)
    return places[0], scores[0]


# -- training ----------------------------------------------------------------------------------------------


def identity(encoder: TwoTowerEncoder) -> DualEncoder:
    """Towers that read vectors of an encoder and change nothing: a combiner learns on them."""
    reader = EncodedTexts(encoder.name)
    reader.encoder = encoder
    eyes: list[Any] = [perceptron((encoder.dim, encoder.dim)) for _ in range(2)]
    for eye in eyes:
        torch.nn.init.eye_(eye[0].weight)
        torch.nn.init.zeros_(eye[0].bias)
    towers = dual_encoder(eyes[0], eyes[1], reader.to_json(), encoder.logit_scale)
    towers.reader = reader
    return towers.eval()


def composers() -> tuple[str, ...]:
    """All methods that compose queries, by slug, those of other packages, too."""
    return of_kind(QueryComposer, "pairs")


def _method(slug: str, preset: str | None, settings: Mapping[str, Any], seed: int) -> QueryComposer:
    """The method with nothing learnt yet; `ValueError` for one that composes no queries while towers rest."""
    kind = kind_of(slug, QueryComposer, "pairs")
    presets: dict[str, Mapping[str, Any]] = {"default": {}, **kind.card.presets}
    known = [name for name, values in presets.items() if _rests(kind(**values))]
    named = kind.preset if preset is None else preset
    if named not in known:
        raise ValueError(f"preset must be one of {', '.join(known)}; got {named!r}")
    learner = kind(**{**presets[named], **settings, "random_state": seed})
    learner.check_resting()
    return learner


def _rests(method: QueryComposer) -> bool:
    """Whether it learns to compose while towers rest."""
    try:
        method.check_resting()
    except ValueError:
        return False
    return True


def _with_captions(pairs: Pairs) -> Pairs:
    if pairs.left.kind != "image" or pairs.right.kind != "text":
        raise ValueError(f"pairs must be of pictures and texts; got {pairs.left.kind} and {pairs.right.kind}")
    filled = np.array([bool(str(text).strip()) for text in pairs.right.x])
    if not filled.any():
        raise ValueError("pairs must have captions; all are empty")
    return pairs.take(np.flatnonzero(filled))


@reads("a table of ratings", "write a CSV with the columns word and concreteness")
def read_ratings(path: str | os.PathLike[str]) -> Domain:
    """Words and how concrete they are, of a CSV file with the columns word and concreteness."""
    from unseen.data.loaders.common import locate
    from unseen.data.loaders.table import read_frame

    fs, file = locate(path)
    frame = read_frame(fs, file, [])
    columns = {str(name).lower(): name for name in frame.columns}
    lacking = [name for name in ("word", "concreteness") if name not in columns]
    if lacking:
        have = ", ".join(map(str, frame.columns))
        raise ValueError(f"concreteness: {path} has no column {lacking[0]!r}; it has {have}")
    words = frame[columns["word"]].astype(str).to_numpy().astype(np.str_)
    try:
        ratings = frame[columns["concreteness"]].astype(float).to_numpy()
    except ValueError as error:
        raise ValueError(f"concreteness: {path} must hold numbers from 1 to 5: {error}") from error
    return Domain(x=words, kind="text", columns={"concreteness": ratings}, name="ratings")


def _tuned(composer: Composer, x: NDArray[np.float32], asked: Sequence[Question]) -> tuple[float, dict[str, float]]:
    """The share of the text with the best recall among the targets of questions, and the recall of each way."""
    texts = sorted({question.condition for question in asked})
    place = {text: i for i, text in enumerate(texts)}
    t = composer.encoder.encode_text(texts)[[place[question.condition] for question in asked]]
    reference = x[[question.reference for question in asked]]
    target = np.array([question.target for question in asked])
    gallery = x[np.unique(target)]
    right = np.searchsorted(np.unique(target), target)
    unit = gallery / np.maximum(np.linalg.norm(gallery, axis=1, keepdims=True), 1e-12)

    def first(mode: Mode, share: float = 0.5) -> NDArray[np.intp]:
        mixed = Composer(composer.encoder, composer.method, share)
        return (mixed.composed(reference, t, mode) @ unit.T).argmax(axis=1)

    said = {share: first("sum", share) for share in SHARES} | {mode: first(mode) for mode in WAYS}
    recalls = Together(lambda truth, places: float((places == truth).mean()))(HeldOut(asked, right), said)
    best = max(SHARES, key=lambda share: (recalls[share], -abs(share - 0.5)))
    return best, {mode: recalls[mode] for mode in WAYS} | {"sum": recalls[best], "chance": 1 / len(gallery)}


def _saved(folder: Path, composer: Composer, about: Mapping[str, Any]) -> None:
    from unseen.jobs.composed_retrieval.page import trained_page

    composer.save(folder, about)
    (folder / PAGE).write_bytes(trained_page(about, composer.encoder.name))


# -- asking ------------------------------------------------------------------------------------------------


def _composer(model: Any, encoder: str, share: float | None, trust: bool) -> Composer:
    if isinstance(model, Composer):
        composer = model
    elif model is not None:
        composer = Composer.load(model, trust=trust)
    else:
        composer = Composer(encoders.get(encoder, trust=trust))
    return composer if share is None else Composer(composer.encoder, composer.method, share)


def _vectors(encoder: TwoTowerEncoder, domain: Domain) -> NDArray[np.float32]:
    return encoder.encode(domain).x


def _same(x: NDArray[np.float32], itself: NDArray[np.float32] | None, rounding: float = 0.0) -> NDArray[np.bool_]:
    """Which vectors are those of the picture that asks, which is no answer (step 13), but for how they were rounded."""
    if itself is None:
        return np.zeros(len(x), dtype=bool)
    return np.asarray((np.abs(x - itself) < SAME + rounding * np.abs(itself)).all(axis=1))


def _in_index(
    folder: Path, encoder: TwoTowerEncoder, query: NDArray[np.float32], itself: NDArray[np.float32] | None, top: int
) -> tuple[list[Found], float, int, int]:
    """In a collection of `unseen curate`: a composed query is a vector like any other; how often itself is left out."""
    from unseen.curation.retrieval import Query, RetrievalService, Term

    service = RetrievalService.open(folder, encoder=encoder)
    # near duplicates are answers: left out without a refill, more asked for would be fewer found
    request = Query(terms=(Term("embedding", query),), k=top + ITSELF, deduplicate=False)
    results = service.search(request)
    rows = np.array(results.rows, dtype=np.int64)
    same = _same(service.indices["image"].vectors.take(rows), itself, float(np.finfo(np.float16).eps))
    kept = [hit for hit, is_itself in zip(results.hits, same) if not is_itself][:top]
    hits = [
        Found(str(hit.columns.get("uid", hit.row)), hit.row, float(hit.similarity), str(hit.columns.get("url") or ""))
        for hit in kept
    ]
    return hits, results.seconds, len(service), int(same.sum())
