"""The table of docs/shrink.md: `low-rank` and `tinyclip` at 28 % of the parameters, on emoji and on icons.

python docs/shrinking_study.py            25 minutes on one core; pictures come from npm
python docs/shrinking_study.py --times    milliseconds of towers as large as CLIP's, with any weights

The teachers are those of `unseen reproduce tinyclip`, and such of icons. The form of `low-rank` was chosen on the
emoji of that claim's development; these are its other vendors, and icons, on which nothing was chosen. Arms of
`tinyclip` have a learning rate of their own by that claim's rule, which looks at recall among pairs that are learnt
from; `low-rank` finds its rate by itself.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

from shifts.fresh import material, tabler

from unseen.claims.emoji_towers import DIM, World, asked_of, pixels, taught_towers, teacher, word_tokenizer, world
from unseen.claims.tinyclip import ARMS, BUDGET, SIZE, STEPS, student, tuned, vendors
from unseen.claims.worlds import hashed
from unseen.data.domain import Domain, concatenate
from unseen.data.pairs import Pairs
from unseen.methods.baselines.low_rank import LowRank
from unseen.nn.dual_encoder import Letters, dual_encoder
from unseen.nn.towers import text_tower, vision_tower

SEED = 100
RIVALS = ("scratch", "manual", "auto")
FIGURES = ("recall", "subgroup")


def icons(drawn: Domain, others: Domain) -> tuple[World, World]:
    """Icons of two sets with their names: four fifths of one and all of the other are learnt from, a fifth is asked.

    The second world is a part of the first, for learning rates: a fifth of what is learnt from is asked about in it.
    """
    names = np.array([str(item).replace("-", " ") for item in drawn.columns["item"]])
    taken = np.array([hashed(f"icons {name}") % 5 == 0 for name in names])
    rest = np.flatnonzero(~taken)
    inner = np.array([hashed(f"inner {name}") % 5 == 0 for name in names[rest]])
    return (
        _world(concatenate([drawn.take(rest), others]), drawn.take(np.flatnonzero(taken))),
        _world(concatenate([drawn.take(rest[~inner]), others]), drawn.take(rest[inner])),
    )


def _world(learnt: Domain, asked: Domain) -> World:
    x, texts = pixels(learnt), [str(item).replace("-", " ") for item in learnt.columns["item"]]
    kinds = [learnt.classes.names[k] for k in learnt.labels]  # type: ignore[union-attr]
    pairs = Pairs(
        Domain(x=np.concatenate([x, x]), kind="image", name=learnt.name),
        Domain(x=np.array([*texts, *kinds]), kind="text", name="names"),
        name="icons",
    )
    of_asked = {
        "name": np.array([str(item).replace("-", " ") for item in asked.columns["item"]]),
        "subgroup": np.array([asked.classes.names[k] for k in asked.labels]),  # type: ignore[union-attr]
    }
    exam = Domain(x=pixels(asked), kind="image", name=asked.name, columns=of_asked)
    return World(pairs, exam, np.ones(len(asked), dtype=bool), word_tokenizer([*texts, *kinds]))


def worlds() -> Iterator[tuple[str, World, World, Any]]:
    """Name, world, the part of it by which rates are found, and the teacher."""
    for case in ("confirmation 1", "confirmation 2"):
        split = case.split()[0]
        taught, asked = vendors(case)
        yield (
            f"emoji of {asked}", world(split, taught, asked), world(split, taught[:-1], taught[-1]),
            teacher(split, taught, asked, SEED),
        )  # fmt: skip
    for drawn, others in ((material(), tabler()), (tabler(), material())):
        own, inner = icons(drawn, others)
        yield f"icons of {drawn.name}", own, inner, taught_towers(own, SEED)


def arms(own: World, inner: World, large: Any) -> Iterator[tuple[str, Any, float]]:
    """Students, with seconds."""
    timed = time.process_time()
    yield "large", large, 0.0
    thin = LowRank(size=SIZE, steps=1, warm_up=0, learning_rate=1e-12, random_state=SEED)
    yield "low-rank, before it learns", thin.fit(pairs=own.pairs, model=large).student_, time.process_time() - timed
    timed = time.process_time()
    thin = LowRank(size=SIZE, steps=STEPS, warm_up=20, random_state=SEED)
    yield "low-rank", thin.fit(pairs=own.pairs, model=large).student_, time.process_time() - timed
    for arm in RIVALS:
        rate = tuned(ARMS[arm], large, inner, SEED)
        timed = time.process_time()
        made = student({**BUDGET, "steps": STEPS, **ARMS[arm]}, rate, large, own, SEED).student_
        yield f"tinyclip, {arm}", made, time.process_time() - timed


def study() -> None:
    """A line for each world and arm, and the means."""
    rows: dict[str, list[dict[str, float]]] = {}
    for name, own, inner, large in worlds():
        print(f"{name}: {len(own.pairs)} pairs are learnt from, {len(own.exam)} pictures asked about", flush=True)
        for arm, towers, seconds in arms(own, inner, large):
            found = asked_of(towers, own)
            rows.setdefault(arm, []).append(found)
            told = ", ".join(f"{key} {100 * found[key]:.1f}" for key in FIGURES)
            print(f"  {arm}: {told}; {seconds:.0f} s", flush=True)
    print("| | " + " | ".join(FIGURES) + " |")
    for arm, found_of in rows.items():
        means = [100 * np.mean([found[key] for found in found_of]) for key in FIGURES]
        print(f"| {arm} | " + " | ".join(f"{mean:.1f}" for mean in means) + " |")


def times() -> None:
    """Milliseconds of a picture by towers as large as CLIP's ViT-B/32, and by both ways to make them small."""
    from unseen.methods.compression.tinyclip.shapes import fitting, made

    torch.manual_seed(0)
    sizes: dict[str, Any] = {"dim": 8 * DIM, "heads": (12,) * 12, "mlp": (3072,) * 12}
    image = vision_tower((224, 224), (32, 32), width=768, head=64, **sizes)
    text = text_tower(32, 30, width=512, head=64, dim=8 * DIM, heads=(8,) * 12, mlp=(2048,) * 12)
    large = dual_encoder(image, text, Letters().to_json(), 20.0).eval()
    x = torch.randn(32, 3, 224, 224)
    pairs = Pairs(
        Domain(x=x.numpy(), kind="image", name="noise"),
        Domain(x=np.array([f"word {i}" for i in range(32)]), kind="text", name="words"),
    )
    print(f"large: {_milliseconds(large.image, x):.1f} ms")
    for size in (0.5, 0.28):
        most = int(size * sum(p.numel() for p in large.parameters()))
        cut = made(large.image, fitting(large.image, large.text, most)[0]).eval()
        thin = LowRank(size=size, steps=1, warm_up=0, learning_rate=1e-12, batch_size=2)
        small: Any = thin.fit(pairs=pairs, model=large).student_
        by = {"tinyclip": cut, "low-rank": copy.deepcopy(small.image).eval()}
        print(f"{size}: " + ", ".join(f"{name} {_milliseconds(tower, x):.1f} ms" for name, tower in by.items()))


@torch.no_grad()
def _milliseconds(tower: Callable[[Any], Any], x: torch.Tensor) -> float:
    """Of a picture, the best of some passes of 32."""
    found = []
    for _ in range(6):
        started = time.perf_counter()
        tower(x)
        found.append(time.perf_counter() - started)
    return 1000 * min(found) / len(x)


def main() -> None:
    """One of the two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    times() if asked.times else study()


if __name__ == "__main__":
    main()
