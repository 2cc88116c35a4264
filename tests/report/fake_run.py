"""Run folders with made-up figures, in the exact schema that `unseen compare` writes."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import PIL.Image

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.diagnosis import measure

WORDS = (
    "face hand heart animal plant fruit food drink place transport sky clock weather game cloth sound light book tool "
    "flag"
)
METHODS = {
    "glc": ("Upcycling Models Under Domain and Category Shift", 41.0),
    "shot": ("Do We Really Need to Access the Source Data?", 12.6),
    "coral": ("Return of Frustratingly Easy Domain Adaptation", 1.9),
    "prototypes": ("", 0.31),
    "standardize": ("", 1.1),
    "loki": ("Geometry-Aware Adaptation for Pretrained Models", 0.6),
    "linear-probe": ("", 1.4),
    "source-only": ("", 0.9),
}
NASTY = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "</style><style>body{display:none}",
    "{{ 7 * 7 }}",
    "花と木",
    "كلاب",
    "a" * 90,
    "x & y",
)


def write_fake_run(
    folder: Path,
    *,
    classes: tuple[str, ...] | None = None,
    n_classes: int = 8,
    candidates: int = 8,
    seeds: int = 3,
    samples: int = 480,
    labels: bool = True,
    protocol: str = "closed",
    pictures: bool = True,
    seed: int = 0,
) -> Path:
    """Write `results.json` and the tables; `protocol` is closed, partial, open or open-partial."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    base = WORDS.split()
    known = classes or tuple(
        f"{base[i % len(base)]}{'-' + str(i // len(base)) if i >= len(base) else ''}" for i in range(n_classes)
    )
    private = ("umbrella", "violin") if protocol.startswith("open") else ()
    predictions = _predictions(rng, known, private, samples, labels)
    results = _results(rng, known, private, candidates, seeds, samples, labels, protocol)
    results["diagnosis"] = _diagnosis(known) if candidates > 1 else None
    (folder / "results.json").write_text(json.dumps(results, ensure_ascii=False), encoding="utf-8")
    pd.DataFrame({"candidate": ["source-only"]}).to_parquet(folder / "results.parquet", index=False)
    predictions.to_parquet(folder / "predictions.parquet", index=False)
    pd.DataFrame(_map(rng, known, labels)).to_parquet(folder / "map.parquet", index=False)
    shown = _pictures(rng, predictions) if pictures else []
    pd.DataFrame(shown, columns=["id", "part", "jpeg"]).to_parquet(folder / "pictures.parquet", index=False)
    return folder


