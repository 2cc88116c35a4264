"""Families of shifts between texts, sounds and tables, and of features of photographs that are at hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from shifts.case import Case, apart, itemized, opened, partial, side, small, thinned, unbalanced
from shifts.pictures import both_ways
from shifts.readers import halves, read_tables, sentences, spoken
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain

ORIGINAL = "EN/argument_components/original_data"
REVISED = "argument_components/manual_revision"
TRANSLATED = {
    "Spanish": ("ES/deepl", "es", "deepl", "dev"),
    "French": ("FR/nllb", "fr", "nllb", "test"),
    "Italian": ("IT/nllb", "it", "nllb", "test"),
}
"""Folder, code, translator and part; the Spanish test part has no ends of sentences."""
OFFICES = ("amazon", "caltech10", "dslr", "webcam")


def all_pairs(family: str, domains: Sequence[Domain], tags: Sequence[str]) -> Iterator[Case]:
    """All ordered pairs; a target is without what the source holds, too."""
    for source in domains:
        for target in domains:
            if source is not target:
                yield Case(family, source, apart(source, target), tuple(tags))


# -- photographs -------------------------------------------------------------------------------------------


def office_caltech(data: Path) -> Iterator[Case]:
    """Photographs of ten things from a shop, the web and two cameras in an office, as the encoder's features."""
    with np.load(data / "shift-features" / "office-caltech10.npz") as kept:
        space = ClassSpace(names=tuple(map(str, kept["classes"].tolist())))
        domains = {
            name: itemized(
                Domain(
                    x=kept[f"{name}_plain"].astype(np.float32),
                    y=kept[f"{name}_y"],
                    classes=space,
                    columns={"view": kept[f"{name}_batchnorm"].astype(np.float32)},
                    name=name,
                )
            )
            for name in OFFICES
        }
    yield from all_pairs("office-caltech", list(domains.values()), ("pictures",))
    yield partial(Case("office-caltech", domains["amazon"], domains["webcam"], ("pictures",)))
    yield opened(Case("office-caltech", domains["caltech10"], domains["dslr"], ("pictures",)))


def office_caltech_words(data: Path) -> Iterator[Case]:
    """The same photographs as counts of 800 visual words (SURF)."""
    family, domains = "office-caltech-surf", read_tables(data / "da-features" / "da_office_caltech.mat")
    by_name = {domain.name: itemized(domain) for domain in domains}
    for source, target in (
        ("amazon", "caltech"), ("caltech", "amazon"), ("dslr", "webcam"), ("webcam", "amazon"),
        ("caltech", "dslr"), ("amazon", "webcam"),
    ):  # fmt: skip
        yield Case(family, by_name[source], apart(by_name[source], by_name[target]), ("words",))
    yield partial(Case(family, by_name["caltech"], apart(by_name["caltech"], by_name["webcam"]), ("words",)))


# -- texts -------------------------------------------------------------------------------------------------


def genres(data: Path) -> Iterator[Case]:
    """Reviews of films of three genres, good or bad, as words."""
    domains = [itemized(domain) for domain in read_tables(data / "da-features" / "da_imdb.mat")]
    yield from all_pairs("genres", domains, ("words",))
    yield unbalanced(Case("genres", domains[0], apart(domains[0], domains[2]), ("words",)), ratio=5)


def spam(data: Path) -> Iterator[Case]:
    """Text messages and mails, wanted or not, as words."""
    domains = [itemized(domain) for domain in read_tables(data / "da-features" / "da_sm_spam.mat")]
    yield from all_pairs("spam", domains, ("words",))
    first, second = domains[0], apart(domains[0], domains[1])
    yield small(Case("spam", first, second, ("words",)), source=40)
    yield unbalanced(Case("spam", second, apart(second, first), ("words",)), ratio=8)


