"""What stands of a claim: each assertion judged on the figures that confirmed it, with all that was said of it besides.

A confirmation is written once. A row is *confirmed* by the newest record that had it, in these words, on cases that no
record before had opened; figures that came later, on opened cases, stand beside it and take nothing's place.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pandas as pd

from unseen.claims.base import COLUMNS, Claim
from unseen.claims.conditions import Figures, Verdict
from unseen.claims.ledger import Assertion

State = Literal["confirmed", "explored", "open"]
Record = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Said:
    """A verdict that a record gave: when, by which figures, and in which words where they were others."""

    date: str
    verdict: str
    told: str
    text: str = ""


@dataclasses.dataclass(frozen=True)
class Standing:
    """What is known of an assertion.

    Attributes
    ----------
    assertion : Assertion
    verdict : str
        "held", "not held", "no evidence" (not run here), "not run" (paper scale) or "not testable": today's condition
        on the figures that confirmed it; on the newest ones where it is explored.
    told : str
        The figures, or the reason why there are none.
    numbers : Verdict
        Value, interval and whether rounding alone decides; None without figures.
    state : {"confirmed", "explored", "open"}
        Confirmed: judged, in these words, on cases that nobody had opened. Explored: the assertion is younger than the
        first look at its cases. Open: there are no figures.
    since : str
        Date of the record that first had it in these words, or else of the line of the log that first named it; empty
        if none has.
    first : Said, optional
        The first, blind verdict, where it differs from this one or was given to other words.
    later : Said, optional
        What the newest figures on opened cases say, where they differ from those that confirmed it.
    elsewhere : tuple of str
        Types of processors, others than the record's, on which the same cases gave the other verdict.
    """

    assertion: Assertion
    verdict: str
    told: str
    numbers: Verdict | None = None
    state: State = "open"
    since: str = ""
    first: Said | None = None
    later: Said | None = None
    elsewhere: tuple[str, ...] = ()


def standings(
    claim: Claim,
    records: Sequence[Record],
    verdicts: Sequence[Verdict | None] | None = None,
    log: Sequence[Record] = (),
) -> list[Standing]:
    """What is known of each assertion of a claim from its records and its log, oldest first.

    `verdicts` are those of `newest`.
    """
    known, verdicts = _Known(claim, records, log), newest(claim, records) if verdicts is None else verdicts
    other = otherwise(log)
    return [
        dataclasses.replace(known.standing(assertion, verdict), elsewhere=other.get(assertion.text, ()))
        for assertion, verdict in zip(claim.ledger, verdicts)
    ]


def newest(claim: Claim, records: Sequence[Record]) -> list[Verdict | None]:
    """Today's verdicts on the newest figures of each experiment, were their cases opened before or not."""
    last = {name: record for record in records for name in record["cases"]}
    parts = [table[table.experiment == name] for name, record in last.items() for table in [table_of(record)]]
    return [verdict for _, verdict in claim.judge(Figures(pd.concat(parts)))] if parts else [None] * len(claim.ledger)


def worded(log: Sequence[Record]) -> dict[tuple[str, str], str]:
    """When a log first named assertions that no record has, by text and what is asked."""
    lines = ((row["text"], row["asked"], line["date"]) for line in log for row in line.get("worded", ()))
    dates: dict[tuple[str, str], str] = {}
    for text, asked, date in lines:
        dates.setdefault((text, asked), date)
    return dates


def otherwise(log: Sequence[Record]) -> dict[str, tuple[str, ...]]:
    """Types of processors on which assertions, by their texts, are known to have the other verdict (`accept`)."""
    places: dict[str, tuple[str, ...]] = {}
    for line in log:
        for text in line.get("otherwise", ()):
            places[text] = tuple(dict.fromkeys([*places.get(text, ()), line["processor"]]))
    return places


