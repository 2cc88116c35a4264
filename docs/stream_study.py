"""The table of four tasks on docs/continual.md: `stream-ridge` and `zscl` on frozen features of lite-clip.

python docs/stream_study.py      10 minutes on one core; pictures come from npm, Debian and the install
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

from shifts.case import thinned
from shifts.sources import clip_art, coded, crops

from unseen.data.sources import digits, emoji, stamps
from unseen.jobs.streams.job import continue_stream
from unseen.jobs.streams.page import scores

ORDERS = ((0, 1, 2, 3), (3, 2, 1, 0), (1, 3, 0, 2))
PARTS = ("transfer", "average", "last")


def main() -> None:
    """Run both methods in all orders, and print means."""
    tasks = [
        digits("handwritten", size=64).take(slice(0, 600)).replace(name="digits"),
        thinned(coded(emoji("noto")), 12).replace(name="emoji"),
        crops(0, 20).replace(name="crops"),
        thinned(clip_art(), 40).replace(name="clip art"),
    ]
    others = stamps()
    references = others.take(np.arange(0, len(others), 2))
    arms = {
        "stream-ridge": ("stream-ridge", {}),
        "zscl": ("zscl", {"reference": references}),
        "zscl, without references": ("zscl", {}),
    }
    for name, (method, given) in arms.items():
        rows = []
        for order in ORDERS:
            started = time.process_time()
            with tempfile.TemporaryDirectory() as folder:
                _, told = continue_stream(
                    "lite-clip", [tasks[i] for i in order], out=Path(folder) / "m", method=method, **given
                )
            figures = scores(told)
            assert figures is not None
            whole = float(np.mean(list(told.whole.values())))
            rows.append([*(figures[part] for part in PARTS), whole, time.process_time() - started])
            print(name, order, np.round(rows[-1], 3).tolist(), flush=True)
        print(f"| {name} | " + " | ".join(f"{100 * v:.1f}" for v in np.mean(rows, axis=0)[:4]), "|", flush=True)


if __name__ == "__main__":
    main()
