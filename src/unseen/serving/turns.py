"""`Turns`: what is more than may be under way waits in a line, which has a length and a deadline."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections import deque
from collections.abc import AsyncIterator


class Busy(RuntimeError):  # noqa: N818
    """There is as much under way as may be, and in the line as may wait."""


class Turns:
    """Room for so much at once; what comes then waits for its turn, first come first served.

    Parameters
    ----------
    room : int, >= 1
    waiting : int, >= 0
        How many may wait; beyond it, `Busy`.
    seconds : float, > 0
        How long one may wait; beyond it, `Busy`.
    what : str
        What is counted, for messages.
    """

    def __init__(self, room: int, *, waiting: int, seconds: float, what: str) -> None:
        self.room, self.waiting, self.seconds, self.what = room, waiting, seconds, what
        self.taken = 0
        self._line: deque[tuple[int, asyncio.Future[None]]] = deque()

    @contextlib.asynccontextmanager
    async def turn(self, n: int = 1) -> AsyncIterator[Share]:
        """Hold room for `n` inside the block, once there is some; parts of it can be given back sooner.

        Raises
        ------
        Busy
            If the line is full, or took too long.
        """
        if not self._line and self.taken + n <= self.room:
            self.taken += n
        else:
            await self._wait(n)
        share = Share(self, n)
        try:
            yield share
        finally:
            share.give_back(share.n)

    def give_back(self, n: int) -> None:
        """What was held is free, and whoever is first in the line may have it."""
        self.taken -= n
        self._call()

    async def _wait(self, n: int) -> None:
        if n > self.room or len(self._line) >= self.waiting:
            raise Busy(f"{self.taken} {self.what} are under way, at most {self.room} may be")
        mine = (n, asyncio.get_running_loop().create_future())
        self._line.append(mine)
        try:
            async with asyncio.timeout(self.seconds):
                await asyncio.shield(mine[1])
        except BaseException as error:
            if mine[1].done():  # called at the same moment
                self.give_back(n)
            else:
                self._line.remove(mine)
                self._call()
            if isinstance(error, TimeoutError):
                raise Busy(f"{self.taken} {self.what} are under way for {self.seconds:g} s") from error
            raise

    def _call(self) -> None:
        """Give room to whoever is first in the line, as long as there is some."""
        while self._line and self.taken + self._line[0][0] <= self.room:
            n, future = self._line.popleft()
            self.taken += n
            future.set_result(None)


@dataclasses.dataclass
class Share:
    """Room that is held: how much of it still is."""

    turns: Turns
    n: int

    def give_back(self, n: int) -> None:
        """Hold so much less."""
        self.n -= n
        self.turns.give_back(n)
