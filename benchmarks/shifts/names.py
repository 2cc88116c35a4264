"""What the choice is worth where classes are given by names alone: pools of pictures and texts, family by family.

    python benchmarks/shifts/cases.py --make        the pictures, once
    python benchmarks/shifts/names.py run           every candidate on every pool, into docs/names.json
    python benchmarks/shifts/names.py slow          the same with `shot` and `aad`, which take four times as long
    python benchmarks/shifts/names.py page          the tables of docs/zero-shot.md, and the constants of the estimate

Pools are the domains of the cases (`cases.py`), each once, as `lite-clip` places them, and texts as MiniLM does; each
of at least 100 samples a second time with ever fewer samples of later classes, ten times fewer of the last. Names are
those of the classes, without prompts. A family is a kind of data; means are over families, so that none counts more for
having more pools, and whatever is chosen or fitted is so on other families than it is judged on.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from shifts.case import hashes, thinned
from shifts.cases import data_folder, load
from shifts.cases import names as cases
from shifts.study import HARM, _quantile, by_family, mean
from shifts.tables import ORIGINAL, _sentences
from unseen import encoders
from unseen.compare.candidates import name_of
from unseen.compare.choice import BY_NAMES
from unseen.compare.consensus import NAMED, consensus_cells, pair_of, unanimous
from unseen.compare.fits import run_all
from unseen.compare.inputs import prepare
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.methods.baselines._names import name_head
from unseen.methods.baselines.propagate import surest
from unseen.nn.logistic import fit_logistic
from unseen.runtime import limited_threads, track
from unseen.scale import Engine

Record = dict[str, Any]
Make = Callable[[], Domain]
DOCS = Path(__file__).resolve().parents[2] / "docs"
FILE, PAGE = DOCS / "names.json", DOCS / "zero-shot.md"
NOTHING, CHOSEN = "describe", BY_NAMES[0]
CANDIDATES = (
    "describe", "describe-centred", "describe-centred:half", "describe-centred:shares", "propagate-names",
    "self-train-names",
)  # fmt: skip
SLOW = ("shot", "aad")
ENOUGH, RATIO = 100, 10.0

FAMILY = {"digits-encoded": "letters and digits", "fonts-encoded": "letters and digits", "emoji-disjoint": "emoji",
          "emoji-styles": "emoji", "emoji-groups": "emoji", "fashion-encoded": "clothes", "office-caltech": "office",
          "furniture": "furniture"}  # fmt: skip
"""Families of pictures by families of cases; changed pictures are of the family of what was changed."""
CALLED = {
    "chelsea": "cat", "ihc": "stained cells under a microscope", "retina": "retina of an eye", "cell": "cell under a "
    "microscope", "hubble_deep_field": "galaxies", "page": "page of text", "brick": "brick wall", "microaneurysms":
    "blood vessels of an eye", "motorcycle_left": "motorcycle",
}  # fmt: skip
LEXICON = {4: "act", 5: "animal", 6: "artifact", 8: "body", 9: "cognition", 10: "communication", 11: "event",
           12: "feeling", 13: "food", 14: "group", 15: "location", 17: "object", 18: "person", 19: "phenomenon",
           20: "plant", 21: "possession", 22: "process", 23: "quantity", 25: "shape", 26: "state", 27: "substance",
           28: "time"}  # fmt: skip
"""WordNet's lexicographer files that name a kind of thing, by number."""
TOPICS = ("cancer", "glaucoma, an eye disease")
THINGS = ("animal", "artifact", "body", "food", "location", "person", "plant", "substance")


# -- pools -------------------------------------------------------------------------------------------------


