"""What users wish beside comparing: a room per wish, with its job, its command and its page.

Nothing lists the rooms: another wish is another folder, whose module `command` adds what the command line offers, and
whose module `saved`, if it has one, tells how a model that the room saved is known and asked (`SavedModel`).
"""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from unseen.files import read_json, recovered

if TYPE_CHECKING:
    from unseen.data.domain import Domain, Skipped

Ask = Callable[[Sequence[Any], int], list[list[dict[str, Any]]]]
"""From samples, and how many answers each may have, to rows per sample: ``answer``, a line for people, and what else
there is to tell."""


class Samples(NamedTuple):
    """What lies at a path, as a model that names no classes is asked about it.

    Attributes
    ----------
    ids : sequence of str
        What each is called; the samples themselves where phrases have no other name.
    x : sequence
        The samples.
    skipped : sequence of Skipped
        What is left out, with the reason.
    """

    ids: Sequence[Any]
    x: Sequence[Any]
    skipped: Sequence[Skipped] = ()


Read = Callable[[str], Samples]
"""From a path to samples."""
LARGEST = 2**32
"""Bytes of a `state.json` that is looked at."""


@dataclasses.dataclass(frozen=True)
class SavedModel:
    """A model that a room saves and that names no classes: how its folder is known, and what asks it.

    Attributes
    ----------
    what : str
        "a tagger".
    command : str
        That uses it, with ``{folder}`` for its place.
    file : str
        A file that its folder has.
    holds : function of the names in its state, or None
        Whether it is one, where `file` does not tell: nothing heavy is imported, and the state is read once for all
        rooms.
    reads : {"", "text", "image", "audio", "series"}
        What a sample is: a text, a PIL picture, a `Sound`, a table of series. "" where two things are needed at once,
        which the command takes; there is nothing to open or read then.
    tells : str
        "spans with their classes".
    opened : function of a folder, or None
        Loads the model.
    read : function of a path, or None
        What lies there, as samples.
    prepared : function of a folder, or None
        Gives what makes of a sample what the model in that folder takes, without loading it; `ValueError` if it cannot.
        None if all models take samples as they are read.
    example : function of a folder, or None
        A sample that the model in it can read, as the bytes of a file; None where any sample will do.
    exported : function of a folder and a file, or None
        Writes the network of the model in the folder as ONNX, and gives its largest difference from torch.
    offline : function of a folder, or None
        What a page must know that runs this network, which gives masks, in a browser: `serving.page.write_mask_page`.
    ranked : bool
        Whether a sample has as many answers as are asked for, the best first, and not all that there are.
    """

    what: str
    command: str
    file: str = "state.json"
    holds: Callable[[Mapping[str, Any]], bool] | None = None
    reads: str = ""
    tells: str = ""
    opened: Callable[[Path], Ask] | None = None
    read: Read | None = None
    prepared: Callable[[Path], Callable[[Any], Any]] | None = None
    example: Callable[[Path], bytes] | None = None
    exported: Callable[[Path, Path], float] | None = None
    offline: Callable[[Path], Mapping[str, Any]] | None = None
    ranked: bool = True

    def use(self, folder: Path) -> str:
        """The command that uses the model in a folder."""
        return self.command.format(folder=shlex.quote(str(folder)))


def _rooms() -> Iterator[pkgutil.ModuleInfo]:
    """The folders here; a module beside them is no room."""
    return (module for module in pkgutil.iter_modules(__path__) if module.ispkg)


def add_commands() -> None:
    """Add the commands of all rooms to the command line."""
    for room in _rooms():
        importlib.import_module(f"{__name__}.{room.name}.command")


def kinds() -> Iterator[SavedModel]:
    """What rooms save; nothing heavy is imported."""
    for room in _rooms():
        if (Path(__path__[0]) / room.name / "saved.py").exists():
            yield importlib.import_module(f"{__name__}.{room.name}.saved").SAVED


def saved_model(folder: Path) -> tuple[SavedModel, Path] | None:
    """What a room saved in a folder, or in `model` inside it, and where; None if no room knows it."""
    places = [place for place in (recovered(folder / "model"), recovered(folder)) if place.is_dir()]
    states = [_names_in_state(place) for place in places]
    for kind in kinds() if places else ():
        for place, names in zip(places, states):
            if (place / kind.file).is_file() and (kind.holds is None or kind.holds(names)):
                return kind, place
    return None


def samples_of(domain: Domain) -> Samples:
    """What `SavedModel.read` gives of samples that a loader read; files are opened when they are asked for."""
    assert domain.ids is not None
    return Samples(domain.ids.tolist(), domain.x, domain.skipped)


def _names_in_state(folder: Path) -> dict[str, Any]:
    """The names in a folder that `save_state` wrote, with those values that are plain; empty if it is none."""
    try:
        value = read_json(folder / "state.json", LARGEST)["value"]
        names, items = value["keys"], value["items"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return {str(name): item if isinstance(item, str) else None for name, item in zip(names, items)}
