"""What do you have? Which methods fit it, why the others do not, and the command that compares those that do."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from unseen import catalogue
from unseen.catalogue import Given
from unseen.data.classes import ClassSpace
from unseen.encoders.defaults import DEFAULT_ENCODER, SHARED_ENCODER
from unseen.precedents import Recommendation, first_of, recommend
from unseen.web.markup import code, folded, heading, joined, paragraph, table

ADVISE = "Say what to try first"
"""What is chosen to have one's data looked at."""

WORDS = ("source", "target", "support", "classes", "model")
"""Words of `fit` that the command line takes."""

KINDS = {
    "image": "pictures",
    "text": "texts",
    "features": "vectors of numbers",
    "audio": "sounds",
    "clip": "videos",
    "series": "time series",
    "node": "nodes of a graph",
    "points": "point clouds",
}
"""Kinds of samples, in the words of a user."""

TOWER, CLAP = "lite-clip", "clap:NAME"
"""An encoder that places class names among pictures and texts."""

TICKS = {
    "source": "Labelled examples",
    "target": "Your own data without labels",
    "support": "A few labelled samples of your own data",
    "classes": "Names or descriptions of the classes",
    "model": "A trained model",
}
"""What can be ticked, in the words of a user."""

EXAMPLES = {"source": "photos", "target": "sketches", "support": "few", "classes": "classes.csv", "model": "run"}


def situation(words: Collection[str], kind: str = "image", *, new_classes: bool = False, tower: bool = False) -> Given:
    """What a user says to have, as the catalogue asks for it; stand-ins take the place of data.

    Parameters
    ----------
    words : of `WORDS`
    kind : one of `KINDS`
        Methods see features of all but vectors, which are features.
    new_classes : bool
        Whether some of the described classes have no labelled sample.
    tower : bool
        Whether the encoder places class names among the samples.

    Raises
    ------
    ValueError
        If a word or the kind is not known.
    """
    for word in words:
        if word not in WORDS:
            raise ValueError(f"words must be of {', '.join(WORDS)}; got {word!r}")
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}; got {kind!r}")
    tower = tower and kind in DEFAULT_ENCODER
    inputs: dict[str, object] = {word: True for word in words if word != "classes"}
    if names_alone(words, kind):
        inputs["classes"] = ClassSpace(names=("known", "new"), embeddings=np.eye(2))
        return Given(inputs, shared_space=True)
    if "classes" in words or tower:
        n = 1 + (new_classes and "classes" in words)
        inputs["classes"] = ClassSpace(names=("known", "new")[:n], embeddings=np.eye(n, 2), seen=[0])
    two_views = kind == "image" and {"source", "target"} <= set(words)
    return Given(inputs, brought=kind, shared_space=tower, two_views=two_views)


def names_alone(words: Collection[str], kind: str) -> bool:
    """Whether names among the samples of a target are all that is known."""
    return (
        {"target", "classes"} <= set(words)
        and not {"source", "support", "model"} & set(words)
        and (kind in SHARED_ENCODER)
    )


def command(words: Collection[str], kind: str = "image", *, tower: bool = False) -> str:
    """The `unseen compare` that does it, with example names; empty where it has nothing labelled to learn from."""
    if not {"source", "support"} & set(words) and not names_alone(words, kind):
        return ""
    parts = ["unseen", "compare"]
    for word in WORDS:
        if word in words:
            parts += [f"--{word}", EXAMPLES[word]]
    if tower and kind in DEFAULT_ENCODER:
        parts += ["--encoder", CLAP if kind == "audio" else TOWER]
    elif kind not in DEFAULT_ENCODER and kind != "features":
        parts += ["--encoder", "ENCODER"]
    return shlex.join([*parts, "--out", "runs/mine"])


def whole(words: Collection[str], kind: str = "image", *, new: bool = False, tower: bool = False) -> Markup:
    """The page: what can be ticked, what to try first, and the rest. Parameters are those of `situation`."""
    try:
        answer = page(words, kind, new_classes=new, tower=tower)
    except ValueError as error:
        words, kind, answer = (), "image", paragraph(str(error), "notice")
    ticks = joined(
        Markup('<label class="tick"><input type="checkbox" name="have" value="{0}"{1}><span>{2}</span></label>').format(
            word, Markup(" checked") if word in words else "", label
        )
        for word, label in TICKS.items()
    )
    more = joined(
        Markup('<label class="tick"><input type="checkbox" name="{0}"{1}><span>{2}</span></label>').format(
            name, Markup(" checked") if on else "", label
        )
        for name, on, label in (
            ("new", new, "Some of the described classes have no labelled sample"),
            ("tower", tower, f"Use {CLAP if kind == 'audio' else TOWER}, an encoder that reads class names, too"),
        )
    )
    kinds = joined(
        Markup('<option value="{}"{}>{}</option>').format(value, Markup(" selected") if value == kind else "", label)
        for value, label in KINDS.items()
    )
    return Markup(
        '<h1>Which method?</h1><p class="lede">Tick what you have. No data is read here, so yours may be unlike what '
        'is assumed: to have it looked at, name it among the <a href="/">runs</a> and choose <q>{}</q>.</p>'
        '<form method="get" action="/methods" data-at-once="page">'
        "<fieldset><legend>You have</legend>{}</fieldset>"
        '<div class="field"><label for="kind">The samples are</label><select id="kind" name="kind">{}</select></div>'
        "<fieldset>{}</fieldset><noscript><button>Show</button></noscript></form>"
        '<div id="fit" class="told">{}</div>'
    ).format(ADVISE, ticks, kinds, more, answer)


