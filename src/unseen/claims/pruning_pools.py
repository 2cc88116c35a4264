"""Pools that look like the web: few classes are many and full of near-copies, the others are rare and diverse."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from unseen.claims import drawings, worlds
from unseen.claims.arms import absorb, in_epochs, towers_loss
from unseen.claims.base import Result
from unseen.data.domain import Domain
from unseen.data.samplers import Batch, steps
from unseen.evaluation.metrics.classification import mean_class_accuracy
from unseen.nn.concepts import find_concepts, random_rule, similarity_rule
from unseen.nn.dual_encoder import DualEncoder, dual_encoder, perceptron
from unseen.nn.rows import unit
from unseen.nn.train import Run
from unseen.runtime import reproducible, without_checkpoints

NOISE = 0.11
"""Of each copy, in standard deviations of all values: 0.04 for handwritten digits with pixels in [0, 1]."""
EPS = 0.02
"""Of the deduplication. Two noisy copies are 0.012 apart where values have a mean of 0, less where they have not."""
FEWEST = 8
"""Emoji of a subgroup in a split, at least; a vendor draws each of them once."""


@dataclasses.dataclass(frozen=True, eq=False)
class Pool:
    """A redundant pool to choose from, with balanced samples to choose a temperature on and to grade on.

    Samples are unit vectors, (n, d); `origin` says which original each one of the pool is, or is a copy of.
    """

    x: NDArray[np.float32]
    y: Int[np.ndarray, " n"]
    origin: Int[np.ndarray, " n"]
    validation: NDArray[np.float32]
    validation_y: Int[np.ndarray, " v"]
    test: NDArray[np.float32]
    test_y: Int[np.ndarray, " t"]


@functools.cache
def features(case: str) -> Domain:
    """The samples of a case, a vector each: ink of characters, or EfficientNet-Lite0's features of emoji."""
    if case.endswith("digits"):
        return worlds.digits(case.split()[0])
    if case == "printed capitals":
        return worlds.characters("ABCDEFGHIJKLMNOPQRSTUVWXYZ", 5)
    if case == "printed small letters":
        return worlds.characters("abdefghknpqrty")
    return emoji_features(case.removeprefix("emoji of "))


@functools.cache
def emoji_features(split: str) -> Domain:
    """Emoji of the vendors of a split, with their subgroups as classes; those of small subgroups are out."""
    return large_subgroups(split, drawings.features(split))


def numbered_emoji(split: str) -> Domain:
    """The same by their numbers, for what is drawn of them."""
    styles = drawings.drawn(split)
    return large_subgroups(split, np.arange(len(styles) * len(styles[0]), dtype=np.float32).reshape(len(styles), -1, 1))


def large_subgroups(split: str, x: NDArray[np.float32]) -> Domain:
    """What is known of the emoji of a split (vendors, n, d), without those of small subgroups."""
    first = drawings.drawn(split)[0].columns
    _, y, counts = np.unique(first["subgroup"], return_inverse=True, return_counts=True)
    kept = np.flatnonzero(counts[y] >= FEWEST)
    columns = {key: np.tile(first[key][kept], len(x)) for key in ("name", "keywords", "subgroup")}
    columns["vendor"] = np.repeat(np.arange(len(x)), len(kept))
    label = np.unique(y[kept], return_inverse=True)[1]
    return Domain(x=x[:, kept].reshape(len(x) * len(kept), -1), y=np.tile(label, len(x)), columns=columns, name=split)


def web_like(
    y: Int[np.ndarray, " n"], rng: np.random.Generator, times: tuple[int, int] = (12, 4), tail: float = 0.7
) -> Int[np.ndarray, " m"]:
    """Positions of a pool: classes are ranked at random; rank r keeps (1 + r)^-tail of its samples, 8 at least.

    The samples of the first three tenths of the ranks stand `times[0]` times, those of the next three `times[1]` times.
    """
    classes = rng.permutation(np.unique(y))
    out = []
    for rank, label in enumerate(classes):
        members = rng.permutation(np.flatnonzero(y == label))
        members = members[: max(8, round((1 + rank) ** -tail * len(members)))]
        often = times[0] if rank < 0.3 * len(classes) else times[1] if rank < 0.6 * len(classes) else 1
        out.append(np.repeat(members, often))
    return np.concatenate(out)