def pools(families: Sequence[str] | None = None) -> Iterator[tuple[str, str, Domain]]:
    """Family, name and samples as features, with classes whose embeddings lie among them; then the thinned ones."""
    for family, name, make in itertools.chain(pictures(), texts()):
        if families and family not in families:
            continue
        pool = make()
        yield family, name, pool
        if len(pool) >= ENOUGH:
            counts = np.bincount(pool.labels, minlength=len(pool.classes or ()))
            shares = RATIO ** -np.linspace(0, 1, len(counts))
            yield family, f"{name}, unbalanced", thinned(pool, np.ceil(counts * shares).astype(int).tolist(), "rare")


def pictures() -> Iterator[tuple[str, str, Make]]:
    """The pictures of the cases, each domain once, as `lite-clip` places them: from what its network made of them."""
    seen = set()
    for case in map(load, cases()):
        for domain in (case.source, case.target) if "pictures" in case.tags else ():
            key = hash((domain.digests().tobytes(), domain.labels.tobytes()))
            if key not in seen:
                seen.add(key)
                name = f"{case.family}: {domain.name}"
                yield family_of(case.family, domain.name), name, functools.partial(_placed, domain, case.family)


def _placed(domain: Domain, family: str) -> Domain:
    place = _encoder("lite-clip").image.module
    with torch.no_grad():
        logits = place.probabilities.network.get_classifier()(torch.as_tensor(domain.x))
        weights, top = logits.softmax(dim=1).topk(place.top, dim=1)
        x = F.normalize((weights[..., None] * place.vectors[top]).sum(dim=1), dim=1).numpy()
    return _named(domain, x, family)


@functools.cache
def _encoder(name: str) -> Any:
    return encoders.get(name, precision="fp32")


def family_of(family: str, domain: str) -> str:
    """Of a domain of pictures."""
    if family in FAMILY:
        return FAMILY[family]
    kinds = {"crops": "textures", "clip art": "clip art", "noto": "emoji"}
    return next((kind for word, kind in kinds.items() if word in domain), "photographs of things")


def _named(domain: Domain, x: Any, family: str) -> Domain:
    assert domain.classes is not None
    kind = {"digits-encoded": "the digit ", "fonts-encoded": "the letter "}.get(family, "")
    names = tuple(kind + CALLED.get(n, re.sub(r"[-_]", " ", n)) for n in domain.classes.names)
    return domain.with_labels(domain.labels, _embedded(names)).replace(x=x, columns={"item": domain.columns["item"]})


def _embedded(names: Sequence[str]) -> ClassSpace:
    texts = Domain(x=np.array(names, dtype=np.str_), kind="text", name="names")
    return ClassSpace(names=tuple(names), embeddings=_encoder("minilm").encode(texts).x)


def texts() -> Iterator[tuple[str, str, Make]]:
    """Names of emoji, definitions of WordNet, titles of ICD-10-CM and sentences of abstracts, as MiniLM places them."""
    from unseen.data.sources import emoji

    def of_emoji(column: str, each: int) -> Domain:
        drawn = emoji("noto", level="emoji")
        assert drawn.classes is not None
        said = [drawn.classes.names[label] for label in drawn.labels]
        return _texts(said, drawn.columns[column].tolist(), each)

    def of_wordnet(each: int, only: Sequence[str] = tuple(LEXICON.values()), salt: str = "") -> Domain:
        kept = [(text, file) for text, file in zip(*_wordnet()) if file in only]
        return _texts([text for text, _ in kept], [file for _, file in kept], each, salt)

    def sentences(topic: str) -> Domain:
        file = {"cancer": "neoplasm_train", "glaucoma, an eye disease": "glaucoma_test"}[topic]
        return _sentences(data_folder() / "abstrct" / ORIGINAL / f"{file}.tsv", topic, 0)

    def kinds(topic: str) -> Domain:
        said = sentences(topic)
        return _texts(list(said.x), [said.classes.names[y].lower() for y in said.labels], 150)  # type: ignore[union-attr]

    def topics() -> Domain:
        both = [(str(text), topic) for topic in TOPICS for text in sentences(topic).x]
        return _texts([text for text, _ in both], [topic for _, topic in both], 150)

    for column, each in (("group", 40), ("subgroup", 15)):
        yield "names of emoji", f"names of emoji: {column}", functools.partial(of_emoji, column, each)
    yield "definitions", "WordNet: all kinds", functools.partial(of_wordnet, 25)
    yield "definitions", "WordNet: things", functools.partial(of_wordnet, 50, THINGS, "things")
    yield "diseases", "ICD-10-CM: chapters", lambda: _texts(*_icd(), 30)
    for topic in TOPICS:
        yield "abstracts", f"abstracts: {topic}", functools.partial(kinds, topic)
    yield "abstracts", "abstracts: topics", topics


