"""Evidence: the card of a system, and its ledger with what held and what did not."""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from unseen import catalogue, claims
from unseen.claims.base import COLUMNS
from unseen.claims.evidence import freshness, read_log, read_records
from unseen.claims.standing import Standing, standings
from unseen.runtime import replacing
from unseen.web.markup import code, facts, folded, heading, items, joined, paragraph, table

SHIPPED = Path(__file__).with_name("evidence.json")
"""What of the evidence ships with the package; `make docs` writes it from the records."""

SIGNS = {"held": "✓", "not held": "✗"}
"""What stands beside a verdict, so that colour is not all that tells them apart."""


def systems() -> list[str]:
    """Slugs that can be chosen: systems with a claim first, then what they are compared with."""
    have = [entry.slug for entry in catalogue.entries(planned=False)]
    claimed = claims.slugs()
    return sorted(have, key=lambda slug: (slug not in claimed, slug))


def page(slug: str, folder: Path | None) -> Markup:
    """The card and the ledger of a system.

    Parameters
    ----------
    slug : one of `systems`
    folder : path or None
        Where records lie (`docs/evidence` of a checkout).

    Raises
    ------
    ValueError
        If there is no such system, or its record cannot be read.
    """
    if slug not in systems():
        raise ValueError(f"system must be one of {', '.join(systems())}; got {slug!r}")
    back = Markup('<p class="kicker"><a href="/evidence">Evidence</a></p><h1>{}</h1>').format(slug)
    return joined([back, _card(catalogue.describe(slug)), heading("Evidence"), _evidence(slug, folder)])


def _card(about: Mapping[str, Any]) -> Markup:
    ways = [
        " and ".join(way["required"]) + (f" (can use {', '.join(way['optional'])})" if way["optional"] else "")
        for way in about["needs"]
    ]
    paper = " ".join(filter(None, [about["title"], f"({about['venue']})" if about["venue"] else ""]))
    pairs = [("paper", paper or "none: a baseline")]
    if about["kind"] == "method":
        pairs += [
            ("needs", ", or ".join(ways)),
            *about["words"].items(),
            ("reads", " or ".join(about["modalities"])),
            ("graded by", ", ".join(about["protocols"])),
            ("presets", ", ".join(about["presets"])),
        ]
    else:
        pairs += [("is a", about["kind"]), ("try", "; ".join(about["commands"]))]
    parts = [paragraph(about["summary"]), facts(pairs)]
    for key, title in (("notes", "Where it differs from the paper or its code"), ("left_out", "What is left out")):
        if about[key]:
            parts.append(folded(f"{title} ({len(about[key])})", items(about[key])))
    return joined(parts)


def ledger(slug: str, have: Sequence[Mapping[str, Any]], log: Sequence[Mapping[str, Any]] = ()) -> list[dict[str, str]]:
    """The assertions of a claim with what its records and its log say: text, level, verdict, state, figures."""
    return [
        {
            "text": standing.assertion.text,
            "level": standing.assertion.level + (", promised" if standing.assertion.promised else ""),
            "verdict": standing.verdict,
            "state": "" if standing.state == "open" else standing.state,
            "figures": joined_sentences(standing),
        }
        for standing in standings(claims.get(slug), have, log=log)
    ]


def joined_sentences(standing: Standing) -> str:
    """The figures of an assertion; its first, blind verdict and later figures, where they were others."""
    sentences = standing.told
    for when, judgement in (("Judged blind", standing.first), ("Later, on cases that were opened", standing.later)):
        if judgement is not None:
            words = f" in other words ({judgement.text})" if judgement.text else ""
            sentences += f" — {when}{words} on {judgement.date}: {judgement.verdict}; {judgement.told}"
    if standing.elsewhere:
        other = "not held" if standing.verdict == "held" else "held"
        sentences += f" — On processors of type {', '.join(standing.elsewhere)}: {other}"
    return sentences


def records(slug: str, folder: Path | None) -> list[dict[str, Any]]:
    """The records of a system, oldest first; `ValueError` if one is damaged."""
    return read_records(folder, slug) if folder is not None and folder.is_dir() else []


def summary(slug: str, folder: Path) -> dict[str, Any]:
    """What ships of the evidence of a system: its assertions with their verdicts, and where they come from."""
    have = records(slug, folder)
    newest = have[-1] if have else {}
    kept = ("date", "split", "seeds", "seconds", "machine", "versions", "command")
    return {
        "rows": ledger(slug, have, read_log(folder, slug)),
        "origin": {key: newest[key] for key in kept if key in newest},
    }


