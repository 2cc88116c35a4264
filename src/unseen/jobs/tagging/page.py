"""Spans in colours, as pages, tables, files of annotations and lines."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unseen.data.loaders.marked import Marks, conll_lines, json_lines
from unseen.data.tagged import cut
from unseen.report.pages import render_page
from unseen.report.tasks.spans import STYLE, Stretch, stretches
from unseen.runtime import replacing

if TYPE_CHECKING:
    from unseen.data.domain import Domain
    from unseen.jobs.tagging.job import Corpus, Run, Trained
    from unseen.methods.span_taggers import Carried

SENTENCES = 400
"""Sentences that a page shows."""
METRICS = (
    "span F1", "partial sentences", "overlap F1", "macro span F1", "token micro", "token macro", "token accuracy",
    "token macro with O",
)  # fmt: skip
"""Of every tagger; the last two are the paper's micro and macro F1, and of its classes see `metrics_of`."""
QUARTERS = (0.0, 0.25, 0.5)
MEANINGS = {
    "span F1": "spans with the right beginning, end and class",
    "partial sentences": "the same, in sentences where a span leaves a word out: the harder ones",
    "overlap F1": "spans, each counted by how far it overlaps with the truth",
    "macro span F1": "span F1, the mean of the classes",
    "token micro": "words in spans, all together: B-class or I-class must be right, not the class alone",
    "token macro": "words in spans, the mean of the tags B-class and I-class, not of the classes",
    "token accuracy": "share of all words, in spans or not, with the right tag",
    "token macro with O": "words, the mean of the tags B-class, I-class and O, which is outside of spans",
}
"""What each figure is of. All go from 0 to 1; F1 is the harmonic mean of precision and recall."""
CALLED = {"token micro": "token micro (BIO tags)", "token macro": "token macro (BIO tags)"}
"""What people are shown in the place of some names."""
COUNTS = {
    "sentences": "sentences with a translation",
    "untranslated": "sentences without one",
    "spans": "spans of the source",
    "lost": "of these lost",
    "dropped": "lost, as no link leaves them",
    "deleted": "lost to a longer or later neighbour",
    "saved": "without a link, but there by the rule of whole sentences",
    "merged": "spans that became one with a neighbour",
    "unaligned": "words of spans without a link",
    "filled": "words in gaps that were filled",
    "cut": "words cut off, too far from the rest",
    "whole": "sentences that are one span as a whole, by rule",
    "corrected": "words that the rules changed",
    "unsure": "sentences not learnt from, as less sure than asked",
}
ARMS = {
    "tagger": "the tagger",
    "crfsuite": "a CRF on words (python-crfsuite)",
    "simple": "whole sentences, names (whole-or-named)",
    "zero-shot": "the same of the source language, as it is",
}
PAGE_STYLE = (
    STYLE
    + """
.pairs { padding: 0; } .pairs li { list-style: none; border-top: 1px solid var(--rule); padding: .7rem 0; }
.pairs .both { display: grid; grid-template-columns: 1fr 1fr; gap: 1.4rem; }
.pairs .note { font-size: .85rem; }
@media (max-width: 44rem) { .pairs .both { grid-template-columns: 1fr; gap: .2rem; } }
"""
)


# -- a projected corpus ------------------------------------------------------------------------------------


def write_corpus(corpus: Corpus, file: Path) -> None:
    """The corpus as CoNLL or as JSON lines, by the ending of the file; JSON tells how sure each span is."""
    if file.suffix.lower() == ".jsonl":
        more = [
            {"source": sentence.text, "confidence": [round(span.confidence, 4) for span in sentence.projection.spans]}
            for sentence in corpus.carried
        ]
        _write_lines(file, json_lines(corpus.domain, more))
    else:
        _write_lines(file, conll_lines(corpus.domain, words_alone=corpus.units == "words"))


def _write_lines(file: Path, lines: Iterator[str]) -> None:
    with replacing(file) as part, part.open("w", encoding="utf-8", newline="\n") as out:
        out.writelines(f"{line}\n" for line in lines)


def write_corpus_table(corpus: Corpus, file: Path) -> None:
    """A row for each span of the translations, and for each that was lost, the least sure first."""
    import pandas as pd

    from unseen.console import write_csv

    rows = sorted(_span_rows(corpus), key=lambda row: (row["confidence"], row["sentence"]))
    columns = ["sentence", "class", "confidence", "translation", "source", "unaligned words", "lost", "look at"]
    write_csv(file, pd.DataFrame(rows, columns=columns))


