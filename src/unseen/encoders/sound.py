"""Spaces of texts and sounds: any CLAP of transformers by its name, and a small one that says what it is."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from unseen.data.domain import Domain
from unseen.data.rows import unit_rows
from unseen.data.sounds import audible
from unseen.data.typing import FloatArray, IntArray
from unseen.encoders.text import silently, unknown_alone
from unseen.files import loads
from unseen.nn.semantic import ridge
from unseen.nn.state import load_state, save_state
from unseen.runtime import current, track
from unseen.validation.rehearsal import folds_of_groups, told_by_others

SOUNDS_TOGETHER, TEXTS_TOGETHER = 16, 64
"""Sounds, and texts, that go through a network together."""
RATE = 16_000
"""Values a second that the small space reads."""
FRAME, HOP, BANDS = 512, 256, 48
"""Of its spectra: 32 ms every 16, in 48 mel bands."""
LOWEST, DEEPEST = 50.0, 8.0
"""Hertz of the lowest band; tens of decibels below its loudest moment that a sound is heard."""
FOLDS = 5
"""Parts of the pairs; each is predicted by what was learnt from the others."""
PENALTIES = (10.0, 100.0, 1000.0, 10000.0)
"""Of the ridge regression of a small space, to choose from."""
FEWEST = 10
"""Sounds with captions that a small space is learnt from, at least."""


class ClapSpace:
    """The space of a CLAP model: a sound of more than ten seconds is the mean of its parts that are not silent.

    Parameters
    ----------
    model : transformers.ClapModel
        Frozen.
    tokenizer, extractor
        What its processor is made of.
    name : str
    """

    seconds = 10.0

    def __init__(self, model: Any, tokenizer: Any, extractor: Any, name: str) -> None:
        self.model = model.eval().requires_grad_(False)
        self.tokenizer, self.extractor, self.name = tokenizer, extractor, name
        self.rate = int(extractor.sampling_rate)

    def __repr__(self) -> str:
        return f"ClapSpace({self.name!r})"

    @property
    def about(self) -> str:
        """What it is, in a sentence."""
        return f"{self.name}, a CLAP model of {self.dim} dimensions"

    @property
    def dim(self) -> int:
        """Of the space."""
        return int(self.model.config.projection_dim)

    @property
    def most_tokens(self) -> int:
        """Tokens after which a text is cut."""
        positions = int(self.model.config.text_config.max_position_embeddings)
        return min(positions - 2, 512)  # RoBERTa counts its positions from 2, behind that of padding

    def cuts(self, texts: Sequence[str]) -> list[bool]:
        """Which texts are longer than it reads."""
        return [len(ids) > self.most_tokens for ids in self._whole(texts)]

    def unspelt(self, texts: Sequence[str]) -> list[bool]:
        """Which texts are nothing to it but unknown tokens."""
        return unknown_alone(self.tokenizer, self._whole(texts))

    def _whole(self, texts: Sequence[str]) -> list[list[int]]:
        ids: list[list[int]] = self.tokenizer(list(texts), truncation=False, verbose=False)["input_ids"]
        return ids

    @torch.no_grad()
    def encode_text(self, texts: Sequence[str]) -> Float[np.ndarray, "n d"]:
        """Unit vectors of texts, (n, d)."""
        items = [str(text) for text in texts]
        starts = track(range(0, len(items), TEXTS_TOGETHER), "texts")
        return self._encoded((items[i : i + TEXTS_TOGETHER] for i in starts), self._texts)

    @torch.no_grad()
    def encode_audio(self, waves: Sequence[NDArray[np.float32]]) -> Float[np.ndarray, "n d"]:
        """Unit vectors of waves of `rate` values a second, (n, d)."""
        parts = [audible(wave, self.rate, self.seconds) for wave in waves]
        items = [part for pieces in parts for part in pieces]
        starts = range(0, len(items), SOUNDS_TOGETHER)
        flat = self._encoded((items[i : i + SOUNDS_TOGETHER] for i in starts), self._waves)
        return mean_of_parts(flat, [len(pieces) for pieces in parts])

    def _encoded(self, batches: Iterable[list[Any]], read: Any) -> FloatArray:
        device = torch.device(current().device)
        self.model.to(device)
        vectors = [read(batch, device).cpu().float() for batch in batches]
        self.model.to("cpu")
        return unit_rows(torch.cat(vectors).numpy())

    def _texts(self, texts: list[str], device: torch.device) -> torch.Tensor:
        tokens = self.tokenizer(
            texts, padding=True, truncation=True, max_length=self.most_tokens, return_tensors="pt"
        ).to(device)
        return vectors_of(
            self.model.get_text_features(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])
        )

    def _waves(self, waves: list[NDArray[np.float32]], device: torch.device) -> torch.Tensor:
        features = self.extractor(waves, sampling_rate=self.rate, return_tensors="pt")
        others = {"is_longer": features["is_longer"].to(device)} if "is_longer" in features else {}
        return vectors_of(self.model.get_audio_features(input_features=features["input_features"].to(device), **others))


class SmallSpace:
    """A small space: log-mel statistics of sounds, mapped by ridge regression to the vectors of their captions.

    It knows what it has been shown and little else; `about` says how much that is.

    Parameters
    ----------
    text : Encoder
        Of texts (`unseen.encoders.get("minilm")`).
    scale, shift : arrays (f,)
        Of the statistics.
    weights : array (f, d)
    mean : array (d,)
        Of the captions' vectors.
    learnt : mapping
        From how many sounds, of how many captions, and how often a sound it had not heard found its caption.
    """

    rate = RATE
    seconds = 10.0

    def __init__(
        self,
        text: Any,
        scale: NDArray[Any],
        shift: NDArray[Any],
        weights: NDArray[Any],
        mean: NDArray[Any],
        learnt: Mapping[str, Any],
    ) -> None:
        self.text, self.scale, self.shift, self.weights, self.mean = text, scale, shift, weights, mean
        self.learnt = dict(learnt)
        self.name = f"small space of {self.learnt['sounds']} sounds"

    def __repr__(self) -> str:
        return f"SmallSpace({self.about!r})"

    @property
    def dim(self) -> int:
        """Of the space."""
        return int(self.weights.shape[1])

    @property
    def about(self) -> str:
        """What it is, in a sentence."""
        info = self.learnt
        return (
            f"a small space, not a CLAP: log-mel statistics mapped to {self.text.name} by {info['sounds']} sounds with "
            f"{info['captions']} captions; of sounds that it had not heard, {info['recall@5']:.0%} found a caption of "
            f"theirs among the first five of {info['captions']} (chance {info['chance@5']:.0%})"
        )

    def encode_text(self, texts: Sequence[str]) -> Float[np.ndarray, "n d"]:
        """Unit vectors of texts, (n, d)."""
        domain = Domain(x=np.array([str(text) for text in texts], dtype=np.str_), kind="text", name="texts")
        return unit_rows(self.text.encode(domain).x)

    def encode_audio(self, waves: Sequence[NDArray[np.float32]]) -> Float[np.ndarray, "n d"]:
        """Unit vectors of waves of `rate` values a second, (n, d)."""
        parts = [audible(wave, self.rate, self.seconds) for wave in waves]
        flat = [log_mel_statistics(part) for pieces in parts for part in pieces]
        x = (np.stack(flat) - self.shift) / self.scale
        return mean_of_parts(unit_rows(x @ self.weights + self.mean), [len(pieces) for pieces in parts])

    @classmethod
    def learn(
        cls,
        waves: Sequence[NDArray[np.float32]],
        captions: Sequence[str],
        text: Any,
        files: Sequence[str] | None = None,
    ) -> SmallSpace:
        """A space from sounds of `RATE` values a second with a caption each.

        The penalty of the ridge regression is the one by which sounds of a fold that was not learnt from are nearest to
        their captions. What shares a file or a caption is in one fold: neither a sound nor a text of a fold is known.

        Raises
        ------
        ValueError
            If there are fewer than `FEWEST`, or all of them share a file or a caption, or captions or files are not as
            many as waves.
        """
        if len(waves) < FEWEST:
            raise ValueError(f"pairs must be at least {FEWEST} sounds with a caption each; got {len(waves)}")
        for name, given in (("captions", captions), ("files", files)):
            if given is not None and len(given) != len(waves):
                raise ValueError(f"{name} must be one for each of the {len(waves)} waves; got {len(given)}")
        file_of = [str(i) for i in range(len(waves))] if files is None else [str(file) for file in files]
        fold = folds_of(file_of, [str(caption) for caption in captions])
        left_out = [np.flatnonzero(fold == k) for k in range(int(fold.max()) + 1)]
        domain = Domain(x=np.array([str(caption) for caption in captions], dtype=np.str_), kind="text", name="captions")
        y = unit_rows(text.encode(domain).x)
        x = np.stack([log_mel_statistics(wave) for wave in track(list(waves), "sounds")])
        shift, scale = x.mean(axis=0), x.std(axis=0) + 1e-3
        z, mean = (x - shift) / scale, y.mean(axis=0)

        def predicted(penalty: float) -> NDArray[Any]:
            return mean + told_by_others(
                len(z), left_out, lambda rest, part: z[part] @ _mapped(z[rest], y[rest] - mean, penalty)
            )

        tried = {penalty: predicted(penalty) for penalty in PENALTIES}
        best = max(tried, key=lambda penalty: float((unit_rows(tried[penalty]) * y).sum(axis=1).mean()))
        texts, place = np.unique(domain.x, return_index=True)
        scores = unit_rows(tried[best]) @ y[place].T
        correct = scores[np.arange(len(z)), np.searchsorted(texts, domain.x)]
        rank = (scores > correct[:, None]).sum(axis=1)
        learnt = {
            "sounds": len(z), "captions": len(texts), "penalty": best, "recall@5": float((rank < 5).mean()),
            "chance@5": min(1.0, 5 / len(texts)),
        }  # fmt: skip
        return cls(text, scale, shift, _mapped(z, y - mean, best).astype(np.float32), mean, learnt)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write what was learnt; the text tower is told by its name."""
        arrays = {name: np.asarray(getattr(self, name)) for name in ("scale", "shift", "weights", "mean")}
        save_state(folder, {"small space": self.text.name, "learnt": self.learnt, **arrays})

    @classmethod
    @loads("a small space of texts and sounds")
    def load(cls, folder: str | os.PathLike[str]) -> SmallSpace:
        """Read what `save` wrote."""
        from unseen import encoders

        value = load_state(folder)
        if not isinstance(value, dict) or "small space" not in value:
            raise ValueError(f"{os.fspath(folder)} holds no small space of texts and sounds")
        scale, shift, weights, mean = (value[name] for name in ("scale", "shift", "weights", "mean"))
        return cls(encoders.get(value["small space"]), scale, shift, weights, mean, value["learnt"])


