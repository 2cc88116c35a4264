"""Concepts counted in captions: beside spaCy, caption by caption, and a bare Aho-Corasick scan; two processes.

spaCy comes into an environment of its own and cuts captions into tokens, no more: its tagger and lemmas, which the
paper uses and no registry of packages ships, would cost more.

Two processes and one read the captions from a CSV, as `unseen concepts` does. `machine_gives` is what the processors
gave meanwhile: twice the time of one job over that of two at once which know nothing of each other (2 if all was idle).

Captions are those of AudioCaps where UNSEEN_AUDIOCAPS names its folder (train.csv, val.csv, test.csv with a column
caption), else names of synsets as timm ships them; repeated to a million.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as csv
from common import Row, called, environment, in_turns, row

from unseen.jobs.concepts.captions import Captions
from unseen.methods.curation.concept_frequency import ConceptIndex, count_concepts

MILLION, PEER, CONCEPTS, TURNS = 1_000_000, 100_000, 1000, 5

SPACY = """
import json, sys, time
import spacy
given, out = sys.argv[1:]
texts, wanted = json.load(open(given))
pipeline, wanted, found = spacy.blank("en"), set(wanted), {}
pipeline(texts[0])
began = time.perf_counter()
for text in texts:
    for word in {token.text for token in pipeline(text.lower())} & wanted:
        found[word] = found.get(word, 0) + 1
json.dump(len(texts) / (time.perf_counter() - began), open(out, "w"))
"""


def captions() -> list[str]:
    """A million, repeated from those that are there."""
    folder = os.environ.get("UNSEEN_AUDIOCAPS")
    if folder is not None:
        import pandas as pd

        own = [text for part in ("train", "val", "test") for text in pd.read_csv(Path(folder) / f"{part}.csv").caption]
    else:
        from timm.data import ImageNetInfo

        own = ImageNetInfo("imagenet21k").label_descriptions(detailed=True)
    return (own * (MILLION // len(own) + 1))[:MILLION]


def concepts_of(texts: list[str]) -> list[str]:
    """Half the most frequent words, half the most frequent pairs of words."""
    split = [[word.strip(".,;:()'\"") for word in text.lower().split()] for text in texts[:50_000]]
    singles = Counter(word for one in split for word in one if word.isalpha())
    pairs = Counter(f"{a} {b}" for one in split for a, b in zip(one, one[1:]) if a.isalpha() and b.isalpha())
    return [word for table in (singles, pairs) for word, _ in table.most_common(CONCEPTS // 2)]


def scanner(wanted: list[str]) -> Callable[[list[str]], Counter[int]]:
    """A bare Aho-Corasick scan: hits of the concepts' letters anywhere, without lemmas, words or captions."""
    import ahocorasick

    automaton = ahocorasick.Automaton()
    for i, concept in enumerate(wanted):
        automaton.add_word(concept, i)
    automaton.make_automaton()

    def scan(texts: list[str]) -> Counter[int]:
        found: Counter[int] = Counter()
        for text in texts:
            for _, i in automaton.iter(text):
                found[i] += 1
        return found

    return scan


def spacy_rate(texts: list[str], wanted: list[str], folder: Path) -> float | None:
    """Captions a second of the paper's way, every caption through spaCy's English tokens; None where it is not had."""
    python = environment(folder / "spacy", ["spacy"])
    if python is None:
        return None
    given, out = folder / "captions.json", folder / "rate.json"
    given.write_text(json.dumps([texts, [concept for concept in wanted if " " not in concept]]))
    return json.loads(out.read_text()) if called(python, SPACY, str(given), str(out)) else None


def _two_processes(texts: list[str], wanted: list[str], file: Path) -> list[Row]:
    """Beside one, counting and indexing, in turns."""
    csv.write_csv(pa.table({"caption": texts}), file)
    source, rows = Captions(file), []
    jobs: dict[str, Callable[[int], Any]] = {
        "count 1,000 concepts": lambda processes: count_concepts(source, wanted, processes=processes),
        "whole index": lambda processes: ConceptIndex.from_captions(source, processes=processes),
    }
    for name, job in jobs.items():
        one, two, apart = in_turns(partial(job, 1), partial(job, 2), partial(_apart, partial(job, 1)), repeats=TURNS)
        rows.append(
            row(f"{name}, two processes", MILLION / two, "one process", MILLION / one, unit="captions/s",
                floor=">= 1.8", machine_gives=round(2 * one / apart, 2), cores=len(os.sched_getaffinity(0)),
                load=round(os.getloadavg()[0], 1))
        )  # fmt: skip
    return rows


def _apart(job: Callable[[], Any]) -> None:
    """The job twice at once, in processes that know nothing of each other."""
    fork = multiprocessing.get_context("fork")
    both = [fork.Process(target=job) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()


def run() -> list[Row]:
    """One core, then two processes, then the whole index; every row beside its peer in one run."""
    pa.set_cpu_count(1)
    texts = captions()
    wanted = concepts_of(texts)
    scan, few = scanner(wanted), texts[:PEER]
    own, bare = in_turns(lambda: count_concepts(texts, wanted), lambda: scan(few), repeats=2)
    ours, unit = MILLION / own, "captions/s"
    rows = [row("count 1,000 concepts", ours, "bare pyahocorasick scan", PEER / bare, unit=unit, floor=">= 0.8")]
    with tempfile.TemporaryDirectory() as folder:
        loop = spacy_rate(few[: PEER // 5], wanted, Path(folder))
        if loop is not None:
            rows.append(row("count 1,000 concepts", ours, "spaCy per caption", loop, unit=unit, floor=">= 10"))
        rows += _two_processes(texts, wanted, Path(folder) / "captions.csv")
    started = time.perf_counter()
    index = ConceptIndex.from_captions(texts)
    built = time.perf_counter() - started
    rows.append(
        row("whole index of a million", MILLION / built, "bare pyahocorasick scan", PEER / bare, unit=unit,
            lemmas=len(index.lexicon), postings=len(index.samples))
    )  # fmt: skip
    return rows


if __name__ == "__main__":
    for one in run():
        print(one)
