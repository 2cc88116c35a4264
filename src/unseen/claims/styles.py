"""Ways of drawing for claims: the same pictures turned, slanted, stretched, in another ink; some known, some unseen."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from unseen.data.domain import Domain, concatenate


class Style(NamedTuple):
    """A way of drawing: turned, slanted, stretched, in white on black, pale, blurred, noisy."""

    turn: float = 0.0
    slant: float = 0.0
    stretch: float = 1.0
    inverted: bool = False
    pale: bool = False
    blur: float = 0.0
    noise: float = 0.0


INKS = (Style(), Style(inverted=True), Style(blur=1.0, noise=0.2), Style(pale=True, noise=0.1))


def inked(style: Style, ink: Style) -> Style:
    """The shape of one style in the ink of another."""
    return ink._replace(turn=style.turn, slant=style.slant, stretch=style.stretch)


def styles(family: str) -> tuple[list[Style], list[Style]]:
    """Twelve styles of source domains and six of unseen ones.

    turned FROM: every 30 degrees from FROM, unseen halfway between; inked, slanted, stretched: three or four shapes in
    three or four inks, unseen other shapes in inks mixed otherwise.
    """
    kind, *words = family.split("-")
    if kind == "turned":
        a = float(words[0])
        return [Style(turn=a + 30 * i) for i in range(12)], [Style(turn=a + 15 + 60 * i) for i in range(6)]
    shapes = {
        "inked": ([Style(turn=t) for t in (-40.0, 0.0, 40.0)], [Style(turn=t) for t in (-20.0, 20.0, 55.0)]),
        "slanted": ([Style(slant=s) for s in (-0.6, 0.0, 0.6)], [Style(slant=s) for s in (-0.3, 0.3, 0.8)]),
        "stretched": ([Style(stretch=s) for s in (0.6, 1.0, 1.5)], [Style(stretch=s) for s in (0.8, 1.25, 1.7)]),
    }
    known, unseen = shapes[kind]
    mixed = [Style(inverted=True, blur=0.7), Style(pale=True)]
    return [inked(s, ink) for s in known for ink in INKS], [inked(s, ink) for s in unseen for ink in mixed]


def drawn(images: np.ndarray, style: Style, rng: np.random.Generator) -> np.ndarray:
    """Pictures (n, 16, 16), 0 for paper and 1 for ink, in a style."""
    from scipy.ndimage import affine_transform, gaussian_filter

    a = np.deg2rad(style.turn)
    shape = np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]]) @ np.array([[1.0, 0.0], [style.slant, 1.0]])
    matrix = np.eye(3)
    matrix[1:, 1:] = np.diag([style.stretch, 1 / style.stretch]) @ shape
    centre = np.array([0.0, 7.5, 7.5])
    x = affine_transform(images, matrix, offset=centre - matrix @ centre, order=1)
    x = gaussian_filter(x, (0, style.blur, style.blur)) if style.blur else x
    x = 1 - x if style.inverted else x
    x = 0.5 * x + 0.2 if style.pale else x
    return x + rng.normal(0, style.noise, x.shape) if style.noise else x


def in_styles(images: np.ndarray, y: np.ndarray, family: str, seed: int) -> tuple[Domain, list[Domain], list[Domain]]:
    """Source of the twelve known styles of a family; of other pictures, its six unseen ones and the twelve."""
    rng = np.random.default_rng(seed)
    parts = np.split(rng.permutation(len(y)), [2 * len(y) // 3])

    def domain(style: Style, part: int, n: int, name: str) -> Domain:
        chosen = rng.choice(parts[part], min(n, len(parts[part])), replace=False)
        x = drawn(images[chosen], style, rng)[:, None].astype(np.float32)
        return Domain(x=x, y=y[chosen], kind="image", name=name)

    known, unseen = styles(family)
    source = concatenate([domain(style, 0, 200, f"source {i}") for i, style in enumerate(known)])
    new = [domain(style, 1, 300, f"unseen {i}") for i, style in enumerate(unseen)]
    return source, new, [domain(style, 1, 300, f"source {i}") for i, style in enumerate(known)]
