"""`Room`: how many bytes samples may take once they are decoded, those of all requests together."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

from starlette.exceptions import HTTPException

from unseen.serving.turns import Busy


class Room:
    """Bytes for decoded samples: a file of some thousand bytes may hold a picture of 150 MB, or an hour of sound.

    Parameters
    ----------
    most : int, >= 1
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def request(self) -> Iterator[Held]:
        """What one request holds; inside the block it is taken."""
        held = Held(self)
        try:
            yield held
        finally:
            held.leave()

    def _add(self, n: int) -> bool:
        """Take so many bytes more, if there are."""
        with self._lock:
            if n > 0 and self.taken + n > self.most:
                return False
            self.taken += n
            return True


class Held:
    """The decoded samples of one request."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.bytes = 0
        self.refused: Exception | None = None
        self._left = False
        self._lock = threading.Lock()

    def prepared(self, prepare: Callable[[Any], Any], sample: Any) -> Any:
        """A sample as `prepare` makes it, in any thread; after the first that there is no room for, none is decoded.

        Raises
        ------
        HTTPException
            413 if the samples of this request alone are too much.
        Busy
            If those of all requests are.
        """
        if self.refused is not None:
            raise self.refused
        made = prepare(sample)
        n = size_of(made)
        with self._lock:
            if self._left:  # nobody waits for it any more
                return made
            if self.bytes + n > self.room.most:
                reason = (
                    f"the samples may take at most {self.room.most:,} bytes once they are decoded; send fewer at once"
                )
                self.refused = HTTPException(413, reason)
            elif not self.room._add(n):
                self.refused = Busy(f"the samples under way take more than {self.room.most:,} bytes")
            else:
                self.bytes += n
        if self.refused is not None:
            raise self.refused
        return made

    def leave(self) -> None:
        """Give back what was taken."""
        with self._lock:
            self._left = True
            self.room._add(-self.bytes)
            self.bytes = 0


def size_of(sample: Any) -> int:
    """About how many bytes a prepared sample takes: an array, a tensor, a picture, a sound, a text, or a tuple of
    them."""
    if isinstance(sample, tuple | list):
        return sum(map(size_of, sample))
    wave = getattr(sample, "wave", sample)
    if (n := getattr(wave, "nbytes", None)) is not None:
        return int(n)
    if hasattr(sample, "getbands"):
        return int(sample.width * sample.height * len(sample.getbands()))
    return len(sample) if isinstance(sample, str | bytes) else 0
