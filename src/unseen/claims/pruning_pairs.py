"""A small two-tower model on pairs that were kept, on random ones and on all: zero-shot, shift and retrieval."""

from __future__ import annotations

import functools
import hashlib

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.claims.pruning_pools import EPS, NOISE, emoji_features, web_like
from unseen.data.domain import Domain
from unseen.data.samplers import Batch, batches, steps
from unseen.methods.curation.concept_pruning import find_concepts, random_rule
from unseen.nn.schedules import warm_cosine
from unseen.nn.train import Run, train
from unseen.runtime import reproducible, without_checkpoints

KEEP = 0.277
TIMES = (3, 2)
"""Copies in the pool of pairs: deduplication leaves about half, so that 27.7 % of all is a choice, as in the paper."""
EPOCHS, BATCH, DIM, HIDDEN = 24, 128, 64, 256
ROTATIONS = {"first": (0, 1, 2), "middle": (1, 2, 3), "last": (2, 3, 4)}
"""Which of the five vendors of a split are learnt from; the other two are the shift."""
CASES = tuple(f"development/{name}" for name in ROTATIONS)
CONFIRMATION_CASES = tuple(f"confirmation/{name}" for name in ROTATIONS)

Result = dict[str, dict[str, float]]


class Towers(nn.Module):
    """A perceptron on frozen features of pictures, and one on frozen embeddings of captions, into one space."""

    def __init__(self, image: int, text: int) -> None:
        super().__init__()
        self.image = nn.Sequential(nn.Linear(image, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, DIM))
        self.text = nn.Sequential(nn.Linear(text, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, DIM))
        self.scale = nn.Parameter(torch.tensor(14.0).log())

    def cosines(self, images: Tensor, texts: Tensor) -> Tensor:
        """(n, m) of n pictures and m texts."""
        return F.normalize(self.image(images), dim=1) @ F.normalize(self.text(texts), dim=1).T


def pairs(case: str, seed: int) -> Result:
    """Train on all pairs of a redundant pool, and on 27.7 % by each rule, for as many epochs and for as many steps."""
    split, _, name = case.partition("/")
    learnt = ROTATIONS[name]
    every = emoji_features(split, tuple(range(5)))
    held = held_out(every.columns["name"])
    known = np.isin(every.columns["vendor"], learnt)
    pool = every.take(np.flatnonzero(known & ~held))
    rng = np.random.default_rng([seed, 11])
    at = rng.permutation(web_like(pool.labels, rng, TIMES, tail=0.0))
    x = pool.x[at] + NOISE * float(pool.x.std()) * rng.normal(size=(len(at), pool.n_features)).astype(np.float32)
    texts = captions(pool, at, rng)
    found = find_concepts(x, dedup=EPS, restarts=1, random_state=seed)
    n = round(KEEP * len(x))
    arms = {
        "random": random_rule(n, len(x), seed),
        "random, deduplicated": found.select(n, rule="random", random_state=seed).indices,
        "ssp": found.select(n, rule="ssp").indices,
        "balanced": found.select(n, rule="uniform").indices,
        "dbp": found.select(n).indices,
    }
    out: Result = {}
    exams = {"zero-shot": every.take(np.flatnonzero(known & held)), "shift": every.take(np.flatnonzero(~known & held))}
    whole = EPOCHS * steps(len(x), BATCH)
    jobs = [("all", np.arange(len(x)), whole)]
    jobs += [(arm, kept, EPOCHS * steps(len(kept), BATCH)) for arm, kept in arms.items()]
    jobs += [(f"{arm}, equal steps", arms[arm], whole) for arm in ("random", "dbp")]
    for arm, kept, length in jobs:
        with reproducible(seed), without_checkpoints():
            towers = learn(x[kept], texts[kept], length)
        out[arm] = grade(towers, exams) | {
            "steps": float(length),
            "pairs": float(len(kept)),
            "unique": len(found.members) / len(x),
        }
    return out