def _diagnosis(known: tuple[str, ...]) -> dict[str, Any]:
    """Of two small domains of random features, one with more samples of the first class."""
    rng = np.random.default_rng(5)
    y = np.arange(10 * len(known)) % len(known)
    x = rng.standard_normal((len(y), 8)).astype(np.float32) + y[:, None]
    source = Domain(x=x, y=y, classes=ClassSpace(names=known))
    return measure(source, Domain(x=x[y < max(2, len(known) // 3)] + 0.3)).to_json()


def _spread(rng: np.random.Generator, centre: float, seeds: int, noise: float = 0.012) -> dict[str, Any]:
    values = np.clip(centre + noise * rng.standard_normal(seeds), 0, None)
    return {
        "mean": float(values.mean()),
        "std": float(values.std(ddof=1)) if seeds > 1 else 0.0,
        "worst": float(values.min()),
        "per_seed": values.tolist(),
    }


def _metrics(rng: np.random.Generator, centre: float, seeds: int, rejects: bool, samples: int) -> dict[str, Any]:
    if rejects:
        known, unknown = _spread(rng, centre, seeds), _spread(rng, centre * 0.8, seeds)
        return {
            "known_accuracy": known,
            "unknown_accuracy": unknown,
            "h_score": _spread(rng, centre * 0.89, seeds),
        }
    accuracy = _spread(rng, centre, seeds)
    first = accuracy["per_seed"][0]
    half = 1.96 * (first * (1 - first) / samples) ** 0.5
    accuracy["interval"] = [first - half, first + half]
    return {"accuracy": accuracy, "class_accuracy": _spread(rng, centre - 0.02, seeds)}


def _results(
    rng: np.random.Generator, known: tuple[str, ...], private: tuple[str, ...], candidates: int, seeds: int,
    samples: int, labels: bool, protocol: str,
) -> dict[str, Any]:  # fmt: skip
    names = [*list(METHODS)[: candidates - 1], "source-only"]
    rejects = protocol.startswith("open")
    parts = {"adapted": samples, "held out": samples // 4} if labels else {}
    centres = np.linspace(0.64, 0.43, len(names)) if len(names) > 1 else [0.43]
    centres[min(1, len(names) - 1)] += 0.02
    rows = []
    for i, (name, centre) in enumerate(zip(names, centres)):
        rows.append(
            {
                "name": name,
                "slug": name,
                "preset": "default",
                "title": METHODS[name][0],
                "params": {"random_state": 0, "rho": 0.75, "neighbours": 4},
                "seconds": METHODS[name][1],
                "temperature": 1.0,
                "validators": {
                    "source validation": _spread(rng, 0.80 - 0.01 * i, seeds),
                    "information maximization": _spread(rng, 1.4 - 0.05 * i, seeds, 0.05),
                    "neighbourhood density": _spread(rng, 3.1 - 0.04 * i, seeds, 0.05),
                },
                "vote": 1 - i / max(len(names) - 1, 1) if len(names) > 1 else 0.0,
                "chosen": i == 0,
                "metrics": {part: _metrics(rng, centre, seeds, rejects, n) for part, n in parts.items()},
            }
        )
    headline = "h_score" if rejects else "accuracy"
    told = {
        "closed": "The target has exactly the classes of the source.",
        "partial": "The target has some of the classes of the source.",
        "open": "The target has all classes of the source and others.",
        "open-partial": "Each side has classes that the other lacks.",
    }[protocol]
    target_classes = dict.fromkeys((*known, *private), samples // len(known)) if labels else {}
    ceiling = {"accuracy": 0.81, "class_accuracy": 0.79, "samples": samples}
    return {
        "schema": 1,
        "given": {
            "source": {
                "name": "source", "kind": "image", "samples": 600, "labeled": 600,
                "classes": dict.fromkeys(known, 600 // len(known)), "skipped": [],
                "credits": ["Noto Emoji by Google, Apache-2.0, https://github.com/googlefonts/noto-emoji"],
            },
            "target": {
                "name": "target", "kind": "image", "samples": samples + samples // 4,
                "labeled": (samples + samples // 4) * labels,
                "classes": target_classes,
                "skipped": [
                    ["sketches/broken 花.png", "the picture is truncated or damaged"],
                    ["/home/me/x.jpg", "no picture"],
                ],
                "credits": ["OpenMoji, CC BY-SA 4.0, https://openmoji.org"],
            },
        },
        "encoder": {"name": "efficientnet-lite0", "dim": 1280, "fingerprint": "ab" * 32},
        "classes": list(known),
        "overlap": {
            "shared": list(known), "source_only": [], "target_only": list(private), "case_variants": ["Cat / cat"],
        } if labels else {},
        "leakage": "Leakage: 2 of the 600 samples of the exam stand in the source (1 equal, 1 nearly equal), such as "
        "'a.png', which is 'b.png'; scores on them say nothing." if rejects else None,
        "protocol": {"name": protocol, "told": told, "headline": headline} if labels else None,
        "labels": "exam",
        "seeds": seeds,
        "exam": {part: {"samples": n, "hash": "0123456789abcdef", "openings": 3} for part, n in parts.items()},
        "references": {
            "metric": headline,
            "chance": dict.fromkeys(parts, 1 / len(known)),
            "source_only": {p: rows[-1]["metrics"][p][headline]["mean"] for p in parts},
            "ceiling": ceiling,
        } if labels else {},
        "candidates": rows,
        "left_out": {"lisgan": "needs classes with attributes, a name list or descriptions", "zeroq": "needs a model"},
        "chosen": {
            "name": names[0],
            "why": f"{names[0]} was the only candidate." if len(names) == 1
            else f"{names[0]} has the best mean rank over 3 label-free validators (source validation 0.801, "
            f"information maximization 1.402, neighbourhood density 3.120; mean of {seeds} seeds); next is {names[1]}. "
            "No target label was used.",
        },
        "unseen": "0.1.0",
        "command": "unseen compare --source photos --target sketches --seeds 3 --out run",
        "config": {
            "data": {"source": "a1b2c3d4e5f60718", "target": "18f6e5d4c3b2a107", "held out": "77aa88bb99cc00dd"},
            "encoder": "efficientnet-lite0", "methods": names, "protocol": "auto", "labels": "exam", "seeds": seeds,
            "id": "f00dfeed00112233",
        },
    }  # fmt: skip


def _predictions(
    rng: np.random.Generator, known: tuple[str, ...], private: tuple[str, ...], samples: int, labels: bool
) -> pd.DataFrame:
    everything = np.array([*known, *private], dtype=object)
    rows = []
    for part, n in (("adapted", samples), ("held out", samples // 4)):
        truth = rng.integers(len(everything), size=n)
        confused = (truth + rng.choice([1, 1, 1, 2, 3], size=n)) % len(known)
        # classes late in the list are harder, so that the table has something to sort
        hit = rng.random(n) < np.linspace(0.95, 0.3, len(everything))[truth]
        guess = np.where(hit, everything[truth], everything[confused])
        guess = np.where(np.isin(guess, private), None, guess)
        probability = np.clip(np.where(hit, 0.75, 0.5) + 0.12 * rng.standard_normal(n), 0.05, 1)
        rows += [
            {
                "id": f"{part}/{i}.png",
                "part": part,
                "truth": everything[t] if labels else None,
                "prediction": g,
                "probability": p,
            }
            for i, (t, g, p) in enumerate(zip(truth, guess, probability))
        ]
    return pd.DataFrame(rows)


def _map(rng: np.random.Generator, known: tuple[str, ...], labels: bool) -> list[dict[str, Any]]:
    centres = 30 * rng.standard_normal((len(known), 2))
    rows = []
    for stage, shift, noise in (("before", 35.0, 12.0), ("after", 5.0, 5.0)):
        for domain, offset in (("source", 0.0), ("target", shift)):
            y = rng.integers(len(known), size=400)
            xy = centres[y] + offset + noise * rng.standard_normal((400, 2))
            shown = labels or domain == "source"
            rows += [
                {
                    "stage": stage,
                    "x": float(a),
                    "y": float(b),
                    "domain": domain,
                    "class": known[c] if shown else "",
                }
                for (a, b), c in zip(xy, y)
            ]
    return rows


def _pictures(rng: np.random.Generator, predictions: pd.DataFrame) -> list[dict[str, Any]]:
    rows = []
    for id_ in predictions.loc[predictions["part"] == "adapted", "id"][:24]:
        y, x = np.mgrid[:112, :112]
        centre, radius = rng.integers(35, 77, size=2), rng.integers(18, 34)
        inside = ((x - centre[0]) ** 2 + (y - centre[1]) ** 2 < radius**2)[..., None]
        pixels = np.where(inside, rng.integers(40, 220, size=3), 255).astype(np.uint8)
        buffer = io.BytesIO()
        PIL.Image.fromarray(pixels).save(buffer, "JPEG")
        rows.append({"id": id_, "part": "adapted", "jpeg": buffer.getvalue()})
    return rows