def diseases(data: Path) -> Iterator[Case]:
    """Sentences of abstracts about three kinds of diseases: claim, premise or neither, by MiniLM."""
    names = {"neoplasm": "neoplasm_train", "glaucoma": "glaucoma_test", "mixed": "mixed_test"}
    domains = [_sentences(data / "abstrct" / ORIGINAL / f"{file}.tsv", name, 0) for name, file in names.items()]
    yield from all_pairs("diseases", domains, ("sentences",))
    yield small(Case("diseases", domains[0], domains[1], ("sentences",)), source=20)


def languages(data: Path) -> Iterator[Case]:
    """Sentences of abstracts in four languages, other abstracts in each, by MiniLM, which learnt English."""
    english = _sentences(data / "abstrct" / ORIGINAL / "neoplasm_train.tsv", "English", 1)
    other = {}
    for name, (folder, code, by, part) in TRANSLATED.items():
        file = data / "abstrct" / folder / REVISED / f"{code}_neoplasm_{by}_awesome_{part}.tsv"
        other[name] = _sentences(file, name, 1)
    for domain in other.values():
        yield from both_ways("languages", english, domain, ("sentences",))
    yield Case("languages", other["Spanish"], other["Italian"], ("sentences",))
    yield Case("languages", other["French"], other["Spanish"], ("sentences",))
    yield unbalanced(Case("languages", english, other["French"], ("sentences",)), ratio=4)


def _sentences(file: Path, name: str, half: int, each: int = 150) -> Domain:
    """Some sentences of each kind; `half` keeps two families from the same ones."""
    texts = sentences(file, name)
    distinct = np.sort(np.unique(texts.digests(), return_index=True)[1])
    return thinned(side(itemized(texts.take(distinct)), half), each)


# -- sounds ------------------------------------------------------------------------------------------------


def speakers(data: Path) -> Iterator[Case]:
    """Spoken digits of one speaker against those of the others, and of one against another."""
    voices = itemized(spoken(data / "fsdd"))
    names = list(dict.fromkeys(voices.columns["speaker"].tolist()))
    by = {name: voices.take(voices.columns["speaker"] == name).replace(name=name, columns={}) for name in names}
    by = {name: itemized(domain) for name, domain in by.items()}
    for name in names:
        others = itemized(voices.take(voices.columns["speaker"] != name).replace(name="others", columns={}))
        yield Case("speakers", others, by[name], ("sound",))
    for source, target in ((names[0], names[1]), (names[2], names[3])):
        yield Case("speakers", by[source], by[target], ("sound", "small"))


# -- tables ------------------------------------------------------------------------------------------------


def cut_tables() -> Iterator[Case]:
    """Tables of scikit-learn cut at the median of a column that is left out."""
    for name, cut in (("breast_cancer", "mean smoothness"), ("wine", "ash"), ("iris", "sepal width (cm)")):
        below, above = (itemized(domain) for domain in halves(name, cut))
        above = apart(below, above)
        tags = ("table",) if name == "breast_cancer" else ("table", "small")
        yield from both_ways("tables", below, above, tags)
    yield from both_ways("tables", *_diabetes(), ("table",))


def _diabetes() -> tuple[Domain, Domain]:
    """Whether a disease went on faster than for half of the patients, by sex."""
    from sklearn.datasets import load_diabetes

    data = load_diabetes(scaled=False)
    column = list(data.feature_names).index("sex")
    fast = (data.target > np.median(data.target)).astype(np.int64)
    x = np.delete(data.data, column, axis=1).astype(np.float32)
    space = ClassSpace(names=("slow", "fast"))
    parts = [
        itemized(Domain(x=x[rows], y=fast[rows], classes=space, name=f"diabetes sex {sex}"))
        for sex, rows in ((1, data.data[:, column] == 1), (2, data.data[:, column] == 2))
    ]
    return parts[0], parts[1]


TELLING = (
    ("breast_cancer", "mean radius"), ("breast_cancer", "mean texture"), ("breast_cancer", "worst concave points"),
    ("wine", "alcohol"), ("wine", "flavanoids"), ("iris", "petal length (cm)"), ("digits", "pixel_4_4"),
    ("digits", "pixel_5_2"),
)  # fmt: skip
"""Tables, and a column of each that tells classes apart."""


