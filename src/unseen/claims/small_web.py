"""A small web of emoji and stamps for claims, and a small two-tower encoder that has seen none of its vendors.

The encoder is EfficientNet-Lite0 and two linear towers that are solved for. Pictures go where emoji differ most for
what four vendors' drawings of one emoji differ, by Fisher's discriminant [1]; captions and names in ten languages go to
their emoji's place there, by ridge regression on hashed words. What claims train on pairs of the web are a perceptron
and hashed words, joined by the contrastive loss of CLIP [2].

References
----------
[1] Rao, "The Utilization of Multiple Measurements in Problems of Biological Classification", JRSS B 1948, section 8.
[2] Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021, figure 3.
"""

from __future__ import annotations

import functools
import logging
import unicodedata
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.claims import arms, worlds
from unseen.claims.drawings import by, of_vendors
from unseen.data.domain import Domain, Lazy
from unseen.data.samplers import Batch, steps
from unseen.data.simulate.web import Thing, rendered
from unseen.data.sources import LOCALES, SourceUnavailable, emoji_words
from unseen.data.typing import IntArray, Kind
from unseen.encoders import get
from unseen.encoders.base import Encoder
from unseen.encoders.two_tower import TwoTowerEncoder
from unseen.evaluation.metrics.classification import mean_class_accuracy
from unseen.nn.classifier import Standardizer
from unseen.nn.train import Run
from unseen.runtime import reproducible, without_checkpoints

log = logging.getLogger(__name__)

VENDORS = ("twemoji", "fluent-emoji-flat", "fluent-emoji", "fluent-emoji-high-contrast")
"""Whose drawings the encoder has learnt from: no site shows any of theirs, nor a later version of them."""
BUCKETS, LENGTH = 2**15, 128
"""Hashed words; how many of them are read of a text."""
SOLVED, SHRUNK, RIDGE, SWEEPS = 256, 0.25, 0.1, 15
"""Of the encoder: width; share of the diagonal in the scatter within emoji; penalty and conjugate gradients of text."""
DIM, HIDDEN, BATCH, SCALE = 64, 512, 512, 20.0
"""Of towers that are trained: width, hidden units, pairs of a step, and the factor of cosines that they start with."""
SHORT = 6
"""Characters that a caption exceeds."""

FORMS: Mapping[str, tuple[str, ...]] = {
    "en": ("a picture of {0}", "{0}: {1}", "{0} and {1}, a drawing"),
    "de": ("ein Bild: {0}", "{0}: {1}", "{0} und {1}, eine Zeichnung"),
    "fr": ("une image : {0}", "{0} : {1}", "{0} et {1}, un dessin"),
    "es": ("una imagen de {0}", "{0}: {1}", "{0} y {1}, un dibujo"),
    "it": ("un'immagine di {0}", "{0}: {1}", "{0} e {1}, un disegno"),
    "pt": ("uma imagem de {0}", "{0}: {1}", "{0} e {1}, um desenho"),
    "nl": ("een plaatje van {0}", "{0}: {1}", "{0} en {1}, een tekening"),
    "ru": ("изображение: {0}", "{0}: {1}", "{0} и {1}, рисунок"),
    "ja": ("{0}のイラスト", "{0}・{1}", "{0}と{1}の絵"),
    "zh": ("这是一张{0}的图片", "{0}:{1}", "{0}和{1}的插图"),
}
"""Captions from a name and keywords, by language."""


@functools.cache
def things(style: str) -> tuple[Thing, ...]:
    """The emoji of a vendor with a caption in every language, at most one emoji per English name."""
    return few_things(style, len(by(style)))


def few_things(style: str, n: int) -> tuple[Thing, ...]:
    """The first n of them."""
    pictures = by(style).x
    return tuple(Thing(key, pictures[i], captions) for i, (key, captions) in enumerate(told(style)[:n]))


@functools.cache
def told(style: str) -> tuple[tuple[str, Mapping[str, str]], ...]:
    """Their keys and captions, in the same order."""
    words = {locale: _words(locale) for locale in LOCALES}
    said = []
    for code in by(style).columns["emoji"].tolist():
        captions = {locale: _caption(locale, *words[locale][code], code) for locale in LOCALES if code in words[locale]}
        said.append((f"{style}/{code}", captions))
    return tuple(said)


