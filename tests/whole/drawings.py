"""Photos and transparent sketches of simple things, made on the spot: what a user's folders look like."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

PHOTOS = ("ball", "box", "star", "cross", "moon", "arrow")
SKETCHES = ("star", "cross", "moon", "arrow", "heart", "ring")


def outline(name: str, centre: np.ndarray, r: float, turn: float) -> list[tuple[float, float]]:
    """The corners of a shape of radius `r`."""
    t = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    if name in ("ball", "ring"):
        points = np.c_[np.cos(t), np.sin(t)]
    elif name == "box":
        points = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * 0.8
    elif name == "star":
        k = np.arange(10)
        radius = np.where(k % 2, 0.42, 1.0)
        points = np.c_[radius * np.cos(k * np.pi / 5), radius * np.sin(k * np.pi / 5)]
    elif name == "cross":
        a = 0.33
        points = np.array(
            [
                [-a, -1],
                [a, -1],
                [a, -a],
                [1, -a],
                [1, a],
                [a, a],
                [a, 1],
                [-a, 1],
                [-a, a],
                [-1, a],
                [-1, -a],
                [-a, -a],
            ]
        )
    elif name == "moon":
        s = np.linspace(-1.9, 1.9, 30)
        points = np.r_[np.c_[-np.cos(s), np.sin(s)], np.c_[-0.55 * np.cos(s[::-1]) + 0.15, 0.95 * np.sin(s[::-1])]]
    elif name == "arrow":
        points = np.array([[-1, -0.25], [0.2, -0.25], [0.2, -0.7], [1, 0], [0.2, 0.7], [0.2, 0.25], [-1, 0.25]])
    elif name == "heart":
        points = (
            np.c_[16 * np.sin(t) ** 3, -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))] / 16
        )
    else:
        raise ValueError(name)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return [tuple(p) for p in points @ rotation.T * r + centre]


def photo(name: str, rng: np.random.Generator, size: int = 200) -> Image.Image:
    """A filled thing on a blurred ground of noise, with grain."""
    ground = Image.fromarray(rng.integers(40, 220, (12, 12, 3), dtype=np.uint8)).resize(
        (size, size), Image.Resampling.BICUBIC
    )
    image = ground.filter(ImageFilter.GaussianBlur(4))
    colour = tuple(int(c) for c in rng.integers(0, 256, 3))
    corners = outline(name, size / 2 + rng.normal(0, 10, 2), size * rng.uniform(0.28, 0.4), rng.normal(0, 0.25))
    ImageDraw.Draw(image).polygon(corners, fill=colour)
    pixels = np.asarray(image.filter(ImageFilter.GaussianBlur(0.8))).astype(float) + rng.normal(0, 8, (size, size, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def sketch(name: str, rng: np.random.Generator, size: int = 180) -> Image.Image:
    """Black strokes on nothing: an RGBA picture whose transparent pixels are black."""
    image = Image.new("RGBA", (size, size), (0, 0, 0, 0))
    corners = outline(name, size / 2 + rng.normal(0, 8, 2), size * rng.uniform(0.3, 0.42), rng.normal(0, 0.25))
    draw = ImageDraw.Draw(image)
    for width in (4, 2):
        wobbly = [tuple(np.asarray(p) + rng.normal(0, 1.2, 2)) for p in corners]
        draw.line([*wobbly, wobbly[0]], fill=(0, 0, 0, 255), width=width, joint="curve")
        if name == "ring":
            inner = [tuple(size / 2 + (np.asarray(p) - size / 2) * 0.6) for p in wobbly]
            draw.line([*inner, inner[0]], fill=(0, 0, 0, 255), width=width)
    return image


def make_folders(root: Path, per_class: int = 10, seed: int = 0) -> tuple[Path, Path]:
    """`photos` (JPEG) and `sketches` (transparent PNG) as folders of class folders, 60 pictures each."""
    rng = np.random.default_rng(seed)
    for folder, names, draw, ending in (
        (root / "photos", PHOTOS, photo, "jpg"),
        (root / "sketches", SKETCHES, sketch, "png"),
    ):
        for name in names:
            (folder / name).mkdir(parents=True)
            for i in range(per_class):
                draw(name, rng).save(folder / name / f"{name} {i:02d}.{ending}")
    return root / "photos", root / "sketches"


def few_labels(sketches: Path, out: Path, shots: int) -> Path:
    """A CSV of all sketches with labels for `shots` of each class."""
    lines = ["path,label"]
    for folder in sorted(p for p in sketches.iterdir() if p.is_dir()):
        for i, file in enumerate(sorted(folder.iterdir())):
            lines.append(f"{file.relative_to(out.parent)},{folder.name if i < shots else ''}")
    out.write_text("\n".join(lines) + "\n")
    return out
