"""What a run of `unseen segment` leaves: a network, its classes, and the size of its pictures."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.loaders.masks import IGNORE, MaskFindings
from unseen.files import loads
from unseen.jobs.segmentation.reading import names_alike, read
from unseen.methods.fixed import Fixed
from unseen.methods.segmenting import SegmentingMethod
from unseen.nn.export import export_onnx
from unseen.nn.state import load_state, save_state, write_folder

MODEL = "segmenter.json"


class Unadapted(SegmentingMethod):
    """The network of the source as it is."""

    card = dataclasses.replace(Fixed.card, slug="unadapted", title="The network of the source as it is", task="mask")

    def fit(self, *, model: nn.Module) -> Unadapted:
        """Take the network; it is not copied."""
        self.network_ = model
        return self


@dataclasses.dataclass(frozen=True)
class SegmentModel:
    """A saved method with its classes and the size of its pictures: all that a picture needs for its mask."""

    method: SegmentingMethod
    classes: ClassSpace
    size: int

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write the method, as JSON and safetensors, all or nothing."""
        return write_folder(folder, self.write)

    def write(self, folder: Path) -> None:
        """Write into a folder that is there."""
        about = {"classes": list(self.classes.names), "size": self.size, "method": self.method.card.slug}
        (folder / MODEL).write_text(json.dumps(about, indent=1, ensure_ascii=False))
        network = self.method.network()
        save_state(folder / "state", {"network": network, "classes": self.classes, "size": self.size})

    @classmethod
    @loads("a segmentation model")
    def load(cls, folder: str | os.PathLike[str]) -> SegmentModel:
        """Read what `save` or `unseen segment` wrote; `ValueError` if it is damaged or something else."""
        folder = Path(folder)
        inner = folder / "model"
        place = inner if (inner / MODEL).exists() else folder
        if not (place / MODEL).exists():
            raise ValueError(f"{folder} holds no segmentation model; `unseen segment` writes one")
        value = load_state(place / "state")
        if not isinstance(value, dict) or set(value) != {"network", "classes", "size"}:
            raise ValueError(f"{place} holds no segmentation model that can be read")
        if not isinstance(value["classes"], ClassSpace) or not isinstance(value["size"], int) or value["size"] < 8:
            raise ValueError(f"{place} must tell classes, and a size of 8 pixels at least; got {value['size']!r:.50}")
        return cls(Unadapted().fit(model=value["network"]), value["classes"], int(value["size"]))

    def read(self, pictures: str | os.PathLike[str], ignore: int | None = IGNORE) -> tuple[Domain, MaskFindings | None]:
        """Pictures, with masks perhaps, as the network takes them, and what was found in the masks; classes that they
        name are found by their names."""
        return read(pictures, self.classes, self.size, ignore, alike=names_alike(self.classes))

    def predict(self, pictures: str | os.PathLike[str] | Domain) -> tuple[Domain, NDArray[Any], NDArray[Any]]:
        """The pictures as they were read, at most `size` pixels a side, and as large as these their masks and the
        probability of each pixel's class.

        `unseen.data.loaders.shrinking.at_size` makes a mask as large as the picture in its file, whose height and width
        are columns of what was read.
        """
        domain = pictures if isinstance(pictures, Domain) else self.read(pictures)[0]
        masks, sure = self.method.predict_sure(domain.unlabeled())
        return domain, masks, sure

    def export(self, file: str | os.PathLike[str]) -> float:
        """Write ONNX and return its largest difference from torch in onnxruntime.

        ``x`` (batch, 3, height, width), RGB in [0, 1], of any size (the model was made for a longest side of `size`),
        gives ``probabilities`` (batch, classes, height, width). The file's metadata have ``classes``, ``size`` and
        ``method``.

        Raises
        ------
        ValueError
            If the two differ by more than 1e-3 in a probability; no file is left.
        """
        about = {"classes": list(self.classes.names), "size": self.size}
        return export_onnx(
            Likely(self.method.network()),
            torch.zeros(2, 3, min(self.size, 64), min(self.size, 64)),
            file,
            output="probabilities",
            metadata={name: json.dumps(value, ensure_ascii=False) for name, value in about.items()}
            | {"method": self.method.card.slug},
            any_size=True,
        )


class Likely(nn.Module):
    """Probabilities of classes, in place of scores, of every pixel."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n h w"]:
        """Probabilities."""
        return torch.softmax(self.network(x), dim=1)
