"""Scenes of emoji with captions: a thing on a coloured ground in some weather beside another; towers that read them.

A caption begins with the thing ("a bus on grass in rain beside a camel") or with the place ("grass in rain with a camel
and a bus"), as captions of photographs do: what stands first is what two of them may share.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unseen import encoders
from unseen.claims.arms import clip_loss, in_passes
from unseen.claims.drawings import VENDORS, drawn
from unseen.claims.worlds import hashed
from unseen.data.domain import Domain, Lazy
from unseen.data.pairs import Pairs
from unseen.data.samplers import Batch
from unseen.encoders.trainable import EncodedTexts
from unseen.nn.contrastive import LARGEST
from unseen.nn.dual_encoder import DualEncoder, dual_encoder, perceptron
from unseen.nn.train import Run
from unseen.runtime import reproducible

SIDE, LARGE, SMALL = 96, 64, 40
"""Pixels of a scene, of the thing that it is of, and of the one beside it."""
COLOURS = {
    "red": (214, 48, 49), "green": (39, 134, 72), "blue": (52, 94, 200), "yellow": (247, 208, 70),
    "purple": (125, 60, 152), "orange": (235, 127, 32), "white": (250, 250, 250), "black": (25, 25, 25),
}  # fmt: skip
GROUPS = ("animals & nature", "food & drink", "objects", "activities", "travel & places")
PLACES = {
    "red": "brick", "green": "grass", "blue": "sea", "yellow": "sand", "purple": "lavender", "orange": "lava",
    "white": "snow", "black": "night",
}  # fmt: skip
"""What grounds are called."""
WEATHERS = ("rain", "hail", "fog", "sun")
"""What the ground is drawn over with: lines, dots, bands, a disc."""
THINGS, BESIDE = 24, 8
LEARNT, ASKED = 1600, 700
EPOCHS, BATCH, DIM = 15, 128, 128
IDEAS = ("love", "hope", "truth", "luck", "idea", "style", "mood", "dream")
"""What no picture shows."""
ENCODER = "efficientnet-lite0?size=96"


class Scenes(NamedTuple):
    """Pictures with what is on each, features of them, and captions."""

    features: NDArray[np.float32]
    table: dict[str, NDArray[np.str_]]
    captions: NDArray[np.str_]

    def pairs(self) -> Pairs:
        """As what is learnt from."""
        left = Domain(x=self.features, name="scenes")
        return Pairs(left, Domain(x=self.captions, kind="text", name="captions"), name="scenes")


@functools.cache
def things(case: str) -> tuple[tuple[str, ...], tuple[str, ...], tuple[int, ...]]:
    """Names of what scenes are of and of what is beside, and where each stands among a vendor's emoji.

    Only names of one word, by their hashes. The case is `SPLIT VENDOR`.
    """
    split, vendor = case.split()
    style = drawn(split)[VENDORS[split].index(vendor)]
    groups = style.columns["group"]
    names = style.columns["name"].tolist()
    kept = [i for i, name in enumerate(names) if name.isalpha() and name.islower() and groups[i] in GROUPS]
    kept = sorted(kept, key=lambda i: hashed(f"scene {names[i]}"))[: THINGS + BESIDE]
    chosen = [names[i] for i in kept]
    return tuple(chosen[:THINGS]), tuple(chosen[THINGS:]), tuple(kept)


@functools.cache
def picture_of(case: str, i: int) -> Any:
    """The picture of a thing by where it stands among a vendor's emoji, without its ground."""
    split, vendor = case.split()
    return _cut(drawn(split)[VENDORS[split].index(vendor)].x[i])


@functools.cache
def scenes(case: str, part: str) -> Scenes:
    """Scenes to learn from, or to be asked about: these are of things on colours, and beside others, never learnt."""
    domain, table, captions = laid_out(case, part)
    return Scenes(_features(domain), table, captions)


def laid_out(
    case: str, part: str, n: int | None = None
) -> tuple[Domain, dict[str, NDArray[np.str_]], NDArray[np.str_]]:
    """The pictures of scenes, drawn when they are looked at, what is on each, and captions; n of them, or all."""
    mains, beside, places = things(case)
    rng = np.random.default_rng(hashed(f"{case} {part}") % 2**32)
    rows: list[tuple[str, str, str, str]] = []
    while len(rows) < (n or (LEARNT if part == "learnt" else ASKED)):
        main, other, colour = str(rng.choice(mains)), str(rng.choice(beside)), str(rng.choice(list(COLOURS)))
        new = hashed(f"{main} {colour}") % 4 == 0 or hashed(f"{main} {other}") % 4 == 0
        if new == (part == "asked"):
            rows.append((main, colour, other, str(rng.choice(WEATHERS))))
    names = [*mains, *beside]
    seeds = rng.integers(2**31, size=len(rows))

    def draw(i: int) -> Any:
        main, colour, other, weather = rows[i]
        large, small = (picture_of(case, places[names.index(name)]) for name in (main, other))
        return drawn_scene(large, small, COLOURS[colour], weather, int(seeds[i]))

    domain = Domain(x=Lazy(range(len(rows)), lambda i: draw(int(i))), kind="image", name=f"scenes, {case}, {part}")
    columns = np.array(rows)
    grounds = np.array([PLACES[colour] for colour in columns[:, 1]])
    table = {"thing": columns[:, 0], "place": grounds, "beside": columns[:, 2], "weather": columns[:, 3]}
    first, turned = rng.random((2, len(rows))) < 0.5
    fields = zip(columns[:, 0], grounds, columns[:, 2], columns[:, 3], first, turned)
    return domain, table, np.array([caption(*row) for row in fields])