def _span_rows(corpus: Corpus) -> Iterator[dict[str, Any]]:
    from unseen.data.tagged import runs_of, tags_of

    names = () if corpus.domain.classes is None else corpus.domain.classes.names
    difficult = set(corpus.difficult)
    ids = corpus.read.domain.ids
    assert ids is not None
    for k, sentence in enumerate(corpus.carried):
        runs = runs_of(tags_of(sentence.places, corpus.read.domain.labels[sentence.at], names))
        texts = [sentence.text[sentence.places[run.start][0] : sentence.places[run.stop - 1][1]] for run in runs]
        about = {"sentence": str(ids[sentence.at]), "look at": "yes" if k in difficult else ""}
        for span, (start, stop, _) in zip(sentence.projection.spans, sentence.rows.tolist()):
            yield {
                **about, "class": span.label, "confidence": round(span.confidence, 4), "lost": "",
                "translation": sentence.translation[start:stop], "source": " | ".join(texts[i] for i in span.sources),
                "unaligned words": " ".join(unaligned(sentence, span.unaligned)),
            }  # fmt: skip
        for i in sentence.projection.lost:
            yield {
                **about, "class": runs[i].label, "confidence": 0.0, "lost": "yes", "translation": "",
                "source": texts[i],
                "unaligned words": " ".join(unaligned(sentence, range(runs[i].start, runs[i].stop))),
            }  # fmt: skip


def unaligned(sentence: Carried, at: Sequence[int]) -> list[str]:
    """Words of the source without a link, of these."""
    return cut(sentence.text, [sentence.places[i] for i in at if not sentence.alignment.links.get(i)])