@functools.cache
def stamps() -> tuple[Thing, ...]:
    """Tux Paint's stamps with a caption in each language that they have one in; none, with a warning, without apt."""
    try:
        drawn = worlds.stamps()
    except SourceUnavailable as error:
        log.warning("the small web shows emoji alone, no stamps: %s", error)
        return ()
    return tuple(Thing(key, drawn.x[i], captions) for i, (key, captions) in enumerate(told_of_stamps(drawn)))


def told_of_stamps(drawn: Domain) -> list[tuple[str, Mapping[str, str]]]:
    """Keys and captions of stamps."""
    rows = zip(*(drawn.columns[f"caption_{locale}"].tolist() for locale in FORMS))
    captions = [
        {locale: _longer(locale, text, text.rstrip(".。")) for locale, text in zip(FORMS, row) if text} for row in rows
    ]
    assert drawn.ids is not None
    return list(zip(drawn.ids.tolist(), captions))


def _caption(locale: str, name: str, tags: Sequence[str], code: str) -> str:
    form = FORMS[locale][zlib.crc32(f"{locale}/{code}".encode()) % 3]
    return _longer(locale, form.format(name, ", ".join(tags[:3]) or name), name)


def _longer(locale: str, caption: str, name: str) -> str:
    """A caption, put in more words if it is as short as those that a web's filter drops."""
    return caption if len(caption) > SHORT else FORMS[locale][0].format(name)


def name_of(key: str, language: str = "en") -> str:
    """The name of the emoji of a key."""
    return _words(language)[key.partition("/")[2]][0]


_words = functools.cache(emoji_words)


def of_web(*vendors: str) -> list[Domain]:
    """For a stamp: what the encoder has learnt from, what a site and an exam show, and the words for it."""
    return [*of_vendors([*VENDORS, *vendors]), worlds.stamps(), *worded()]


@functools.cache
def worded() -> tuple[Domain, ...]:
    """For a stamp: names and keywords in ten languages."""
    return tuple(worlds.of_texts([f"{code} {words}" for code, words in _words(locale).items()]) for locale in FORMS)


# -- the encoder ---------------------------------------------------------------------------------------------


class Grams:
    """From texts to hashed words and parts of words, int64 (b, 128); 0 is nothing."""

    kind: Kind = "text"

    def __call__(self, samples: Sequence[Any]) -> Tensor:
        """One batch."""
        table = torch.zeros(len(samples), LENGTH, dtype=torch.int64)
        for row, sample in zip(table, samples):
            ids = _grams(str(sample))
            row[: len(ids)] = torch.tensor(ids)
        return table

    def groups(self, samples: Any) -> IntArray:
        """All texts give batches of one shape, (n,)."""
        return np.zeros(len(samples), dtype=np.int64)

    def to_json(self) -> dict[str, Any]:
        """Their number and length."""
        return {"kind": self.kind, "buckets": BUCKETS, "length": LENGTH}


@functools.lru_cache(maxsize=2**16)
def _grams(text: str) -> tuple[int, ...]:
    grams = []
    for word in unicodedata.normalize("NFKC", text).casefold().split():
        word = word.strip(".,:;!?()・")
        grams.append(word)
        size = 1 if any(ord(letter) > 0x2E80 for letter in word) else 4
        grams += [word[i : i + size] for i in range(len(word) - size + 1)]
        grams += [word[i : i + 2] for i in range(len(word) - 1)] if size == 1 else []
    return tuple(1 + zlib.crc32(gram.encode()) % (BUCKETS - 1) for gram in grams if gram)[:LENGTH] or (1,)


class GramText(nn.Module):
    """The mean of hashed vectors, unit length."""

    def __init__(self, buckets: int = BUCKETS, dim: int = DIM) -> None:
        super().__init__()
        self.table = nn.EmbeddingBag(buckets, dim, mode="mean", padding_idx=0)

    def forward(self, ids: Tensor) -> Tensor:
        """Unit vectors, (b, dim)."""
        fewer = torch.where(ids > 0, 1 + (ids - 1) % (self.table.num_embeddings - 1), 0)
        return F.normalize(self.table(fewer), dim=1)


class Towers(nn.Module):
    """What reads pooled features of pictures beside a `GramText`."""

    def __init__(self, image: nn.Module, text: GramText) -> None:
        super().__init__()
        self.image, self.text = image, text
        self.scale = nn.Parameter(torch.tensor(SCALE).log())

    def encode_image(self, features: Tensor) -> Tensor:
        """Unit vectors of pooled features, (b, dim)."""
        return F.normalize(self.image(features), dim=1)


