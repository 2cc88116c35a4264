"""A small web of emoji for claims, and a small two-tower encoder that has seen none of its vendors.

The encoder is EfficientNet-Lite0 (128 pixels) with one linear layer beside hashed words of captions in ten languages,
joined by the contrastive loss of CLIP on the drawings of two vendors.
"""

from __future__ import annotations

import functools
import unicodedata
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.data.domain import Domain, Lazy
from unseen.data.samplers import Batch, batches, steps
from unseen.data.simulate.web import Thing, rendered
from unseen.data.typing import IntArray, Kind
from unseen.encoders.two_tower import TwoTowerEncoder
from unseen.nn.schedules import warm_cosine
from unseen.nn.train import Run, train
from unseen.runtime import reproducible, without_checkpoints

VENDORS = ("twemoji", "fluent-emoji-flat")
"""Whose drawings the encoder has learnt from."""
DIM, BUCKETS, LENGTH, POOLED = 64, 2**15, 128, 1280
BATCH, EPOCHS = 128, 30
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
    from unseen.data.sources import LOCALES, emoji, emoji_words

    drawn = emoji(style, level="emoji")
    words = {locale: emoji_words(locale) for locale in LOCALES}
    found = []
    for i, code in enumerate(drawn.columns["emoji"].tolist()):
        told = {locale: _caption(locale, *words[locale][code], code) for locale in LOCALES if code in words[locale]}
        found.append(Thing(f"{style}/{code}", drawn.x[i], told))
    return tuple(found)


def _caption(locale: str, name: str, tags: Sequence[str], code: str) -> str:
    form = FORMS[locale][zlib.crc32(f"{locale}/{code}".encode()) % 3]
    told = form.format(name, ", ".join(tags[:3]) or name)
    return told if len(told) > SHORT else FORMS[locale][0].format(name)


def name_of(key: str) -> str:
    """The English name of the emoji of a key."""
    from unseen.data.sources import emoji_words

    return emoji_words("en")[key.partition("/")[2]][0]


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
    found = []
    for word in unicodedata.normalize("NFKC", text).casefold().split():
        word = word.strip(".,:;!?()・")
        found.append(word)
        size = 1 if any(ord(letter) > 0x2E80 for letter in word) else 4
        found += [word[i : i + size] for i in range(len(word) - size + 1)]
        found += [word[i : i + 2] for i in range(len(word) - 1)] if size == 1 else []
    return tuple(1 + zlib.crc32(gram.encode()) % (BUCKETS - 1) for gram in found if gram)[:LENGTH] or (1,)


