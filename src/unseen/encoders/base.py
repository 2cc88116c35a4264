"""`Encoder`: samples to features; `TwoTowerEncoder`: pictures and texts into one space."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_model, save_model
from torch import Tensor, nn

from unseen import runtime
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.typing import FloatArray, IntArray, Kind
from unseen.encoders import backends
from unseen.encoders.backends import Backend, Precision
from unseen.encoders.cache import FeatureStore, cache_root, written

WEIGHTS = "weights.safetensors"
"""The file of a network inside a saved encoder."""

FLUSH = 64
"""Batches after which features go to disk, so that a run that is cut off keeps them."""

Cache = bool | str | os.PathLike[str]


class Preprocess(Protocol):
    """From samples to the batch that a network takes."""

    kind: Kind

    def __call__(self, samples: Sequence[Any]) -> Tensor:
        """One batch, (b, ...); every sample is treated alone."""
        ...

    def groups(self, samples: Any) -> IntArray:
        """A number per sample, (n,); samples with equal numbers give batches of equal shape."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Everything that decides the result, as JSON values."""
        ...


class Encoder:
    """A frozen pretrained network that turns samples into features.

    Parameters
    ----------
    name : str
        What `unseen.encoders.get` calls it; never a path.
    module : nn.Module
        The network, from a preprocessed batch to features (b, d). Frozen; methods that train it copy it.
    preprocess : Preprocess
        From samples to batches.
    batch_size : int
        Every batch has this many samples, the last one padded: a feature does not depend on its neighbours.
    precision : {"auto", "fp32", "bf16"}
        ``"auto"`` takes the fastest backend of this machine, ``"fp32"`` is the reference.
    local : bool
        The weights are a file of the user; a saved model must carry them.
    identity : str, optional
        Stands for the weights in `fingerprint`; the state of `module` if absent.
    save : callable, optional
        Writes what is needed to build the encoder again into a folder; the state of `module` if absent.
    """

    def __init__(
        self,
        *,
        name: str,
        module: nn.Module,
        preprocess: Preprocess,
        batch_size: int = 32,
        precision: Precision = "auto",
        local: bool = False,
        identity: str | None = None,
        save: Callable[[Path], None] | None = None,
    ) -> None:
        backends.check_precision(precision)
        self.name = name
        self.module = module.eval().requires_grad_(False)
        self.preprocess = preprocess
        self.batch_size = batch_size
        self.precision: Precision = precision
        self.local = local
        self._identity = identity
        self._save = save or partial(save_state, self.module)
        self._runs: dict[tuple[Any, ...], backends.Run] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {' or '.join(self.kinds)} to {self.dim} features)"

    @property
    def kind(self) -> Kind:
        """What it takes: image, text, ...; of two towers the first."""
        return self.kinds[0]

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Everything that it takes."""
        return (self.preprocess.kind,)

    @cached_property
    def dim(self) -> int:
        """Number of features."""
        with torch.inference_mode():
            return int(self.module(self.example()).shape[1])

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of name, weights and preprocessing: equal fingerprints give equal features."""
        weights = self._identity or digest_state(self.module)
        spec = {"name": self.name, "weights": weights, "preprocess": self.preprocess.to_json()}
        return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()

    def example(self) -> Tensor:
        """A full batch of one meaningless sample, for tracing and export."""
        sample: Any = np.zeros((8, 8, 3), dtype=np.uint8) if self.kind == "image" else "example"
        return self.batch([sample])

    def batch(self, samples: Sequence[Any]) -> Tensor:
        """Preprocess up to `batch_size` samples and pad to a full batch with copies of the first."""
        batch = self.preprocess(samples)
        missing = self.batch_size - len(batch)
        return torch.cat([batch, batch[:1].expand(missing, *batch.shape[1:])]) if missing > 0 else batch

    def encode(self, domain: Domain, *, precision: Precision | None = None, cache: Cache = True) -> Domain:
        """Turn every sample into features; labels, classes, ids and columns stay.

        Parameters
        ----------
        domain : Domain
            Samples of a kind that the encoder takes.
        precision : {"auto", "fp32", "bf16"}, optional
            Other than the encoder's own.
        cache : bool or path
            Keep features on disk by content, encoder and backend, so that only new content is computed. False keeps
            nothing; a path keeps them there instead of in the user's cache folder.

        Returns
        -------
        Domain
            Of kind ``"features"``; x is float32 (n, d).

        Raises
        ------
        ValueError
            If the kind does not fit, or a feature is not finite.
        """
        if domain.kind not in self.kinds:
            raise ValueError(
                f"domain {domain.name!r} holds {domain.kind}; encoder {self.name!r} takes {' or '.join(self.kinds)}. "
                f"{_advice(domain.kind)}"
            )
        precision = self.precision if precision is None else precision
        backend = self.backend(precision)
        if cache is False:
            return domain.replace(x=self._compute(domain, np.arange(len(domain)), backend), kind="features")
        root = cache_root() / "features" if cache is True else Path(cache)
        device = runtime.current().device.partition(":")[0]
        store = FeatureStore(root / f"{self.fingerprint[:32]}-{device}-{backend}")
        digests, first, inverse = np.unique(domain.digests(), return_index=True, return_inverse=True)
        known, found = store.find(digests.tolist())
        features = np.empty((len(digests), self.dim), dtype=np.float32)
        features[known] = found if known.any() else 0
        todo = np.flatnonzero(~known)
        todo = todo[np.argsort(first[todo])]
        step = FLUSH * self.batch_size
        for part in (todo[start : start + step] for start in range(0, len(todo), step)):
            features[part] = self._compute(domain, first[part], backend)
            store.add(digests[part].tolist(), features[part])
        return domain.replace(x=features[inverse.reshape(-1)], kind="features")

    def backend(self, precision: Precision) -> Backend:
        """Return the backend that `precision` means here."""
        return backends.choose(precision, convolutional=self.kind == "image")

    def fidelity(self, domain: Domain, precision: Precision | None = None) -> tuple[float, float]:
        """Mean and least cosine between the features of a precision and the float32 reference."""
        fast, reference = (
            self.encode(domain, precision=which, cache=False).x for which in (precision or self.precision, "fp32")
        )
        norms = np.linalg.norm(fast, axis=1) * np.linalg.norm(reference, axis=1)
        cosine = (fast * reference).sum(axis=1) / np.maximum(norms, np.finfo(np.float32).tiny)
        return float(cosine.mean()), float(cosine.min())

    def to_json(self) -> dict[str, Any]:
        """Name, fingerprint and preprocessing, as a saved model keeps them."""
        return {
            "name": self.name,
            "kinds": list(self.kinds),
            "dim": self.dim,
            "fingerprint": self.fingerprint,
            "preprocess": self.preprocess.to_json(),
            "precision": self.precision,
            "local": self.local,
        }

    def check(self, record: Mapping[str, Any]) -> None:
        """Raise `ValueError` unless this is the encoder that `to_json` recorded."""
        if record["fingerprint"] == self.fingerprint:
            return
        mine = self.to_json()
        differs = [key for key in ("name", "preprocess", "dim") if record.get(key) != mine[key]] or ["weights"]
        raise ValueError(
            f"encoder {self.name!r} is not the one that was saved ({record['name']!r}): {', '.join(differs)} differ. "
            "Install the versions that saved it, or save again with the encoder inside (--bundle)"
        )

    def save_weights(self, folder: str | os.PathLike[str]) -> None:
        """Write what `unseen.encoders.load` needs to build the encoder without package or network."""
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        self._save(target)

    def _compute(self, domain: Domain, positions: IntArray, backend: Backend) -> NDArray[np.float32]:
        """Features of the samples at `positions`, (len(positions), d)."""
        features = np.empty((len(positions), self.dim), dtype=np.float32)
        if not len(positions):
            return features
        groups = self.preprocess.groups(domain.x[positions])
        order = np.argsort(groups, kind="stable")
        cuts = np.flatnonzero(np.diff(groups[order])) + 1
        pieces = [
            group[start : start + self.batch_size]
            for group in np.split(order, cuts)
            for start in range(0, len(group), self.batch_size)
        ]
        made = backends.prefetched(lambda piece: self.batch(list(_read(domain, positions[piece]))), pieces)
        with contextlib.closing(made), backends.all_threads():
            for piece in runtime.track(pieces, f"{self.name}: {domain.name}"):
                features[piece] = self._run(backend, next(made))[: len(piece)].numpy()
        if not np.isfinite(features).all():
            bad = positions[int(np.argwhere(~np.isfinite(features))[0, 0])]
            raise ValueError(f"encoder {self.name!r} gives a feature of sample {_id(domain, bad)!r} that is not finite")
        return features

    def _run(self, backend: Backend, batch: Tensor) -> Tensor:
        key = (backend, runtime.current().device, backends.threads(), tuple(batch.shape))
        if backend.startswith("torch"):
            key = key[:2]
        if key not in self._runs:
            self._runs[key] = self._prepare(backend, batch)
        return self._runs[key](batch)

    def _prepare(self, backend: Backend, batch: Tensor) -> backends.Run:
        return backends.prepare(backend, self.module, batch, self.fingerprint)


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
            module=TwoTowerNetwork(image.module, text.module, logit_scale),
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
    def dim(self) -> int:  # type: ignore[override]
        """Width of the shared space."""
        return self.image.dim

    def encode(self, domain: Domain, *, precision: Precision | None = None, cache: Cache = True) -> Domain:
        """Turn pictures or texts into unit vectors of the shared space; see `Encoder.encode`."""
        tower = self.text if domain.kind == self.text.kind else self.image
        return tower.encode(domain, precision=precision, cache=cache)

    def encode_image(self, images: Any, *, cache: Cache = True) -> FloatArray:
        """Unit vectors of pictures (a `Domain`, or a sequence of PIL images or arrays), (n, d)."""
        return self.encode(images if isinstance(images, Domain) else _images(images), cache=cache).x

    def encode_text(self, texts: Sequence[str], *, cache: Cache = True) -> FloatArray:
        """Unit vectors of texts, (n, d)."""
        return self.text.encode(Domain(x=list(texts), kind="text", name="texts"), cache=cache).x

    def embed(self, classes: ClassSpace, *, cache: Cache = True) -> ClassSpace:
        """Return the classes with the text vector of each as its embedding, (N, d)."""
        descriptions = classes.descriptions or (None,) * len(classes)
        texts = [self.template(name, text or None) for name, text in zip(classes.names, descriptions)]
        return classes.replace(embeddings=self.encode_text(texts, cache=cache))

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


