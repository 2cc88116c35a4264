"""The table of four tasks on docs/continual.md: `stream-ridge` and `zscl` on frozen features of lite-clip.

python docs/stream_study.py      10 minutes on one core; pictures come from npm, Debian and the install
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

from shifts.case import itemized, thinned
from shifts.fresh import material
from shifts.pictures import by_column
from shifts.pixels import clothes
from shifts.readers import letters
from shifts.sources import clip_art, coded, crops

from unseen import encoders
from unseen.data.domain import Domain
from unseen.data.sources import digits, emoji, stamps
from unseen.jobs.streams.job import HELD_OUT, asked_about, continue_stream
from unseen.jobs.streams.page import scores

ORDERS = ((0, 1, 2, 3), (3, 2, 1, 0), (1, 3, 0, 2))
PARTS = ("transfer", "average", "last")


def first_tasks() -> list[Domain]:
    """Those on which the penalty was chosen."""
    return [
        digits("handwritten", size=64).take(slice(0, 600)).replace(name="digits"),
        thinned(coded(emoji("noto")), 12).replace(name="emoji"),
        crops(0, 20).replace(name="crops"),
        thinned(clip_art(), 40).replace(name="clip art"),
    ]


def other_tasks() -> list[Domain]:
    """Those that nothing was chosen on: clothes, letters, icons, and emoji of another vendor in other groups."""
    shown = itemized(letters("STIXGeneralItalic", 12), map(str, range(26 * 12)))
    drawn = coded(emoji("fluent-emoji-flat", level="emoji"))
    return [
        thinned(clothes(0, 40)["clothes"], 40).replace(name="clothes"),
        shown.replace(name="letters"),
        thinned(material(), 30).replace(name="icons"),
        thinned(by_column(drawn, "group"), 40).replace(name="groups"),
    ]


def simple_arms(tasks: Sequence[Domain]) -> dict[str, list[tuple[float, float]]]:
    """Of each task the accuracy among its own classes and among all: by class means, and logistic regression on all."""
    features, labels, parts, start = [], [], [], 0
    for task in tasks:
        x = encoders.get("efficientnet-lite0", precision="fp32").encode(task).x
        features.append(x / np.linalg.norm(x, axis=1, keepdims=True))
        labels.append(task.labels + start)
        parts.append((start, start + len(task.classes or ()), asked_about(task, HELD_OUT)))
        start = parts[-1][1]
    x, y = (np.concatenate([rows[~out] for rows, (_, _, out) in zip(of, parts)]) for of in (features, labels))
    means = np.stack([x[y == k].mean(axis=0) for k in range(start)])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    logistic = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500)).fit(x, y)
    arms = {"nearest mean": lambda rows: rows @ means.T, "logistic regression": logistic.decision_function}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in arms}
    for rows, truth, (low, high, out) in zip(features, labels, parts):
        for name, ask in arms.items():
            scores = ask(rows[out])
            own = low + scores[:, low:high].argmax(axis=1)
            found[name].append((float((own == truth[out]).mean()), float((scores.argmax(axis=1) == truth[out]).mean())))
    return found


def main() -> None:
    """Run all arms in all orders, and print means."""
    tasks = other_tasks() if "other" in sys.argv[1:] else first_tasks()
    for name, rows in simple_arms(tasks).items():
        last, whole = 100 * np.mean(rows, axis=0)
        print(f"| {name}, all tasks at once | | | {last:.1f} | {whole:.1f} |", flush=True)
    others = stamps()
    references = others.take(np.arange(0, len(others), 2))
    arms = {"stream-ridge": {}, "zscl": {"reference": references}, "zscl, without references": {}}
    for name, given in arms.items():
        rows = []
        for order in ORDERS:
            started = time.process_time()
            with tempfile.TemporaryDirectory() as folder:
                _, told = continue_stream(
                    "lite-clip",
                    [tasks[i] for i in order],
                    out=Path(folder) / "m",
                    method=name.partition(",")[0],
                    **given,
                )
            figures = scores(told)
            assert figures is not None
            whole = float(np.mean(list(told.whole.values())))
            rows.append([*(figures[part] for part in PARTS), whole, time.process_time() - started])
            start = 100 * np.mean(list(told.rows[0]["accuracy"].values()))
            print(name, order, f"zero-shot {start:.1f}", np.round(rows[-1], 3).tolist(), flush=True)
        means = np.mean(rows, axis=0)
        print(f"| {name} | " + " | ".join(f"{100 * v:.1f}" for v in means[:4]) + f" | {means[4]:.0f} s |", flush=True)


if __name__ == "__main__":
    main()
