"""How many pictures a second view's statistics need: accuracies by their number, `python -m shifts.enough`."""

from __future__ import annotations

from unittest import mock

import numpy as np

from shifts import cases
from shifts.case import Case
from unseen import encoders
from unseen.encoders import views
from unseen.methods.baselines.propagate import Propagate
from unseen.runtime import runtime

FAMILIES = (
    "fonts-encoded", "furniture", "photo-to-drawing", "edges-and-pencil", "emoji-groups", "fashion-encoded",
    "digits-encoded", "emoji-disjoint", "corruptions", "emoji-styles",
)  # fmt: skip
NUMBERS = (64, 128, 256)


def accuracies(case: Case) -> dict[str, float]:
    """Of logistic regression and `propagate` on both views, by the number of pictures that are looked at."""
    encoder = encoders.get("efficientnet-lite0").exactly()
    sides, truth, known = (case.source, case.target), case.target.labels, case.shared
    plain = [encoder.encode(side).x for side in sides]
    found = {}
    for number in NUMBERS:
        with mock.patch.object(views, "ENOUGH", number), runtime(threads=1):
            own = [views.with_statistics_of(side, encoder).encode(side, cache=False).x for side in sides]
        x, ask = (np.hstack(pair) for pair in zip(plain, own))
        told = cases.logistic(cases.standardized(x, x), case.source.labels, cases.standardized(ask, ask))
        source, target = case.source.replace(x=x, kind="features"), case.target.replace(x=ask, kind="features")
        spread = Propagate().fit(source=source, target=target.unlabeled()).predict(target.unlabeled())
        for name, labels in (("standardize", told), ("propagate", np.asarray(spread))):
            found[f"{name}, {number}"] = float((labels == truth)[known].mean())
    return found


def main() -> None:
    """Every third case of each family, one line each; then their means."""
    rows = []
    for family in FAMILIES:
        for case in list(cases.FAMILIES[family](cases.data_folder()))[::3]:
            rows.append(accuracies(case))
            print(case.name, {key: round(value, 3) for key, value in rows[-1].items()}, flush=True)
    print("mean", {key: round(float(np.mean([row[key] for row in rows])), 4) for key in rows[0]})


if __name__ == "__main__":
    main()
