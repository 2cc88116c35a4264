"""`load_model` opens a saved model of any task: a `Bundle`, which names classes, or a `TaskModel`, such as a tagger."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unseen.arguments import PATH, SWITCH, check_arguments, is_frame, whole
from unseen.files import place_of_bundle
from unseen.jobs import Ask, Samples, SavedModel, saved_model
from unseen.runtime import track

if TYPE_CHECKING:
    import pandas as pd

    from unseen.bundle import Bundle

AT_ONCE = 64
"""Samples that a model is asked about at a time."""
TAKEN = {"text": "a text", "image": "a PIL picture", "audio": "a Sound", "series": "a pandas.DataFrame"}
"""What a sample in a list is, by what a model reads."""


def load_model(folder: str | os.PathLike[str], *, trust: bool = False) -> Bundle | TaskModel:
    """Open what `compare`, `adapt` or any room saved.

    Parameters
    ----------
    folder : path
        Of the model, or of the run that saved it.
    trust : bool
        As in `Bundle.load`.

    Returns
    -------
    Bundle or TaskModel
        Both have `predict`, which gives a table with a row per answer.

    Raises
    ------
    ValueError
        If the folder holds no saved model, or one that takes two things at once; the message has its command.
    ImportError, PermissionError, ConnectionError
        As in `Bundle.load`.
    """
    check_arguments({"folder": PATH, "trust": SWITCH}, {"folder": folder, "trust": trust}, "load_model")
    if not (place_of_bundle(folder) / "bundle.json").exists() and (room := saved_model(Path(folder))) is not None:
        return TaskModel(*room)
    from unseen.bundle import Bundle

    return Bundle.load(folder, trust=trust)


class TaskModel:
    """A saved model that names no classes and answers in its own way: spans, documents, nodes, captions, forecasts.

    Parameters
    ----------
    kind : SavedModel
        What its room tells of it.
    place : Path
        Its folder.

    Raises
    ------
    ValueError
        If it takes two things at once, such as two pictures; the message is the command that does.
    """

    def __init__(self, kind: SavedModel, place: Path) -> None:
        if kind.opened is None or kind.read is None:
            raise ValueError(f"{place} holds {kind.what}, which takes more than one thing at once: {kind.use(place)}")
        self.kind, self.place = kind, place
        self._opened, self._read = kind.opened, kind.read
        self._prepared = kind.prepared(place) if kind.prepared is not None else None

    def __repr__(self) -> str:
        return f"TaskModel({self.kind.what} that tells {self.kind.tells}, {str(self.place)!r})"

    @cached_property
    def ask(self) -> Ask:
        """The model itself, loaded when it is first asked."""
        return self._opened(self.place)

    def read(self, path: str) -> Samples:
        """What lies at a path, as the model takes it, without loading the model.

        Raises
        ------
        ValueError
            If there is nothing that it reads.
        """
        return self._ready(self._read(path))

    def answers(self, samples: Sequence[Any], top: int, title: str) -> list[list[dict[str, Any]]]:
        """Rows per sample, each with `answer`, a line for people, and what else there is to tell."""
        starts = track(range(0, len(samples), AT_ONCE), f"answers to {title}")
        return [rows for start in starts for rows in self.ask(samples[start : start + AT_ONCE], top)]

    def predict(self, samples: Any, *, top: int = 1) -> pd.DataFrame:
        """Answer about files or samples.

        Parameters
        ----------
        samples : path, list of pathlib.Path, pandas.DataFrame or sequence
            Files or folders that the model reads; of a forecaster the table of a series; or a list of samples: texts
            (a list of str), PIL pictures, `Sound`, tables.
        top : int, >= 1
            How many answers a sample may have, where the model puts them in an order.

        Returns
        -------
        DataFrame
            A row per answer: `id` of the sample (its number in a list of samples), `answer`, a line for people, and
            what else the model tells. What cannot be read is left out, and its reasons are `attrs["skipped"]`.

        Raises
        ------
        ValueError, TypeError
            If `samples` are none, or are not what the model reads.
        """
        import pandas as pd

        check_arguments({"top": whole(1)}, {"top": top}, "predict")
        given = self._given(samples)
        if not len(given.x):
            raise ValueError(f"samples must hold something that {self.kind.what} reads; there is nothing")
        replies = self.answers(given.x, top, "samples")
        table = pd.DataFrame([{"id": ids, **row} for ids, rows in zip(given.ids, replies) for row in rows])
        table.attrs["skipped"] = list(given.skipped)
        return table

    def export(self, file: str | os.PathLike[str]) -> float:
        """Write the network as ONNX and return its largest difference from torch in onnxruntime.

        Raises
        ------
        ValueError
            If a model of this kind is not written as ONNX, or the two differ by more than 1e-3; no file is left.
        """
        check_arguments({"file": PATH}, {"file": file}, "export")
        if self.kind.exported is None:
            raise ValueError(f"{self.kind.what} is not written as ONNX: {self.kind.use(self.place)}")
        return self.kind.exported(self.place, Path(file))

    def _given(self, samples: Any) -> Samples:
        if isinstance(samples, str | os.PathLike):
            return self.read(os.fspath(samples))
        if is_frame(samples):
            samples = [samples]
        if isinstance(samples, bytes | Mapping) or not isinstance(samples, Iterable):
            raise TypeError(f"samples must be a path, or a list of paths or of samples; got {type(samples).__name__}")
        samples = list(samples)
        if samples and all(isinstance(sample, os.PathLike) for sample in samples):
            parts = [self.read(os.fspath(path)) for path in samples]
            ids, x, skipped = ([item for part in parts for item in part[k]] for k in range(3))
            return Samples(ids, x, skipped)
        for i, sample in enumerate(samples):
            if not self._takes(sample):
                expected, got = TAKEN[self.kind.reads], type(sample).__name__
                raise TypeError(f"samples[{i}] must be {expected}, which {self.kind.what} reads; got {got}")
        return self._ready(Samples(range(len(samples)), samples))

    def _takes(self, sample: Any) -> bool:
        if self.kind.reads == "text":
            return isinstance(sample, str)
        if self.kind.reads == "series":
            return is_frame(sample)
        if self.kind.reads == "audio":
            from unseen.data.sounds import Sound

            return isinstance(sample, Sound)
        from PIL import Image

        return isinstance(sample, Image.Image)

    def _ready(self, samples: Samples) -> Samples:
        if self._prepared is None:
            return samples
        from unseen.data.domain import Lazy

        x: Any = samples.x  # files are read when they are asked about, not all at once
        ready: Any = x.map(self._prepared) if isinstance(x, Lazy) else [self._prepared(sample) for sample in x]
        return samples._replace(x=ready)