def held_out(names: NDArray[np.str_]) -> NDArray[np.bool_]:
    """Which emoji no tower learns from, by a hash of their name: three of ten."""
    return np.array([int(hashlib.sha256(name.encode()).hexdigest(), 16) % 10 < 3 for name in names.tolist()])


def captions(pool: Domain, at: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.float32]:
    """An embedding of one caption of each of some pictures, (m, 384): its name, its subgroup or some keywords."""
    forms = []
    for name, group, words in zip(*(pool.columns[key][at].tolist() for key in ("name", "subgroup", "keywords"))):
        some = ", ".join(words.split(", ")[:3])
        forms.append((name, f"a drawing of {plain(group)}", some)[int(rng.integers(3))])
    return embedded(tuple(forms))


def embedded(texts: tuple[str, ...]) -> NDArray[np.float32]:
    """MiniLM's embeddings, each text once."""
    own, back = np.unique(np.array(texts, dtype=np.str_), return_inverse=True)
    return _embedded(tuple(own.tolist()))[back]


@functools.lru_cache(maxsize=64)
def _embedded(texts: tuple[str, ...]) -> NDArray[np.float32]:
    from unseen.encoders import get

    domain = Domain(x=np.array(texts, dtype=np.str_), kind="text", name="captions")
    return get("minilm", precision="fp32").encode(domain).x.astype(np.float32)


def plain(group: str) -> str:
    """A subgroup in words."""
    return group.replace("-", " ")


def learn(x: NDArray[np.float32], texts: NDArray[np.float32], length: int) -> Towers:
    """A contrastive training of so many steps."""
    towers = Towers(x.shape[1], texts.shape[1])
    mean, spread = torch.as_tensor(x.mean(axis=0)), torch.as_tensor(x.std(axis=0) + 1e-3)
    words = torch.as_tensor(texts)
    adam = torch.optim.AdamW(towers.parameters(), lr=2e-3, weight_decay=1e-2)

    def objective(batch: Batch, run: Run) -> Tensor:
        pictures = F.dropout((batch.x - mean) / spread, 0.2)
        logits = towers.scale.exp().clamp(max=100) * towers.cosines(pictures, words[batch.index])
        own = torch.arange(len(logits))
        return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2

    per_epoch = steps(len(x), BATCH)
    train(
        objective,
        name="pairs",
        nets={"towers": towers},
        optimizers={"adam": adam},
        schedulers={"rate": warm_cosine(adam, length, per_epoch)},
        batches=batches(Domain(x=x, kind="features"), BATCH),
        epochs=-(-length // per_epoch),
        steps_per_epoch=per_epoch,
    )
    first = towers.image[0]
    assert isinstance(first, nn.Linear)
    with torch.no_grad():  # the standardization goes into the first layer
        first.weight.div_(spread)
        first.bias.sub_(first.weight @ mean)
    return towers.eval()


@torch.no_grad()
def grade(towers: Towers, exams: dict[str, Domain]) -> dict[str, float]:
    """Mean recall over subgroups by the words for them; and recall at 5 of captions and pictures, both ways."""
    out = {}
    for name, exam in exams.items():
        groups = [str(exam.columns["subgroup"][exam.labels == label][0]) for label in np.unique(exam.labels)]
        words = torch.as_tensor(embedded(tuple(f"a drawing of {plain(group)}" for group in groups)))
        said = towers.cosines(torch.as_tensor(exam.x), words).argmax(dim=1).numpy()
        truth = np.searchsorted(np.unique(exam.labels), exam.labels)
        out[name] = float(np.mean([(said[truth == c] == c).mean() for c in np.unique(truth)]))
    exam = exams["zero-shot"]
    own, which = np.unique(exam.columns["name"], return_inverse=True)
    cosines = towers.cosines(torch.as_tensor(exam.x), torch.as_tensor(embedded(tuple(own.tolist())))).numpy()
    to_text = np.mean((np.argsort(-cosines, axis=1)[:, :5] == which[:, None]).any(axis=1))
    to_image = np.mean((which[np.argsort(-cosines, axis=0)[:5]] == np.arange(len(own))).any(axis=0))
    out["retrieval"] = float((to_text + to_image) / 2)
    return out