def table_of(record: Record) -> pd.DataFrame:
    """The figures of a record as a table."""
    return Figures(record["rows"], columns=list(COLUMNS))


def word_of(verdict: Verdict) -> str:
    """Held or not."""
    return "held" if verdict.held else "not held"


def standing_word(assertion: Assertion, verdict: Verdict | None) -> str:
    """What stands of an assertion in a word, of `Standing.verdict`."""
    if assertion.holds is None:
        return "not run" if assertion.level == "paper scale" else "not testable"
    return "no evidence" if verdict is None else word_of(verdict)


class _Known:
    """The records of a claim, and which of their experiments were blind: of cases that none before had opened."""

    def __init__(self, claim: Claim, records: Sequence[Record], log: Sequence[Record]) -> None:
        self.claim, self.records = claim, records
        self.worded = worded(log)
        self.tables = [table_of(record) for record in records]
        self.lines = [list(record["ledger"]) for record in records]
        self.blind: list[set[str]] = []
        opened: set[str] = set()
        for record in records:
            self.blind.append({name for name, cases in record["cases"].items() if not opened & set(cases)})
            opened |= {case for cases in record["cases"].values() for case in cases}

    def standing(self, assertion: Assertion, now: Verdict | None) -> Standing:
        """What is known of an assertion; `now` is today's verdict on the newest figures."""
        same = [(number, line) for number in range(len(self.records)) if (line := self._take(number, assertion))]
        since = self.records[same[0][0]]["date"] if same else self.worded.get((assertion.text, assertion.asked), "")
        if assertion.holds is None:
            return Standing(assertion, standing_word(assertion, now), assertion.reason, since=since)
        if now is None:
            return Standing(assertion, standing_word(assertion, now), "Not run yet.", since=since)
        blind = [(number, line) for number, line in same if line["experiment"] in self.blind[number]]
        if not blind:
            other = self._in_other_words(assertion)
            return Standing(assertion, word_of(now), now.told, now, "explored", since, other)
        number, line = blind[-1]
        last = max(n for n, record in enumerate(self.records) if assertion.experiment in record["cases"])
        verdict, first, later = now, None, None
        if last > number:
            verdict = self.claim.verdict(assertion, self.tables[number], line["experiment"]) or now
        if blind[0][1]["verdict"] != word_of(verdict):
            first = self._said(assertion, *blind[0])
        if verdict.told != now.told:
            later = Said(self.records[last]["date"], word_of(now), now.told)
        return Standing(assertion, word_of(verdict), verdict.told, verdict, "confirmed", since, first, later)

    def _take(self, number: int, assertion: Assertion) -> dict[str, Any] | None:
        """The line of an assertion in a record, taken out: in its own experiment, or in one of another name then."""
        key = (assertion.text, assertion.asked)
        alike = [line for line in self.lines[number] if (line["text"], line["asked"]) == key]
        alike = [line for line in alike if line["experiment"] == assertion.experiment] or alike
        if not alike:
            return None
        self.lines[number].remove(alike[0])
        return alike[0]

    def _said(self, assertion: Assertion, number: int, line: Mapping[str, Any]) -> Said:
        """What a record said, in today's way to tell it where its figures have all that today's condition asks for."""
        same = line["asked"] == assertion.asked
        again = self.claim.verdict(assertion, self.tables[number], line["experiment"]) if same else None
        text = "" if line["text"] == assertion.text else line["text"]
        return Said(self.records[number]["date"], line["verdict"], line["told"] if again is None else again.told, text)

    def _in_other_words(self, assertion: Assertion) -> Said | None:
        """The first blind verdict on what asks the same, or is worded the same, of the same experiment."""
        for number, record in enumerate(self.records):
            for line in record["ledger"]:
                alike = line["asked"] == assertion.asked or line["text"] == assertion.text
                if alike and line["experiment"] == assertion.experiment and line["experiment"] in self.blind[number]:
                    return self._said(assertion, number, line)
        return None
