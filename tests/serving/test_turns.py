"""More than may be under way waits in its order, for so long, and a burst of small requests is answered."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from unseen.bundle import Bundle
from unseen.serving.app import create_app
from unseen.serving.limits import Limits
from unseen.serving.model import Served
from unseen.serving.turns import Busy, Turns


async def hold(turns: Turns, n: int, seconds: float, order: list[int] | None = None, name: int = 0) -> None:
    async with turns.turn(n):
        if order is not None:
            order.append(name)
        await asyncio.sleep(seconds)


def test_who_waits_is_served_in_order_and_room_is_never_exceeded() -> None:
    async def main() -> tuple[list[int], int]:
        turns, order = Turns(3, waiting=100, seconds=60, what="jobs"), []
        jobs = [asyncio.create_task(hold(turns, 1 + i % 3, 0.01, order, i)) for i in range(30)]
        most = 0
        while not all(job.done() for job in jobs):
            most = max(most, turns.taken)
            await asyncio.sleep(0.001)
        await asyncio.gather(*jobs)
        assert turns.taken == 0
        return order, most

    order, most = asyncio.run(main())
    assert order == sorted(order)
    assert most == 3


def test_a_full_line_and_one_that_takes_too_long_are_told() -> None:
    async def main() -> None:
        turns = Turns(1, waiting=1, seconds=0.1, what="jobs")
        first = asyncio.create_task(hold(turns, 1, 0.5))
        await asyncio.sleep(0)
        second = asyncio.create_task(hold(turns, 1, 0))
        await asyncio.sleep(0)
        with pytest.raises(Busy, match="1 jobs are under way, at most 1"):
            await hold(turns, 1, 0)
        with pytest.raises(Busy, match=r"for 0\.1 s"):
            await second
        with pytest.raises(Busy):
            await hold(turns, 2, 0)
        await first
        await hold(turns, 1, 0)
        assert turns.taken == 0

    asyncio.run(main())


@pytest.mark.parametrize("moment", [0.0, 0.05, 0.1])
def test_who_goes_away_gives_room_back(moment: float) -> None:
    async def main() -> None:
        turns = Turns(1, waiting=10, seconds=5, what="jobs")
        first = asyncio.create_task(hold(turns, 1, 0.05))
        await asyncio.sleep(0)
        gone = [asyncio.create_task(hold(turns, 1, 0.02)) for _ in range(3)]
        await asyncio.sleep(moment)
        for job in gone:
            job.cancel()
        await asyncio.gather(first, *gone, return_exceptions=True)
        await asyncio.wait_for(hold(turns, 1, 0), 1)
        assert turns.taken == 0

    asyncio.run(main())


def burst(bundle: Bundle, n: int, limits: Limits) -> Counter[int]:
    """The status of so many requests at once, without sockets."""
    import httpx

    app = create_app(Served(bundle, max_pixels=limits.pixels), limits=limits)

    async def main() -> Counter[int]:
        transport = httpx.ASGITransport(app)
        web = httpx.AsyncClient(transport=transport, base_url="http://localhost")
        async with app.router.lifespan_context(app), web:
            asked = (web.post("/predict", json={"samples": [[4, 0, 0, 0]]}, timeout=60) for _ in range(n))
            return Counter([answer.status_code for answer in await asyncio.gather(*asked)])

    return asyncio.run(main())


def test_a_thousand_small_requests_at_once_are_answered(vectors: Bundle) -> None:
    assert burst(vectors, 1000, Limits(deadline=60)) == {200: 1000}


def test_more_than_may_wait_are_sent_away(vectors: Bundle) -> None:
    found = burst(vectors, 200, Limits(requests=4, waiting=50, deadline=60))
    assert set(found) == {200, 503}
    assert found[200] >= 54