def ship(folder: Path) -> Path:
    """Write the summaries of all systems into the package, from the records of a checkout."""
    summaries = {slug: summary(slug, folder) for slug in claims.slugs()}
    with replacing(SHIPPED) as temporary:
        temporary.write_text(
            json.dumps(summaries, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8"
        )
    return SHIPPED


@functools.cache
def shipped() -> dict[str, dict[str, Any]]:
    """What ships with the package, by system."""
    return json.loads(SHIPPED.read_text(encoding="utf-8")) if SHIPPED.exists() else {}


def overview() -> Markup:
    """A line for each system: what its paper asserts, and how much of it held here."""
    about = {entry.slug: entry for entry in catalogue.entries(planned=False)}
    rows = []
    for slug, record in sorted(shipped().items()):
        counts = Counter(row["verdict"] for row in record["rows"])
        rest = sum(counts.values()) - counts["held"] - counts["not held"]
        title = about[slug].title if slug in about else ""
        rows.append([_link(slug), title, counts["held"] or "–", counts["not held"] or "–", rest or "–"])
    total = Counter(row["verdict"] for record in shipped().values() for row in record["rows"])
    simple = [slug for slug in systems() if slug not in shipped()]
    return joined(
        [
            Markup("<h1>Evidence</h1>"),
            paragraph(
                "What the paper of each system asserts, tried here against the strongest simple rival: "
                f"{total['held']} assertions held, {total['not held']} did not. Each stands on the page of its system.",
                "lede",
            ),
            Markup('<div class="counts">{}</div>').format(
                table(["system", "paper", "held", "not held", "not run here"], rows)
            ),
            folded(f"Simple methods that others are compared with ({len(simple)})", items(map(_link, simple))),
        ]
    )


def _link(slug: str) -> Markup:
    return Markup('<a class="to" href="/evidence?system={0}">{0}</a>').format(slug)


def _evidence(slug: str, folder: Path | None) -> Markup:
    if slug not in claims.slugs():
        return paragraph("Systems are compared with it; it has no claims of its own.")
    have = records(slug, folder)
    record = summary(slug, folder) if have and folder is not None else shipped().get(slug, {"rows": [], "origin": {}})
    counts = Counter(row["verdict"] for row in record["rows"])
    parts = [
        paragraph(
            joined(
                Markup('<span class="count">{} {}</span> ').format(counts[word], verdict(word))
                for word in sorted(counts)
            )
        )
    ]
    if not record["origin"]:
        run = joined(["There is no record of it. To run its claims here: ", code(f"unseen reproduce {slug}")])
        parts.append(paragraph(run, "notice"))
    if have and folder is not None:
        fresh = freshness(slug, folder=folder)
        if fresh.word == "stale":
            parts.append(paragraph("Stale: another verdict than the recorded one: " + "; ".join(fresh.parts), "notice"))
    if any(row["state"] == "explored" for row in record["rows"]):
        parts.append(paragraph(EXPLORED, "quiet"))
    if record["rows"]:
        parts.append(paragraph(READING, "quiet"))
    rows = [
        [row["text"], row["level"], verdict(row["verdict"]), row["state"], row["figures"]] for row in record["rows"]
    ]
    ledger = table(["assertion", "level", "verdict", "judged", "figures, or why there are none"], rows)
    parts.append(Markup('<div class="ledger">{}</div>').format(ledger))
    if record["origin"]:
        parts.append(_origin(record["origin"]))
    if have:
        parts.append(folded("All figures, averaged over cases and seeds", _figures(have[-1])))
    return joined(parts)


READING = (
    "Figures: the mean over cases (and seeds), in brackets its 95 % interval by resampling cases, the worst case, and "
    "what it takes to hold. Effect: against a rival on the same data. Mechanism: what the method does inside."
)
EXPLORED = (
    "Confirmed: judged once, in these words, on cases that nobody had looked at. Explored: the assertion is younger "
    "than the first look at its cases."
)


def verdict(word: str) -> Markup:
    """A verdict; what did not hold is as easy to see as what held."""
    style = word.replace(" ", "-")
    return Markup('<span class="verdict {}">{}</span>').format(style, f"{SIGNS.get(word, '')} {word}".strip())


def _origin(record: Mapping[str, Any]) -> Markup:
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    sentence = (
        f"Recorded {record['date']} on {record['split']} cases, seeds {', '.join(map(str, record['seeds']))}, "
        f"{record['seconds']:.0f} s on {record['machine']} ({versions}). To run it again: "
    )
    return paragraph(joined([sentence, code(record["command"])]), "quiet")


def _figures(record: Mapping[str, Any]) -> Markup:
    import pandas as pd

    frame = pd.DataFrame(record["rows"], columns=list(COLUMNS))
    groups = frame.groupby(["experiment", "metric", "arm"], sort=False).value
    rows = [
        [*key, f"{values.mean():.4g}", f"{values.min():.4g}", f"{values.max():.4g}", len(values)]
        for key, values in groups
    ]
    return table(
        ["experiment", "metric", "arm", "mean", "least", "most", "runs"], sorted(rows, key=str), numbers=(3, 4, 5, 6)
    )
