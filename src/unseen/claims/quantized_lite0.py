"""EfficientNet-Lite0 with its ImageNet weights, quantized by ZeroQ: emoji and photographs, floats and integers."""

from __future__ import annotations

import atexit
import functools
import hashlib
import importlib.util
import itertools
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unseen.claims import worlds
from unseen.claims.arms import timed
from unseen.claims.base import Result
from unseen.claims.quantizing import against, lite0_agreement, pictures
from unseen.data.domain import Domain
from unseen.encoders.backends import keep_freed_memory
from unseen.encoders.vision import LITE0_PREPROCESS, lite0_network
from unseen.methods.baselines.dfq import DFQ
from unseen.methods.compression.zeroq import ZeroQ
from unseen.nn.integer import calibrated_by_onnxruntime, export_integers, run_onnx
from unseen.nn.network_io import noise
from unseen.nn.quantizers import Bits, outputs
from unseen.runtime import reproducible, without_checkpoints

# -- EfficientNet-Lite0 with its ImageNet weights ----------------------------------------------------------

LITE0: dict[str, Any] = {
    "batch_size": 16, "iterations": 80, "learning_rate": 0.1, "shape": (3, 96, 96), "precision": "mixed",
    "average_bits": 6.0,
}  # fmt: skip


@functools.cache
def lite0_arms(seed: int) -> tuple[dict[str, nn.Module], dict[str, float]]:
    """Quantized networks by name, and the seconds of the stages; no picture is read."""
    keep_freed_memory()
    network = lite0_network()
    zeroq, whole = lite0_zeroq(seed)
    seconds = {"whole": whole}
    with without_checkpoints(), reproducible(seed):
        gaussian = noise(16, (3, 224, 224))  # as large as pictures are; distilled inputs have 96 pixels a side
        arms = {
            "frontier W6": zeroq.network(),
            "dfq of the paper W8": DFQ(**DFQ.card.presets["paper"]).fit(model=network).network(),
        }
        weight_bits: tuple[Bits, ...] = (8, 6)
        for k in weight_bits:
            arms[f"gaussian W{k}"] = zeroq.quantize(network, weight_bits=k, calibration=gaussian)
            arms[f"distilled W{k}"] = zeroq.quantize(network, weight_bits=k)
            arms[f"dfq W{k}"] = DFQ(weight_bits=k).fit(model=network).network()
    seconds["loss divided by"] = float(zeroq.losses_[0] / zeroq.losses_[-1])
    return arms, seconds


def run_lite0(case: str, seed: int) -> Result:
    """Agreement with the float network, and divergence from it, on pictures that no arm has seen."""
    arms, seconds = lite0_arms(seed)
    return lite0_agreement(arms, pictures(case)) | {"zeroq": seconds}


# -- photographs, and integers in onnxruntime ---------------------------------------------------------------

PACKAGED = {
    "scikit-image A": tuple(
        f"skimage/data/{name}"
        for name in ("astronaut.png", "coffee.png", "motorcycle_left.png", "brick.png", "moon.png", "ihc.png")
    ),
    "gradio and matplotlib": (
        *(f"gradio/media_assets/images/{name}.jpg" for name in ("cheetah1", "lion", "tower")),
        "gradio/test_data/cheetah2.jpg",
        "matplotlib/mpl-data/sample_data/grace_hopper.jpg",
    ),
}
"""Files that packages ship."""
STAMPS = {"stamps A": ("food", "plants", "vehicles"), "stamps C": ("clothes", "space", "hobbies", "sports", "town")}
"""Top folders of Tux Paint's stamps."""
SEEN = ("photos", "scikit-image A", "stamps A")
"""Where the real pictures that an arm is made from come from, but never from the pictures of the case."""
N_CROPS = 40
N_REAL = 16
WEIGHT_BITS: tuple[Bits, ...] = (8, 6, 4)
AVERAGE_BITS: tuple[Bits, ...] = (6, 4)
PIXELS = (-LITE0_PREPROCESS.mean[0] / LITE0_PREPROCESS.std[0], (1 - LITE0_PREPROCESS.mean[0]) / LITE0_PREPROCESS.std[0])
"""The least and largest number of a normalized picture."""


def as_packaged(case: str) -> list[Domain]:
    """What `photographs` and the arms of a case are made from, for a stamp."""
    files = [packaged(file) for name in sorted({case, *SEEN} & PACKAGED.keys()) for file in PACKAGED[name]]
    digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    return [worlds.photos(), worlds.stamps(), worlds.of_texts(digests)]


def packaged(name: str) -> Path:
    """A file that a package ships, `PACKAGE/FILE`."""
    package, _, file = name.partition("/")
    spec = importlib.util.find_spec(package)  # where it lies, without importing it
    if spec is None or spec.origin is None:
        raise ImportError(f"pictures of the package {package} are needed: pip install {package}")
    return Path(spec.origin).parent / file