def folds_of(files: Sequence[str], captions: Sequence[str]) -> IntArray:
    """A fold of each pair, (n,), of at most `FOLDS`; pairs that share a file or a caption, also by others, share it."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    a, b = np.unique(files, return_inverse=True)[1], np.unique(captions, return_inverse=True)[1]
    size = int(a.max()) + int(b.max()) + 2
    count, part = connected_components(
        coo_matrix((np.ones(len(a)), (a, b + a.max() + 1)), (size, size)), directed=False
    )
    if count < 2:
        raise ValueError("pairs must hold sounds that share no file and no caption; all of these do, one by another")
    return folds_of_groups(part[a], FOLDS)


def _mel_filters() -> NDArray[np.float32]:
    """Triangular filters of `BANDS` mel bands up to half the rate, (bands, FRAME / 2 + 1); mel as by O'Shaughnessy."""

    def mel(hertz: float) -> float:
        return 2595 * float(np.log10(1 + hertz / 700))

    edges = 700 * (10 ** (np.linspace(mel(LOWEST), mel(RATE / 2), BANDS + 2) / 2595) - 1)
    bins = np.fft.rfftfreq(FRAME, 1 / RATE)
    up = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    down = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    return np.maximum(0, np.minimum(up, down)).astype(np.float32)


