"""A model of pictures as one HTML file that answers in the browser, without a network."""

from __future__ import annotations

import base64
import gzip
import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from unseen.bundle import Bundle
from unseen.data.images import MAX_PIXELS
from unseen.data.kinds import KINDS
from unseen.data.sources.npm import fetch, read_files
from unseen.encoders.two_tower import TwoTowerEncoder
from unseen.encoders.vision import ImagePreprocess
from unseen.methods.base import Method
from unseen.report.pages import source_hash, templates
from unseen.runtime import replacing
from unseen.serving.manual import FOLDER, style

TOP = 5
"""Classes that the page names."""

LARGEST = 256 * 2**20
"""Bytes of the largest network; a browser refuses longer texts."""


def write_page(bundle: Bundle, file: str | os.PathLike[str], *, title: str = "What is it?") -> Path:
    """Write one HTML file that classifies a picture of whoever opens it; nothing leaves their machine.

    The network runs in onnxruntime-web, which comes from npm at a pinned version, is checked, and stands inside the
    page. Pictures are resized, cut and normalized as the encoder does it (Pillow's resampling, transparency on white);
    probabilities are calibrated, and a picture is called unknown where `Bundle.predict` would.

    Parameters
    ----------
    bundle : Bundle
        With an encoder of pictures.
    file : path
        Of the page; it appears when it is complete.
    title : str
        Heading of the page.

    Raises
    ------
    ValueError
        If the model does not read pictures, rejects by a rule that the page does not know, or is too large.
    SourceUnavailable
        If onnxruntime-web cannot be fetched.
    """
    about = {
        "preprocess": preprocess_of(bundle).to_json(),
        "classes": list(bundle.classes.names),
        "temperature": bundle.temperature,
        "threshold": bundle.threshold,
        "reject": _rejection(bundle.method),
        "top": TOP,
    }
    method, credits = bundle.method.card.slug, bundle.credits
    return _write(file, about, bundle.export, title, method, credits=credits, calibrated=_calibrated(bundle))


def write_mask_page(
    about: Mapping[str, Any],
    export: Callable[[Path], float],
    file: str | os.PathLike[str],
    *,
    title: str = "What is where?",
) -> Path:
    """Write one HTML file that says of every pixel of a picture which class it is of; nothing leaves its machine.

    Parameters
    ----------
    about : mapping
        The ``method``, ``classes`` with their ``colours`` (n of 3 bytes) and how strongly these lie over a picture
        (``opacity``), and the ``size`` in pixels that the longest side of a picture is made smaller to.
    export : function of a path
        Writes the network as ONNX: ``x`` (1, 3, height, width) in [0, 1] gives ``probabilities`` (1, n, height, width).
    file, title
        As in `write_page`, which says what else is raised.
    """
    return _write(file, about, export, title, about["method"], masks=True)


def _write(
    file: str | os.PathLike[str],
    about: Mapping[str, Any],
    export: Callable[[Path], float],
    title: str,
    method: str,
    *,
    masks: bool = False,
    calibrated: bool = False,
    credits: Sequence[str] = (),
) -> Path:
    pin = json.loads((FOLDER / "runtime.json").read_text(encoding="utf-8"))
    archive = fetch(pin["package"], pin, instead="write ONNX with out=")
    runtime = read_files(archive, [pin["script"], pin["program"]])
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / "model.onnx"
        export(graph)
        model = graph.read_bytes()
    if len(model) > LARGEST:
        raise ValueError(f"the network has {len(model) / 2**20:.0f} MB; a page holds at most {LARGEST / 2**20:.0f} MB")
    parts = ("drop.js", "resample.js", "segment.js" if masks else "classify.js", "offline.js")
    css, script = style(), "".join((FOLDER / name).read_text(encoding="utf-8") for name in parts)
    allowed = {
        "default-src": "'none'",
        "script-src": f"{source_hash(script)} blob: 'wasm-unsafe-eval'",
        "style-src": source_hash(css),
        "img-src": "blob: data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    page = (
        templates(FOLDER)
        .get_template("offline.html")
        .render(
            title=title,
            style=css,
            script=script,
            policy="; ".join(f"{key} {value}" for key, value in allowed.items()),
            about={**about, "pixels": MAX_PIXELS},
            masks=masks,
            method=method,
            calibrated=calibrated,
            credits=[*credits, pin["credit"]],
            runtime=_packed(runtime[pin["script"]]),
            program=_packed(runtime[pin["program"]]),
            model=_packed(model),
        )
    )
    target = Path(file)
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as temporary:
        temporary.write_bytes(page.encode("utf-8", "replace"))
    return target


def preprocess_of(bundle: Bundle) -> ImagePreprocess:
    """How the model's pictures are prepared; `ValueError` if it reads something else."""
    encoder = bundle.encoder.image if isinstance(bundle.encoder, TwoTowerEncoder) else bundle.encoder
    preprocess: Any = None if encoder is None else encoder.preprocess
    if not isinstance(preprocess, ImagePreprocess):
        kind = "features" if encoder is None else encoder.kind
        raise ValueError(f"a page needs a model that reads pictures; this one reads {KINDS.get(kind, (kind, kind))[1]}")
    return preprocess


def _calibrated(bundle: Bundle) -> bool:
    """Whether probabilities were calibrated as they are: of a quantized network only those before it was."""
    neutral = bundle.temperature == bundle.threshold == 1
    return not neutral and "quantization" not in bundle.method.card.protocols


def _rejection(method: Method) -> float | None:
    """Normalized entropy of the uncalibrated probabilities above which the method itself rejects; None if never."""
    if not method.card.rejects:
        return None
    params = method.get_params()
    if not {"reject", "threshold"} <= params.keys():
        raise ValueError(f"{type(method).__name__} rejects by a rule of its own that a page cannot apply")
    return float(params["threshold"]) if params["reject"] else None


def _packed(content: bytes) -> str:
    """Compressed, as text that a page can hold; equal content gives equal text."""
    return base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()