def pool(case: str, seed: int) -> Pool:
    """A pool of a case: a third of each class, evenly, for the exam, a ninth to choose on, a web-like rest."""
    data, rng = features(case), np.random.default_rng([seed, 7])
    y = data.labels
    test, held, origin = rows_of(y, rng)
    x = data.x[origin].astype(np.float32)
    first = np.zeros(len(origin), dtype=bool)
    first[np.unique(origin, return_index=True)[1]] = True
    noise = NOISE * float(data.x.std()) * rng.normal(size=x.shape).astype(np.float32)
    x = np.where(first[:, None], x, x + noise)
    order = rng.permutation(len(x))
    return Pool(
        _unit(x[order]), y[origin][order], origin[order], _unit(data.x[held]), y[held], _unit(data.x[test]), y[test]
    )


def drawn_of_emoji(case: str, seed: int) -> tuple[Int[np.ndarray, " n"], ...]:
    """What a cell draws of emoji: where the exam, what is chosen on, and the pool stand."""
    y = numbered_emoji(case.removeprefix("emoji of ")).labels
    return rows_of(y, np.random.default_rng([seed, 7]))


def rows_of(y: Int[np.ndarray, " n"], rng: np.random.Generator) -> tuple[Int[np.ndarray, " n"], ...]:
    """Positions of the exam, of what is chosen on, and of the pool, in which some stand more than once."""
    fewest = int(np.bincount(y).min())
    exam, choice = max(fewest // 3, 4), max(fewest // 9, 2)
    shuffled = [rng.permutation(np.flatnonzero(y == label)) for label in np.unique(y)]
    test = np.concatenate([members[:exam] for members in shuffled])
    held = np.concatenate([members[exam : exam + choice] for members in shuffled])
    left = np.concatenate([members[exam + choice :] for members in shuffled])
    return test, held, left[web_like(y[left], rng)]


def _unit(x: NDArray[np.floating]) -> NDArray[np.float32]:
    return unit(x).numpy()


def nearest_neighbour(
    x: NDArray[np.float32], y: Int[np.ndarray, " n"], test: NDArray[np.float32], truth: Int[np.ndarray, " t"]
) -> float:
    """Accuracy of the class of the nearest sample by cosine."""
    return float((y[(test @ x.T).argmax(axis=1)] == truth).mean())


# -- a small two-tower model on pairs that were kept, on random ones and on all: by words, under shift, in retrieval

KEEP = 0.277
TIMES = (3, 2)
"""Copies in the pool of pairs: deduplication leaves about half, so that 27.7 % of all is a choice, as in the paper."""
EPOCHS, BATCH, DIM, HIDDEN = 24, 128, 64, 256
WRONG = 0.2
"""Share of the pairs whose caption is that of another picture."""
QUALITY = 0.75
"""Share of the pairs that stays by the similarity of caption and picture, before all else."""
LEARNT = 3
"""Of the five vendors of a split so many are learnt from; the other two are the shift."""


@dataclasses.dataclass(frozen=True, eq=False)
class RedundantPairs:
    """Pictures with a caption each; which captions are wrong; which drawings are learnt from, and held out."""

    x: NDArray[np.float32]
    said: tuple[str, ...]
    wrong: NDArray[np.bool_]
    known: NDArray[np.bool_]
    held: NDArray[np.bool_]


def redundant_pairs(every: Domain, rng: np.random.Generator) -> RedundantPairs:
    """The vendors, the copies, and which captions are wrong, drawn."""
    held = held_out(every.columns["name"])
    known = np.isin(every.columns["vendor"], rng.permutation(5)[:LEARNT])
    pool = every.take(np.flatnonzero(known & ~held))
    at = rng.permutation(web_like(pool.labels, rng, TIMES, tail=0.0))
    x = pool.x[at] + NOISE * float(pool.x.std()) * rng.normal(size=(len(at), pool.n_features)).astype(np.float32)
    wrong = np.zeros(len(x), dtype=bool)
    wrong[rng.choice(len(x), round(WRONG * len(x)), replace=False)] = True
    caption_of = at.copy()
    caption_of[wrong] = np.roll(caption_of[wrong], 1)
    return RedundantPairs(x, captions(pool, caption_of, rng), wrong, known, held)


def drawn_pairs(case: str, seed: int) -> RedundantPairs:
    """What a cell draws, of drawings by their numbers."""
    return redundant_pairs(numbered_emoji(case), np.random.default_rng([seed, 11]))


def pairs(case: str, seed: int) -> Result:
    """Train on all pairs of a redundant pool, and on 27.7 % by each rule, for as many epochs and for as many steps.

    `case` is a split of the emoji; the seed draws the vendors, the copies, and which captions are wrong.
    """
    every = emoji_features(case)
    rng = np.random.default_rng([seed, 11])
    given = redundant_pairs(every, rng)
    x, wrong, known, held = given.x, given.wrong, given.known, given.held
    texts = embedded(given.said)
    similarity = scored(x, texts, rng, seed)
    concepts = find_concepts(x, similarity=similarity, dedup=EPS, restarts=1, random_state=seed)
    good = find_concepts(x, similarity=similarity, quality=QUALITY, dedup=EPS, restarts=1, random_state=seed)
    n = round(KEEP * len(x))
    arms = {
        "random": random_rule(n, len(x), seed),
        "random, deduplicated": concepts.select(n, rule="random", random_state=seed).indices,
        "ssp": concepts.select(n, rule="ssp").indices,
        "ssp, floor 0.5": concepts.select(n, rule="ssp", floor=0.5).indices,
        "balanced": concepts.select(n, rule="uniform").indices,
        "dbp": concepts.select(n).indices,
        "quality": similarity_rule(n, similarity),
        "random, filtered": good.select(min(n, len(good.members)), rule="random", random_state=seed).indices,
        "whole": good.select(min(n, len(good.members))).indices,
    }
    out: Result = {}
    exams = {"by words": every.take(np.flatnonzero(known & held)), "shift": every.take(np.flatnonzero(~known & held))}
    whole = EPOCHS * steps(len(x), BATCH)
    jobs = [("all", np.arange(len(x)), whole)]
    jobs += [(arm, kept, EPOCHS * steps(len(kept), BATCH)) for arm, kept in arms.items()]
    jobs += [(f"{arm}, equal steps", arms[arm], whole) for arm in ("random", "whole")]
    for arm, kept, length in jobs:
        with reproducible(seed), without_checkpoints():
            towers = learn(x[kept], texts[kept], length)
        out[arm] = grade(towers, exams) | {
            "wrong captions": float(wrong[kept].mean()),
            "steps": float(length),
            "pairs": float(len(kept)),
            "unique": len(concepts.members) / len(x),
        }
    return out


def scored(
    x: NDArray[np.float32], texts: NDArray[np.float32], rng: np.random.Generator, seed: int
) -> NDArray[np.float64]:
    """The similarity of each picture and its caption, (n,), by towers that learnt from the other half of the pairs.

    There is no CLIP for these features, so that the pool, wrong captions and all, has to teach what fits.
    """
    half = rng.permutation(len(x)) % 2
    out = np.empty(len(x))
    for side in (0, 1):
        others = half != side
        with reproducible(seed), without_checkpoints():
            towers = learn(x[others], texts[others], EPOCHS // 2 * steps(int(others.sum()), BATCH))
        with torch.no_grad():
            images, words = towers.image(torch.as_tensor(x[~others])), towers.text(torch.as_tensor(texts[~others]))
            out[~others] = F.cosine_similarity(images, words).double().numpy()
    return out


def held_out(names: NDArray[np.str_]) -> NDArray[np.bool_]:
    """Which emoji no tower learns from, by a hash of their name: three of ten."""
    return np.array([worlds.hashed(name) % 10 < 3 for name in names.tolist()])


def captions(pool: Domain, at: NDArray[np.intp], rng: np.random.Generator) -> tuple[str, ...]:
    """One caption of each of some pictures, m texts: its name, its subgroup or some keywords."""
    forms = []
    for name, group, words in zip(*(pool.columns[key][at].tolist() for key in ("name", "subgroup", "keywords"))):
        some = ", ".join(words.split(", ")[:3])
        forms.append((name, f"a drawing of {group.replace('-', ' ')}", some)[int(rng.integers(3))])
    return tuple(forms)


def embedded(texts: tuple[str, ...]) -> NDArray[np.float32]:
    """MiniLM's embeddings, each text once."""
    unique, back = np.unique(np.array(texts, dtype=np.str_), return_inverse=True)
    return _embedded(tuple(unique.tolist()))[back]


@functools.lru_cache(maxsize=64)
def _embedded(texts: tuple[str, ...]) -> NDArray[np.float32]:
    return worlds.minilm(texts).astype(np.float32)


def learn(x: NDArray[np.float32], texts: NDArray[np.float32], length: int) -> DualEncoder:
    """Perceptrons on frozen features of pictures and on frozen embeddings of captions, after so many steps."""
    image, text = (perceptron((vectors.shape[1], HIDDEN, DIM)) for vectors in (x, texts))
    towers = dual_encoder(image, text, {"kind": "encoder", "name": "minilm"}, 14.0)
    mean, spread = torch.as_tensor(x.mean(axis=0)), torch.as_tensor(x.std(axis=0) + 1e-3)
    words = torch.as_tensor(texts)
    adam = torch.optim.AdamW(towers.parameters(), lr=2e-3, weight_decay=1e-2)

    def objective(batch: Batch, run: Run) -> Tensor:
        pictures = F.dropout((batch.x - mean) / spread, 0.2)
        return towers_loss(towers, pictures, words[batch.index])

    in_epochs(objective, towers, adam, Domain(x=x), name="pairs", size=BATCH, n_steps=length)
    absorb(image[0], mean, spread)
    return towers.eval()


@torch.no_grad()
def grade(towers: DualEncoder, exams: dict[str, Domain]) -> dict[str, float]:
    """Mean recall over subgroups by the words for them; and recall at 5 of captions and pictures, both ways."""
    out = {}
    for name, exam in exams.items():
        groups = [str(exam.columns["subgroup"][exam.labels == label][0]) for label in np.unique(exam.labels)]
        words = torch.as_tensor(embedded(tuple(f"a drawing of {group.replace('-', ' ')}" for group in groups)))
        predicted = (towers.encode_image(torch.as_tensor(exam.x)) @ towers.encode_text(words).T).argmax(dim=1).numpy()
        out[name] = mean_class_accuracy(np.searchsorted(np.unique(exam.labels), exam.labels), predicted)
    exam = exams["by words"]
    names, which = np.unique(exam.columns["name"], return_inverse=True)
    captions = torch.as_tensor(embedded(tuple(names.tolist())))
    cosines = (towers.encode_image(torch.as_tensor(exam.x)) @ towers.encode_text(captions).T).numpy()
    to_text = np.mean((np.argsort(-cosines, axis=1)[:, :5] == which[:, None]).any(axis=1))
    to_image = np.mean((which[np.argsort(-cosines, axis=0)[:5]] == np.arange(len(names))).any(axis=0))
    out["retrieval"] = float((to_text + to_image) / 2)
    return out
