"""Saved models that commands are given: where they stand in a folder, and what they are."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from unseen.files import place_of_bundle, read_json
from unseen.jobs import SavedModel, saved_model


def place_of_model(folder: Path) -> Path:
    """Where in a folder, perhaps that of a run, a saved classifier stands; `ValueError` says what else it holds."""
    place = place_of_bundle(folder)
    if not (place / "bundle.json").exists():
        reason = "it holds no bundle.json" if place.exists() else "there is no such folder"
        if (room := saved_model(folder)) is not None:
            raise ValueError(f"{folder} holds {room[0].what}, which names no classes: {room[0].use(folder)}")
        raise ValueError(f"{folder} is not a saved model: {reason}; `unseen compare` and `unseen adapt` save some")
    return place


def room_of_model(folder: Path) -> tuple[SavedModel, Path] | None:
    """What a folder holds that names no classes, such as a tagger, and where; None for a classifier, or nothing."""
    return None if (place_of_bundle(folder) / "bundle.json").exists() else saved_model(folder)


def open_bundle(folder: Path, trust: bool) -> Any:
    """The saved model in a folder, or in that of a run; what holds none is refused before anything is imported."""
    place = place_of_model(folder)
    from unseen.bundle import Bundle

    return Bundle.load(place, trust=trust)


def told_by_run(place: Path, kinds: Collection[str] = ()) -> list[str]:
    """What the run that saved a model knows of it, and the model does not tell: that it names one class for nearly all,
    and that it was made of other samples than those of `kinds`, which two towers read as well.

    Nothing where the model does not stand in the folder of its run.
    """
    from unseen.data.kinds import samples_of
    from unseen.report.words import SPACE, check, flat

    if place.name != "model":
        return []
    try:
        results = read_json(place.parent / "results.json")
        check(results)
        made_of = {record["kind"] for record in results.get("given", {}).values()}
        lines = [flat(results).replace(SPACE, " ")]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # no run, or a file that was changed
        return []
    if made_of and (strange := sorted(set(kinds) - made_of)):
        known, these = (" and ".join(map(samples_of, sorted(part))) for part in (made_of, strange))
        lines.append(f"all samples were {known}, and here are {these}: nothing tells how often it is right on them")
    return [line for line in lines if line]


def open_model(folder: str | None, trust: bool = False) -> Any:
    """The saved model that is to go on; None if none is named."""
    return None if folder is None else open_bundle(Path(folder), trust)


def open_zoo(folder: str | None) -> Any:
    if folder is None:
        return None
    from unseen.bundle import read_zoo

    return read_zoo(folder)
