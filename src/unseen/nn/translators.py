"""Translators and aligners that are programs of others, or networks of transformers: extras, named when they lack."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from unseen.nn.model_places import model_place
from unseen.nn.taggers import token_encoder
from unseen.nn.word_alignment import (
    IBM1,
    Alignment,
    Sentences,
    Similarity,
    from_matrix,
    from_pharaoh,
    grow_diagonal,
    plain,
)
from unseen.runtime import track

EFLOMAL = "the aligner eflomal is no part of this library (GPL): pip install eflomal"
APERTIUM = (
    "the translator apertium is no part of this library (GPL): on Debian and Ubuntu `apt-get install apertium` and the "
    "pair of languages, such as apertium-eng-spa"
)
SECONDS = 3600
"""After which another program is stopped."""


def _program(name: str, how: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise ImportError(f"there is no program {name}; {how}")
    return path


def _run(command: list[str], given: str | None = None) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - a list of arguments, no shell
            command,
            input=given,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise OSError(f"{Path(command[0]).name} did not end in {SECONDS} seconds") from error
    if done.returncode:
        reason = " ".join(done.stderr.split())[-300:] or "it says nothing"
        raise OSError(f"{Path(command[0]).name} failed with {done.returncode}: {reason}")
    return done.stdout


@dataclasses.dataclass
class Eflomal:
    """Aligns by eflomal, a program of others, in both directions (grow-diagonal).

    It is unsupervised and looks at all sentences at once: `align` asks it anew, together with those of `fit`.
    """

    name: str = "eflomal"

    def fit(self, source: Sentences, target: Sentences) -> Self:
        """Remember sentences to align together with others."""
        _program("eflomal-align", EFLOMAL)
        self.seen = [(list(a), list(b)) for a, b in zip(source, target, strict=True)]
        return self

    def align(self, source: Sentences, target: Sentences) -> list[Alignment]:
        """The links of each pair; one that both directions have is sure by 1, one of a single direction by a half."""
        program = _program("eflomal-align", EFLOMAL)
        pairs = [(list(a), list(b)) for a, b in zip(source, target, strict=True)]
        known = {(" ".join(a), " ".join(b)) for a, b in pairs}
        every = pairs + [(a, b) for a, b in self.seen if (" ".join(a), " ".join(b)) not in known]
        with tempfile.TemporaryDirectory() as folder:
            files = [str(Path(folder) / name) for name in ("source", "target", "forward", "reverse")]
            for file, side in zip(files, (0, 1)):
                lines = [" ".join(plain(w).replace(" ", "_") or "_" for w in pair[side]) or "_" for pair in every]
                Path(file).write_text("\n".join(lines) + "\n", encoding="utf-8")
            _run([program, "-s", files[0], "-t", files[1], "-f", files[2], "-r", files[3], "--overwrite"])
            there, back = (Path(file).read_text(encoding="utf-8").splitlines() for file in files[2:])
        if min(len(there), len(back)) < len(pairs):
            raise OSError(f"eflomal-align gave {len(there)} and {len(back)} lines for {len(every)} pairs")
        return [_both(a, b, f, r) for (a, b), f, r in zip(pairs, there, back)]


def _both(left: Sequence[str], right: Sequence[str], forward: str, reverse: str) -> Alignment:
    tables = np.zeros((2, len(left), len(right)), dtype=bool)
    for table, line in zip(tables, (forward, reverse)):
        for i, js in from_pharaoh(line).links.items():
            for j in js:
                if i < len(left) and j < len(right):
                    table[i, j] = True
    return from_matrix(grow_diagonal(tables[0], tables[1]), tables.mean(axis=0))


@dataclasses.dataclass
class Apertium:
    """Translates by apertium, a program of others, from one language into another by rules.

    Parameters
    ----------
    pair : str
        As ``eng-spa``.
    """

    pair: str
    name: str = "apertium"

    def translate(self, texts: Sequence[str]) -> list[str]:
        """The translation of each text; words that it does not know stay as they are."""
        program = _program("apertium", APERTIUM)
        lines = [" ".join(str(text).split()) for text in texts]
        text = "".join(f"{line}\n\n" for line in lines)  # a line of its own is a paragraph: none runs into the next
        paragraphs = [line.strip() for line in _run([program, "-u", self.pair], text).split("\n\n")]
        if len(paragraphs) < len(lines):
            raise OSError(f"apertium gave {len(paragraphs)} paragraphs for {len(lines)} texts")
        return paragraphs[: len(lines)]


class Seq2Seq:
    """Translates by a network of transformers, such as OPUS-MT, from a folder or the hub.

    Parameters
    ----------
    place : str
        A folder, or a name on the hub such as ``Helsinki-NLP/opus-mt-en-es``.
    beams, batch_size, longest : int
        Width of the search, texts together, and tokens of a translation at most.
    """

    def __init__(self, place: str, *, beams: int = 4, batch_size: int = 16, longest: int = 256) -> None:
        where, local = model_place(place)
        import transformers

        self.name = f"seq2seq:{Path(place).name}"
        self.tokenizer: Any = transformers.AutoTokenizer.from_pretrained(where, local_files_only=local)
        self.network: Any = transformers.AutoModelForSeq2SeqLM.from_pretrained(where, local_files_only=local).eval()
        self.beams, self.batch_size, self.longest = beams, batch_size, longest

    @torch.no_grad()
    def translate(self, texts: Sequence[str]) -> list[str]:
        """The translation of each text."""
        out: list[str] = []
        for start in track(range(0, len(texts), self.batch_size), "translations"):
            part = [str(text) for text in texts[start : start + self.batch_size]]
            tokens = self.tokenizer(
                part, return_tensors="pt", padding=True, truncation=True, return_token_type_ids=False
            )
            ids = self.network.generate(**tokens, num_beams=self.beams, max_new_tokens=self.longest)
            out += [str(text).strip() for text in self.tokenizer.batch_decode(ids, skip_special_tokens=True)]
        return out


def translator(name: str) -> Any:
    """A translator by name: ``apertium:eng-spa``, or ``seq2seq:`` with a folder or a name on the hub.

    Raises
    ------
    ValueError
        If there is no such translator.
    ImportError
        If its program is not there; the message says how to install it.
    """
    scheme, _, place = name.partition(":")
    if scheme == "apertium" and place:
        _program("apertium", APERTIUM)
        return Apertium(place)
    if scheme == "seq2seq" and place:
        return Seq2Seq(place)
    raise ValueError(f"translator must be apertium:PAIR or seq2seq:PLACE; got {name!r}")


def aligner(name: str) -> Any:
    """An aligner by name: ``ibm1``, ``eflomal``, or ``similarity:`` with the name of vectors of tokens.

    Raises
    ------
    ValueError
        If there is no such aligner.
    ImportError
        If its program is not there; the message says how to install it.
    """
    scheme, _, place = name.partition(":")
    if name == "ibm1":
        return IBM1()
    if name == "eflomal":
        _program("eflomal-align", EFLOMAL)
        return Eflomal()
    if scheme == "similarity" and place:
        return Similarity(token_encoder(place))
    raise ValueError(f"aligner must be ibm1, eflomal or similarity:ENCODER, such as similarity:minilm; got {name!r}")
