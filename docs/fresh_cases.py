"""Cases for choice_study.py that no rule was made or judged on: letters, digits, speakers, languages, flowers."""

from __future__ import annotations

import gzip
import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain, Lazy

DIGITS = ClassSpace(names=tuple("0123456789"))
FONTS = ("DejaVuSans", "DejaVuSerif-BoldItalic", "DejaVuSansMono-Bold", "STIXGeneralItalic", "cmtt10")
LETTERS = ClassSpace(names=tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
LANGUAGES = {
    "English": "EN/argument_components/original_data/neoplasm_dev.tsv",
    "Spanish": "ES/deepl/argument_components/manual_revision/es_neoplasm_deepl_awesome_dev.tsv",
    "French": "FR/nllb/argument_components/manual_revision/fr_neoplasm_nllb_awesome_dev.tsv",
    "Italian": "IT/nllb/argument_components/manual_revision/it_neoplasm_nllb_awesome_dev.tsv",
}
KINDS = ClassSpace(names=("Claim", "Premise", "neither"))


def fresh(data: Path) -> Iterator[tuple[str, Domain, Domain]]:
    """Part, source and target of every case; `data` is a folder with mnist-test, fsdd and abstrct."""
    fonts = [letters(font) for font in FONTS]
    for i, j in itertools.permutations(range(len(fonts)), 2):
        if (j - i) % len(fonts) in (1, 2):
            yield "letters", fonts[i], fonts[j]
    drawn, (hand, printed) = mnist(data / "mnist-test"), pixels()
    for other in (hand, printed):
        yield "MNIST", drawn, other
        yield "MNIST", other, drawn
    voices = spoken(data / "fsdd")
    for name in dict.fromkeys(voices.columns["speaker"].tolist()):
        own = voices.columns["speaker"] == name
        yield "speakers", voices.take(~own).replace(name="all others"), voices.take(own).replace(name=name)
    texts = {language: sentences(data / "abstrct" / file, language) for language, file in LANGUAGES.items()}
    for other in ("Spanish", "French", "Italian"):
        yield "languages", texts["English"], texts[other]
        yield "languages", texts[other], texts["English"]
    below, above = flowers()
    yield "flowers", below, above
    yield "flowers", above, below


def letters(font: str, copies: int = 20) -> Domain:
    """Capital letters of a font that ships with matplotlib, turned, moved and sized; features of the encoder."""
    import matplotlib
    from choice_study import encoded

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"

    def draw(item: tuple[str, int]) -> Image.Image:
        rng = np.random.default_rng([ord(item[0]), item[1], FONTS.index(font)])
        face = ImageFont.truetype(str(folder / f"{font}.ttf"), int(rng.integers(110, 170)))
        page = Image.new("RGB", (224, 224), "white")
        place = tuple(float(value) for value in 112 + rng.uniform(-15, 15, 2))
        ImageDraw.Draw(page).text(place, item[0], font=face, anchor="mm", fill=tuple(rng.integers(0, 120, 3).tolist()))
        return page.rotate(float(rng.uniform(-15, 15)), fillcolor="white")

    items = [(letter, copy) for letter in LETTERS.names for copy in range(copies)]
    y = np.array([LETTERS.index(letter) for letter, _ in items])
    return encoded(Domain(x=Lazy(items, draw), y=y, kind="image", classes=LETTERS, name=font))


def mnist(folder: Path, samples: int = 600) -> Domain:
    """The first test images of MNIST, as eight by eight pixels."""
    raw = gzip.decompress((folder / "t10k-images-idx3-ubyte.gz").read_bytes())[16:]
    images = np.frombuffer(raw, dtype=np.uint8).reshape(-1, 28, 28)[:samples]
    y = np.frombuffer(gzip.decompress((folder / "t10k-labels-idx1-ubyte.gz").read_bytes())[8:], dtype=np.uint8)
    small = [np.asarray(Image.fromarray(image).resize((8, 8), Image.Resampling.BOX)) for image in images]
    x = (np.stack(small).reshape(samples, -1) / 255).astype(np.float32)
    return Domain(x=x, y=y[:samples].astype(np.int64), classes=DIGITS, name="mnist")


def pixels() -> tuple[Domain, Domain]:
    """scikit-learn's handwriting and printed digits, other samples of them than in the study."""
    from choice_study import digits

    hand, printed, _ = digits(1000)
    return hand.take(slice(500, 1000)), printed.take(slice(500, 1000))


def spoken(folder: Path) -> Domain:
    """Spoken digits: mean and deviation over time of 40 log energies on a mel scale, and of their differences."""
    from scipy.io import wavfile

    files = sorted(folder.glob("*.wav"))
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


def sentences(file: Path, name: str, samples: int = 600) -> Domain:
    """Sentences of abstracts by what they are, as vectors of MiniLM, which learnt English."""
    from unseen import encoders

    found = [
        [line.rsplit(" ", 1) for line in block.splitlines() if " " in line]
        for block in file.read_text(encoding="utf-8", errors="replace").split("\n\n")
        if block.strip()
    ][:samples]
    texts = np.array([" ".join(token for token, _ in lines) for lines in found])
    kinds = [Counter(mark.rpartition("-")[2] for _, mark in lines).most_common(1)[0][0] for lines in found]
    y = np.array([KINDS.names.index(kind) if kind in KINDS.names else 2 for kind in kinds])
    return encoders.get("minilm").encode(Domain(x=texts, y=y, kind="text", classes=KINDS, name=name))


def flowers() -> tuple[Domain, Domain]:
    """scikit-learn's irises below and above the median width of their sepals."""
    from choice_study import halves

    below, above = halves("iris", "sepal width (cm)")
    return below, above
