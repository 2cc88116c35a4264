"""`Exam`: the sealed truth about a target, and how often it was opened; `HeldOut`: what is kept back to choose by."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.given import check_domain
from unseen.data.typing import IntArray
from unseen.files import read_object
from unseen.runtime import data_folder, replacing


class Exam:
    """The truth about a target; no argument of `fit` reaches it.

    Parameters
    ----------
    target : Domain
        Labelled samples (a sample without a label is left out of the grading).
    classes : ClassSpace or None
        All classes that labels index; those in `classes.seen` are the ones that the model knows. None for a task whose
        labels have no classes.
    ledger : path, optional
        Where openings are counted across runs, by the hash of data and labels; the user's data folder if absent.
    """

    def __init__(
        self, target: Domain, classes: ClassSpace | None = None, ledger: str | os.PathLike[str] | None = None
    ) -> None:
        check_domain(target, "target")
        if target.y is None or not target.labeled.any():
            raise ValueError(f"{target.name} has no labels; there is nothing to examine")
        self.samples = target.unlabeled()
        self.classes: ClassSpace = classes  # type: ignore[assignment]
        self.hash = target.fingerprint(labels=True)
        self.graded = int(target.labeled.sum())
        """Samples with a label: those that count."""
        self._truth = np.asarray(target.y)
        self._ledger = Path(ledger) if ledger is not None else ledger_file()

    def __len__(self) -> int:
        return len(self._truth)

    def __repr__(self) -> str:
        return f"Exam({self.graded} of {len(self)} samples, sealed, opened {self.openings} times)"

    @property
    def openings(self) -> int:
        """How often this truth has been opened, in all runs on this machine."""
        return _openings(self._ledger).get(self.hash, 0)

    def open(self) -> IntArray:
        """The truth, (n, ...), -1 where a sample has no class, None where it has no mask, ... Counts as one opening."""
        with locked(self._ledger):
            counts = _openings(self._ledger)
            counts[self.hash] = counts.get(self.hash, 0) + 1
            with replacing(self._ledger) as temporary:
                temporary.write_text(json.dumps(counts, indent=0))
        return copy.deepcopy(self._truth)  # labels such as masks are arrays in an array


@dataclasses.dataclass(frozen=True, eq=False)
class HeldOut:
    """What is kept back of the user's own labels, to choose by or to check: asked about like an exam, and not counted.

    Attributes
    ----------
    samples : what is asked about, without its truth
    truth : what is known of it
    """

    samples: Any
    truth: Any = dataclasses.field(repr=False)

    def open(self) -> Any:
        """The truth."""
        return self.truth


def ledger_file() -> Path:
    """Where openings are counted: a file of `unseen.runtime.data_folder`."""
    return data_folder() / "exams.json"


def _openings(ledger: Path) -> dict[str, int]:
    if not ledger.exists():
        return {}
    try:
        return {str(key): int(value) for key, value in read_object(ledger).items()}
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{ledger}, the count of openings, is damaged ({error}); move it away") from error


@contextlib.contextmanager
def locked(ledger: Path) -> Iterator[None]:
    """Hold the one lock of a file of the user's data folder, which is made if need be."""
    ledger.parent.mkdir(parents=True, exist_ok=True)
    with ledger.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