def _texts(samples: Sequence[str], labels: Sequence[str], each: int, salt: str = "") -> Domain:
    """At most `each` samples of a class, chosen by the hash of their text; classes of fewer than ten are left out."""
    counts = {label: labels.count(label) for label in sorted(set(labels))}
    names = [label for label, count in counts.items() if count >= 10]
    first = dict.fromkeys((text, label) for text, label in zip(samples, labels) if label in names)
    order = np.argsort(hashes([text for text, _ in first], salt), kind="stable")
    rows = [list(first)[i] for i in order]
    classes = _embedded([re.sub(r"[-_]", " ", name) for name in names])
    pool = Domain(
        x=np.array([text for text, _ in rows], dtype=np.str_),
        y=np.array([names.index(label) for _, label in rows]),
        classes=classes,
        kind="text",
        columns={"item": np.array([text for text, _ in rows], dtype=np.str_)},
        name="texts",
    )
    pool = thinned(pool, each, salt)
    x = _encoder("minilm").encode(pool).x
    return Domain(x=x, y=pool.y, classes=classes, kind="features", columns=pool.columns, name="texts")


def _wordnet() -> tuple[list[str], list[str]]:
    from unseen.data.taxonomies.wordnet import _files, _lines

    definitions, files = [], []
    for line in _lines(_files(None)[0]):
        fields, _, gloss = line.partition("|")
        file, told = LEXICON.get(int(fields.split()[1])), gloss.split(";")[0].strip()
        if file is not None and len(told) > 20:
            definitions.append(told)
            files.append(file)
    return definitions, files


def _icd() -> tuple[list[str], list[str]]:
    import simple_icd_10_cm as icd

    titles, chapters = [], []
    for code in icd.get_all_codes():
        if icd.is_category(code):
            titles.append(icd.get_description(code))
            chapters.append(icd.get_description(icd.get_ancestors(code)[-1]).split("(")[0].strip())
    return titles, chapters


# -- runs --------------------------------------------------------------------------------------------------


def run(family: str, name: str, pool: Domain, candidates: Sequence[str] = CANDIDATES) -> Record:
    """The figures of every candidate on a pool: of its samples, and of a fifth that none has seen."""
    inputs = prepare(target=pool, classes=pool.classes)
    pairs = tuple((key.partition(":")[0], key.partition(":")[2] or "default") for key in candidates)
    cells = run_all(inputs, pairs, 1, None, Engine(workers=1))
    heard, together = dict(cells), pair_of(pairs, inputs)
    assert together is not None
    cells[together] = consensus_cells(inputs, together, heard, None)
    by_name = {name_of(*pair): group for pair, group in cells.items()}
    truth = {part: exam.open() for part, exam in inputs.exams.items()}

    def right(found: Any, part: str) -> float:
        return round(float((np.asarray(found) == truth[part]).mean()), 4) if part in truth else float("nan")

    reached = {key: [right(group[0][part]["prediction"], part) for part in truth] for key, group in by_name.items()}
    reached["logistic"] = [right(found, part) for part, found in zip(truth, logistic(inputs))]
    return {
        "family": family,
        "pool": name,
        "samples": len(pool),
        "classes": len(inputs.classes),
        "unbalanced": name.endswith("unbalanced"),
        "unanimous": round(unanimous(heard) or 0.0, 4),
        "accuracy": reached,
    }


