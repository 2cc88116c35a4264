"""Stylistic shift in two numbers: how consistent the classes of a domain are (ICV), how far two domains are (IDD)."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from unseen.data.domain import Domain
from unseen.data.typing import FloatArray

Distribution = Literal["softmax", "given"]
Weighting = Literal["class", "pair"]
Labels = NDArray[Any] | Sequence[Any]

MAX_PAIRS = 2000
"""Of each class, at most; more are drawn from."""
DRAWS = 200
"""Of the bootstrap."""
LEVEL = 0.95
_AT_ONCE = 4096
_TINY = 1e-30


@dataclasses.dataclass(frozen=True)
class Measure:
    """ICV of a domain or IDD of two, in nats, in [0, ln 2].

    Attributes
    ----------
    value : float
    low, high : float
        The 95 % bootstrap interval over pictures, drawn within each class; the classes are taken as they are.
    per_class : dict of label to float
        Empty where classes were not told apart.
    skipped : tuple of labels
        Classes that have too few pictures, or are in one domain alone.
    by_class : bool
        Whether pairs are of one class; else whole domains are paired, for want of a class that both have.
    pairs : int
        How many were looked at.
    """

    value: float
    low: float
    high: float
    per_class: Mapping[Any, float]
    skipped: tuple[Any, ...]
    by_class: bool
    pairs: int

    def __float__(self) -> float:
        return self.value

    def to_json(self) -> dict[str, Any]:
        """Everything in plain values."""
        fields = dataclasses.asdict(self)
        fields["per_class"] = {str(label): value for label, value in self.per_class.items()}
        return fields | {"skipped": [str(label) for label in self.skipped]}


def icv(
    features: FloatArray,
    labels: Labels,
    *,
    distribution: Distribution = "softmax",
    weighting: Weighting = "class",
    max_pairs: int = MAX_PAIRS,
    draws: int = DRAWS,
    seed: int = 0,
) -> Measure:
    """Intra-class variation: the mean divergence of two pictures of a class; low where classes are consistent [1].

    Each picture is a probability vector over features; of each class, the Jensen-Shannon divergence of all pairs of
    distinct pictures is averaged, and then over classes. The figure changes neither with the order of the pictures nor
    with a constant added to all features of a picture.

    Parameters
    ----------
    features : array (n, d)
        Of one encoder. `scaled` brings those of all domains that are compared to one scale; without it the
        softmax of long vectors is nearly one-hot and every divergence close to ln 2.
    labels : array (n,)
        Classes: numbers, or names.
    distribution : {"softmax", "given"}
        Softmax over features, or rows that are probabilities already, such as those of a classifier.
    weighting : {"class", "pair"}
        What counts alike: classes as in the paper, or pairs, so that large classes count more.
    max_pairs : int, >= 1
        Of each class; of more, that many are drawn.
    draws : int, >= 1
        Of the bootstrap.
    seed : int

    Raises
    ------
    ValueError
        If no class has two pictures, shapes differ, or rows are no probabilities.

    References
    ----------
    [1] Luo et al., "Grounding Stylistic Domain Generalization with Quantitative Domain Shift Measures and Synthetic
        Scene Images", CVPR Workshops 2024. The paper does not spell out which pairs are averaged; these are ours.
    """
    p, y = _rows("features", features, distribution), _labels("labels", labels, len(features))
    classes, counts = np.unique(y, return_counts=True)
    kept = classes[counts > 1]
    if not len(kept):
        raise ValueError("labels must have a class with at least two pictures; no class has")
    pairs = {label: _within(p[y == label], max_pairs, draws, seed) for label in kept.tolist()}
    return _joined(pairs, tuple(classes[counts < 2].tolist()), weighting, by_class=True)


def idd(
    features_a: FloatArray,
    labels_a: Labels | None,
    features_b: FloatArray,
    labels_b: Labels | None,
    *,
    by_class: bool = True,
    distribution: Distribution = "softmax",
    weighting: Weighting = "class",
    max_pairs: int = MAX_PAIRS,
    draws: int = DRAWS,
    seed: int = 0,
) -> Measure:
    """Inter-domain dissimilarity: the mean divergence of two pictures of a class, one from each domain.

    High where styles are distant. Where the domains share no class, or labels are missing, whole domains are paired,
    which `by_class` of the result tells. Parameters and errors are those of `icv`.

    Parameters
    ----------
    by_class : bool
        False pairs whole domains in any case.
    """
    a, b = _rows("features_a", features_a, distribution), _rows("features_b", features_b, distribution)
    if a.shape[1] != b.shape[1] or not len(a) or not len(b):
        raise ValueError(f"features must have one width and at least one row; got shapes {a.shape} and {b.shape}")
    shared: list[Any] = []
    every: set[Any] = set()
    if by_class and labels_a is not None and labels_b is not None:
        y, z = _labels("labels_a", labels_a, len(a)), _labels("labels_b", labels_b, len(b))
        every = {*y.tolist(), *z.tolist()}
        shared = sorted({*y.tolist()} & {*z.tolist()})
    if not shared:
        whole = {None: _between(a, b, max_pairs, draws, seed)}
        return _joined(whole, (), weighting, by_class=False)
    pairs = {label: _between(a[y == label], b[z == label], max_pairs, draws, seed) for label in shared}
    return _joined(pairs, tuple(sorted(every - set(shared))), weighting, by_class=True)


def frechet(a: FloatArray, b: FloatArray) -> float:
    """The Fréchet distance between Gaussians with the moments of both, squared: |m - n|^2 + tr(S + T - 2 (S T)^(1/2)).

    A reference for `idd`, as FID measures. It sees how means and covariances differ, and nothing of classes.

    Parameters
    ----------
    a, b : array (n, d) and (m, d)
        At least two rows each.
    """
    if min(len(a), len(b)) < 2 or a.shape[1:] != b.shape[1:]:
        raise ValueError(f"a and b must have at least 2 rows and one width; got shapes {a.shape} and {b.shape}")
    gap = a.mean(axis=0, dtype=np.float64) - b.mean(axis=0, dtype=np.float64)
    roots = [_root(x) for x in (a, b)]
    traces = sum(float((root**2).sum()) for root in roots)
    # tr (S T)^(1/2) is the sum of the singular values of A B', with S = A'A and T = B'B
    common = float(np.linalg.svd(roots[0] @ roots[1].T, compute_uv=False).sum())
    return max(float(gap @ gap) + traces - 2 * common, 0.0)


def scaled(*tables: FloatArray) -> tuple[NDArray[np.float32], ...]:
    """Features of all compared domains, divided by one number: the standard deviation of all entries of all of them.

    One number leaves the softmax the paper's. A deviation for each feature would give rare features of sparse networks
    so much weight that every divergence were close to ln 2.
    """
    deviation = float(np.concatenate([np.ravel(table) for table in tables]).astype(np.float64).std())
    return tuple((table / (deviation or 1.0)).astype(np.float32) for table in tables)


# -- several domains ------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class StylisticShift:
    """ICV of every domain and IDD of every pair.

    Attributes
    ----------
    names : tuple of str
    samples : dict of name to int
    icv : dict of name to Measure or None
        None where no class of a domain has two labelled pictures.
    idd : dict of pairs of names to Measure
    frechet : dict of pairs of names to float or None
        Of features that were `scaled`, as all figures here. None where a domain has one sample.
    """

    names: tuple[str, ...]
    samples: Mapping[str, int]
    icv: Mapping[str, Measure | None]
    idd: Mapping[tuple[str, str], Measure]
    frechet: Mapping[tuple[str, str], float | None]

    @property
    def beyond(self) -> dict[tuple[str, str], float | None]:
        """IDD of every pair minus the mean of both ICV: what style adds to the variation within classes.

        About 0 for two halves of one domain. It is not of the paper; None where an ICV is missing, or whole domains
        were paired.
        """
        excess: dict[tuple[str, str], float | None] = {}
        for pair, between in self.idd.items():
            a, b = (self.icv[name] for name in pair)
            known = a is not None and b is not None and between.by_class
            excess[pair] = between.value - (a.value + b.value) / 2 if known else None  # type: ignore[union-attr]
        return excess

    def matrix(self) -> FloatArray:
        """IDD of every pair, (k, k), with ICV on the diagonal (NaN where there is none)."""
        table = np.full((len(self.names),) * 2, np.nan)
        for i, name in enumerate(self.names):
            variation = self.icv[name]
            table[i, i] = np.nan if variation is None else variation.value
        for (a, b), distance in self.idd.items():
            i, j = self.names.index(a), self.names.index(b)
            table[i, j] = table[j, i] = distance.value
        return table

    def to_json(self) -> dict[str, Any]:
        """Everything in plain values."""
        return {
            "domains": [
                {"name": name, "samples": self.samples[name], "icv": None if measure is None else measure.to_json()}
                for name, measure in self.icv.items()
            ],
            "pairs": [
                {
                    "domains": [*pair],
                    "idd": measure.to_json(),
                    "beyond": self.beyond[pair],
                    "frechet": self.frechet[pair],
                }
                for pair, measure in self.idd.items()
            ],
        }


def separated(domain: Domain) -> tuple[Domain, ...]:
    """The domains that the column `domain` tells apart, each with its name; the domain itself where there is none."""
    if "domain" not in domain.columns:
        return (domain,)
    column = domain.columns["domain"].astype(np.str_)
    return tuple(domain.take(column == name).replace(name=name) for name in domain.domains)


def measure_styles(
    domains: Sequence[Domain], *, max_pairs: int = MAX_PAIRS, draws: int = DRAWS, seed: int = 0
) -> StylisticShift:
    """ICV of every domain and IDD of every pair, of features on one scale.

    Parameters
    ----------
    domains : sequence of Domain
        Features of one encoder. One with a column `domain` counts as several. Classes are those of the same name;
        samples without a label count where whole domains are paired.
    max_pairs, draws, seed : int
        As of `icv`.

    Raises
    ------
    ValueError
        If there are fewer than two domains, one is empty, or they hold other than features of one width.
    """
    parts = _renamed([part for domain in domains for part in separated(domain)])
    if len(parts) < 2:
        raise ValueError(f"domains must be at least two, or have a column domain; got {len(parts)}")
    widths = {part.name: part.n_features for part in parts}
    if len(set(widths.values())) > 1:
        detail = ", ".join(f"{name} has {width}" for name, width in widths.items())
        raise ValueError(f"domains must have one width; {detail}")
    for part in parts:
        if not len(part):
            raise ValueError(f"domains must hold samples; {part.name} is empty")
        if not np.isfinite(part.x).all():
            raise ValueError(f"domains must be finite; {part.name} holds NaN or infinity")
    tables = dict(zip(widths, scaled(*(np.asarray(part.x) for part in parts))))
    y = {part.name: _names_of_classes(part) for part in parts}
    options: dict[str, Any] = {"max_pairs": max_pairs, "draws": draws, "seed": seed}
    pairs = [*itertools.combinations(tables, 2)]
    return StylisticShift(
        names=tuple(tables),
        samples={part.name: len(part) for part in parts},
        icv={name: _icv_or_none(tables[name], y[name], options) for name in tables},
        idd={(a, b): _idd_of_labelled(tables[a], y[a], tables[b], y[b], options) for a, b in pairs},
        frechet={
            (a, b): frechet(tables[a], tables[b]) if min(len(tables[a]), len(tables[b])) > 1 else None for a, b in pairs
        },
    )


def _renamed(parts: Sequence[Domain]) -> list[Domain]:
    """Domains of one name get a number."""
    names = [part.name for part in parts]
    return [
        part if names.count(part.name) == 1 else part.replace(name=f"{part.name} ({names[: i + 1].count(part.name)})")
        for i, part in enumerate(parts)
    ]


def _names_of_classes(domain: Domain) -> NDArray[Any]:
    """The name of each sample's class, "" where it has none."""
    if domain.y is None:
        return np.full(len(domain), "")
    names = np.array(
        [str(i) for i in range(int(domain.y.max(initial=-1)) + 1)] if domain.classes is None else domain.classes.names
    )
    return np.where(domain.labeled, names[np.maximum(domain.y, 0)] if len(names) else "", "")


