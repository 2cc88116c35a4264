"""Requests are predicted together, answered in their order, and cannot harm each other."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from unseen.runtime import current, runtime
from unseen.serving.batching import Batcher
from unseen.serving.turns import Busy


class Recorder:
    """Answers with the double; remembers its batches; fails on None."""

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []
        self.tops: list[int] = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, samples: Sequence[Any], top: int) -> list[Any]:
        self.gate.wait(10)
        self.batches.append(list(samples))
        self.tops.append(top)
        return [2 * sample for sample in samples]


def run(work: Any, predict: Recorder, **settings: Any) -> Any:
    async def main() -> Any:
        batcher = Batcher(predict, **({"rows": 8, "wait": 0.05, "queue": 64} | settings))
        batcher.start()
        try:
            return await work(batcher)
        finally:
            await batcher.stop()

    return asyncio.run(main())


def test_requests_of_one_moment_are_one_batch_and_each_gets_its_own_answers() -> None:
    predict = Recorder()

    async def work(batcher: Batcher) -> Any:
        return await asyncio.gather(batcher.submit([1, 2], 1), batcher.submit([3], 5), batcher.submit([4]))

    assert run(work, predict) == [[2, 4], [6], [8]]
    assert predict.batches == [[1, 2, 3, 4]]
    assert predict.tops == [5]


@pytest.mark.parametrize(("n", "sizes"), [(1, [1]), (2, [1, 1]), (5, [2, 3]), (8, [4, 4]), (21, [2, 3, 8, 8])])
def test_a_batch_is_shared_among_threads_and_answers_keep_their_order(n: int, sizes: list[int]) -> None:
    predict, met = Recorder(), threading.Barrier(2)
    if n > 1:  # only two threads beside each other get past it
        predict.gate.wait = lambda _: met.wait(10) if len(sizes) == 2 else 0  # type: ignore[assignment, return-value]
    began: list[str] = []

    async def work(batcher: Batcher) -> Any:
        return await batcher.submit(list(range(n)))

    found = run(work, predict, threads=2, begin=lambda: began.append(threading.current_thread().name))
    assert found == [2 * i for i in range(n)]
    assert sorted(map(len, predict.batches)) == sizes
    assert set(began) <= {"unseen-predict_0", "unseen-predict_1"}


def test_a_full_batch_does_not_wait() -> None:
    predict = Recorder()

    async def work(batcher: Batcher) -> Any:
        return await asyncio.wait_for(asyncio.gather(*(batcher.submit([i]) for i in range(8))), 5)

    assert run(work, predict, wait=60) == [[2 * i] for i in range(8)]


def test_a_batch_that_long_samples_fill_does_not_wait() -> None:
    async def work(batcher: Batcher) -> Any:
        return await asyncio.wait_for(asyncio.gather(batcher.submit([50]), batcher.submit([50])), 5)

    assert run(work, Recorder(), wait=60, weigh=lambda sample: sample / 100) == [[100], [100]]


def test_what_does_not_fit_comes_in_the_next_batch_and_a_long_request_is_split() -> None:
    predict = Recorder()

    async def work(batcher: Batcher) -> Any:
        return await asyncio.gather(batcher.submit([1] * 5), batcher.submit([2] * 5), batcher.submit([3] * 20))

    answers = run(work, predict)
    assert [len(answer) for answer in answers] == [5, 5, 20]
    assert [len(batch) for batch in predict.batches] == [5, 5, 8, 8, 4]


def test_who_has_little_waits_for_one_batch_of_a_long_request_and_not_for_all() -> None:
    predict = Recorder()

    async def work(batcher: Batcher) -> Any:
        long, short = batcher.submit([1] * 20), batcher.submit([2] * 3)
        return await asyncio.gather(long, short, batcher.submit([3] * 17))

    answers = run(work, predict)
    assert answers == [[2] * 20, [4] * 3, [6] * 17]
    assert predict.batches == [[1] * 8, [2] * 3, [3] * 8, [1] * 8, [3] * 8, [1] * 4 + [3]]


def test_what_takes_long_fills_a_batch_sooner() -> None:
    predict = Recorder()

    async def work(batcher: Batcher) -> Any:
        return await asyncio.gather(batcher.submit([50, 60, 30, 30, 200]), batcher.submit([1, 2]))

    answers = run(work, predict, weigh=lambda sample: sample / 100)
    assert answers == [[100, 120, 60, 60, 400], [2, 4]]
    assert predict.batches == [[50, 1, 2], [60, 30], [30], [200]]


def test_while_one_batch_is_predicted_the_next_collects() -> None:
    predict = Recorder()
    predict.gate.clear()

    async def work(batcher: Batcher) -> Any:
        first = asyncio.create_task(batcher.submit([1]))
        await asyncio.sleep(0.1)
        rest = [asyncio.create_task(batcher.submit([i])) for i in (2, 3)]
        await asyncio.sleep(0.1)
        predict.gate.set()
        return await asyncio.gather(first, *rest)

    assert run(work, predict, wait=0.0) == [[2], [4], [6]]
    assert predict.batches == [[1], [2, 3]]


def test_one_bad_request_does_not_fail_its_neighbours() -> None:
    async def work(batcher: Batcher) -> Any:
        jobs = (batcher.submit([1]), batcher.submit([None]), batcher.submit([3]))
        return await asyncio.gather(*jobs, return_exceptions=True)

    good, bad, other = run(work, Recorder())
    assert (good, other) == ([2], [6])
    assert isinstance(bad, TypeError)


def test_who_went_away_is_not_predicted() -> None:
    predict = Recorder()

    async def work(batcher: Batcher) -> Any:
        gone = asyncio.create_task(batcher.submit([1]))
        await asyncio.sleep(0)
        gone.cancel()
        return await batcher.submit([2])

    assert run(work, predict) == [4]
    assert predict.batches == [[2]]


def test_who_goes_away_between_two_batches_of_a_long_request_keeps_nobody_waiting() -> None:
    predict = Recorder()

    async def gone() -> bool:
        return len(predict.batches) > 1

    async def work(batcher: Batcher) -> Any:
        asked = (batcher.submit([1] * 40, 1, gone), batcher.submit([2] * 10))
        return await asyncio.gather(*asked, return_exceptions=True)

    long, short = run(work, predict)
    assert isinstance(long, Busy)
    assert short == [4] * 10
    assert predict.batches == [[1] * 8, [2] * 8, [1] * 8, [2] * 2]


def test_what_is_answered_of_a_long_request_makes_room_for_others() -> None:
    predict = Recorder()

    async def work(batcher: Batcher) -> Any:
        async def asked(samples: list[int]) -> Any:
            async with batcher.admitted(len(samples)) as share:
                return await batcher.submit(samples, done=share.give_back)

        answers = await asyncio.gather(asked([1] * 30), asked([2] * 10))
        assert batcher.under_way == 0
        return answers

    assert run(work, predict, queue=32, waiting=1) == [[2] * 30, [4] * 10]
    assert predict.batches[:3] == [[1] * 8, [1] * 8, [2] * 8]


def test_a_client_that_cannot_be_asked_whether_it_is_there_costs_its_own_request() -> None:
    async def gone() -> bool:
        raise ConnectionError("the line is closed")

    async def work(batcher: Batcher) -> Any:
        first = await asyncio.gather(batcher.submit([1] * 20, 1, gone), batcher.submit([2]), return_exceptions=True)
        return [*first, await batcher.submit([3])]

    broken, *others = run(work, Recorder())
    assert isinstance(broken, ConnectionError)
    assert others == [[4], [6]]


def test_a_model_that_leaves_a_sample_out_is_told_and_shifts_no_answer() -> None:
    class Short(Recorder):
        def __call__(self, samples: Sequence[Any], top: int) -> list[Any]:
            return [answer for answer in super().__call__(samples, top) if answer != 4]

    async def work(batcher: Batcher) -> Any:
        asked = (batcher.submit([1]), batcher.submit([2]), batcher.submit([3]))
        return await asyncio.gather(*asked, return_exceptions=True)

    first, missing, last = run(work, Short())
    assert (first, last) == ([2], [6])
    assert "0 answers to 1 samples" in str(missing)


def test_more_than_the_queue_holds_is_refused_and_room_comes_back() -> None:
    async def work(batcher: Batcher) -> None:
        async with batcher.admitted(6):
            with pytest.raises(Busy, match="6 samples are under way"):
                await batcher.admitted(3).__aenter__()
            async with batcher.admitted(2):
                assert batcher.under_way == 8
        assert batcher.under_way == 0

    run(work, Recorder(), queue=8)


def test_stopping_answers_what_waits_and_takes_nothing_new() -> None:
    async def main() -> Any:
        batcher = Batcher(Recorder(), rows=8, wait=30, queue=8)
        batcher.start()
        waiting = asyncio.create_task(batcher.submit([1]))
        await asyncio.sleep(0.01)
        await asyncio.wait_for(batcher.stop(), 5)
        with pytest.raises(Busy, match="stopping"):
            await batcher.submit([2])
        return await waiting

    assert asyncio.run(main()) == [2]


def test_the_thread_has_the_settings_of_the_runtime() -> None:
    seen: list[int] = []

    def predict(samples: Sequence[Any], top: int) -> list[Any]:
        seen.append(current().threads)
        return list(samples)

    async def main() -> None:
        batcher = Batcher(predict, rows=1, wait=0, queue=1)
        batcher.start()
        await batcher.submit([1])
        await batcher.stop()

    with runtime(threads=3):
        asyncio.run(main())
    assert seen == [3]
