"""A quantized model as a page: distilled pictures, sensitivity of each layer, the frontier, what was lost."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unseen.nn.quantizers import MEGABYTE
from unseen.report.pages import FIGURES, image_source, render_page
from unseen.report.shift import BAR, INK, QUIET

if TYPE_CHECKING:
    from unseen.bundle import Bundle

SHOWN = 32
"""Pictures on the contact sheet."""
SIDE = 112
"""Pixels of a picture on it."""
LEAST_AGREEMENT = 0.8
"""Of a file in integers with the network in floats on pictures; with less it is said not to be used."""
POINTS = 12
"""Rows of the frontier's table."""

_IN_THE_HEADING = {"model", "parameters before", "parameters after", "seconds", "folder"}
_HEAT = "".join(
    f"td.heat{level} {{ background: color-mix(in srgb, {BAR} {12 * level}%, transparent); }}\n" for level in range(6)
)


def facts(about: Mapping[str, Any]) -> dict[str, str]:
    """What `unseen.jobs.quantization.job.quantize` tells in numbers, in words, as the page and the terminal show it."""
    size, bits = about["megabytes"], about["bits"]
    record = {
        "model": about["model"],
        "method": about["method"],
        "parameters before": f"{size['before']:.2f} MB",
        "parameters after": f"{size['after']:.2f} MB",
        "weights of layers": f"{size['quantized']:.2f} MB ({_span(bits['least'], bits['most'])})",
        "stays float": ", ".join(f"{part} {share:.2f} MB" for part, share in size["float"].items()) or "nothing",
    }
    if "folder" in size:
        record["size on disk"] = f"{size['folder']:.2f} MB, a byte for each code, however few bits it has"
    if "mismatch" in about:
        record["mismatch of statistics"] = _mismatch(**about["mismatch"])
    for key, name in (("distilled", "distilled pictures"), ("data", "data")):
        if key in about:
            record[f"same class as before on {name}"] = (
                f"{100 * about[key]['agreement']:.1f} % of {about[key]['pictures']}"
            )
            record[f"divergence on {name}"] = f"{about[key]['divergence']:.4f} (0: nothing changed)"
    if "labelled" in about.get("data", {}):
        right, n = about["data"].get("accuracy"), about["data"]["labelled"]
        record["accuracy on data"] = (
            f"float {100 * right['float']:.1f} %, quantized {100 * right['quantized']:.1f} % of {n}"
            if right
            else "not known: no label names a class of the model"
        )
    if "onnx" in about:
        file = about["onnx"]
        record["ONNX"] = f"{file['megabytes']:.2f} MB in integers, {file['float_megabytes']:.2f} MB in floats"
        record["ONNX against float"] = (
            f"cosine of logits {file['cosine']:.4f}, agreement {100 * file['agreement']:.1f} % on distilled pictures"
        )
        if "data" in file:
            record["ONNX on data"] = _on_data(file["data"])
        record["ONNX speed"] = speed(file)
    record["seconds"] = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in about["seconds"].items())
    if "folder" in about:
        record["folder"] = about["folder"]
    return record


def speed(file: Mapping[str, Any]) -> str:
    """What a picture takes in integers and in floats, of the fields of an `IntegerFile`, in words."""
    integers, floats = file["milliseconds"], file["float_milliseconds"]
    took = f"{integers:.1f} ms a picture in integers, {floats:.1f} in floats"
    return f"{took}: {floats / integers:.2f} times as fast, here on one thread"


def _on_data(seen: Mapping[str, Any]) -> str:
    """How a file in integers does on pictures, and what to do where that is bad."""
    line = f"same class as in floats on {100 * seen['agreement']:.1f} % of {seen['pictures']}"
    if right := seen.get("accuracy"):
        line += f"; accuracy {100 * right['quantized']:.1f} %, in floats {100 * right['float']:.1f} %"
    if seen["agreement"] < LEAST_AGREEMENT:
        line += (
            ". Do not use the file: the distilled pictures do not reach where yours do; distil them at the model's own "
            "size and for longer"
        )
    return line


def _mismatch(first: float, last: float, steps: int) -> str:
    line = f"went from {first:.4g} to {last:.4g} in {steps} steps"
    return line if last < first or steps == 1 else f"{line}: distillation diverged, a smaller learning rate may help"


def _span(least: int, most: int) -> str:
    return f"{least} bits" if least == most else f"{least} to {most} bits"


def page(small: Bundle, about: Mapping[str, Any]) -> bytes:
    """The page; it needs nothing else.

    Parameters
    ----------
    small : Bundle
        The quantized model.
    about : mapping
        What `unseen.jobs.quantization.job.quantize` tells.
    """
    method = vars(small.method)
    pictures = method.get("distilled_")
    frontier = method.get("frontier_")
    place = _chosen(frontier, method["bits_"]) if frontier else None
    shown = facts(about)
    return render_page(
        Path(__file__).with_name("page.html"),
        style=f"{FIGURES}\n{_HEAT}",
        slug=small.method.card.slug,
        about=about,
        before=shown["parameters before"],
        after=shown["parameters after"],
        facts=[(key, value) for key, value in shown.items() if key not in _IN_THE_HEADING],
        sheet=None if pictures is None else image_source(contact_sheet(pictures.numpy(), small.encoder)),
        n_pictures=0 if pictures is None else len(pictures),
        n_shown=0 if pictures is None else min(SHOWN, len(pictures)),
        mismatch=shown.get("mismatch of statistics"),
        curve=[image_source(_curve(frontier, place, *of)) for of in ((8, 120), (3.6, 200))] if frontier else None,
        chosen=place is not None,
        n_points=len(frontier["megabytes"]) if frontier else 0,
        points=_points(frontier, place, method) if frontier else [],
        columns=list(small.method.get_params()["bits"]) if "sensitivity_" in method else [],
        layers=_layers(method),
        summary=summary(about),
    )


