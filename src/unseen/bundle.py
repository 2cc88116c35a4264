"""`Bundle`: what users save, load, export and serve: encoder, classes, method, calibration, in one folder."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

import unseen.methods.base  # noqa: F401 - registers how methods are saved
from unseen.arguments import PATH, SWITCH, check_arguments, is_frame, whole
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain, Lazy
from unseen.data.feature_names import by_name, listed
from unseen.data.given import Samples, domain_of, domain_of_frame
from unseen.data.reading import check_all_say
from unseen.files import place_of_bundle, read_json, saved
from unseen.methods.base import UNKNOWN, Method
from unseen.methods.chain import chain
from unseen.nn.build import joined
from unseen.nn.information import normalized_entropy
from unseen.nn.state import load_state, save_state, write_folder
from unseen.runtime import track
from unseen.strict_json import positive, texts

if TYPE_CHECKING:
    import pandas as pd

    from unseen.encoders import Encoder

log = logging.getLogger(__name__)

FORMAT = 1
OF_PREDICT = {"top": whole(1), "abstain": SWITCH, "cache": SWITCH}
CLIPS = 32
"""Whole clips that a method is asked about at a time: a multiple of what it looks at together."""


@dataclasses.dataclass(kw_only=True, eq=False)
class Bundle:
    """A fitted method with everything that a file needs on its way to a prediction.

    Parameters
    ----------
    method : Method
        Fitted, on features of `encoder` if there is one.
    classes : ClassSpace
        What predictions index.
    encoder : Encoder or None
        None if samples are features already.
    temperature : float, > 0
        Divides the scores before the softmax, so that probabilities are calibrated on held-out source samples.
    threshold : float
        Normalized entropy above which `abstain` calls a sample unknown.
    credits : tuple of str
        Licences and artists of what it was made from.
    whole : bool
        Whether `method` reads preprocessed batches, not features: its network holds the encoder's, as after
        `unseen quantize`. Of `encoder` the preprocessing alone is used.
    feature_names : tuple of str
        What the columns of the table were called that it was made from; tables are read by these names. Empty if they
        had none, or there is an encoder.
    sample_column : ("text" or "path", name), or ()
        Where texts or paths stood in the table that it was made from, as it was named: tables are read there.
    """

    method: Method
    classes: ClassSpace
    encoder: Encoder | None = None
    temperature: float = 1.0
    threshold: float = 1.0
    credits: tuple[str, ...] = ()
    whole: bool = False
    feature_names: tuple[str, ...] = ()
    sample_column: tuple[str, ...] = ()

    # -- predictions -----------------------------------------------------------------------------------

    def _domain(self, samples: Samples) -> Domain:
        """What `unseen.load` reads of a path or a data frame; an array holds what the encoder or the method reads."""
        kind = "features" if self.encoder is None else self.encoder.kind
        return domain_of(samples, kind, self.feature_names, self.sample_column)

    def aligned(self, samples: Samples) -> Domain:
        """The samples with the features of `feature_names`, in their order; what else a table has is left out.

        Raises
        ------
        ValueError
            If a table lacks features; the message names them.
        """
        samples = self._domain(samples)
        if self.encoder is not None:
            return samples
        ready = by_name(samples, self.feature_names, samples.name, "the model")
        for note in ready.notes[len(samples.notes) :]:
            log.warning("%s: %s", samples.name, note)
        return ready

    def features(self, samples: Samples, *, cache: bool = True) -> Domain:
        """The samples as the method reads them; `cache` keeps their features in the user's cache folder."""
        samples = self._domain(samples)
        if self.encoder is None:
            self._check_numbers(samples)
            return self.aligned(samples)
        if self.whole and samples.kind == "clip" and isinstance(samples.x, Lazy):  # too large to hold them all
            clips: Any = self.encoder.as_read(samples).x
            return samples.replace(x=clips.map(self._prepared))
        if self.whole:
            encoder = self.encoder
            batches = [encoder.preprocess(list(part.x)) for part in samples.batches(encoder.batch_size)]
            return samples.replace(x=torch.cat(batches).numpy())
        return self.encoder.encode(samples, cache=cache)

    def _check_numbers(self, samples: Domain) -> None:
        """`ValueError` if a method of features, which has no encoder, is asked about something else."""
        files = samples.kind != "image" or isinstance(samples.x, Lazy)
        if files and samples.kind not in self.method.card.modalities and "features" in self.method.card.modalities:
            names = f" ({listed(self.feature_names)})" if self.feature_names else ""
            raise ValueError(f"{samples.name} holds {samples.kind}; the model reads tables of numbers{names}")

    def _prepared(self, sample: Any) -> Tensor:
        assert self.encoder is not None
        return self.encoder.preprocess([sample])[0]

    def _asked(self, features: Domain) -> Tensor:
        """What the method scores; of whole clips, each of which takes a while, some at a time, and how far it is."""
        if not isinstance(features.x, Lazy) or len(features) <= CLIPS:
            return self.method.decision_function(features)
        starts = track(range(0, len(features), CLIPS), f"predicting {features.name}")
        parts = (features.take(slice(start, start + CLIPS)) for start in starts)
        return torch.cat([self.method.decision_function(part) for part in parts])

    def scores(self, samples: Samples) -> Tensor:
        """Scores before the softmax, (n, N), divided by the temperature."""
        return self.method.decision_function(self.features(samples)) / self.temperature

    def predict_proba(self, samples: Samples) -> Tensor:
        """Calibrated probabilities, (n, N)."""
        return torch.softmax(self.scores(samples), dim=1)

    def predict(
        self,
        samples: Samples,
        *,
        top: int = 1,
        abstain: bool = False,
        cache: bool = True,
    ) -> pd.DataFrame:
        """Predict samples, files or folders.

        Parameters
        ----------
        samples : Domain, path, pandas.DataFrame or array
            What `unseen.load` reads, a list of paths (`pathlib.Path`) that it reads, or an array or a list of what the
            encoder reads (of features without one); a list of texts holds texts.
        top : int, >= 1
            How many classes to name.
        abstain : bool
            Name no class where the model is not sure (`unknown` is True).
        cache : bool
            Keep features in the user's cache folder; False leaves nothing of the samples on disk.

        Returns
        -------
        DataFrame
            A row per sample: id, class (a name, a str), probability, unknown, and for top > 1 the next classes. Samples
            that cannot be read, such as rows of a table that lack a feature, are left out, and logged; of a data frame
            the rows have the index that they have there.
        """
        import pandas as pd

        check_arguments(OF_PREDICT, {"top": top, "abstain": abstain, "cache": cache}, "predict")
        index = None
        if is_frame(samples):
            frame: Any = samples
            samples, rows = domain_of_frame(frame, self.feature_names, self.sample_column)
            index = frame.index[rows]
        return pd.DataFrame(self.predictions(samples, top=top, abstain=abstain, cache=cache), index=index)

    def predictions(
        self,
        samples: Samples,
        *,
        top: int = 1,
        abstain: bool = False,
        cache: bool = True,
    ) -> dict[str, Any]:
        """The columns of `predict` by their names, without a table around them, whose package is slow to import."""
        check_arguments(OF_PREDICT, {"top": top, "abstain": abstain, "cache": cache}, "predict")
        domain = self._domain(samples)
        if len(domain) == 0:
            raise ValueError("there is no sample to predict")
        if domain.kind == "text" and not isinstance(domain.x, Lazy):  # files were looked at when they were loaded
            check_all_say(domain.x, domain.ids)
        features = self.features(domain, cache=cache)
        scores = self._asked(features)
        p = torch.softmax(scores / self.temperature, dim=1)
        value, index = p.topk(min(top, p.shape[1]), dim=1)
        alone = self.whole and not self.method.card.rejects  # a large network, which is not asked twice
        predicted = scores.argmax(dim=1).numpy() if alone else self.method.predict(features)
        unknown = (predicted == UNKNOWN) | (normalized_entropy(p).numpy() > self.threshold)
        first = np.where(predicted == UNKNOWN, index[:, 0].numpy(), predicted)
        names = np.array(self.classes.names, dtype=object)
        table: dict[str, Any] = {
            "id": domain.ids,
            "class": [None if abstain and doubt else name for name, doubt in zip(names[first], unknown)],
            "probability": p[torch.arange(len(p)), torch.as_tensor(first)].numpy().round(6),
            "unknown": unknown,
        }
        for k in range(index.shape[1]) if top > 1 else ():
            table[f"class_{k + 1}"] = names[index[:, k].numpy()]
            table[f"probability_{k + 1}"] = value[:, k].numpy().round(6)
        return table

    # -- saving ----------------------------------------------------------------------------------------

    def save(
        self,
        folder: str | os.PathLike[str],
        *,
        with_encoder: bool = False,
        more: Callable[[Path], None] = lambda folder: None,
        also: Collection[str] = (),
    ) -> Path:
        """Write the bundle, all or nothing: `bundle.json` for people, JSON and safetensors for the method.

        `with_encoder` adds the encoder's weights, so that the folder needs nothing else; an encoder that was read from
        a file of the user is always added. Neither is where the method has trained the encoder's network on clips,
        whose weights it holds: what is kept of the encoder then is how clips are read. `more` writes what else stands
        in the folder, and `also` are names that one that was written before may hold, too.
        """
        read = self._read_alone()
        inside = self.encoder is not None and not read and (with_encoder or self.encoder.local)
        about = {
            "format": FORMAT,
            "method": self.method.card.slug,
            "title": self.method.card.title,
            "classes": list(self.classes.names),
            "encoder": None if self.encoder is None else self.encoder.to_json(),
            "whole": self.whole,
            "encoder_inside": inside,
            **({"encoder_reads_alone": True} if read else {}),
            "temperature": self.temperature,
            "threshold": self.threshold,
            "credits": list(self.credits),
            **({"feature_names": list(self.feature_names)} if self.feature_names else {}),
            **({"sample_column": list(self.sample_column)} if self.sample_column else {}),
        }

        def write(temporary: Path) -> None:
            (temporary / "bundle.json").write_text(json.dumps(about, indent=1, ensure_ascii=False))
            save_state(temporary / "method", {"method": self.method, "classes": self.classes})
            if inside and self.encoder is not None:
                self.encoder.save_weights(temporary / "encoder")
            more(temporary)

        return write_folder(folder, write, also=("encoder", *also))

    def _read_alone(self) -> bool:
        """Whether all that the method needs of the encoder is how it reads clips."""
        if self.encoder is None or not (self.whole and self.method.card.reads_clips):
            return False
        from unseen.encoders.frames import reader_of

        return reader_of(self.encoder) is not None

    @classmethod
    def load(cls, folder: str | os.PathLike[str], *, trust: bool = False) -> Bundle:
        """Read a bundle, from its folder or from that of the run that saved it.

        Raises
        ------
        ValueError
            If the folder is no bundle, is damaged, or its encoder is not the one that it was made with.
        ImportError, PermissionError, ConnectionError
            If its encoder needs a package that is not installed, trust, or weights that cannot be fetched.
        """
        check_arguments({"folder": PATH}, {"folder": folder}, "load")
        folder = place_of_bundle(folder)
        with saved(folder, "a complete saved model"):
            return cls._load(folder, trust)

    @classmethod
    def _load(cls, folder: Path, trust: bool) -> Bundle:
        if not (folder / "bundle.json").exists():
            detail = "it holds no bundle.json" if folder.exists() else "there is no such folder"
            raise ValueError(f"{folder} is not a saved model: {detail}")
        try:
            about = read_json(folder / "bundle.json")
        except (OSError, ValueError) as error:
            raise ValueError(f"{folder} is not a saved model: {error}") from error
        if not isinstance(about, dict) or about.get("format") != FORMAT:
            raise ValueError(
                f"{folder} has format {about.get('format') if isinstance(about, dict) else about!r}, not {FORMAT}"
            )
        state = load_state(folder / "method")
        method, classes = state["method"], state["classes"]
        if not isinstance(method, Method) or not isinstance(classes, ClassSpace):
            raise ValueError(f"{folder / 'method'} does not hold a method and its classes")
        if list(classes.names) != about["classes"]:
            raise ValueError(f"{folder}: the classes in bundle.json are not those of the method")
        return cls(
            method=method,
            classes=classes,
            encoder=_encoder(folder, about, trust),
            temperature=positive(about, "temperature", 1e-6),
            threshold=positive(about, "threshold"),
            credits=texts(about, "credits"),
            whole=bool(about["whole"]),
            **{key: texts(about, key) for key in ("feature_names", "sample_column") if key in about},
        )

    def decide_by(self, rule: Method, classes: ClassSpace) -> Bundle:
        """Put a rule over probabilities, such as Loki, on top of this model and its temperature.

        Parameters
        ----------
        rule : Method
            Unfitted; it is fitted on `classes`.
        classes : ClassSpace
            Its first classes are those of this model, which are its seen ones; the rule can predict all of them.

        Raises
        ------
        ValueError
            If the first classes are not those of this model.
        """
        n = len(self.classes)
        if classes.names[:n] != self.classes.names:
            raise ValueError(f"classes must begin with the {n} classes of this model, in their order")
        fitted = rule.fit(classes=classes.replace(seen=np.arange(n)))
        both = chain(self.method, fitted, self.temperature)
        return dataclasses.replace(self, method=both, classes=classes, temperature=1.0)

    # -- carrying --------------------------------------------------------------------------------------

    def reader(self) -> nn.Module:
        """From features to scores as one network, which carries what its features are called as `feature_names`.

        Raises
        ------
        TypeError
            If the method is no network.
        """
        network = self.method.network()
        network.feature_names = self.feature_names  # type: ignore[assignment]
        return network

    def network(self) -> nn.Module:
        """Everything from a preprocessed batch to calibrated probabilities as one network."""
        return Whole(self.logits(), self.temperature)

    def logits(self) -> nn.Module:
        """From a preprocessed batch to scores, as one network that can be saved."""
        if self.encoder is None or self.whole:
            return self.method.network()
        return joined(self.encoder.reading(self.method.reads_regions), self.method.network())

    def example(self) -> Tensor:
        """A batch of the shape that `network` reads."""
        if self.encoder is None:
            return torch.zeros(2, int(vars(self.method)["n_features_in_"]))
        return self.encoder.example()[:2]

    def onnx_metadata(self) -> dict[str, str]:
        """What an ONNX file says of itself: classes, how samples are prepared, when an answer is doubted; as JSON."""
        metadata: dict[str, Any] = {"classes": self.classes.names, "threshold": self.threshold}
        if self.feature_names:
            metadata["features"] = self.feature_names
        if self.encoder is not None:
            from unseen.encoders.frames import ClipPreprocess

            reads = self.encoder.preprocess
            if isinstance(reads, ClipPreprocess):
                metadata["preprocess"] = reads.for_others()
            else:
                metadata["preprocess"] = reads.to_json() | ({"colours": "RGB"} if self.encoder.kind == "image" else {})
        return {key: json.dumps(value, ensure_ascii=False) for key, value in metadata.items()} | {
            "method": self.method.card.slug
        }

    def export(self, file: str | os.PathLike[str]) -> float:
        """Write ONNX (with a dynamic batch) and return its largest difference from torch in onnxruntime.

        Raises
        ------
        ValueError
            If the method is no single network from inputs to scores, or the two differ by more than 1e-3 in a
            probability, or in a score as a share of the largest (of a quantized network by more than 0.1, as roundings
            flip); no file is left then.
        """
        from unseen.encoders.backends import lite0s
        from unseen.nn.export import Front, export_onnx
        from unseen.nn.lite0 import FEATURES, write_onnx

        try:
            network = self.network()
        except TypeError as error:
            raise ValueError(f"a model of {self.method.card.slug} has no ONNX: {error}") from error

        front, example = None, self.example()
        reader = None if self.whole or self.method.reads_regions else self.encoder
        if reader is not None and (parts := lite0s(reader.running)):
            rest = Whole(self.method.network(), self.temperature)
            height, width = example.shape[2:]
            front = Front(lambda place: write_onnx(parts, (height, width), place), rest, FEATURES * len(parts))
        return export_onnx(
            network,
            example,
            file,
            output="probabilities",
            metadata=self.onnx_metadata(),
            tolerance=0.1 if self.whole else 1e-3,
            front=front,
        )


