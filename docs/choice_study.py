"""The figures of choosing.md: label-free rules of choice, on ordered pairs of emoji styles, against the exam.

Run it with `python docs/choice_study.py`; it takes half an hour on two cores. Names of styles limit it.
"""

from __future__ import annotations

import itertools
import sys

import numpy as np
from scipy.stats import rankdata

from unseen.compare import compare
from unseen.data.sources import emoji, in_common
from unseen.validation import vote

STYLES = ("noto", "twemoji", "openmoji", "fluent-emoji-flat", "fluent-emoji-high-contrast")
METHODS = "source-only,standardize,coral,prototypes,shot,glc:default"
SOURCE, INFORMATION, DENSITY = "source validation", "information maximization", "neighbourhood density"


def measure(styles: tuple[str, ...]) -> list[dict[str, dict[str, float]]]:
    """For every ordered pair, each candidate's accuracy on the exam and its label-free scores, one seed."""
    domains = dict(zip(styles, in_common(*map(emoji, styles))))
    found = []
    for source, target in itertools.permutations(styles, 2):
        run = compare(source=domains[source], target=domains[target], methods=METHODS, seeds=1, protocol="closed")
        pair = {
            row["name"]: {
                "accuracy": row["metrics"]["adapted"]["accuracy"]["mean"],
                **{validator: spread["mean"] for validator, spread in row["validators"].items()},
            }
            for row in run.results["candidates"]
        }
        found.append(pair)
        print(source, target, {name: round(row["accuracy"], 3) for name, row in pair.items()}, flush=True)
    return found


def ranks(*scores: np.ndarray) -> np.ndarray:
    """The sum of ranks over scores."""
    return np.sum([rankdata(score) for score in scores], axis=0)


def rules(pair: dict[str, dict[str, float]]) -> dict[str, str]:
    """Which candidate each rule chooses."""
    names = list(pair)
    column = {key: np.array([pair[name][key] for name in names]) for key in (SOURCE, INFORMATION, DENSITY)}
    kept = vote(dict(zip(names, column[INFORMATION])), dict(zip(names, column[SOURCE])))
    scores = {
        "`compare`: information, of those that keep the source": np.array([kept[name] for name in names]),
        "mean rank of source validation and information": ranks(column[SOURCE], column[INFORMATION]),
        "mean rank of all three": ranks(*column.values()),
        **column,
    }
    return {rule: names[int(np.argmax(score))] for rule, score in scores.items()}


def main(styles: tuple[str, ...]) -> None:
    """Print the table: mean accuracy of what a rule chooses, its regret, the worst pair, the harm rate."""
    pairs = measure(styles)
    print(f"\n| rule | accuracy | regret | worst against source-only | harm | (over {len(pairs)} pairs)")
    for rule in rules(pairs[0]):
        chosen = np.array([pair[rules(pair)[rule]]["accuracy"] for pair in pairs])
        best = np.array([max(row["accuracy"] for row in pair.values()) for pair in pairs])
        gain = chosen - [pair["source-only"]["accuracy"] for pair in pairs]
        regret = (best - chosen).mean()
        print(f"| {rule} | {chosen.mean():.3f} | {regret:.3f} | {gain.min():+.3f} | {(gain < -0.01).mean():.2f} |")


if __name__ == "__main__":
    main(tuple(sys.argv[1:]) or STYLES)
