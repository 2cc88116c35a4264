"""Labelled domains out of files that somebody has, and letters that are drawn: shared with the studies of the pages."""

from __future__ import annotations

import gzip
import io
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain, Lazy

DIGITS = ClassSpace(names=tuple("0123456789"))
FONTS = ("DejaVuSans", "DejaVuSerif-BoldItalic", "DejaVuSansMono-Bold", "STIXGeneralItalic", "cmtt10")
LETTERS = ClassSpace(names=tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
ALPHANUMERIC = ClassSpace(names=(*LETTERS.names, *(name.lower() for name in LETTERS.names), *DIGITS.names))
KINDS = ClassSpace(names=("Claim", "Premise", "neither"))


def letters(font: str, copies: int = 20, classes: ClassSpace = LETTERS) -> Domain:
    """Capital letters of a font that ships with matplotlib, or others that are named, turned, moved and sized."""
    import matplotlib

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"

    def draw(item: tuple[str, int]) -> Image.Image:
        rng = np.random.default_rng([ord(item[0]), item[1], FONTS.index(font)])
        face = ImageFont.truetype(str(folder / f"{font}.ttf"), int(rng.integers(110, 170)))
        page = Image.new("RGB", (224, 224), "white")
        across, down = (112 + rng.uniform(-15, 15, 2)).tolist()
        ink = tuple(rng.integers(0, 120, 3).tolist())
        ImageDraw.Draw(page).text((across, down), item[0], font=face, anchor="mm", fill=ink)
        return page.rotate(float(rng.uniform(-15, 15)), fillcolor="white")

    items = [(letter, copy) for letter in classes.names for copy in range(copies)]
    y = np.array([classes.index(letter) for letter, _ in items])
    return Domain(x=Lazy(items, draw), y=y, kind="image", classes=classes, name=font)


def read_idx(images: bytes, labels: bytes) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Pictures of 28 x 28 pixels and their labels from two gzipped IDX files, as MNIST has them."""
    pictures = np.frombuffer(gzip.decompress(images)[16:], dtype=np.uint8).reshape(-1, 28, 28)
    return pictures, np.frombuffer(gzip.decompress(labels)[8:], dtype=np.uint8).astype(np.int64)


def mnist_test(folder: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The test pictures of MNIST and their labels."""
    names = ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")
    images, labels = ((folder / name).read_bytes() for name in names)
    return read_idx(images, labels)


def eight_by_eight(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Small copies of grey pictures as features, (n, 64) in [0, 1]."""
    copies = [np.asarray(Image.fromarray(picture).resize((8, 8), Image.Resampling.BOX)) for picture in pictures]
    return (np.stack(copies).reshape(len(pictures), -1) / 255).astype(np.float32)


def spoken(folder: Path) -> Domain:
    """Spoken digits: mean and deviation over time of 40 log energies on a mel scale, and of their differences."""
    from scipy.io import wavfile

    files = sorted(folder.glob("*.wav"))
    if not files:
        raise FileNotFoundError(f"there is no wav file in {folder}")
    x = np.stack([spectrum(wavfile.read(file)[1].astype(np.float64)) for file in files]).astype(np.float32)
    digit, speaker = zip(*(file.stem.split("_")[:2] for file in files))
    return Domain(
        x=x, y=np.array([int(d) for d in digit]), classes=DIGITS, columns={"speaker": np.array(speaker)}, name="spoken"
    )


def spectrum(wave: NDArray[np.float64], rate: int = 8000, bands: int = 40) -> NDArray[np.float64]:
    """Statistics of a recording, (160,)."""
    from scipy.signal import stft

    power = np.abs(stft(wave, rate, nperseg=256, noverlap=128)[2]) ** 2
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + rate / 1400), bands + 2) / 2595) - 1) / (rate / 2) * 128
    bins = np.arange(len(power))
    up = (bins - edges[:-2, None]) / np.maximum(edges[1:-1] - edges[:-2], 1e-9)[:, None]
    down = (edges[2:, None] - bins) / np.maximum(edges[2:] - edges[1:-1], 1e-9)[:, None]
    energy = np.log(np.maximum(np.minimum(up, down), 0) @ power + 1e-6)
    step = np.diff(energy, axis=1) if energy.shape[1] > 1 else np.zeros_like(energy)
    return np.concatenate([part for of in (energy, step) for part in (of.mean(axis=1), of.std(axis=1))])


def sentences(file: Path, name: str) -> Domain:
    """The sentences of abstracts, as texts, by what most of their words belong to: a claim, a premise or neither."""
    blocks = [
        [line.rsplit(" ", 1) for line in block.splitlines() if " " in line]
        for block in file.read_text(encoding="utf-8", errors="replace").split("\n\n")
        if block.strip()
    ]
    texts = np.array([" ".join(token for token, _ in block) for block in blocks])
    kinds = [Counter(mark.rpartition("-")[2] for _, mark in block).most_common(1)[0][0] for block in blocks]
    y = np.array([KINDS.names.index(kind) if kind in KINDS.names else 2 for kind in kinds])
    return Domain(x=texts, y=y, kind="text", classes=KINDS, name=name)


def read_tables(file: Path, samples: int = 600, words: int = 1000) -> list[Domain]:
    """The domains of one file: log(1 + count); at most `samples` of each, and the most frequent `words`."""
    from scipy.io import loadmat
    from scipy.sparse import csr_matrix

    data = loadmat(io.BytesIO(file.read_bytes()))
    y = np.unique(np.asarray(data["y"]).ravel(), return_inverse=True)[1]
    counts = csr_matrix(data["D"])
    if counts.shape[0] != len(y):
        counts = csr_matrix(counts.T)
    frequent = np.sort(np.argsort(-np.asarray((counts > 0).sum(axis=0)).ravel(), kind="stable")[:words])
    counts = counts[:, frequent]
    names = [str(np.asarray(name).ravel()[0]) for name in np.asarray(data["domain_names"]).ravel()]
    ends = np.asarray(data["domains"]).ravel()
    space = ClassSpace(names=tuple(map(str, range(int(y.max()) + 1))))
    domains = []
    for name, start, end in zip(names, ends[:-1], ends[1:]):
        rows = start + np.sort(np.random.default_rng(0).permutation(end - start)[:samples])
        x = np.log1p(counts[rows].toarray()).astype(np.float32)
        domains.append(Domain(x=x, y=y[rows], classes=space, name=name))
    return domains


def halves(name: str, cut: str) -> list[Domain]:
    """A table of scikit-learn in two parts: below and above the median of a column, which is left out."""
    from sklearn import datasets

    data = getattr(datasets, f"load_{name}")()
    column = list(data.feature_names).index(cut)
    below = data.data[:, column] < np.median(data.data[:, column])
    x = np.log1p(np.delete(data.data, column, axis=1)).astype(np.float32)
    space = ClassSpace(names=tuple(map(str, data.target_names)))
    return [
        Domain(x=x[part], y=data.target[part], classes=space, name=f"{name} {side} {cut}")
        for side, part in (("below", below), ("above", ~below))
    ]
