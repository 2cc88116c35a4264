"""`TwoTowerEncoder`: pictures and texts into one space."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unseen.data.class_file import check_prompts
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain, Lazy
from unseen.data.typing import FloatArray, Kind
from unseen.encoders.backends import Precision
from unseen.encoders.base import Cache, Encoder
from unseen.scale import Engine


class TwoTowerNetwork(nn.Module):
    """Two networks into one space with the interface of open_clip's models; `forward` takes pictures."""

    def __init__(self, image: nn.Module, text: nn.Module, logit_scale: float) -> None:
        super().__init__()
        self.image = image
        self.text = text
        self.logit_scale = nn.Parameter(torch.tensor(logit_scale).log())

    def encode_image(self, image: Tensor) -> Tensor:
        """Unit vectors of pictures, (b, d)."""
        return self.image(image)

    def encode_text(self, text: Tensor) -> Tensor:
        """Unit vectors of tokenized texts, (b, d)."""
        return self.text(text)

    def forward(self, image: Tensor) -> Tensor:
        """Unit vectors of pictures, (b, d)."""
        return self.image(image)


class TwoTowerEncoder(Encoder):
    """Pictures and texts into one space, so that any class with a name can be predicted.

    Parameters
    ----------
    name : str
        What `unseen.encoders.get` calls it.
    image, text : Encoder
        The towers; both give unit vectors of equal width.
    logit_scale : float
        Factor of the cosine before the softmax of `classify` (the inverse temperature, not its logarithm).
    template : callable
        The sentence of a class, from its name and its description (perhaps None).
    save : callable, optional
        As in `Encoder`; by default each tower writes its own folder.
    """

    def __init__(
        self,
        *,
        name: str,
        image: Encoder,
        text: Encoder,
        logit_scale: float,
        template: Callable[[str, str | None], str],
        save: Callable[[Path], None] | None = None,
    ) -> None:
        super().__init__(
            name=name,
            module=partial(_joined, image, text, logit_scale),
            runs=image.running,
            preprocess=image.preprocess,
            batch_size=image.batch_size,
            precision=image.precision,
            local=image.local or text.local,
            save=save or self._save_towers,
        )
        self.image, self.text = image, text
        self.logit_scale = logit_scale
        self.template = template
        if image.dim != text.dim:
            raise ValueError(f"image and text must share one space; got {image.dim} and {text.dim} dimensions")

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Pictures and texts."""
        return (self.image.kind, self.text.kind)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of both towers' fingerprints, the scale and the wording of classes."""
        wording = [self.template("name", None), self.template("name", "description")]
        parts = [self.name, self.image.fingerprint, self.text.fingerprint, repr(self.logit_scale), *wording]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    @property
    def dim(self) -> int:
        """Width of the shared space."""
        return self.image.dim

    def as_read(self, domain: Domain) -> Domain:
        """As the tower of pictures or clips looks at them."""
        return self.image.as_read(domain)

    def example(self, rows: int | None = None) -> Tensor:
        """A batch of meaningless pictures or clips."""
        return self.image.example(rows)

    def encode(
        self,
        domain: Domain,
        *,
        precision: Precision | None = None,
        cache: Cache = True,
        engine: Engine | None = None,
    ) -> Domain:
        """Turn pictures or texts into unit vectors of the shared space; see `Encoder.encode`."""
        self.check_kind(domain)
        tower = self.text if domain.kind == self.text.kind else self.image
        return tower.encode(domain, precision=precision, cache=cache, engine=engine)

    def encode_image(self, images: Any, *, cache: Cache = True) -> FloatArray:
        """Unit vectors of pictures (a `Domain`, or a sequence of PIL images or arrays), (n, d)."""
        return self.encode(_as_domain(images), cache=cache).x

    def encode_text(self, texts: Sequence[str], *, cache: Cache = True) -> FloatArray:
        """Unit vectors of texts, (n, d)."""
        return self.text.encode(Domain(x=list(texts), kind="text", name="texts"), cache=cache).x

    def embed(self, classes: ClassSpace, *, prompts: Sequence[str] | None = None, cache: Cache = True) -> ClassSpace:
        """Return the classes with the text vector of each as its embedding, (N, d).

        `prompts` are sentences with a place for the name, such as ``"a photo of a {}."``, whose vectors are averaged;
        the encoder's own wording if absent.
        """
        texts = class_texts(classes, prompts, self.template)
        return classes.replace(embeddings=mean_of([self.encode_text(part, cache=cache) for part in texts]))

    def classify(self, features: Domain | FloatArray, classes: ClassSpace, *, cache: Cache = True) -> FloatArray:
        """Probabilities of the classes by their names and descriptions alone, (n, N).

        Parameters
        ----------
        features : Domain or array (n, d)
            What `encode` gave for the pictures.
        classes : ClassSpace
            Any classes; those that carry embeddings of the shared width (see `embed`) are not embedded again.
        """
        x = np.asarray(features.x if isinstance(features, Domain) else features, dtype=np.float32)
        if x.ndim != 2 or x.shape[1] != self.dim:
            raise ValueError(f"features must be of shape (n, {self.dim}), as {self.name!r} gives them; got {x.shape}")
        if classes.embeddings is None or classes.embeddings.shape[1] != self.dim:
            classes = self.embed(classes, cache=cache)
        assert classes.embeddings is not None
        logits = self.logit_scale * torch.from_numpy(x) @ torch.from_numpy(classes.embeddings).T
        return logits.softmax(dim=1).numpy()

    def _save_towers(self, folder: Path) -> None:
        self.image.save_weights(folder / "image")
        self.text.save_weights(folder / "text")


def _joined(image: Encoder, text: Encoder, logit_scale: float) -> TwoTowerNetwork:
    return TwoTowerNetwork(image.module, text.module, logit_scale)


def class_texts(
    classes: ClassSpace, prompts: Sequence[str] | None, template: Callable[[str, str | None], str] | None = None
) -> list[list[str]]:
    """The sentence of each class in each of `prompts`; in `template` alone if there are none.

    Raises
    ------
    ValueError
        If a prompt has no place for the name.
    """
    descriptions = classes.descriptions or (None,) * len(classes)
    pairs = [(name, text or None) for name, text in zip(classes.names, descriptions)]
    if not prompts:
        return [[(template or name_and_description)(*pair) for pair in pairs]]
    check_prompts(prompts)
    return [[prompt.replace("{}", name_and_description(*pair)) for pair in pairs] for prompt in prompts]


def name_and_description(name: str, description: str | None) -> str:
    """``name: description``, or what there is of the two; a description that begins with the name alone."""
    readable = name.replace("_", " ")
    if description is None or description.casefold().startswith(readable.casefold()):
        return description or readable
    return f"{readable}: {description}"


def mean_of(parts: Sequence[FloatArray]) -> FloatArray:
    """The mean of the vectors of each class over prompts, at unit length; vectors of one prompt as they are."""
    if len(parts) == 1:
        return parts[0]
    mean = np.mean([part / np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1e-12) for part in parts], axis=0)
    unit: FloatArray = (mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12)).astype(np.float32)
    return unit


def _as_domain(images: Any) -> Domain:
    if isinstance(images, Domain):
        return images
    return Domain(x=Lazy(range(len(images)), images.__getitem__), kind="image", name="images")
