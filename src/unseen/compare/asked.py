"""What can be refused before anything is loaded: names, numbers and paths that cannot be right. Nothing heavy is
imported here."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from unseen.arguments import (
    PATH,
    SETTINGS,
    SWITCH,
    TEXT,
    TEXTS,
    Check,
    are_texts,
    check_arguments,
    is_frame,
    is_number,
    is_path,
    way_out,
    whole,
)

PROTOCOLS = ("closed", "partial", "open", "open-partial", "zsl", "gzsl", "base-to-new")
NOTHING_TO_LEARN = (
    "source or support must be given, or `classes`, or a model: samples with labels, the names of the classes "
    "('cat,dog,horse', or a file of names), or a saved model. labels='support' (or 'split:0.5') learns from labels in "
    "the target"
)


def _is_data(value: Any) -> bool:
    if is_path(value) or is_frame(value):
        return True
    from unseen.data.domain import Domain

    return isinstance(value, Domain)


def _are_classes(value: Any) -> bool:
    if is_path(value):
        return True
    from unseen.data.classes import ClassSpace, names_in

    return isinstance(value, ClassSpace) or names_in(value) is not None


def _is_ontology(value: Any) -> bool:
    if is_path(value):
        return True
    from unseen.data.ontology import Ontology

    return isinstance(value, Ontology)


def _is_taxonomy(value: Any) -> bool:
    if isinstance(value, str):
        return True
    from unseen.data.taxonomies import Taxonomy

    return isinstance(value, Taxonomy)


def _is_network(value: Any) -> bool:
    from torch import nn

    return isinstance(value, nn.Module)


def _is_model(value: Any) -> bool:
    if is_path(value):
        return True
    from unseen.bundle import Bundle

    return isinstance(value, Bundle) or _is_network(value)


def _are_teachers(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(name, str) and _is_network(value[name]) for name in value)


def _is_engine(value: Any) -> bool:
    from unseen.scale import Engine

    return isinstance(value, Engine)


DATA = Check("a Domain, a path or a pandas.DataFrame", _is_data, advice=way_out).or_none()
GIVEN = {
    "source": DATA,
    "target": DATA,
    "support": DATA,
    "classes": Check("a ClassSpace, a file, or a list of names", _are_classes).or_none(),
    "prompts": Check("a list of sentences", lambda value: isinstance(value, Sequence) and are_texts(value)).or_none(),
    "ontology": Check("an Ontology or a path", _is_ontology).or_none(),
    "taxonomy": Check("a Taxonomy or the name of one", _is_taxonomy).or_none(),
    "model": Check("a Bundle, the folder of one, or a torch Module", _is_model).or_none(),
    "teachers": Check("a mapping of names to torch Modules", _are_teachers).or_none(),
    "encoder": Check("the name of an encoder", TEXT.fits).or_none(),
    "labels": Check("exam, support or split:SHARE", TEXT.fits),
    "on_error": Check("skip or fail", TEXT.fits),
    "precision": Check("auto or fp32", TEXT.fits),
    "trust": SWITCH,
    "engine": Check('an unseen.scale.Engine, such as Engine(name="ray")', _is_engine).or_none(),
}
"""What `compare` and `adapt` are given to work on."""

WRITTEN = {"refit": SWITCH, "out": PATH.or_none(), "with_encoder": SWITCH}

OF_COMPARE = {
    **GIVEN,
    **WRITTEN,
    "methods": Check("'auto', 'all' or names of methods", lambda value: TEXT.fits(value) or TEXTS.fits(value)),
    "protocol": TEXT,
    "careful": SWITCH.or_none(),
    "crafted": SWITCH.or_none(),
    "seeds": whole(1),
    "budget": Check(
        "seconds, or a time such as 90s, 10m or 2h", lambda value: isinstance(value, str) or is_number(value)
    ).or_none(),
    "pictures": SWITCH,
    "command": TEXT,
    "say": Check("a function that takes a line", callable),
}

OF_ADAPT = {
    **GIVEN,
    **WRITTEN,
    "method": Check("the name of a method", TEXT.fits),
    "settings": SETTINGS.or_none(),
    "preset": TEXT,
    "seed": whole(0),
    "cache": SWITCH,
    "say": Check("a function that takes a line", callable).or_none(),
}


def check_types(of: str, **values: Any) -> None:
    """Refuse what is of no type that `compare` or `adapt`, as `of` says, takes; the error names it."""
    check_arguments(OF_COMPARE if of == "compare" else OF_ADAPT, values, of)


def check_asked(
    *,
    data: Mapping[str, Any],
    classes: Any = (),
    methods: str | Sequence[str] = "auto",
    protocol: str = "auto",
    labels: str = "exam",
    prompts: Sequence[str] | None = None,
    encoder: str | None = None,
    budget: str | float | None = None,
    seeds: int = 1,
    on_error: str = "skip",
    precision: str = "auto",
    out: str | os.PathLike[str] | None = None,
) -> None:
    """Refuse what cannot be right, in a moment: no data are read, no method and no network is imported.

    Parameters
    ----------
    data : mapping
        Paths by argument; what is no path is not looked at.
    classes
        Names, or where they stand; None where there are none, and then a source or a support is needed.
    methods, protocol, labels, prompts, encoder, budget, seeds, on_error, precision, out
        As in `compare`.

    Raises
    ------
    ValueError
        If a name is not known or a number out of range; the nearest name is given.
    FileNotFoundError
        If nothing is at a path.
    """
    if seeds < 1:
        raise ValueError(f"seeds must be at least 1, got {seeds}")
    if protocol not in ("auto", *PROTOCOLS):
        raise ValueError(f"protocol must be auto, {', '.join(PROTOCOLS[:-1])} or {PROTOCOLS[-1]}; got {protocol!r}")
    if on_error not in ("skip", "fail"):
        raise ValueError(f"on_error must be skip or fail; got {on_error!r}")
    if precision not in ("auto", "fp32", "bf16"):
        raise ValueError(f"precision must be auto or fp32; got {precision!r}")
    parse_budget(budget)
    parse_labels(labels)
    check_methods(methods)
    if prompts:
        from unseen.data.class_file import check_prompts

        check_prompts(prompts)
    check_encoder(encoder)
    for name, value in data.items():
        check_path(name, value)
    if isinstance(classes, (str, os.PathLike)):
        _check_names(os.fspath(classes))
    learns = any(data.get(word) is not None for word in ("source", "support", "model"))
    if classes is None and labels == "exam" and not learns:
        raise ValueError(NOTHING_TO_LEARN)
    if protocol in ("zsl", "gzsl", "base-to-new") and classes is None and data.get("ontology") is None:
        raise ValueError(
            f"protocol {protocol} is for classes that are told without a labelled sample: name all classes in classes"
        )
    if out is not None:
        check_out(Path(out))


def check_path(name: str, value: Any) -> None:
    """`FileNotFoundError` with the nearest name if a path of this machine leads nowhere."""
    if not isinstance(value, (str, os.PathLike)):
        return
    path = os.fspath(value)
    if not path:
        raise ValueError(f"{name} must not be empty")
    if "://" in path or any(sign in path for sign in "{*?") or Path(path).expanduser().exists():
        return
    from unseen.data.loaders.common import locate

    try:
        locate(path)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{name}: {error}") from error


def _check_names(classes: str) -> None:
    """Refuse a class file that is not there, and names that cannot be classes."""
    if "," not in classes and Path(classes).suffix:
        check_path("classes", classes)
    elif not Path(classes).exists() and not any(sign in classes for sign in "/\\"):
        from unseen.data.class_file import class_space

        class_space(classes)


CONSENSUS = "consensus"
"""What `compare` makes of several methods, and `adapt` cannot."""


def named_preset(method: str, preset: str) -> tuple[str, str]:
    """The slug and the preset that `adapt` is asked for; `ValueError` if two presets are named, or several methods."""
    slug, _, named = method.partition(":")
    if named and preset not in ("default", named):
        raise ValueError(f"method: {slug}:{named} names a preset, and preset is {preset!r}; name one of them")
    if slug == CONSENSUS:
        raise ValueError(f"method: {slug} is made of several methods; compare runs and saves it (methods={slug!r})")
    return slug, named or preset


def check_methods(methods: str | Iterable[str], argument: str = "methods") -> None:
    """`ValueError` if no method or no preset of it is called so; of other packages presets are looked at later."""
    if methods in ("auto", "all"):
        return
    from unseen import methods as known
    from unseen.methods.listing import check_preset, presets_of

    for name in method_names(methods):
        slug, _, preset = name.partition(":")
        known.check(slug)
        if preset and (presets := presets_of(slug)) is not None:
            check_preset(slug, preset, presets, argument)


def method_names(methods: str | Iterable[str]) -> list[str]:
    """The names in a list, or in a text with commas."""
    names = methods.split(",") if isinstance(methods, str) else list(methods)
    names = [part.strip() for part in names if part.strip()]
    if not names:
        raise ValueError("methods must be 'auto' or name at least one method")
    return names


def check_encoder(name: str | None) -> None:
    """`ValueError` if there is no such encoder, `ImportError` if it needs a package; nothing is loaded."""
    if name is None:
        return
    from unseen.encoders.registry import describe

    if install := describe(name)["install"]:
        raise ImportError(f"encoder {name!r} needs a package: {install}")


def parse_budget(budget: str | float | None) -> float | None:
    """Seconds from a number or from words such as 90s, 10m, 2h."""
    if budget is None:
        return None
    if isinstance(budget, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh]?)\s*", budget)
        if match is None:
            raise ValueError(f"budget must be seconds, or a time such as 90s, 10m or 2h; got {budget!r}")
        seconds = float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]
    else:
        seconds = float(budget)
    if not seconds > 0:
        raise ValueError(f"budget must be more than no time; got {budget!r}")
    return seconds


def parse_labels(labels: str) -> float:
    """The share of target labels that become support, from exam, support or split:SHARE."""
    if labels in ("exam", "support"):
        return float(labels == "support")
    head, _, share = labels.partition(":")
    try:
        value = float(share)
    except ValueError:
        value = -1.0
    if head != "split" or not 0 < value < 1:
        raise ValueError(f"labels must be exam, support or split:SHARE with a share in (0, 1); got {labels!r}")
    return value


def check_out(folder: Path) -> None:
    """`ValueError` if something else than a run of `unseen compare` is in the place of a run folder."""
    check_place(folder)
    strange = folder.is_dir() and any(not entry.name.startswith(".") for entry in folder.iterdir())
    if strange and not (folder / "config.json").exists():
        raise ValueError(f"out: {folder} exists and is not a run of `unseen compare`; choose another folder")


def check_place(folder: Path) -> None:
    """`ValueError` if a folder that is to be written is a file, or stands where nothing can be written."""
    if "\0" in os.fspath(folder):
        raise ValueError(f"out must be a path, which has no zero byte; got {os.fspath(folder)!r}")
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"out must be a folder; {folder} is a file")
    for part in (folder, *folder.absolute().parents):
        if part.is_symlink() and not part.exists():
            raise ValueError(f"out: {folder} cannot be written, as {part} is a link that leads to nothing")
    above = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise ValueError(f"out: {folder} cannot be written, as {above} is no folder that you may write to")
