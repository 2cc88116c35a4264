"""`Batcher`: requests that arrive within a few milliseconds are predicted together."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import dataclasses
import itertools
import logging
import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from unseen.serving.turns import Busy, Share, Turns

logger = logging.getLogger(__name__)

ROUNDING = 1e-6
"""By which shares of a batch that fill it may miss 1."""

Predict = Callable[[Sequence[Any], int], list[Any]]


@dataclasses.dataclass(eq=False)
class Job:
    """Samples of one request, how many classes it asks for, where its answers go, whether nobody waits for them any
    more, who is told how many there are, and those that are there already."""

    samples: Sequence[Any]
    top: int
    arrived: float
    answers: asyncio.Future[list[Any]]
    gone: Callable[[], Awaitable[bool]]
    done: Callable[[int], object]
    there: list[Any] = dataclasses.field(default_factory=list)

    @property
    def left(self) -> Sequence[Any]:
        """Samples that have no answer yet."""
        return self.samples[len(self.there) :]


async def _stays() -> bool:
    return False


Part = tuple[Job, Sequence[Any]]
"""Samples of a request that are predicted next."""


class Batcher:
    """Collect samples of several requests, predict them together, hand the answers back.

    A batch begins `wait` seconds after its first sample arrived, or when it is full, or when no other request is under
    way that it could wait for; while one is predicted, the next collects. It holds several jobs only as far as `rows`
    allows, and is shared among the threads that there are. A request that has more than a full batch for each thread
    goes to the end of the line after each, so that others wait for a batch of it and not for all. If a batch fails, its
    jobs are tried one by one, so that one request cannot fail another.

    Parameters
    ----------
    predict : callable
        From samples and the number of classes to name to one answer per sample.
    rows : int, >= 1
        Samples of a full batch.
    weigh : callable, optional
        The share of a full batch that a sample fills, where that is more than one of `rows`.
    wait : float, >= 0
        Seconds.
    queue : int, >= 1
        Samples under way; more wait to be `admitted`.
    waiting : int, >= 0
        Requests that wait so; `admitted` refuses more.
    deadline : float, > 0
        Seconds after which `admitted` refuses who waits.
    batch_seen : callable, optional
        Told the number of samples of each thread's share of a batch, and its seconds.
    requests : callable () -> int, optional
        How many requests are under way, those that were not submitted yet among them.
    threads : int, >= 1
        Threads that call `predict`, beside each other.
    begin : callable, optional
        Called in each of them first.
    """

    def __init__(
        self,
        predict: Predict,
        *,
        rows: int,
        wait: float,
        queue: int,
        weigh: Callable[[Any], float] = lambda sample: 0.0,
        waiting: int = 0,
        deadline: float = 10.0,
        batch_seen: Callable[[int, float], None] = lambda samples, seconds: None,
        requests: Callable[[], float] = lambda: math.inf,
        threads: int = 1,
        begin: Callable[[], object] = lambda: None,
    ) -> None:
        self.predict = predict
        self.rows, self.wait, self.threads, self.weigh = rows, wait, threads, weigh
        self._turns = Turns(queue, waiting=waiting, seconds=deadline, what="samples")
        self._seen = batch_seen
        self._requests = requests
        self._jobs: deque[Job] = deque()
        self._news = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self._context = contextvars.copy_context()  # a thread does not inherit the runtime's settings
        self._threads = ThreadPoolExecutor(threads, "unseen-predict", begin)

    def start(self) -> None:
        """Begin to predict; call it in the event loop."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Predict what is waiting, then end."""
        self._stopping = True
        self._news.set()
        if self._task is not None:
            await self._task
        self._threads.shutdown()

    @property
    def under_way(self) -> int:
        """Samples that are admitted."""
        return self._turns.taken

    def admitted(self, n: int) -> contextlib.AbstractAsyncContextManager[Share]:
        """Hold room for `n` samples inside the block, once there is some; `Busy` if that takes too long."""
        return self._turns.turn(n)

    async def submit(
        self,
        samples: Sequence[Any],
        top: int = 1,
        gone: Callable[[], Awaitable[bool]] = _stays,
        done: Callable[[int], object] = lambda n: None,
    ) -> list[Any]:
        """Answers of the samples, in their order; `Busy` if `gone` says between two batches that nobody waits.

        `done` is told after each batch how many samples of it were answered.
        """
        if self._stopping:
            raise Busy("the server is stopping")
        loop = asyncio.get_running_loop()
        job = Job(samples, top, loop.time(), loop.create_future(), gone, done)
        self._jobs.append(job)
        self._news.set()
        return await job.answers

    async def _run(self) -> None:
        while batch := await self._next():
            await self._answer(batch)

    async def _next(self) -> list[Part]:
        """What is predicted next; nothing at the end."""
        while not self._jobs:
            if self._stopping:
                return []
            self._news.clear()
            await self._news.wait()
        end = self._jobs[0].arrived + self.wait
        loop = asyncio.get_running_loop()
        while (left := end - loop.time()) > 0 and not self._stopping and self._others_may_come():
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), left)
        first = self._jobs.popleft()
        batch = [(first, self._full(first.left, self.threads))]
        room = 1 - sum(map(self._weight, batch[0][1]))
        while self._jobs and (weight := sum(map(self._weight, self._jobs[0].left))) <= room + ROUNDING:
            room -= weight
            batch.append((self._jobs[0], self._jobs.popleft().left))
        return batch

    def _weight(self, sample: Any) -> float:
        """The share of a full batch."""
        return max(1 / self.rows, self.weigh(sample))

    def _full(self, samples: Sequence[Any], batches: int = 1) -> Sequence[Any]:
        """The first samples that so many batches hold; one, at least."""
        ends = itertools.accumulate(map(self._weight, samples))
        return samples[: max(1, sum(end <= batches + ROUNDING for end in ends))]

    def _others_may_come(self) -> bool:
        filled = sum(self._weight(sample) for job in self._jobs for sample in job.left)
        return filled < 1 - ROUNDING and self._requests() > len(self._jobs)

    async def _answer(self, batch: list[Part]) -> None:
        batch = [(job, part) for job, part in batch if not job.answers.done()]  # whoever went away needs no answer
        samples = [sample for _, part in batch for sample in part]
        if not batch:
            return
        try:
            answers = iter(await self._predicted(samples, max(job.top for job, _ in batch)))
        except Exception as error:
            if len(batch) == 1:
                if not batch[0][0].answers.done():
                    batch[0][0].answers.set_exception(error)
                return
            logger.warning("a batch of %d requests failed (%s); each is tried alone", len(batch), type(error).__name__)
            for alone in batch:
                await self._answer([alone])
            return
        for job, part in batch:
            job.there.extend(itertools.islice(answers, len(part)))
            if job.answers.done():
                continue
            job.done(len(part))
            if not job.left:
                job.answers.set_result(job.there)
            elif await self._is_waited_for(job):
                self._jobs.append(job)

    async def _is_waited_for(self, job: Job) -> bool:
        """Whether somebody waits for the rest of a request; if not, it ends."""
        error: Exception = Busy("whoever asked has gone")
        try:
            if not await job.gone():
                return True
        except Exception as raised:  # of a server or middleware that is not ours: it costs this request only
            error = raised
        if not job.answers.done():
            job.answers.set_exception(error)
        return False

    async def _predicted(self, samples: list[Any], top: int) -> list[Any]:
        size = min(self.rows, math.ceil(len(samples) / self.threads))
        pieces = []
        while samples:
            pieces.append(self._full(samples[:size]))
            samples = samples[len(pieces[-1]) :]
        answered = await asyncio.gather(*(self._piece(piece, top) for piece in pieces))
        return [answer for answers in answered for answer in answers]

    async def _piece(self, samples: Sequence[Any], top: int) -> list[Any]:
        loop = asyncio.get_running_loop()
        began = loop.time()
        answers = await loop.run_in_executor(self._threads, self._context.copy().run, self.predict, samples, top)
        if len(answers) != len(samples):
            raise RuntimeError(f"the model gave {len(answers)} answers to {len(samples)} samples")
        self._seen(len(samples), loop.time() - began)
        return answers