def caption(thing: str, place: str, other: str, weather: str, begins: bool, turned: bool) -> str:
    """What is said of a scene: of its thing, or of its place, with the two things in either order."""
    if begins:
        return f"a {thing} on {place} in {weather} beside a {other}"
    return f"{place} in {weather} with " + " and ".join(f"a {name}" for name in (other, thing)[:: -1 if turned else 1])


def drawn_scene(main: Any, other: Any, colour: tuple[int, int, int], weather: str, seed: int) -> Any:
    """One picture: the ground and its weather, the thing about its middle, the other in a lower corner."""
    from PIL import Image

    rng = np.random.default_rng(seed)
    shade = tuple(int(np.clip(value + rng.integers(-15, 16), 0, 255)) for value in colour)
    scene = Image.new("RGBA", (SIDE, SIDE), (*shade, 255))
    scene.alpha_composite(_weather(weather, rng))
    large, small = (picture.resize((side, side)) for picture, side in ((main, LARGE), (other, SMALL)))
    right = bool(rng.integers(2))
    scene.alpha_composite(large, ((SIDE - LARGE) * (not right), int(rng.integers(0, 9))))
    scene.alpha_composite(small, ((SIDE - SMALL) * right, SIDE - SMALL))
    return scene.convert("RGB")


def _weather(weather: str, rng: np.random.Generator) -> Any:
    from PIL import Image, ImageDraw

    sky = Image.new("RGBA", (SIDE, SIDE), (0, 0, 0, 0))
    pen = ImageDraw.Draw(sky)
    shift, step = int(rng.integers(12)), 12
    if weather == "rain":
        for x in range(-SIDE + shift, SIDE, step):
            pen.line((x, SIDE, x + SIDE // 2, 0), fill=(120, 190, 235, 255), width=2)
    elif weather == "hail":
        for x in range(shift - step, SIDE, step):
            for y in range(shift - step, SIDE, step):
                pen.ellipse((x, y, x + 5, y + 5), fill=(235, 235, 245, 255), outline=(120, 120, 130, 255))
    elif weather == "fog":
        for y in range(shift - step, SIDE, step):
            pen.rectangle((0, y, SIDE, y + step // 2), fill=(190, 190, 190, 215))
    else:
        pen.ellipse((SIDE // 2 - 26 + shift, -20, SIDE // 2 + 26 + shift, 32), fill=(255, 225, 60, 255), outline="red")
    return sky


def _cut(picture: Any) -> Any:
    """A drawing without its white ground, where its file has one."""
    from PIL import Image, ImageDraw

    rgb = picture.convert("RGB")
    marked = rgb.copy()
    for corner in ((0, 0), (rgb.width - 1, 0), (0, rgb.height - 1), (rgb.width - 1, rgb.height - 1)):
        if marked.getpixel(corner) == (255, 255, 255):
            ImageDraw.floodfill(marked, corner, (255, 0, 255))
    alpha = 255 * (np.asarray(marked) != (255, 0, 255)).any(axis=2)
    cut = rgb.convert("RGBA")
    cut.putalpha(Image.fromarray(alpha.astype(np.uint8)))
    return cut


def _features(domain: Domain) -> NDArray[np.float32]:
    return encoders.get(ENCODER).encode(domain, precision="fp32").x


@functools.cache
def towers(case: str, seed: int) -> DualEncoder:
    """Linear maps of frozen features of pictures and of sentences into one space, by the loss of CLIP."""
    learnt = scenes(case, "learnt")
    reader = EncodedTexts("minilm")
    # captions say all; parts of them are read, too, so that a condition means something by itself
    parts = [learnt.captions, *(_said(learnt, key) for key in ("thing", "place", "beside", "weather"))]
    vectors = [reader(part.tolist()) for part in parts]
    with reproducible(seed):
        image, text = perceptron((learnt.features.shape[1], DIM)), perceptron((vectors[0].shape[1], DIM))
        net = dual_encoder(image, text, reader.to_json(), 20.0)
        net.reader = reader
        adam = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=1e-2)

        def objective(batch: Batch, run: Run) -> Tensor:
            which = int(torch.randint(len(vectors), (), generator=run.generator))
            t = vectors[which][batch.index]
            logits = net.logit_scale.exp().clamp(max=LARGEST) * net.encode_image(batch.x) @ net.encode_text(t).T
            same = (t @ t.T > 0.9999).float()
            return clip_loss(logits, same)

        source = Domain(x=learnt.features, name="scenes")
        in_passes(objective, net, adam, source, name="scene-towers", size=BATCH, epochs=EPOCHS)
    return net.eval()


def _said(scenes: Scenes, key: str) -> NDArray[np.str_]:
    words = {"thing": "a", "place": "on", "beside": "with", "weather": "in"}
    return np.array([f"{words[key]} {value}" for value in scenes.table[key].tolist()])


def noisy(captions: Sequence[str], share: float, seed: int) -> NDArray[np.str_]:
    """Captions of which a share says something that no picture shows, about the same subject."""
    rng = np.random.default_rng(seed)
    texts = []
    for text in captions:
        if rng.random() < share:
            subject = re.split(" (?:on|in|with) ", text)[0]
            text = f"{subject} with {rng.choice(IDEAS)} of {rng.choice(IDEAS)}"
        texts.append(text)
    return np.array(texts)