def logistic(inputs: Any) -> list[Any]:
    """Logistic self-training, a rival: fitted on the surer half of what each name gets, then on all it predicts."""
    head, x = name_head(inputs.classes, 20.0), torch.as_tensor(inputs.target.x)
    p = torch.softmax(head(x), dim=1)
    for share in (0.5, 1.0):
        sure = surest(p, share)
        labels = p[sure].argmax(dim=1).numpy()
        if len(np.unique(labels)) < 2:
            break
        with torch.no_grad():
            network = fit_logistic(x[sure], labels, len(inputs.classes), C=0.1)
            head, p = network, torch.softmax(network(x), dim=1)  # type: ignore[assignment]
    parts = [part for part in (inputs.target, inputs.held_out) if part is not None]
    with torch.no_grad():
        return [head(torch.as_tensor(part.x)).argmax(dim=1).numpy() for part in parts]


# -- tables ------------------------------------------------------------------------------------------------


def column(rows: Sequence[Record], candidate: str, part: int = 0) -> Any:
    """Accuracy of a candidate in every pool."""
    return np.array([row["accuracy"][candidate][part] for row in rows])


def left_out(rows: Sequence[Record], candidates: Sequence[str]) -> dict[str, str]:
    """For each family, the candidate that is best on the mean of all others."""
    found = {}
    for family in sorted({row["family"] for row in rows}):
        others = [row for row in rows if row["family"] != family]
        found[family] = max(candidates, key=lambda key: mean(others, column(others, key)))
    return found


def rules(rows: Sequence[Record]) -> dict[str, list[str]]:
    """What every rule chooses in every pool."""
    every = [key for key in rows[0]["accuracy"] if key != "logistic"]
    chosen = left_out(rows, every)
    return {
        "names alone (`describe`)": [NOTHING] * len(rows),
        "scores centred over the pool (`describe-centred`)": ["describe-centred"] * len(rows),
        "the same, half (`:half`)": ["describe-centred:half"] * len(rows),
        "the same, shares of classes estimated (`:shares`)": ["describe-centred:shares"] * len(rows),
        "class vectors that move (`self-train-names`)": ["self-train-names"] * len(rows),
        "**spread over neighbours (`propagate-names`), what `compare` does**": [CHOSEN] * len(rows),
        "logistic self-training, a rival": ["logistic"] * len(rows),
        **{f"`{slug}`, on a model of what spread": [slug] * len(rows) for slug in SLOW if slug in rows[0]["accuracy"]},
        "the consensus of three of these": ["consensus"] * len(rows),
        "the best on the other families": [chosen[row["family"]] for row in rows],
        "the best candidate, by the labels": [max(every, key=lambda key: row["accuracy"][key][0]) for row in rows],
    }