def counted(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """What happened, in words; what did not is left out, but where spans were projected never what was lost."""
    projected = ("spans", "lost", "dropped", "deleted", "unaligned") if "spans" in counts else ()
    always = ("sentences", "untranslated", *projected)
    return [(label, counts.get(name, 0)) for name, label in COUNTS.items() if counts.get(name) or name in always]


def corpus_facts(corpus: Corpus) -> dict[str, Any]:
    """All that is told, as JSON values."""
    return {
        "read": dict(corpus.read.counts),
        "counts": dict(corpus.counts),
        "method": corpus.method,
        "units": corpus.units,
        "difficult": len(corpus.difficult),
        "aligners differ": len(corpus.differing),
        "left out": _skipped(corpus.read),
        "translations left out": _skipped(corpus.translated),
    }


def _skipped(read: Marks | None) -> list[dict[str, str]]:
    return [] if read is None else [{"where": skipped.where, "why": skipped.why} for skipped in read.domain.skipped]


def corpus_lines(corpus: Corpus) -> list[str]:
    """What the terminal shows."""
    lines = [f"{n:>8,}  {label}" for label, n in counted(corpus.counts)]
    sure = [span.confidence for sentence in corpus.carried for span in sentence.projection.spans]
    if sure:
        parts = [f"{sum(low <= c < low + 0.25 for c in sure):,} from {low:.2f} to {low + 0.25:.2f}" for low in QUARTERS]
        lines.append(f"how sure spans are (1 is the most): {', '.join(parts)}, {sum(c >= 0.75 for c in sure):,} above")
    lines.append(
        f"{len(corpus.difficult):,} of {len(corpus.carried):,} sentences are worth a look, the least sure first"
    )
    if corpus.differing:
        lines.append(f"on {len(corpus.differing):,} sentences the two aligners decide otherwise")
    return lines + all_left_out(corpus)


def write_corpus_page(corpus: Corpus, file: Path, command: str) -> None:
    """Both texts side by side, the difficult first."""
    classes = corpus.domain.classes
    difficult = corpus.difficult
    order = [*difficult, *(k for k in range(len(corpus.carried)) if k not in set(difficult))]
    rows = []
    for k in order[:SENTENCES]:
        sentence = corpus.carried[k]
        confidences = [f"{span.confidence:.2f}" for span in sentence.projection.spans]
        inside = sorted({i for span in sentence.projection.spans for i in span.unaligned})
        rows.append(
            {
                "left": stretches(sentence.text, corpus.read.domain.labels[sentence.at], classes),
                "right": stretches(sentence.translation, sentence.rows, classes, notes=confidences),
                "unaligned": unaligned(sentence, inside),
                "lost": len(sentence.projection.lost),
                "look": k in set(difficult),
            }
        )
    _write_page(
        file, _carried(corpus), command, method=corpus.method, pairs=rows, counts=counted(corpus.counts),
        shown=len(rows), total=len(corpus.carried), skipped=corpus.read.domain.skipped,
    )  # fmt: skip


def _carried(corpus: Corpus) -> str:
    there, lost = corpus.counts.get("spans", 0), corpus.counts.get("lost", 0)
    return f"{there - lost:,} of {there:,} spans were carried over to translations"


# -- a run ---------------------------------------------------------------------------------------------------


def write_run_page(result: Run, file: Path, command: str) -> None:
    """The texts with their spans in colours; where the truth is known, what is not right is dashed."""
    domain, classes = result.read.domain, result.tagger.classes
    texts = []
    for i, (text, marks) in enumerate(zip(domain.x.tolist(), result.marks)):
        if i >= SENTENCES:
            break
        truth = None if domain.y is None else domain.y[i]
        rows = [mark[:3] for mark in marks]
        texts.append(stretches(text, rows, classes, notes=[f"{mark.confidence:.2f}" for mark in marks], truth=truth))
    _write_page(
        file, _found(result), command, method=result.tagger.slug, texts=texts,
        figures=_table({"tagger": result.figures}), shown=len(texts),
        arms=[ARMS["tagger"]], total=len(domain),
        skipped=domain.skipped, dashed=domain.y is not None,
    )  # fmt: skip


def write_run_table(result: Run, file: Path) -> None:
    """The spans as JSON lines, CoNLL or CSV."""
    suffix = file.suffix.lower()
    if suffix == ".csv":
        import pandas as pd

        from unseen.console import write_csv

        columns = ["sentence", "document", "line", "start", "end", "class", "confidence", "span"]
        write_csv(file, pd.DataFrame([*_marks(result)], columns=columns))
    elif suffix == ".jsonl":
        more = [
            {"confidence": [round(mark.confidence, 4) for mark in marks], **_place(result.domain, i)}
            for i, marks in enumerate(result.marks)
        ]
        _write_lines(file, json_lines(result.domain, more))
    else:
        _write_lines(file, conll_lines(result.domain, words_alone=result.read.format == "conll"))


def _place(domain: Domain, i: int) -> dict[str, Any]:
    """Where a sentence stands: its document, its line if there is one, and where in them it begins."""
    document, line, begin = (domain.columns[name][i] for name in ("document", "line", "begin"))
    return {"document": str(document), "line": int(line) or None, "begin": int(begin)}


def _marks(result: Run) -> Iterator[dict[str, Any]]:
    domain, names = result.read.domain, result.tagger.classes.names
    ids = domain.ids
    assert ids is not None
    for i, (text, marks) in enumerate(zip(domain.x.tolist(), result.marks)):
        place = _place(domain, i)
        begin = place.pop("begin")
        for start, stop, label, sure in marks:
            yield {
                "sentence": str(ids[i]), **place, "start": begin + start, "end": begin + stop,
                "class": names[label], "confidence": round(sure, 4), "span": text[start:stop],
            }  # fmt: skip


def run_facts(result: Run) -> dict[str, Any]:
    """All that is told, as JSON values."""
    return {
        "method": result.tagger.slug,
        "model": dict(result.tagger.facts), "read": dict(result.read.counts), "figures": _plain(result.figures),
        "spans": [*_marks(result)],
        "left out": [{"where": skipped.where, "why": skipped.why} for skipped in result.read.domain.skipped],
    }  # fmt: skip


def run_lines(result: Run, shown: int) -> list[str]:
    """What the terminal shows: the first texts with spans, and the figures."""
    lines: list[str] = []
    for text, marks in zip(result.read.domain.x.tolist(), result.marks):
        if marks and len(lines) < shown:
            lines.append(bracketed(stretches(text, [mark[:3] for mark in marks], result.tagger.classes)))
    lines.append(_found(result))
    return lines + (figure_lines({"tagger": result.figures}) if result.figures else [])


def _found(result: Run) -> str:
    n, with_spans = sum(map(len, result.marks)), sum(map(bool, result.marks))
    return f"{n:,} span{'' if n == 1 else 's'} in {with_spans:,} of {len(result.marks):,} texts"


def bracketed(parts: Sequence[Stretch]) -> str:
    """A text with its spans in brackets, for terminals."""
    return "".join(f"[{part.text} / {part.name}]" if part.name else part.text for part in parts)


# -- training ----------------------------------------------------------------------------------------------


def trained_lines(result: Trained) -> list[str]:
    """What the terminal shows."""
    spans, n = result.read.counts["spans"], len(result.read.domain)
    lines = [f"{result.tagger.slug} learnt from {spans:,} spans of {n:,} sentences"]
    lines += [f"{n:>8,}  {label}" for label, n in counted(result.counts)] if result.counts else []
    if not result.figures:
        return [*lines, "nothing is graded: name a file of marked texts that it may be tested on (`test`)"]
    overlap = (
        f"{result.shared:,} of which stand in what was learnt from" if result.shared else "none of them learnt from"
    )
    lines += [f"on {result.graded:,} sentences, {overlap}:", *figure_lines(result.figures)]
    best = max(
        (name for name in result.figures if name != "tagger"), default=None, key=lambda a: result.figures[a]["span F1"]
    )
    if best is not None:
        gain = result.figures["tagger"]["span F1"] - result.figures[best]["span F1"]
        lines.append(f"span F1 of the tagger is {gain:+.3f} beside {ARMS.get(best, best)}")
    return lines


def trained_facts(result: Trained) -> dict[str, Any]:
    """All that is told, as JSON values."""
    return {
        "method": result.tagger.slug,
        "model": dict(result.tagger.facts), "read": dict(result.read.counts), "counts": dict(result.counts),
        "translations left out": _skipped(result.translated),
        "graded": result.graded, "graded and learnt from": result.shared,
        "figures": {name: _plain(scores) for name, scores in result.figures.items()},
    }  # fmt: skip


def figure_lines(figures: Mapping[str, Mapping[str, float]]) -> list[str]:
    """The figures as a table, a line each; those of partial sentences always beside the others."""
    wide = max(len(ARMS.get(name, name)) for name in figures)
    metrics = metrics_of(figures)
    left = max(len(CALLED.get(metric, metric)) for metric in metrics)
    rows = [("", [ARMS.get(name, name) for name in figures])]
    rows += [
        (CALLED.get(metric, metric), [_figure(arm.get(metric, math.nan)) for arm in figures.values()])
        for metric in metrics
    ]
    return [f"{name:<{left}}  " + "  ".join(f"{cell:>{wide}}" for cell in cells) for name, cells in rows]


def metrics_of(figures: Mapping[str, Mapping[str, float]]) -> list[str]:
    """`METRICS`, and the F measure of tokens of each class that one of the arms has."""
    return [*METRICS, *dict.fromkeys(name for arm in figures.values() for name in arm if name.startswith("token F1 "))]


def left_out(read: Marks, shown: int = 5) -> list[str]:
    """What was odd in a file: how much, and the first lines that are left out with their reasons."""
    names = [f"{n:,} {name}" for name, n in read.counts.items() if n and name not in ("sentences", "spans")]
    lines = [f"{read.domain.name}: {', '.join(names)}"] if names else []
    return lines + [f"  {skipped.where}: {skipped.why}" for skipped in read.domain.skipped[:shown]]


def all_left_out(result: Corpus | Trained) -> list[str]:
    """What was odd in the source, and in the file of its translations."""
    return left_out(result.read) + ([] if result.translated is None else left_out(result.translated))


def _plain(figures: Mapping[str, float]) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else round(value, 6) for name, value in figures.items()}


def _figure(value: float) -> str:
    return "none" if math.isnan(value) else f"{value:.3f}"


def _table(figures: Mapping[str, Mapping[str, float]]) -> list[tuple[str, str, list[str]]]:
    """A row for each figure: its name, what it is of, and its value for every tagger."""
    scored = [scores for scores in figures.values() if scores]
    return [
        (CALLED.get(metric, metric), _meaning(metric), [_figure(scores.get(metric, math.nan)) for scores in scored])
        for metric in (metrics_of(figures) if scored else [])
    ]


def _meaning(metric: str) -> str:
    return MEANINGS.get(metric, f"words in spans of {metric.removeprefix('token F1 ')}")


def _write_page(file: Path, title: str, command: str, **values: Any) -> None:
    fields = {"pairs": [], "texts": [], "counts": [], "figures": [], "dashed": False, "arms": [], **values}
    content = render_page(
        Path(__file__).with_name("page.html"), style=PAGE_STYLE, title=title, command=command, **fields
    )
    with replacing(file) as part:
        part.write_bytes(content)
