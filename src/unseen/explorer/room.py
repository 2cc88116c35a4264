"""`Room`: how much is under way at once, how much waits, and what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import HTTPException

T = TypeVar("T")


class Room:
    """Jobs in threads, so many at once; so many others wait, and what comes then is answered with 503.

    Parameters
    ----------
    at_once, waiting : int, >= 1
    """

    def __init__(self, at_once: int, waiting: int) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._most, self._here = at_once + waiting, 0

    async def run(self, job: Callable[..., T], *arguments: Any) -> T:
        """The result of a job; what the user did wrong is told with 422, a row that is not there with 404."""
        if self._here >= self._most:
            raise HTTPException(503, "too many requests are under way; try again", {"retry-after": "1"})
        self._here += 1
        try:
            async with self._free:
                return await asyncio.to_thread(job, *arguments)
        except IndexError as error:
            raise HTTPException(404, str(error)) from error
        except (ValueError, OverflowError) as error:
            raise HTTPException(422, str(error)) from error
        finally:
            self._here -= 1