def _icv_or_none(x: FloatArray, y: NDArray[Any], options: Mapping[str, Any]) -> Measure | None:
    x, y = x[y != ""], y[y != ""]
    if not len(y) or np.unique(y, return_counts=True)[1].max() < 2:
        return None
    return icv(x, y, **options)


def _idd_of_labelled(
    a: FloatArray, y: NDArray[Any], b: FloatArray, z: NDArray[Any], options: Mapping[str, Any]
) -> Measure:
    if {*y.tolist()} & {*z.tolist()} - {""}:
        return idd(a[y != ""], y[y != ""], b[z != ""], z[z != ""], **options)
    return idd(a, None, b, None, **options)


# -- pairs ----------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Pairs:
    """Mean divergence of the pairs of a class, its bootstrap draws (draws,), and how many pairs there are."""

    mean: float
    drawn: FloatArray
    n: int


def _within(p: FloatArray, most: int, draws: int, seed: int) -> _Pairs:
    p = _ordered(p)
    rng = np.random.default_rng(seed)
    total = len(p) * (len(p) - 1) // 2
    chosen = np.arange(total) if total <= most else np.sort(rng.choice(total, most, replace=False))
    rows, columns = _pair(chosen, len(p))
    weights = rng.multinomial(len(p), np.full(len(p), 1 / len(p)), size=draws)
    return _drawn(divergences(p, p, rows, columns), weights[:, rows] * weights[:, columns])