class _ImageTower(nn.Module):
    def __init__(self, network: nn.Module, towers: Towers) -> None:
        super().__init__()
        self.network, self.towers = network, towers

    def forward(self, images: Tensor) -> Tensor:
        return self.towers.encode_image(self.network(images).float())


@functools.cache
def lite0() -> Any:
    """EfficientNet-Lite0 in float32 on whole pictures, with channels last: two thirds of the time."""
    network = get("efficientnet-lite0?crop=1", precision="fp32")
    for weight in network.module.parameters():
        if weight.dim() == 4:
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    return network


def features_of(pictures: Sequence[Any] | Lazy, keys: Sequence[str]) -> Tensor:
    """Pooled features of pictures, (n, 1280); `keys` say which picture each is."""
    import hashlib

    x = Lazy(range(len(pictures)), pictures.__getitem__, lambda i: hashlib.sha256(keys[i].encode()).hexdigest())
    return torch.from_numpy(lite0().encode(Domain(x=x, kind="image", name="pictures")).x)


def discriminant(features: Float[Tensor, "m d"], shows: Int[np.ndarray, " m"], dim: int = SOLVED) -> nn.Linear:
    """Directions in which things differ most for what pictures of one thing differ: Fisher's discriminant.

    `shows` says which of n things a picture shows: 0 to n - 1, each at least once.
    """
    from scipy.linalg import eigh

    of = torch.from_numpy(shows)
    x, several = features.double(), of.bincount()[of] > 1
    means = averaged(x, of)
    apart = (x - means[of])[several]
    within = apart.T @ apart / len(apart)
    shrunk = within.lerp(within.diag().clamp_min(1e-6).diag(), SHRUNK)
    last = features.shape[1] - 1
    _, axes = eigh(means.T.cov().numpy(), shrunk.numpy(), subset_by_index=[last - dim + 1, last])
    layer = nn.Linear(len(axes), dim)
    layer.weight.data = torch.from_numpy(axes.T).float()
    layer.bias.data = -layer.weight @ means.mean(dim=0).float()
    return layer.requires_grad_(False)


def averaged(x: Float[Tensor, "m d"], of: Int[Tensor, " m"]) -> Float[Tensor, "n d"]:
    """The mean of the rows of each of n things; `of` says which thing a row is of."""
    counts = of.bincount()
    return x.new_zeros(len(counts), x.shape[1]).index_add_(0, of, x) / counts[:, None]


def reader(texts: Sequence[Sequence[str]], places: Float[Tensor, "n dim"]) -> GramText:
    """Hashed vectors whose mean points to the place of the thing that texts are of, by ridge regression on tf-idf."""
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.linear_model import Ridge

    ids = Grams()([text for captions in texts for text in captions]).numpy()
    rows, columns = np.nonzero(ids)
    bags = csr_matrix((np.ones(len(rows), np.float32), (rows, ids[rows, columns])), shape=(len(ids), BUCKETS))
    rarity = TfidfTransformer().fit(bags)
    targets = places.numpy()[np.repeat(np.arange(len(texts)), [len(captions) for captions in texts])]
    solved = Ridge(RIDGE, fit_intercept=False, solver="sparse_cg", max_iter=SWEEPS).fit(rarity.transform(bags), targets)
    text = GramText(BUCKETS, places.shape[1])
    text.table.weight.data = torch.from_numpy(rarity.idf_[:, None] * solved.coef_.T).float()
    return text.requires_grad_(False)


def perceptron(features: Tensor, hidden: int = HIDDEN) -> nn.Sequential:
    """One hidden layer on standardized features, with dropout before both of its layers."""
    standard = Standardizer(features.shape[1]).measure(features, floor=0.1)
    layers = (nn.Linear(features.shape[1], hidden), nn.GELU(), nn.Dropout(0.3), nn.Linear(hidden, DIM))
    return nn.Sequential(nn.Dropout(0.2), standard, *layers)


