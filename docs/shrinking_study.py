"""The tables on docs/shrink.md of `low-rank` beside `tinyclip`: emoji at half and 28 % of the parameters, and speed.

python docs/shrinking_study.py            half an hour on one core; pictures come from npm
python docs/shrinking_study.py --times    milliseconds of towers as large as CLIP's, with any weights

Cases and teachers are those of `unseen reproduce tinyclip`: one of its development, and one of its confirmation, which
was opened before. Arms of `tinyclip` have a learning rate by that claim's rule, which looks at recall among pairs that
are learnt from; `low-rank` finds its rate by itself.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from unseen.claims.emoji_towers import DIM, World, asked_of, teacher, world
from unseen.claims.tinyclip import ARMS, BUDGET, STEPS, student, tuned, vendors
from unseen.data.domain import Domain
from unseen.data.pairs import Pairs
from unseen.methods.baselines.low_rank import LowRank
from unseen.nn.dual_encoder import Letters, dual_encoder
from unseen.nn.towers import text_tower, vision_tower

CASES = (("development 1", 0), ("confirmation 1", 100))
SIZES = (0.5, 0.28)
RIVALS = ("manual", "auto")
FIGURES = ("recall", "subgroup")


def arms(own: World, inner: World, large: Any, size: float, seed: int) -> Iterator[tuple[str, Any]]:
    """Students of a size."""
    first = LowRank(size=size, steps=1, warm_up=0, learning_rate=1e-12, random_state=seed)
    yield "low-rank, nothing learnt", first.fit(pairs=own.pairs, model=large).student_
    thin = LowRank(size=size, steps=STEPS, warm_up=20, random_state=seed)
    yield "low-rank", thin.fit(pairs=own.pairs, model=large).student_
    for arm in RIVALS:
        given = {**BUDGET, **ARMS[arm], "size": size}
        rate = tuned({**ARMS[arm], "size": size}, large, inner, seed)
        yield f"tinyclip, {arm}", student({"steps": STEPS, **given}, rate, large, own, seed).student_


def study() -> None:
    """A line for each case, size and arm, and the means over cases."""
    rows: dict[tuple[float, str], list[dict[str, float]]] = {}
    for case, seed in CASES:
        split = case.split()[0]
        taught, asked = vendors(case)
        own, large = world(split, taught, asked), teacher(split, taught, asked, seed)
        inner = world(split, taught[:-1], taught[-1])
        for size in SIZES:
            for arm, towers in (("teacher", large), *arms(own, inner, large, size, seed)):
                found = asked_of(towers, own)
                rows.setdefault((size, arm), []).append(found)
                print(case, size, arm, *(f"{key} {100 * found[key]:.1f}" for key in FIGURES), flush=True)
    for (size, arm), of_cases in rows.items():
        print(size, arm, *(f"{key} {100 * np.mean([found[key] for found in of_cases]):.1f}" for key in FIGURES))


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