def summary(about: Mapping[str, Any]) -> str:
    """Whether the quantized network still says what it said, in a line or two; empty where nothing was looked at."""
    sentences = [
        f"It names the same class as before for {100 * about[key]['agreement']:.1f} % of "
        f"{about[key]['pictures']} {described}."
        for key, described in (("data", "pictures of your data"), ("distilled", "distilled pictures"))
        if key in about
    ]
    right = about.get("data", {}).get("accuracy")
    if right:
        n = about["data"]["labelled"]
        before, after = (100 * right[name] for name in ("float", "quantized"))
        sentences.append(f"Of {n} with a label it names {after:.1f} % right, before {before:.1f} %.")
    return " ".join(sentences)


def contact_sheet(pictures: NDArray[np.float32], encoder: Any) -> bytes:
    """The first pictures as one PNG, as colours where it is known how they were normalized."""
    from PIL import Image

    preprocess = getattr(encoder, "preprocess", None)
    mean, std = (
        np.array(getattr(preprocess, name, None) or value) for name, value in (("mean", (0.5,)), ("std", (0.25,)))
    )
    shown = np.asarray(pictures[:SHOWN]).transpose(0, 2, 3, 1)
    if shown.shape[3] not in (1, 3):
        shown = shown.mean(axis=3, keepdims=True)
    if len(mean) not in (1, shown.shape[3]):
        mean, std = mean.mean(keepdims=True), std.mean(keepdims=True)
    shown = (255 * (shown * std + mean).clip(0, 1)).round().astype(np.uint8)
    across = min(8, len(shown))
    sheet = Image.new("RGB", (across * (SIDE + 4), math.ceil(len(shown) / across) * (SIDE + 4)), "white")
    for i, array in enumerate(shown):
        image = Image.fromarray(array[..., 0] if array.shape[2] == 1 else array).convert("RGB")
        sheet.paste(image.resize((SIDE, SIDE)), ((i % across) * (SIDE + 4), (i // across) * (SIDE + 4)))
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG")
    return buffer.getvalue()


def _chosen(frontier: Mapping[str, NDArray[Any]], bits: Mapping[str, int]) -> int | None:
    """The point of the frontier with these bits; None if bits were chosen in another way."""
    points = np.flatnonzero((frontier["bits"] == np.array(list(bits.values()))).all(axis=1))
    return int(points[0]) if len(points) else None


def _curve(frontier: Mapping[str, NDArray[Any]], place: int | None, width: float, dpi: int) -> bytes:
    from matplotlib.figure import Figure

    size, cost = frontier["megabytes"], np.maximum(frontier["sensitivity"], 1e-12)
    figure = Figure(figsize=(width, 3.4), dpi=dpi, facecolor="white", layout="constrained")
    axis = figure.subplots()
    axis.plot(size, cost, color=BAR, linewidth=1.6, marker="." if len(size) < 60 else "")
    if place is not None:
        axis.plot(size[place], cost[place], "o", color=INK, markersize=8)
        axis.annotate(f"  {size[place]:.2f} MB", (size[place], cost[place]), color=INK, va="bottom", fontsize=10)
    axis.set_yscale("log")
    axis.set_xlabel("megabytes of weights", color=QUIET)
    axis.set_ylabel("total divergence", color=QUIET)
    axis.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _points(frontier: Mapping[str, NDArray[Any]], place: int | None, method: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Evenly spread points with the chosen one, if there is one, among them."""
    n = len(frontier["megabytes"])
    spread = np.linspace(0, n - 1, min(POINTS, n)).round().astype(int).tolist()
    rows = sorted({*spread, *([] if place is None else [place])})
    weights = float(np.sum(method["sizes_"]))
    return [
        {
            "megabytes": frontier["megabytes"][i],
            "bits": frontier["megabytes"][i] * MEGABYTE / weights,
            "sensitivity": frontier["sensitivity"][i],
            "chosen": i == place,
        }
        for i in rows
    ]


def _layers(method: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row for each layer; darker is more sensitive, a step for each factor of 10."""
    network = method["network_"]
    modules = dict(getattr(network, "network", network).named_modules())
    bits = method.get("bits_") or getattr(network, "weight_bits", {})
    omega = method.get("sensitivity_")
    top = float(np.log10(omega.max())) if omega is not None and omega.max() > 0 else 0.0
    rows = []
    for i, (name, k) in enumerate(bits.items()):
        values = [] if omega is None else [float(value) for value in omega[i]]
        rows.append(
            {
                "name": name,
                "size": f"{modules[name].weight.numel():,}" if name in modules else "",
                "bits": k,
                "sensitivity": [
                    {"nats": v, "heat": max(0, 5 - int(top - math.log10(v))) if v > 0 else 0} for v in values
                ],
            }
        )
    return rows
