"""Emoji in motion for claims: small towers that have read still pictures, clips of ten motions, and simple arms.

Things that are asked about are in no clip that is learnt from, and were in none of the still pictures; no two things
look the same. A motion and its reverse have the same frames (`unseen.data.simulate.motions`), start and speed are drawn
anew each time. What is asked about are twins: each clip also comes backwards, as one of the reverse motion, so that
whatever is blind to order is right in one of the two.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.claims import arms
from unseen.claims.base import of_both
from unseen.claims.drawings import VENDORS, by, first_by_hash, of_half
from unseen.claims.worlds import of_texts
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.duplicates import perceptual
from unseen.data.rows import unit_rows
from unseen.data.samplers import Batch
from unseen.data.segments import ready, stacked
from unseen.data.simulate.motions import MOTIONS, clips_of
from unseen.encoders.trainable import EncodedTexts
from unseen.nn.dual_encoder import DualEncoder, dual_encoder, perceptron
from unseen.nn.towers import vision_tower
from unseen.nn.train import Run
from unseen.runtime import reproducible

SIDE, PATCH, FRAMES, DIM, WIDTH, LAYERS = 32, 8, 8, 64, 64, 2
SHOWN = 3 * FRAMES
"""Frames of a clip, of which `FRAMES` are looked at: one of each part, anywhere in it or in its middle. The middles of
a clip are those of its reverse."""
STILL_STEPS, STILL_BATCH = 200, 64
SHORTER = 0.1
"""Factor of the vectors of pictures, which changes no cosine: positions of .02 are little beside longer ones."""
THINGS = 48
"""Things of a world; a third of them is asked about alone."""
GROUPS = ("symbols", "flags", "people & body")
"""Groups of emoji that are left out: hands, letters and faces that turn into each other."""


class Things(NamedTuple):
    """Pictures of 64 pixels, their names, and which of them are for asking alone."""

    pictures: tuple[NDArray[np.uint8], ...]
    names: tuple[str, ...]
    asked: NDArray[np.bool_]


@functools.cache
def things(vendor: str, split: str, n: int = THINGS) -> Things:
    """The emoji of a vendor with the smallest hashes, of a split's half."""
    drawn = by(vendor)
    mask = of_half(drawn, split) & ~np.isin(drawn.columns["group"], GROUPS)
    rows = first_by_hash(drawn, mask, 2 * n, "motion ").tolist()
    small = [np.asarray(drawn.x[i].convert("RGB").resize((64, 64))) for i in rows]
    first = distinct(small)[:n]
    names = tuple(str(drawn.columns["name"][rows[i]]) for i in first)
    return Things(tuple(small[i] for i in first), names, np.arange(len(first)) % 3 == 0)


def distinct(pictures: Sequence[NDArray[np.uint8]]) -> list[int]:
    """Positions of pictures that look like none before them."""
    drawn = Domain(x=np.stack(pictures), kind="image")
    like = {(i, j) for i, j, _ in perceptual(drawn, drawn) if i < j}
    kept: list[int] = []
    for j in range(len(pictures)):
        if not any((i, j) in like for i in kept):
            kept.append(j)
    return kept


def world(case: str) -> Things:
    """The things of a case ``SPLIT VENDOR``."""
    split, vendor = case.split()[:2]
    return things(vendor, split)


@functools.cache
def read(case: str) -> list[Domain]:
    """The things of a case and their names, for a stamp."""
    emoji = world(case)
    return [Domain(x=np.stack(emoji.pictures), kind="image"), of_texts(emoji.names)]


def of_first(development: int, confirmation: int, data: Callable[[str], Any] = read) -> dict[str, Any]:
    """Of an `Experiment`: the first vendors of each split, and what is read for them."""
    first = {split: VENDORS[split][:n] for split, n in zip(VENDORS, (development, confirmation))}
    return {**of_both(first), "data": data, "unit": "vendor of drawings"}


# -- clips -------------------------------------------------------------------------------------------------


def of_motions(things: Things, each: int, seed: int, *, asked: bool) -> Domain:
    """`each` clips of every motion, of things that are learnt from, or twins of those that are asked about."""
    rng = np.random.default_rng([seed, int(asked)])
    motions = np.repeat(np.arange(0, len(MOTIONS), 2 if asked else 1), each)
    rows = rng.choice(np.flatnonzero(things.asked == asked), len(motions))
    x = clips_of(things.pictures, rows, motions, int(rng.integers(2**31)), frames=SHOWN, side=SIDE)
    if asked:
        x, rows, motions = with_twins(x, rows, motions)
    space, columns = ClassSpace(names=MOTIONS), {"thing": rows}
    return normalized(Domain(x=x, y=motions, kind="clip", classes=space, columns=columns, name="clips"))