def rule_table(rows: Sequence[Record]) -> str:
    """Rules, a line each."""
    at = {kind: [i for i, row in enumerate(rows) if row["unbalanced"] == kind] for kind in (False, True)}
    told = [i for i, row in enumerate(rows) if len(row["accuracy"][NOTHING]) > 1]
    floor = column(rows, NOTHING)
    lines = [
        "| rule | accuracy | balanced | unbalanced | samples not seen | harm | worst |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, keys in rules(rows).items():
        reached = np.array([row["accuracy"][key][0] for row, key in zip(rows, keys)])
        kinds = [mean([rows[i] for i in at[kind]], reached[at[kind]]) for kind in (False, True)]
        unseen = mean([rows[i] for i in told], np.array([rows[i]["accuracy"][keys[i]][1] for i in told]))
        harm = mean(rows, (reached < floor - HARM).astype(float))
        lines.append(
            f"| {name} | {mean(rows, reached):.3f} | {kinds[0]:.3f} | {kinds[1]:.3f} | {unseen:.3f} | {harm:.0%} "
            f"| {100 * (reached - floor).min():+.1f} |"
        )
    return "\n".join(lines)


def family_table(rows: Sequence[Record]) -> str:
    """Families, a line each."""
    fit = estimates(rows)
    shown = rules(rows)
    keys = ("names alone", "scores centred", "the consensus", "**spread over", "the best candidate")
    columns = {key: next(found for name, found in shown.items() if name.startswith(key)) for key in keys}
    reached = {key: [row["accuracy"][k][0] for row, k in zip(rows, found)] for key, found in columns.items()}
    harm = [float(a < b - HARM) for a, b in zip(reached[keys[3]], reached[keys[0]])]
    means = [by_family(rows, values) for values in (*reached.values(), harm, fit["off"], fit["held"])]
    lines = [
        "| family | pools | names alone | centred | consensus | chosen | best by the labels | harm "
        "| estimate off by | held |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for family in means[0]:
        a, b, c, d, e, f, g, h = (found[family] for found in means)
        count = sum(row["family"] == family for row in rows)
        figures = " | ".join(f"{value:.3f}" for value in (a, b, c, d, e))
        lines.append(f"| {family} | {count} | {figures} | {f:.0%} | {100 * g:.0f} | {h:.0%} |")
    return "\n".join(lines)


def estimates(rows: Sequence[Record]) -> Record:
    """The line from agreement to accuracy, how far off it is, and its intervals, each family left out in turn."""
    x, y = np.sqrt([row["unanimous"] for row in rows]), column(rows, CHOSEN)
    family = np.array([row["family"] for row in rows])
    weight = 1 / np.array([(family == name).sum() for name in family])
    foretold, held = np.zeros(len(rows)), np.zeros(len(rows))
    for name in sorted(set(family)):
        inside = family == name
        slope, start = np.polyfit(x[~inside], y[~inside], 1, w=np.sqrt(weight[~inside]))
        foretold[inside] = np.clip(start + slope * x[inside], 0, 1)
    off = np.abs(foretold - y)
    for name in sorted(set(family)):
        inside = family == name
        held[inside] = off[inside] <= _quantile(off[~inside], weight[~inside])
    slope, start = np.polyfit(x, y, 1, w=np.sqrt(weight))
    measured = mean(rows, held)
    return {
        "start": start,
        "slope": slope,
        "off": off,
        "held": held,
        "error": _quantile(off, weight),
        "measured": measured,
    }


def main() -> None:
    """Run, or make the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "slow", "page"))
    parser.add_argument("--families", nargs="+", help="Some families; the figures of others stay.")
    asked = parser.parse_args()
    if asked.what != "page":
        started, kept = time.process_time(), json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else []
        kept = [row for row in kept if asked.families and row["family"] not in asked.families]
        with limited_threads():
            wanted = list(pools(asked.families))
            candidates = (*CANDIDATES, *SLOW) if asked.what == "slow" else CANDIDATES
            rows = [*kept, *(run(*pool, candidates) for pool in track(wanted, "pools"))]
        rows.sort(key=lambda row: (row["family"], row["pool"]))
        FILE.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n", encoding="utf-8")
        print(f"{len(wanted)} pools, {time.process_time() - started:.0f} s of CPU")
        return
    rows = json.loads(FILE.read_text(encoding="utf-8"))
    page = PAGE.read_text(encoding="utf-8")
    for name, table in (("names rules", rule_table(rows)), ("names families", family_table(rows))):
        page = re.sub(rf"<!-- {name} -->\n.*?<!-- end -->", f"<!-- {name} -->\n{table}\n<!-- end -->", page, flags=re.S)
        print(table, "\n")
    PAGE.write_text(page, encoding="utf-8")
    fit = estimates(rows)
    print({key: round(float(fit[key]), 3) for key in ("start", "slope", "error", "measured")}, "of", NAMED)
    print(left_out(rows, [key for key in rows[0]["accuracy"] if key != "logistic"]))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
