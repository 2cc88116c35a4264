"""Where a model of transformers is read from."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class ModelPlace(NamedTuple):
    """A folder or a name on the hub, and whether it is a folder: then nothing is asked of the hub."""

    place: str
    local: bool


def model_place(place: str) -> ModelPlace:
    """A folder of this machine, or what else it is called, which is a name on the hub.

    Raises
    ------
    ValueError
        If it can only be a folder, and there is none, or the folder holds no model.
    """
    folder = Path(place).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").exists():
            raise ValueError(f"the folder {place!r} holds no config.json, which every model of transformers has")
        return ModelPlace(str(folder), True)
    if folder.is_absolute() or place.startswith("."):
        raise ValueError(f"there is no folder {place!r}")
    return ModelPlace(place, False)