@functools.cache
def photographs(case: str) -> Tensor:
    """Crops of packages' photographs, whole stamps that are no cartoons, or crops of scikit-learn's two photos."""
    if case in STAMPS:
        drawn = worlds.stamps()
        photos = [i for i, name in enumerate(drawn.columns["folder"]) if "cartoon" not in name]
        chosen = [i for i in photos if drawn.columns["category"][i] in STAMPS[case]]
        order = np.random.default_rng(0).permutation(chosen)[:N_CROPS]
        return LITE0_PREPROCESS(list(drawn.take(order).x)).contiguous()
    if case not in PACKAGED:
        return pictures(case)[:N_CROPS]
    return LITE0_PREPROCESS(crops_of(case)).contiguous()


def crops_of(case: str, n: int = N_CROPS) -> list[Any]:
    """Crops of packages' photographs, the first n of them."""
    from PIL import Image

    rng, crops = np.random.default_rng(0), []
    for name in itertools.islice(itertools.cycle(PACKAGED[case]), n):
        image = Image.open(packaged(name)).convert("RGB")
        side = int(rng.integers(min(image.size) // 3, min(image.size)))
        left, top = (int(rng.integers(length - side + 1)) for length in image.size)
        crops.append(image.crop((left, top, left + side, top + side)))
    return crops


@functools.cache
def lite0_zeroq(seed: int) -> tuple[ZeroQ, float]:
    """ZeroQ in mixed precision on EfficientNet-Lite0, and its seconds; no picture is read."""
    keep_freed_memory()
    with without_checkpoints(), reproducible(seed):
        return timed(lambda: ZeroQ(**{**LITE0, "random_state": seed}).fit(model=lite0_network()))


@functools.cache
def integer_files(seed: int) -> dict[str, Path]:
    """ONNX files in integers, on distilled pictures: as they are exported, and with a part left out."""
    zeroq, _ = lite0_zeroq(seed)
    folder = Path(tempfile.mkdtemp(prefix="unseen-claim-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    parts: dict[str, dict[str, Any]] = {
        "integers": {"input_range": PIXELS},
        "integers, biases as they are": {"input_range": PIXELS, "correction": False},
    }
    with reproducible(seed):
        files = {arm: folder / f"{arm}.onnx" for arm in parts}
        for arm, options in parts.items():
            export_integers(lite0_network(), torch.zeros(2, 3, 224, 224), zeroq.distilled_, files[arm], **options)
    return files


@functools.lru_cache(maxsize=3)  # a pool with three seeds
def photograph_arms(pool: tuple[str, ...], seed: int) -> tuple[dict[str, nn.Module], bytes]:
    """Networks at 8, 6 and 4 bits and in mixed precision, on each source of pictures; and onnxruntime's on real ones.

    Ranges come from noise and real pictures of 224 pixels a side, distilled ones have 96, at which the sensitivity of
    all three is measured.
    """
    network = lite0_network()
    real = torch.cat([photographs(name) for name in pool])
    with without_checkpoints(), reproducible(seed):
        real = real[torch.randperm(len(real))[:N_REAL]]
        small = Domain(x=F.interpolate(real, LITE0["shape"][1:], mode="bilinear", antialias=True).numpy(), kind="image")
        distilled, _ = lite0_zeroq(seed)
        settings: dict[str, Any] = {**LITE0, "random_state": seed}
        sources = {
            "gaussian": (ZeroQ(**settings, data="gaussian").fit(model=network), noise(N_REAL, (3, 224, 224))),
            "distilled": (distilled, distilled.distilled_),
            "real": (ZeroQ(**settings).fit(model=network, target=small), real),
        }
        arms: dict[str, nn.Module] = {}
        for source, (zeroq, x) in sources.items():
            for k in WEIGHT_BITS:
                arms[f"{source} W{k}"] = zeroq.quantize(network, weight_bits=k, calibration=x)
            for k in AVERAGE_BITS:
                bits = zeroq.choose(average_bits=k)
                arms[f"{source} frontier W{k}"] = zeroq.quantize(network, weight_bits=bits, calibration=x)
        return arms, calibrated_by_onnxruntime(network, real, PIXELS)


def run_photographs(case: str, seed: int) -> Result:
    """Agreement with the float network, simulated and in integers, on photographs of which no arm is made."""
    network, x = lite0_network(), photographs(case)
    arms, peer = photograph_arms(tuple(name for name in SEEN if name != case), seed)
    scores = {arm: outputs(quantized, x) for arm, quantized in arms.items()}
    scores |= {arm: run_onnx(file, x) for arm, file in integer_files(seed).items()}
    scores["onnxruntime, real pictures"] = run_onnx(peer, x)
    exact = outputs(network, x)
    table: Result = {
        arm: against(exact, got) | {"cosine": float(F.cosine_similarity(exact, got).mean())}
        for arm, got in scores.items()
    }
    return table | {"zeroq": {"seconds": lite0_zeroq(seed)[1]}}