def save_state(module: nn.Module, folder: Path) -> None:
    """Write the state of a network as ``weights.safetensors``."""
    with written(folder / WEIGHTS) as temporary:
        save_model(module, str(temporary))


def load_state(module: nn.Module, folder: Path) -> None:
    """Read the state of a network from ``weights.safetensors``; every tensor must be there and fit."""
    path = folder / WEIGHTS
    if not path.is_file():
        raise FileNotFoundError(f"the saved encoder has no {WEIGHTS}")
    try:
        load_model(module, str(path), strict=True)
    except RuntimeError as error:
        raise ValueError(f"{WEIGHTS} does not fit the encoder: {error}") from error


def digest_state(module: nn.Module) -> str:
    """SHA-256 of the parameters and buffers of a network, by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name}{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _read(domain: Domain, positions: IntArray) -> Iterator[Any]:
    for i in positions:
        try:
            yield domain.x[int(i)]
        except Exception as error:
            error.add_note(f"while reading sample {_id(domain, i)!r} of {domain.name!r}")
            raise


def _id(domain: Domain, position: int) -> str:
    assert domain.ids is not None
    return str(domain.ids[position])


def _images(images: Sequence[Any]) -> Domain:
    from unseen.data.domain import Lazy

    return Domain(x=Lazy(range(len(images)), images.__getitem__), kind="image", name="images")


def _advice(kind: str) -> str:
    from unseen.encoders.registry import fitting

    fits = fitting(kind)
    return f"For {kind} there are: {', '.join(fits)}" if fits else f"No encoder takes {kind}"