class GramText(nn.Module):
    """The mean of hashed vectors, one linear layer, unit length."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.EmbeddingBag(BUCKETS, DIM, mode="mean", padding_idx=0)
        self.linear = nn.Linear(DIM, DIM)

    def forward(self, ids: Tensor) -> Tensor:
        """Unit vectors, (b, 64)."""
        return F.normalize(self.linear(self.table(ids)), dim=1)


class Towers(nn.Module):
    """A linear layer on standardized features of pictures beside a `GramText`."""

    centre: Tensor
    spread: Tensor

    def __init__(self, features: Tensor) -> None:
        super().__init__()
        self.image, self.text = nn.Linear(POOLED, DIM), GramText()
        self.scale = nn.Parameter(torch.tensor(20.0).log())
        self.register_buffer("centre", features.mean(dim=0))
        self.register_buffer("spread", features.std(dim=0).clamp_min(1e-3))

    def encode_image(self, features: Tensor) -> Tensor:
        """Unit vectors of pooled features, (b, 64)."""
        return F.normalize(self.image((features - self.centre) / self.spread), dim=1)


class _ImageTower(nn.Module):
    def __init__(self, network: nn.Module, towers: Towers) -> None:
        super().__init__()
        self.network, self.towers = network, towers

    def forward(self, images: Tensor) -> Tensor:
        return self.towers.encode_image(self.network(images).float())


@functools.cache
def lite0() -> Any:
    """EfficientNet-Lite0 in float32, on small pictures: a third of the time."""
    from unseen.encoders import get

    return get("efficientnet-lite0?size=128", precision="fp32")


def features_of(pictures: Sequence[Any], keys: Sequence[str]) -> Tensor:
    """Pooled features of pictures, (n, 1280); `keys` say which picture each is."""
    import hashlib

    x = Lazy(range(len(pictures)), pictures.__getitem__, lambda i: hashlib.sha256(keys[i].encode()).hexdigest())
    return torch.from_numpy(lite0().encode(Domain(x=x, kind="image", name="pictures")).x)


def learn(features: Tensor, captions: Sequence[Sequence[str]], *, seed: int, n_steps: int | None = None) -> Towers:
    """Train towers on pictures with one caption or several each, by CLIP's loss.

    Parameters
    ----------
    features : Tensor (n, 1280)
    captions : sequence of n sequences of str
    seed : int
    n_steps : int, optional
        Steps in place of `EPOCHS` passes.
    """
    per_epoch = steps(len(features), BATCH)
    epochs = EPOCHS if n_steps is None else max(1, n_steps // per_epoch)
    grams = Grams()
    flat = grams([text for texts in captions for text in texts])
    starts = np.cumsum([0, *(len(texts) for texts in captions)])
    with reproducible(seed), without_checkpoints():
        towers = Towers(features)
        adam = torch.optim.AdamW(towers.parameters(), lr=2e-3, weight_decay=1e-2)

        def objective(batch: Batch, run: Run) -> Tensor:
            index = batch.index.numpy()
            draw = torch.rand(len(index), generator=run.generator).numpy()
            rows = starts[index] + (draw * (starts[index + 1] - starts[index])).astype(np.int64)
            image = towers.encode_image(F.dropout(batch.x, 0.2))
            cosines = image @ towers.text(flat[torch.from_numpy(rows)]).T
            logits = towers.scale.exp().clamp(max=100) * cosines
            own = torch.arange(len(logits))
            return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2

        train(
            objective,
            name="small-web",
            nets={"towers": towers},
            optimizers={"adam": adam},
            schedulers={"rate": warm_cosine(adam, epochs * per_epoch, per_epoch)},
            batches=batches(Domain(x=features.numpy(), kind="features"), BATCH),
            epochs=epochs,
            steps_per_epoch=per_epoch,
        )
    return towers.eval().requires_grad_(False)


def drawn(style: str, *, watermark: bool = False, step: int = 1) -> tuple[list[Any], list[str]]:
    """Pictures of a vendor, or every `step`-th, as a web shows them, and a key for each."""
    own = things(style)[::step]
    pictures = [
        rendered(one.picture, np.random.default_rng([zlib.crc32(one.key.encode()), 7]), watermark=watermark)
        for one in own
    ]
    return pictures, [f"rendered/{one.key}/{watermark}" for one in own]


@functools.cache
def encoder() -> TwoTowerEncoder:
    """The two towers as an encoder, trained anew in each process: about a minute."""
    from unseen.encoders.base import Encoder

    parts, captions = [], []
    for style in VENDORS:
        parts.append(features_of(*drawn(style)))
        captions += [list(one.captions.values()) for one in things(style)]
    towers = learn(torch.cat(parts), captions, seed=0)
    return TwoTowerEncoder(
        name="small-web",
        image=Encoder(
            name="small-web",
            module=_ImageTower(lite0().module, towers),
            preprocess=lite0().preprocess,
            precision="fp32",
        ),
        text=Encoder(name="small-web", module=towers.text, preprocess=Grams(), precision="fp32", batch_size=128),
        logit_scale=float(towers.scale.exp().clamp(max=100)),
        template=lambda name, description: description or name,
    )


def top_one(towers: Towers, features: Tensor, labels: NDArray[np.int64], names: Sequence[str]) -> float:
    """Accuracy of naming pictures by the nearest of `names`."""
    with torch.no_grad():
        cosines = towers.encode_image(features) @ towers.text(Grams()(names)).T
    return float((cosines.argmax(dim=1).numpy() == labels).mean())