def page(words: Collection[str], kind: str = "image", *, new_classes: bool = False, tower: bool = False) -> Markup:
    """What to try first, what else fits, and what does not and why."""
    if not words:
        return paragraph("What to try first appears here.", "quiet")
    rows = recommend(situation(words, kind, new_classes=new_classes, tower=tower))
    line = command(words, kind, tower=tower)
    parts = [*(paragraph(remark, "notice") for remark in remarks(words, kind))]
    first, others = _lists(rows)
    parts += first
    if line:
        parts += [
            paragraph("This compares what fits on your data, with your own paths in it:"),
            Markup('<pre id="command">{}</pre>').format(line),
            paragraph(Markup('<a class="button" href="/">Or start a run here</a>')),
        ]
    parts += others
    if "model" in words:
        parts.append(folded("Make the model smaller, without any data", _smaller()))
    return joined(parts)


def advised(answer: Mapping[str, Any]) -> Markup:
    """What to try first with data that were looked at, as `unseen recommend` says it.

    Parameters
    ----------
    answer : mapping
        As `unseen.compare.recommended.Advice.to_json` gives it.
    """
    first, others = _lists(_listed(answer))
    remark = [paragraph(_sentence(answer["remark"]))] if answer["remark"] else []
    return joined([paragraph(f"Yours: {answer['yours']}."), *first, *remark, *others])


def first_names(answer: Mapping[str, Any]) -> list[str]:
    """What `advised` names first."""
    return [row.name for row in first_of(_listed(answer))[0]]


def _listed(answer: Mapping[str, Any]) -> list[Recommendation]:
    return [Recommendation.from_json(row) for row in answer["methods"] if row["slug"] not in answer["on_clips"]]


def _lists(rows: Sequence[Recommendation]) -> tuple[list[Markup], list[Markup]]:
    """What to try first and what must be said of it; then, folded, what else fits and what does not."""
    first, rest, note = first_of(rows)
    others = [row for row in rows if not row.fits]
    top = [heading("Try first"), ranked(first)] if first else []
    if note:
        top.append(paragraph(_sentence(note), "notice"))
    folds = []
    if rest:
        more = table(["method", "what it does", "why here"], [[_name(r), r.does, r.why] for r in rest])
        folds.append(folded(f"What else fits ({len(rest)})", more))
    if others:
        more = table(["method", "why not", "what it would do"], [[_name(r), r.why, r.does] for r in others])
        folds.append(folded(f"What does not fit, and why ({len(others)})", more))
    return top, folds


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def ranked(rows: Sequence[Recommendation]) -> Markup:
    """A numbered list with reasons."""
    entries = joined(
        Markup("<li>{} {}{}</li>").format(
            _name(row), row.does, Markup(' <span class="quiet">{}</span>').format(row.why) if row.why else ""
        )
        for row in rows
    )
    return Markup('<ol class="ranked">{}</ol>').format(entries)


def remarks(words: Collection[str], kind: str) -> list[str]:
    """What must be said before the tables."""
    lines = []
    if not {"source", "support"} & set(words) and not names_alone(words, kind):
        lines.append(
            "To compare methods, unseen needs labelled examples, a few labelled samples, or your data and the names of "
            "its classes. From Python, `fit` takes what the methods below ask for."
        )
    if kind not in DEFAULT_ENCODER and kind != "features":
        lines.append(
            f"There is no default encoder for {KINDS[kind]}: put the name of one in the place of ENCODER, or bring "
            "vectors that you made yourself."
        )
    return lines


def _name(row: Recommendation) -> Markup:
    return Markup('<a href="/evidence?system={}">{}</a>').format(row.slug, code(row.name))


def _smaller() -> Markup:
    cards = [entry.card for entry in catalogue.entries(planned=False) if entry.card]
    rows = [
        [
            code(card.slug),
            card.summary,
            code(f"unseen quantize {EXAMPLES['model']} --method {card.slug} --out models/small"),
        ]
        for card in cards
        if "quantization" in card.protocols
    ]
    return table(["method", "what it does", "command"], rows)