def learnt_and_asked(things: Things, each: int, asked: int, seed: int) -> tuple[Domain, Domain]:
    """`each` clips of every motion to learn from, and `asked` to ask about with their twins."""
    return of_motions(things, each, seed, asked=False), of_motions(things, asked, seed, asked=True)


def with_twins(
    x: NDArray[np.uint8], things: NDArray[Any], motions: NDArray[Any]
) -> tuple[NDArray[np.uint8], NDArray[Any], NDArray[Any]]:
    """Clips, and the same ones backwards, which show the reverse motions."""
    both = np.concatenate([x, x[:, ::-1]])
    return both, np.concatenate([things, things]), np.concatenate([motions, motions ^ 1])


def normalized(domain: Domain) -> Domain:
    """Clips as the towers take them."""
    return ready(domain, (SIDE, SIDE), mean=(0.5,) * 3, std=(0.5,) * 3)


def of_pairs(
    things: Things, objects: Sequence[int], pairs: Sequence[tuple[int, int]], each: int, seed: int, names: ClassSpace,
    *, twins: bool = False,
) -> Domain:  # fmt: skip
    """`each` clips of every pair of a thing and a motion, or their twins, too; classes are ``a dog moving left``."""
    things_, motions = (np.repeat(np.array([pair[i] for pair in pairs]), each) for i in (0, 1))
    x = clips_of(things.pictures, np.array(objects)[things_], motions, seed, frames=SHOWN, side=SIDE)
    if twins:
        x, things_, motions = with_twins(x, things_, motions)
    y = things_ * len(MOTIONS) + motions
    columns = {"thing": things_, "motion": motions}
    return normalized(Domain(x=x, y=y, kind="clip", classes=names, columns=columns, name="pairs"))


# -- towers ------------------------------------------------------------------------------------------------