def read_zoo(folder: str | os.PathLike[str], *, trust: bool = False) -> dict[str, nn.Module]:
    """The networks of all saved models and runs in a folder, by the names of their folders: `teachers` of a method.

    A network reads what the method of its model reads: features of the encoder, whose name it carries as `reads`, if
    there is one, or of a table, whose names it carries as `feature_names`. It carries the credits of its model as
    `licence`.

    Raises
    ------
    ValueError
        If there is no saved model in the folder, one is damaged or its method is no network, or they read features of
        different encoders.
    """
    folder = Path(folder)
    inner = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    places = {
        path.name: place for path in inner for place in (path, path / "model") if (place / "bundle.json").exists()
    }
    if not places:
        raise ValueError(f"{folder} holds no folder of a saved model; `unseen adapt` and `unseen compare` write them")
    bundles = {name: Bundle.load(place, trust=trust) for name, place in places.items()}
    _check_encoders(folder, bundles)
    zoo = {}
    for name, bundle in bundles.items():
        try:
            network = bundle.reader()
        except TypeError as error:
            raise ValueError(f"{places[name]} cannot teach: {error}") from error
        network.licence = "; ".join(bundle.credits)  # type: ignore[assignment]
        network.reads = "" if bundle.encoder is None else bundle.encoder.name  # type: ignore[assignment]
        zoo[name] = network
    return zoo


