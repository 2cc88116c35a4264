"""Pictures that are drawn when somebody looks at them, and told apart till then by what they are drawn from."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import functools
import hashlib
import importlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from unseen.data.domain import Lazy
from unseen.data.images import image_files

if TYPE_CHECKING:
    from PIL.Image import Image

Mode = Literal["draw", "refuse", "cause"]
"""What the digest of a picture does that is not drawn: draws it, raises `NotDrawnError`, or is that of its causes."""
SAMPLE = 5
"""Pictures of a source that are drawn to see whether its drawings are what they were."""


class NotDrawnError(LookupError):
    """A picture is not drawn, and none is to be."""


_mode: contextvars.ContextVar[tuple[Mode, list[Drawings]] | None]
_mode = contextvars.ContextVar("unseen_undrawn", default=None)
_causes: dict[tuple[Path, str], str] = {}


@contextlib.contextmanager
def undrawn(mode: Mode = "draw") -> Iterator[list[Drawings]]:
    """Within, drawings are put off until somebody looks at them, and digests of pictures do what the mode says.

    With "cause" the list gets the drawings that were asked for a digest.
    """
    asked: list[Drawings] = []
    token = _mode.set((mode, asked))
    try:
        yield asked
    finally:
        _mode.reset(token)


def put_off() -> bool:
    """Whether drawings are put off here."""
    return _mode.get() is not None


@functools.cache
def renderer() -> str:
    """SHA-256 of the library that draws and of the code that calls it."""
    library = importlib.import_module("resvg_py.resvg_py").__file__
    files = (Path(str(library)), Path(__file__).with_name("draw.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


@dataclasses.dataclass(frozen=True, eq=False)
class Drawings:
    """Drawings of one source in one size.

    Attributes
    ----------
    folder : Path
        Where they are kept, of this source and size alone.
    size : int
        Pixels of a side.
    icons : mapping of str to str
        What the drawing of each picture is called.
    svg : callable (name of a drawing) -> str
        The drawing.
    """

    folder: Path
    size: int
    icons: Mapping[str, str]
    svg: Callable[[str], str]

    def pictures(self) -> Lazy:
        """The pictures, drawn when they are looked at."""
        return Lazy(list(self.icons), self._read, self._digest)

    def cause(self, name: str) -> str:
        """SHA-256 of all that a picture is made of: its drawing, its size, and what draws it."""
        key = self.folder, self.icons[name]
        if key not in _causes:
            made_of = f"{renderer()} {self.size} {self.svg(self.icons[name])}"
            _causes[key] = hashlib.sha256(made_of.encode()).hexdigest()
        return _causes[key]

    def sample(self) -> dict[str, str]:
        """The digests of a few pictures, always the same ones, drawn now, by their causes."""
        chosen = sorted(self.icons, key=lambda name: hashlib.sha256(name.encode()).hexdigest())[:SAMPLE]
        with tempfile.TemporaryDirectory() as folder:
            again = dataclasses.replace(self, folder=Path(folder))
            with undrawn("draw"):
                return {self.cause(name): again._digest(name) for name in chosen}

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.png"

    def _read(self, name: str) -> Image:
        self._draw(name)
        picture: Image = self._files[self._at[name]]
        return picture

    def _digest(self, name: str) -> str:
        mode, asked = _mode.get() or ("draw", [])
        if mode == "cause":
            if self not in asked:
                asked.append(self)
            return self.cause(name)
        if mode == "refuse" and not self._file(name).exists():
            raise NotDrawnError(name)
        self._draw(name)
        return self._files.digest(self._at[name])

    @functools.cached_property
    def _files(self) -> Lazy:
        return image_files([self._file(name) for name in self.icons])

    @functools.cached_property
    def _at(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.icons)}

    def _draw(self, name: str) -> None:
        """Draw a picture that is not there."""
        from unseen.data.sources import draw

        if not self._file(name).exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            part = self._file(f"{name}.{os.getpid()}.part")
            part.write_bytes(draw.draw(self.svg(self.icons[name]), self.size))
            part.replace(self._file(name))
