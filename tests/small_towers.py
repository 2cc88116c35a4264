"""Two towers of a moment that can be saved and named: a vision transformer, and one that reads letters."""

from pathlib import Path

from unseen.encoders.towers import save_towers
from unseen.encoders.vision import ImagePreprocess
from unseen.nn.dual_encoder import Letters, dual_encoder
from unseen.nn.towers import text_tower, vision_tower
from unseen.runtime import reproducible


def saved_towers(folder: Path, side: int = 8) -> str:
    """Write them below a folder; the name of an encoder of clips that looks at frames by them."""
    with reproducible(12):
        image = vision_tower((side, side), (4, 4), width=8, head=4, heads=(2, 2), mlp=(16, 16), dim=8)
        text = text_tower(32, 30, width=8, head=4, heads=(2, 2), mlp=(16, 16), dim=8, end="largest")
        towers = dual_encoder(image, text, Letters().to_json(), 20.0).eval()
    save_towers(folder, towers, ImagePreprocess(size=(side, side)).to_json())
    return f"frames:towers:{folder}"