def _between(a: FloatArray, b: FloatArray, most: int, draws: int, seed: int) -> _Pairs:
    a, b = _ordered(a), _ordered(b)
    rng = np.random.default_rng(seed)
    total = len(a) * len(b)
    chosen = np.arange(total) if total <= most else np.sort(rng.choice(total, most, replace=False))
    rows, columns = np.divmod(chosen, len(b))
    weights = [rng.multinomial(len(x), np.full(len(x), 1 / len(x)), size=draws) for x in (a, b)]
    return _drawn(divergences(a, b, rows, columns), weights[0][:, rows] * weights[1][:, columns])


def _pair(number: NDArray[np.int64], n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The two rows i < j of unordered pairs that are numbered j (j - 1) / 2 + i."""
    j = np.floor((1 + np.sqrt(1 + 8 * number.astype(np.float64))) / 2).astype(np.int64)
    j -= j * (j - 1) // 2 > number  # rounding
    return number - j * (j - 1) // 2, j


def divergences(
    a: FloatArray, b: FloatArray, rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> NDArray[np.float64]:
    """D_JS of rows of two tables of probabilities, pair by pair, in nats: H((p + q) / 2) - (H(p) + H(q)) / 2."""
    entropies = [_entropy(x) for x in (a, b)]
    parts = [
        _entropy((a[rows[i : i + _AT_ONCE]] + b[columns[i : i + _AT_ONCE]]) / 2) for i in range(0, len(rows), _AT_ONCE)
    ]
    gaps = np.concatenate([*parts, np.zeros(0)]) - (entropies[0][rows] + entropies[1][columns]) / 2
    return np.clip(gaps, 0, np.log(2))


def _entropy(p: FloatArray) -> NDArray[np.float64]:
    return -(p * np.log(np.maximum(p, _TINY))).sum(axis=1, dtype=np.float64)


def _drawn(values: NDArray[np.float64], weights: NDArray[np.int64]) -> _Pairs:
    """The mean over pairs, and that of each bootstrap sample; one that holds no pair counts as the mean."""
    mean, total = float(values.mean()), weights.sum(axis=1)
    drawn = np.where(total > 0, weights @ values / np.maximum(total, 1), mean)
    return _Pairs(mean, drawn, len(values))


def _joined(parts: Mapping[Any, _Pairs], skipped: tuple[Any, ...], weighting: Weighting, *, by_class: bool) -> Measure:
    if weighting not in ("class", "pair"):
        raise ValueError(f"weighting must be class or pair; got {weighting!r}")
    weights = np.array([part.n if weighting == "pair" else 1 for part in parts.values()], dtype=float)
    weights /= weights.sum()
    value = float(weights @ [part.mean for part in parts.values()])
    tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    low, high = np.quantile(weights @ np.stack([part.drawn for part in parts.values()]), tails)
    per_class = {label: part.mean for label, part in parts.items()} if by_class else {}
    pairs = sum(part.n for part in parts.values())
    return Measure(value, min(float(low), value), max(float(high), value), per_class, skipped, by_class, pairs)


# -- rows -----------------------------------------------------------------------------------------------------


def _rows(name: str, features: FloatArray, distribution: Distribution) -> FloatArray:
    """Probabilities of each row."""
    x = np.asarray(features)
    if x.ndim != 2 or x.dtype.kind not in "fiu":
        raise ValueError(f"{name} must be numbers of shape (n, d); got {x.dtype} of shape {x.shape}")
    if not np.isfinite(x).all():
        raise ValueError(f"{name} must be finite; it holds NaN or infinity")
    if distribution == "softmax":
        p = np.exp(x - x.max(axis=1, keepdims=True, initial=-np.inf), dtype=np.float64)
        return p / p.sum(axis=1, keepdims=True)
    if distribution != "given":
        raise ValueError(f"distribution must be softmax or given; got {distribution!r}")
    if len(x) and (x.min() < 0 or np.abs(x.sum(axis=1) - 1).max() > 1e-3):
        raise ValueError(f"{name} must be probabilities under distribution='given': rows >= 0 that sum to 1")
    return x


def _labels(name: str, labels: Labels, n: int) -> NDArray[Any]:
    y = np.asarray(labels)
    if y.shape != (n,):
        raise ValueError(f"{name} must be one for each of {n} rows; got shape {y.shape}")
    return y


def _ordered(p: FloatArray) -> FloatArray:
    """Rows in an order that depends on their values alone, so that what is drawn does not depend on theirs."""
    return p[np.lexsort(p.T[:8])]


def _root(x: FloatArray) -> FloatArray:
    """A with A'A the covariance of the rows of x, no taller than wide."""
    root = (x - x.mean(axis=0, dtype=np.float64)) / np.sqrt(len(x) - 1)
    return root if len(root) <= root.shape[1] else np.asarray(np.linalg.qr(root, mode="r"))