def tables_of_other_shares() -> Iterator[Case]:
    """Tables parted by a column that tells classes apart, with chance: each part has mostly other classes.

    Small tumours against large ones, strong wines against light ones: what is measured means the same on both sides,
    and nothing but the shares differs.
    """
    from sklearn import datasets

    for name, telling in TELLING:
        data = getattr(datasets, f"load_{name}")()
        column = data.data[:, list(data.feature_names).index(telling)]
        rank = column.argsort(kind="stable").argsort(kind="stable") / len(column)
        above = rank + np.random.default_rng(0).normal(0, 0.25, len(rank)) > 0.5
        space = ClassSpace(names=tuple(map(str, data.target_names)))
        whole = itemized(Domain(x=data.data.astype(np.float32), y=data.target, classes=space, name=name))
        kept = np.isin(np.arange(len(whole)), np.unique(whole.digests(), return_index=True)[1])
        parts = [
            whole.take(np.flatnonzero(kept & rows)).replace(name=f"{name} {side} {telling}")
            for side, rows in (("below", ~above), ("above", above))
        ]
        tags = ("table", "unbalanced") if len(whole) > 200 else ("table", "unbalanced", "small")
        yield from both_ways("shares", parts[0], parts[1], tags)


def drifted_tables() -> Iterator[Case]:
    """Halves of tables of which one comes from other sensors: gains and offsets drift, or two columns are swapped."""
    digits, cancer, wine = _halved("digits"), _halved("breast_cancer"), _halved("wine")
    family, table = "sensors", ("table",)
    yield Case(family, digits[0], _drifted(digits[1], 0.5, 0.0), table)
    yield Case(family, cancer[0], _drifted(cancer[1], 0.4, 0.5), table)
    yield Case(family, _drifted(cancer[1], 0.2, 1.0), cancer[0], table)
    yield Case(family, wine[0], _drifted(wine[1], 0.3, 1.0), (*table, "small"))
    yield Case(family, digits[0], _swapped(digits[1], 8), table)
    yield Case(family, cancer[0], _swapped(cancer[1], 1), table)
    yield unbalanced(Case(family, digits[0], _drifted(digits[1], 0.0, 0.7), table), ratio=6)


def _halved(name: str) -> list[Domain]:
    from sklearn import datasets

    data = getattr(datasets, f"load_{name}")()
    space = ClassSpace(names=tuple(map(str, data.target_names)))
    whole = itemized(Domain(x=data.data.astype(np.float32), y=data.target, classes=space, name=name))
    whole = whole.take(np.sort(np.unique(whole.digests(), return_index=True)[1]))
    return [thinned(side(whole, half), 60) for half in range(2)]


def _drifted(domain: Domain, gain: float, offset: float) -> Domain:
    """Every column times exp(N(0, gain)), and moved by N(0, offset) deviations."""
    rng = np.random.default_rng(0)
    factors = np.exp(gain * rng.standard_normal(domain.n_features))
    moved = offset * rng.standard_normal(domain.n_features) * domain.x.std(axis=0)
    x = (domain.x * factors + moved).astype(np.float32)
    return domain.replace(x=x, name=f"{domain.name}, gain {gain:g} offset {offset:g}")


def _swapped(domain: Domain, pairs: int) -> Domain:
    """As many pairs of columns as told, those that vary most, with each other's values at each other's scale."""
    order = np.argsort(-domain.x.std(axis=0) / (np.abs(domain.x.mean(axis=0)) + 1e-6), kind="stable")[: 2 * pairs]
    mean, deviation = domain.x.mean(axis=0), domain.x.std(axis=0)
    x = domain.x.copy()
    for i, j in (*order.reshape(-1, 2), *order.reshape(-1, 2)[:, ::-1]):
        x[:, i] = (domain.x[:, j] - mean[j]) / max(deviation[j], 1e-6) * deviation[i] + mean[i]
    return domain.replace(x=x, name=f"{domain.name}, {pairs} pairs swapped")
