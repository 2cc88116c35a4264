"""Draw docs/images/segmentation.png: collages at dusk, said before and after adaptation to one other picture, and true.

python docs/segmentation_picture.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from unseen.claims.idm import Adapted, idm, trained, world
from unseen.report.tasks.mask import _bytes, _coloured, colour_of

SIDE, SHOWN = 192, (1, 3, 7)
OUT = Path(__file__).parent / "images" / "segmentation.png"


def main() -> None:
    """Train, adapt, draw."""
    torch.set_num_threads(1)
    _, source, target, test = world("development/openmoji/dusk", 0)
    network, _ = trained("development", 0)
    method = idm(0).fit(source=source, target=target.take([0]), model=network)
    few = test.take(list(SHOWN))
    said = [Adapted(network).predict(few), method.predict(few), few.labels]
    titles = ("picture", "before", "after one other picture", "true")
    canvas = Image.new("RGB", (4 * (SIDE + 8), len(SHOWN) * (SIDE + 8) + 40), "white")
    draw = ImageDraw.Draw(canvas)
    for column, title in enumerate(titles):
        draw.text((column * (SIDE + 8) + 2, 3), title, fill="#333333")
    for row, sample in enumerate(few.x):
        small = _bytes(sample)
        large = np.asarray(Image.fromarray(small).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
        tiles = [large]
        for masks in said:
            mask = Image.fromarray(np.asarray(masks[row]).astype(np.int32)).resize(
                (SIDE, SIDE), Image.Resampling.NEAREST
            )
            tiles.append(_coloured(large, np.asarray(mask)))
        for column, tile in enumerate(tiles):
            canvas.paste(Image.fromarray(tile), (column * (SIDE + 8), 18 + row * (SIDE + 8)))
    names = test.classes.names if test.classes is not None else ()
    for i, name in enumerate(names):
        left, top = i * 120, 18 + len(SHOWN) * (SIDE + 8)
        draw.rectangle((left, top + 3, left + 10, top + 13), fill=colour_of(i))
        draw.text((left + 15, top + 2), name, fill="#222222")
    canvas.save(OUT, optimize=True)


if __name__ == "__main__":
    main()