def _check_encoders(folder: Path, bundles: Mapping[str, Bundle]) -> None:
    read: dict[str, str] = {}
    for name, bundle in bundles.items():
        read.setdefault("none" if bundle.encoder is None else bundle.encoder.name, name)
    if len(read) > 1:
        detail = ", ".join(f"{name!r} reads those of {encoder}" for encoder, name in read.items())
        raise ValueError(f"{folder}: all models must read features of one encoder; {detail}")


class Whole(nn.Module):
    """Scores to calibrated probabilities."""

    def __init__(self, scores: nn.Module, temperature: float) -> None:
        super().__init__()
        self.scores, self.temperature = scores, temperature

    def forward(self, x: Tensor) -> Tensor:
        """Probabilities, (b, N)."""
        return torch.softmax(self.logits(x), dim=1)

    def logits(self, x: Tensor) -> Tensor:
        """What the softmax is taken of, (b, c)."""
        return self.scores(x) / self.temperature


def _encoder(folder: Path, about: dict[str, Any], trust: bool) -> Encoder | None:
    written = about.get("encoder")
    if written is None:
        return None
    if not isinstance(written, dict) or not isinstance(written.get("name"), str):
        raise ValueError(f"bundle.json: encoder must be what an encoder wrote of itself; got {str(written)[:50]!r}")
    if about.get("encoder_reads_alone"):
        if about.get("whole") is not True:
            raise ValueError("bundle.json: encoder_reads_alone is for models that are whole; this one reads features")
        from unseen.encoders.frames import FramesReader

        return FramesReader(written)
    from unseen import encoders

    inside = folder / "encoder" if about.get("encoder_inside") else None
    return encoders.load(written, inside, trust=trust)