def stills_of(emoji: Things, seed: int, views: int = 30) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Things that are learnt from, each so many times, and still pictures of them at any place and size."""
    rng = np.random.default_rng(seed)
    shown = np.repeat(np.flatnonzero(~emoji.asked), views)
    motions = rng.integers(len(MOTIONS), size=len(shown))
    return shown, clips_of(emoji.pictures, shown, motions, seed, frames=2, side=SIDE)[:, 0]


def drawn_motions(case: str, seed: int) -> list[Any]:
    """What a cell draws, of fewer clips than it: still pictures, clips to learn from, and twins to ask about."""
    emoji = world(case)
    return [stills_of(emoji, 0, 1), *learnt_and_asked(emoji, 1, 1, seed)]


@functools.cache
def towers(case: str, seed: int = 0) -> DualEncoder:
    """Two towers that have read still pictures of the things that are learnt from, at any place and size, by name.

    The text tower is a line on sentence vectors (MiniLM's) that learns nothing, so that the names of motions, which are
    in no still picture, stay as far from each other as they were.
    """
    emoji = world(case)
    rows = np.flatnonzero(~emoji.asked)
    shown, stills = stills_of(emoji, seed)
    x = stills.astype(np.float32) / 127.5 - 1
    reader = EncodedTexts("minilm")
    vectors = reader([f"a {emoji.names[i]}" for i in rows])
    labels = torch.as_tensor(np.searchsorted(rows, shown))
    with reproducible(seed):
        layers: dict[str, Any] = {"heads": (WIDTH // 16,) * LAYERS, "mlp": (4 * WIDTH,) * LAYERS}
        image = vision_tower((SIDE, SIDE), (PATCH, PATCH), width=WIDTH, head=16, dim=DIM, **layers)
        text = text_line(vectors.shape[1], DIM)
        model = dual_encoder(image, text, reader.to_json(), 1 / 0.03)
        text.requires_grad_(False)
        adam = torch.optim.AdamW(
            [*image.parameters(), model.logit_scale], lr=2e-3, weight_decay=0.05, betas=(0.9, 0.98)
        )

        def objective(batch: Batch, run: Run) -> Tensor:
            logits = model.logit_scale.exp().clamp(max=100) * model.encode_image(batch.x) @ model.encode_text(vectors).T
            return F.cross_entropy(logits, labels[batch.index])

        source = Domain(x=x, kind="image")
        arms.in_steps(
            objective, model, adam, source, name="still-towers", size=STILL_BATCH, n_steps=STILL_STEPS, clip=5.0
        )
        image.projection.data.mul_(SHORTER)
    return model.eval()


def text_line(into: int, out: int) -> nn.Module:
    """A line that is orthogonal: vectors keep about the angles that they had."""
    module = perceptron((into, out))
    line = module.get_submodule("0")
    assert isinstance(line, nn.Linear)
    nn.init.orthogonal_(line.weight, gain=(into / out) ** 0.5)
    nn.init.zeros_(line.bias)
    return module


# -- simple arms -------------------------------------------------------------------------------------------


@torch.no_grad()
def frames_of(model: DualEncoder, domain: Domain) -> NDArray[np.float32]:
    """Vectors of the frames of clips by the frozen tower, (n, t, d)."""
    x = stacked(domain, frames=FRAMES)
    return model.image(x.flatten(0, 1)).view(*x.shape[:2], -1).numpy()


@torch.no_grad()
def words_of(model: DualEncoder, names: Iterable[str]) -> NDArray[np.float32]:
    """Vectors of names by the text tower, (k, d)."""
    return model.encode_text(model.tokenize(list(names))).numpy()


def by_name(model: DualEncoder, asked: Domain, names: Iterable[str] = MOTIONS) -> NDArray[np.float32]:
    """Cosines of the mean of a clip's frames with names: the image-text model as it is."""
    return unit_rows(frames_of(model, asked).mean(axis=1)) @ words_of(model, names).T


def flat(rows: NDArray[Any]) -> NDArray[Any]:
    """All numbers of a clip in one row."""
    return rows.reshape(len(rows), -1)


def pixels_of(domain: Domain) -> NDArray[np.float32]:
    """Frames of 8 x 8 pixels, (n, t, 192)."""
    x = stacked(domain, frames=FRAMES)
    return F.adaptive_avg_pool2d(x.flatten(0, 1), 8).flatten(1).view(*x.shape[:2], -1).numpy()


def logistic(x: NDArray[Any], y: NDArray[Any]) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """Logistic regression on standardized rows, whose penalty is the best of four on held-out folds."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    grid = {"logisticregression__C": [1e-3, 1e-2, 1e-1, 1.0]}
    plain = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
    folds = min(3, int(np.bincount(y)[np.unique(y)].min()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of penalties that are not chosen
        fitted = GridSearchCV(plain, grid, cv=folds).fit(x, y) if folds > 1 else plain.fit(x, y)
    return lambda new: fitted.predict_proba(new)


class Gated(nn.Module):
    """A GRU over vectors of frames, then a line."""

    def __init__(self, into: int, classes: int, hidden: int = 64) -> None:
        super().__init__()
        self.norm, self.gru = nn.LayerNorm(into), nn.GRU(into, hidden, batch_first=True)
        self.head = nn.Linear(hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Scores, (b, k)."""
        return self.head(self.gru(self.norm(x))[1][-1])


class Placed(nn.Module):
    """A layer of a transformer over vectors of frames with learnt positions, their mean, then a line."""

    def __init__(self, into: int, classes: int, frames: int, hidden: int = 64) -> None:
        super().__init__()
        self.norm, self.line = nn.LayerNorm(into), nn.Linear(into, hidden)
        self.positions = nn.Parameter(0.5 * torch.randn(frames, hidden))
        self.layer = nn.TransformerEncoderLayer(hidden, 4, 4 * hidden, 0.0, "gelu", batch_first=True, norm_first=True)
        self.head = nn.Linear(hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Scores, (b, k)."""
        return self.head(self.layer(self.line(self.norm(x)) + self.positions).mean(dim=1))


def gated(x: NDArray[Any], y: NDArray[Any], seed: int, steps: int = 400) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """A GRU that learns from vectors of frames, (n, t, d)."""
    return _trained("gru", lambda: Gated(x.shape[2], int(y.max()) + 1), x, y, seed, steps)


def placed(x: NDArray[Any], y: NDArray[Any], seed: int, steps: int = 400) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """A transformer with positions that learns from vectors of frames, (n, t, d)."""
    return _trained("placed", lambda: Placed(x.shape[2], int(y.max()) + 1, x.shape[1]), x, y, seed, steps)


def _trained(
    name: str, make: Callable[[], nn.Module], x: NDArray[Any], y: NDArray[Any], seed: int, steps: int
) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """What a network of vectors of frames gives after so many steps."""
    with reproducible(seed):
        net = make()
        adam = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=1e-2)

        def objective(batch: Batch, run: Run) -> Tensor:
            return F.cross_entropy(net(batch.x), batch.y, label_smoothing=0.1)  # type: ignore[arg-type]

        source = Domain(x=x, y=y, kind="series")
        arms.in_steps(objective, net, adam, source, name=name, size=32, n_steps=steps, clip=1.0)
    net.eval()

    @torch.no_grad()
    def scores(new: NDArray[Any]) -> NDArray[Any]:
        return net(torch.as_tensor(new)).numpy()

    return scores


def graded(scores: NDArray[Any], y: NDArray[Any]) -> dict[str, float]:
    """Accuracy among the ten motions (`accuracy`), and between a motion and its reverse (`pair`)."""
    right, other = (scores[np.arange(len(y)), number] for number in (y, y ^ 1))
    return {
        "accuracy": float((scores.argmax(axis=1) == y).mean()),
        "pair": float(((right > other) + 0.5 * (right == other)).mean()),
    }
