"""How far a run is: its steps, the share that is done, the seconds that are left; kept in a file that a page reads."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from unseen.runtime import replacing

STEPS = {
    "reading": ("Read what was given", 0.0),
    "features": ("Look at the samples", 0.04),
    "fitting": ("Try the methods", 0.35),
    "finishing": ("Choose one and write the report", 0.92),
}
"""Steps of a run: what they are called, and the share of all work that lies before them."""

STEPS_OF = {"compare": STEPS, "recommend": {"reading": STEPS["reading"], "features": (STEPS["features"][0], 0.1)}}
"""Steps of each task."""

OFTEN = 0.3
"""Seconds between two writings of the file."""

EARLY = 1.0
"""Seconds of a step after which its end is guessed."""

FITTING = "fitting"
"""What `compare` calls its work on the methods."""

LOOKS = ("encoding ", "second look at ")
"""How the work on samples begins what it is called."""

FIRST_LOOKS = 0.7
"""Share of that work that lies in the first look at each set of samples; whether others follow is not known."""


class Progress:
    """Follows a run by what its long work tells (`unseen.runtime.watched`), and writes it down.

    Parameters
    ----------
    file : path
    domains : int, >= 1
        Sets of samples that are encoded.
    task : of `STEPS_OF`
    clock : callable
        Seconds.
    """

    def __init__(
        self, file: Path, domains: int = 1, task: str = "compare", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.file, self.domains, self.steps, self.clock = file, domains, STEPS_OF[task], clock
        self.step, self.part, self.detail = "reading", 0.0, ""
        self.lines: list[str] = []
        self._began = self._since = clock()
        self._written = -OFTEN
        self._looks = 0
        self._outer: tuple[int, int] | None = None
        self._inner = 0
        self._started = time.time()
        self.write()

    def say(self, line: str) -> None:
        """Keep what a run says of itself."""
        self.lines.append(line)
        self.write()

    def __call__(self, label: str, done: int, total: int) -> None:
        """Follow one piece of long work."""
        share = done / max(total, 1)
        if label == FITTING:
            self._outer, self._inner = (done, total), 0
            self._at("finishing" if done == total else "fitting", share, f"{min(done + 1, total)} of {total}")
        elif self._outer is not None and self.step == "fitting":
            before, all_ = self._outer
            self._inner += done == 0
            within = 1 - 0.5 ** max(self._inner - 1, 0) * (1 - share / 2)  # how many trainings follow is not known
            self._at("fitting", (before + within) / all_, f"{before + 1} of {all_}")
        elif self.step in ("reading", "features") and label.startswith(LOOKS):
            self._looks += done == 0
            self._at("features", self._looked(share), label)
        elif self.step == "reading":
            self._at("reading", 0.0, label)
        if share == 1 or self.clock() - self._written >= OFTEN:
            self.write()

    def _at(self, step: str, part: float, detail: str) -> None:
        if step != self.step:
            self._since = self.clock()
        self.step, self.detail = step, detail if step != "finishing" else ""
        self.part = 0.0 if step == "finishing" else part

    def _looked(self, share: float) -> float:
        """The share of the work on samples that is done, with that of the present look."""
        before = max(self._looks - 1, 0)
        if before < self.domains:
            return FIRST_LOOKS * (before + share) / self.domains
        return 1 - (1 - FIRST_LOOKS) * 0.5 ** (before - self.domains) * (1 - share / 2)

    def told(self) -> dict[str, Any]:
        """What the file holds: step, detail, share of all work, seconds left of the step or of all, seconds so far."""
        names = list(self.steps)
        before = self.steps[self.step][1]
        after = self.steps[names[names.index(self.step) + 1]][1] if self.step != names[-1] else 1.0
        spent = self.clock() - self._since
        left = spent * (1 - self.part) / self.part if self.part > 0.02 and spent > EARLY else None
        return {
            "step": self.step,
            "detail": self.detail,
            "share": before + self.part * (after - before),
            "left": left,
            "seconds": self.clock() - self._began,
            "began": self._started,
            "lines": self.lines,
        }

    def write(self) -> None:
        """Write the file, all or nothing."""
        self._written = self.clock()
        with replacing(self.file) as temporary:
            temporary.write_text(json.dumps(self.told()), encoding="utf-8")