_MEL_FILTERS = _mel_filters()


def log_mel_statistics(wave: NDArray[np.float32], parts: int = 1) -> FloatArray:
    """What a small space hears: of each mel band's log power mean, spread, change and how it peaks, (4 x bands,).

    With more `parts`, as many equal ones of the time follow the whole, each told in the same way: the order of what is
    heard is then not lost, (4 x bands x (1 + parts),).
    """
    padded = np.pad(wave, (0, max(0, FRAME + HOP - len(wave))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::HOP]
    power = np.abs(np.fft.rfft(frames * np.hanning(FRAME).astype(np.float32), axis=1)) ** 2
    bands = np.log10(power @ _MEL_FILTERS.T + 1e-20)
    bands = np.maximum(bands - bands.max(), -DEEPEST)  # how loud it is says little of what it is
    statistics = [_statistics(bands)]
    if parts > 1:
        edges = np.linspace(0, len(bands), parts + 1)
        stretches = [(int(low), max(int(high), int(low) + 2)) for low, high in itertools.pairwise(edges)]
        statistics += [_statistics(bands[min(low, len(bands) - 2) : high]) for low, high in stretches]
    return np.concatenate(statistics).astype(np.float32)


def _statistics(bands: NDArray[Any]) -> NDArray[Any]:
    change = np.abs(np.diff(bands, axis=0)).mean(axis=0)
    return np.concatenate([bands.mean(axis=0), bands.std(axis=0), change, np.percentile(bands, 95, axis=0)])


def _mapped(x: NDArray[Any], y: NDArray[Any], penalty: float) -> NDArray[Any]:
    """W, (f, d), with the least sum of squares of x W - y and `penalty` times its own: ridge regression."""
    return ridge(torch.as_tensor(x), torch.as_tensor(y), penalty / len(x)).numpy()


def mean_of_parts(x: FloatArray, counts: Sequence[int]) -> FloatArray:
    """One unit vector of each sound, the mean of those of its parts."""
    starts = np.cumsum([0, *counts])[:-1]
    return unit_rows(np.add.reduceat(x, starts, axis=0))


def clap(name: str) -> ClapSpace:
    """A CLAP by its name on the hub, such as ``laion/clap-htsat-unfused``, or a folder that holds one.

    Raises
    ------
    ValueError
        If it cannot be had; the message says what to do.
    """
    from transformers import AutoFeatureExtractor, AutoTokenizer, ClapModel

    folder = Path(name).expanduser()
    place = str(folder) if folder.is_dir() else name
    if not folder.is_dir() and name.startswith((".", "/", "~")):
        raise ValueError(f"encoder: there is no folder {name!r}")
    try:
        with silently():
            model = ClapModel.from_pretrained(place, dtype=torch.float32)
        return ClapSpace(
            model, AutoTokenizer.from_pretrained(place), AutoFeatureExtractor.from_pretrained(place), Path(name).name
        )
    except OSError as error:
        raise ValueError(
            f"encoder: {name!r} is no CLAP model that can be had: give a folder that holds it, or go online ({error})"
        ) from error


def vectors_of(output: Any) -> torch.Tensor:
    """The vectors that a tower gave, which newer versions of transformers wrap."""
    return output if isinstance(output, torch.Tensor) else output.pooler_output
