"""Cases for choice_study.py that no rule was made or judged on: letters, digits, speakers, languages, flowers."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

from shifts.readers import DIGITS, FONTS, eight_by_eight, halves, mnist_test, spoken
from shifts.readers import letters as draw_letters
from shifts.readers import sentences as read_sentences

from unseen.data.domain import Domain

LANGUAGES = {
    "English": "EN/argument_components/original_data/neoplasm_dev.tsv",
    "Spanish": "ES/deepl/argument_components/manual_revision/es_neoplasm_deepl_awesome_dev.tsv",
    "French": "FR/nllb/argument_components/manual_revision/fr_neoplasm_nllb_awesome_dev.tsv",
    "Italian": "IT/nllb/argument_components/manual_revision/it_neoplasm_nllb_awesome_dev.tsv",
}


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
    """Capital letters of a font that ships with matplotlib; features of the encoder."""
    from choice_study import encoded

    return encoded(draw_letters(font, copies))


def mnist(folder: Path, samples: int = 600) -> Domain:
    """The first test images of MNIST, as eight by eight pixels."""
    images, y = mnist_test(folder)
    return Domain(x=eight_by_eight(images[:samples]), y=y[:samples], classes=DIGITS, name="mnist")


def pixels() -> tuple[Domain, Domain]:
    """scikit-learn's handwriting and printed digits, other samples of them than in the study."""
    from choice_study import digits

    hand, printed, _ = digits(1000)
    return hand.take(slice(500, 1000)), printed.take(slice(500, 1000))


def sentences(file: Path, name: str, samples: int = 600) -> Domain:
    """Sentences of abstracts by what they are, as vectors of MiniLM, which learnt English."""
    from unseen import encoders

    return encoders.get("minilm").encode(read_sentences(file, name).take(slice(0, samples)))


def flowers() -> tuple[Domain, Domain]:
    """scikit-learn's irises below and above the median width of their sepals."""
    below, above = halves("iris", "sepal width (cm)")
    return below, above
