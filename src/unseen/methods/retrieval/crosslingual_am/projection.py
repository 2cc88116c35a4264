"""Steps 9 to 15: the spans of a sentence, carried over to its translation along aligned words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from unseen.data.tagged import OUTSIDE, Run, runs_of
from unseen.methods.span_taggers import Projected, Projection
from unseen.nn.word_alignment import Alignment, Links

REACH = 100
"""Tokens of a span, at most, that a gap is filled for (step 10): every gap of a sentence that is no longer."""


def project(tags: Sequence[str], alignment: Alignment | Links, n: int, *, reach: int = REACH) -> list[str]:
    """Steps 9 to 12: the tags of a translation of `n` tokens.

    Parameters
    ----------
    tags : sequence of str
        BIO tags of the source's tokens.
    alignment : Alignment, or mapping of int to sequence of int
        Tokens of the translation by the token of the source, both from 0.
    n : int
        Tokens of the translation.
    reach : int
        The longest span that filling a gap may make.
    """
    return list(projected(tags, alignment, n, reach=reach, rules=False).tags)


def projected(
    tags: Sequence[str],
    alignment: Alignment | Links,
    n: int,
    *,
    reach: int = REACH,
    rules: bool = True,
    signs: Marks | None = None,
) -> Projection:
    """Steps 9 to 15: as `project`, with `postprocess` if `rules`, and with all that happened.

    `signs` help to say how sure each span is (`confidence_of`).
    """
    aligned = alignment if isinstance(alignment, Alignment) else Alignment({i: tuple(j) for i, j in alignment.items()})
    _check(aligned, len(tags), n)
    counts: Counter[str] = Counter()
    spans = runs_of(tags)
    sets: list[tuple[str, list[int], tuple[int, ...]]] = []
    unlinked = set()
    for k, span in enumerate(spans):  # 9
        linked = sorted({j for i in range(span.start, span.stop) for j in aligned.links.get(i, ())})
        counts["spans"] += 1
        counts["unaligned"] += sum(not aligned.links.get(i) for i in range(span.start, span.stop))
        if not linked:
            unlinked.add(k)
            continue
        kept = bridged(linked, reach)  # 10
        counts["filled"] += len(set(kept) - set(linked))
        counts["cut"] += len(set(linked) - set(kept))
        sets.append((span.label, kept, (k,)))
    sets = _apart(sets, counts)  # 11
    written = [OUTSIDE] * n  # 12
    for label, indices, _ in sets:
        for j in indices:
            written[j] = f"I-{label}" if j - 1 in indices else f"B-{label}"
    final = written
    if rules:
        final = postprocess(tags, written)
        counts["whole"] += is_whole(tags)
        counts["corrected"] += sum(a != b for a, b in zip(written, final))
    out = tuple(
        _told(run, spans, sets, aligned, (len(tags), n, signs), whole=rules and is_whole(tags))
        for run in runs_of(final)
    )
    alive = {k for span in out for k in span.sources}
    lost = tuple(k for k in range(len(spans)) if k not in alive)
    counts["lost"], counts["dropped"] = len(lost), len(unlinked & set(lost))
    counts["saved"] = len(unlinked & alive)
    return Projection(tuple(final), out, counts, lost)


def bridged(indices: Sequence[int], reach: int = REACH) -> list[int]:
    """Step 10: one stretch of sorted indices: neighbouring groups become one while it is short enough, the largest is
    kept."""
    groups: list[list[int]] = []
    for j in indices:
        if groups and j == groups[-1][-1] + 1:
            groups[-1].append(j)
        else:
            groups.append([j])
    merged = [groups[0]]
    for group in groups[1:]:
        if group[-1] - merged[-1][0] <= reach:
            merged[-1] = list(range(merged[-1][0], group[-1] + 1))
        else:
            merged.append(group)
    return max(merged, key=len)


def _apart(
    sets: list[tuple[str, list[int], tuple[int, ...]]], counts: Counter[str]
) -> list[tuple[str, list[int], tuple[int, ...]]]:
    """Step 11: neighbours that meet become one if they are of one class; else the longer stays, or the later."""
    joined: list[tuple[str, list[int], tuple[int, ...]]] = []
    for label, indices, origin in sets:
        if joined and joined[-1][0] == label and joined[-1][1][-1] >= indices[0]:
            last = joined.pop()
            joined.append((label, sorted({*last[1], *indices}), last[2] + origin))
            counts["merged"] += 1
        else:
            joined.append((label, indices, origin))
    kept: list[tuple[str, list[int], tuple[int, ...]]] = []
    for part in joined:
        while kept and kept[-1][0] != part[0] and kept[-1][1][-1] >= part[1][0]:
            counts["deleted"] += 1
            if len(kept[-1][1]) > len(part[1]):
                break
            kept.pop()
        else:
            kept.append(part)
    return kept


def is_whole(tags: Sequence[str]) -> bool:
    """Whether a sentence of several tokens is one span from end to end."""
    runs = runs_of(tags)
    return len(tags) > 1 and len(runs) == 1 and (runs[0].start, runs[0].stop) == (0, len(tags))


def postprocess(source: Sequence[str], target: Sequence[str]) -> list[str]:
    """Steps 13 and 14: what aligners miss most, the articles and signs at the ends of whole sentences.

    A sentence that is one span has a translation that is one. One that is nothing but spans of one class has a
    translation that begins with one.
    """
    out = list(target)
    if len(source) < 2 or not out or not source[0].startswith("B-"):
        return out
    label = source[0][2:]
    begin, inside = f"B-{label}", f"I-{label}"
    if is_whole(source):
        return [begin, *[inside] * (len(out) - 1)]
    if source[-1] == inside and set(source) <= {begin, inside}:
        out[0] = begin
        out[1:3] = [inside if i == 0 or tag.startswith("B-") else tag for i, tag in enumerate(out[1:3])]
    return out


Marks = tuple[Sequence[bool], Sequence[bool]]
"""Which tokens of the source and of the translation are signs that part phrases (`parts_phrases`)."""
_PARTING = frozenset(",;:.([¿¡«—")


def parts_phrases(words: Sequence[str]) -> list[bool]:
    """Which tokens are signs behind which a phrase may begin."""
    return [word in _PARTING for word in words]


def confidence_of(
    run: Run, sources: Sequence[Run], alignment: Alignment, n: int, m: int, signs: Marks | None = None
) -> float:
    """How sure a projected span of a translation of `m` tokens is, in [0, 1]: the mean of what speaks for its ends.

    Its first and last token are linked with those of the source's spans, or both stand at the edge of their sentence.
    The tokens at either side of its ends are linked within and without these spans (a half where they have no link).
    And, where `signs` are told, the span follows a sign, or the edge, as the source's does. How sure the links
    themselves are says nothing of the ends, as was found on development data.
    """
    inside = [i for span in sources for i in range(span.start, span.stop)]
    targets = {j for i in inside for j in alignment.links.get(i, ())}
    linked = {j for js in alignment.links.values() for j in js}
    if not targets:
        return 0.0
    first, last = inside[0], inside[-1]
    begins = run.start in alignment.links.get(first, ()) or (first == 0 and run.start == 0)
    ends = run.stop - 1 in alignment.links.get(last, ()) or (last >= n - 2 and run.stop == m)
    evidence = [(begins + ends) / 2]
    sides = [
        (run.start, True, 1.0), (run.stop - 1, True, 1.0),
        (run.start - 1, False, float(first == 0)), (run.stop, False, float(last == n - 1)),
    ]  # fmt: skip
    evidence.append(float(np.mean([_speaks(j, within, at_edge, targets, linked, m) for j, within, at_edge in sides])))
    if signs is not None:
        theirs = first == 0 or signs[0][first - 1]
        evidence.append(float(theirs == (run.start == 0 or signs[1][run.start - 1])))
    return float(np.mean(evidence))


def _speaks(j: int, within: bool, at_edge: float, targets: set[int], linked: set[int], m: int) -> float:
    """Whether the links of a token beside an end speak for the end: 1, a half where it has none, 0."""
    if not 0 <= j < m:
        return max(at_edge, 0.5)
    return 0.5 if j not in linked else float((j in targets) == within)


def _told(
    run: Run,
    spans: Sequence[Run],
    sets: Sequence[tuple[str, list[int], tuple[int, ...]]],
    alignment: Alignment,
    about: tuple[int, int, Marks | None],
    *,
    whole: bool,
) -> Projected:
    """A span of the final tags with its confidence and its sources."""
    met = [
        origin
        for label, indices, origin in sets
        if label == run.label and any(run.start <= j < run.stop for j in indices)
    ]
    sources = tuple(range(len(spans))) if whole else tuple(sorted({k for origin in met for k in origin}))
    runs = [spans[k] for k in sources]
    unaligned = tuple(i for span in runs for i in range(span.start, span.stop) if not alignment.links.get(i))
    return Projected(*run, 1.0 if whole else confidence_of(run, runs, alignment, *about), sources, unaligned)


def _check(alignment: Alignment, n: int, m: int) -> None:
    for i, js in alignment.links.items():
        if not 0 <= i < n or any(not 0 <= j < m for j in js):
            raise ValueError(f"alignment must link {n} words to {m}; it links {i} to {list(js)}")