def learn(
    features: Tensor,
    captions: Sequence[Sequence[str]],
    *,
    seed: int,
    n_steps: int,
    batch: int = BATCH,
    hidden: int = HIDDEN,
    buckets: int = BUCKETS,
) -> Towers:
    """Train towers on pictures with one caption or several each, by CLIP's loss.

    `n_steps` are exact, whatever the number of pictures; `batch` are pairs of a step, `hidden` units between features
    and embedding, `buckets` vectors of hashed words.
    """
    flat = Grams()([text for texts in captions for text in texts])
    starts = np.cumsum([0, *(len(texts) for texts in captions)])
    with reproducible(seed), without_checkpoints():
        towers = Towers(perceptron(features, hidden), GramText(buckets))
        adam = torch.optim.AdamW(towers.parameters(), lr=3e-3, weight_decay=1e-2)

        def objective(batch: Batch, run: Run) -> Tensor:
            index = batch.index.numpy()
            draw = torch.rand(len(index), generator=run.generator).numpy()
            rows = starts[index] + (draw * (starts[index + 1] - starts[index])).astype(np.int64)
            cosines = towers.encode_image(batch.x) @ towers.text(flat[torch.from_numpy(rows)]).T
            return arms.clip_loss(towers.scale.exp().clamp(max=100) * cosines)

        source, warm = Domain(x=features.numpy()), steps(len(features), batch)
        arms.in_steps(objective, towers, adam, source, name="small-web", size=batch, n_steps=n_steps, warm=warm)
    return towers.eval().requires_grad_(False)


def drawn(style: str, *, watermark: bool = False, step: int = 1) -> tuple[Lazy, list[str]]:
    """Pictures of a vendor, or every `step`-th, as a web shows them, and a key for each.

    They are made when they are asked for: features that are kept need none.
    """
    chosen = things(style)[::step]
    keys = [f"rendered/{thing.key}/{watermark}" for thing in chosen]
    return Lazy(chosen, functools.partial(as_shown, watermark=watermark)), keys


def as_shown(thing: Thing, watermark: bool) -> Any:
    """A picture as a web shows it."""
    rng = np.random.default_rng([zlib.crc32(thing.key.encode()), 7])
    return rendered(thing.picture, rng, watermark=watermark)


@functools.cache
def encoder() -> TwoTowerEncoder:
    """The two towers as an encoder, solved for anew in each process: some ten seconds beside the features."""
    features = torch.cat([features_of(*drawn(style)) for style in VENDORS])
    learnt = [thing for style in VENDORS for thing in things(style)]
    codes = [thing.key.partition("/")[2] for thing in learnt]
    _, first, shows = np.unique(codes, return_index=True, return_inverse=True)
    texts = [
        [*learnt[i].captions.values(), *(name_of(learnt[i].key, code) for code in learnt[i].captions)] for i in first
    ]
    image = discriminant(features, shows)
    places = averaged(F.normalize(image(features), dim=1), torch.from_numpy(shows))
    towers = Towers(image, reader(texts, F.normalize(places, dim=1))).eval()
    return TwoTowerEncoder(
        name="small-web",
        image=Encoder(
            name="small-web",
            module=_ImageTower(lite0().module, towers),
            preprocess=lite0().preprocess,
            precision="fp32",
        ),
        text=Encoder(name="small-web", module=towers.text, preprocess=Grams(), precision="fp32", batch_size=128),
        logit_scale=SCALE,
        template=lambda name, description: description or name,
    )


@torch.no_grad()
def image_vectors(features: Tensor) -> NDArray[np.float32]:
    """What the encoder's tower makes of pooled features."""
    return encoder().image.module.towers.encode_image(features).numpy()  # type: ignore[operator, union-attr]


@torch.no_grad()
def grade(towers: Towers, features: Tensor, groups: Sequence[str], names: Sequence[str], n: int) -> dict[str, float]:
    """How well towers know pictures that they did not learn from: of each its group and its name.

    A class stands for all captions of its members, their mean, as prompts are pooled in CLIP. Of the first n pictures,
    or all if there are fewer, R@1 is asked both ways.
    """
    images, texts = towers.encode_image(features), towers.text(Grams()(names))
    classes, y = np.unique(np.asarray(groups), return_inverse=True)
    means = torch.stack([texts[torch.from_numpy(y == c)].mean(dim=0) for c in range(len(classes))])
    predicted = (images @ F.normalize(means, dim=1).T).argmax(dim=1).numpy()
    cosines, truth = images[:n] @ texts[:n].T, torch.arange(min(n, len(names)))
    both = ((cosines.argmax(dim=d) == truth).float().mean() for d in (0, 1))
    return {"classification": mean_class_accuracy(y, predicted), "R@1": float(sum(both) / 2)}
