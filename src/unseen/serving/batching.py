"""`Batcher`: requests that arrive within a few milliseconds are predicted together."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import dataclasses
import logging
import math
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from unseen.serving.turns import Busy, Turns

logger = logging.getLogger(__name__)

Predict = Callable[[Sequence[Any], int], list[Any]]


@dataclasses.dataclass(eq=False)
class Job:
    """Samples of one request, how many classes it asks for, and where its answers go."""

    samples: Sequence[Any]
    top: int
    arrived: float
    answers: asyncio.Future[list[Any]]


class Batcher:
    """Collect samples of several requests, predict them together, hand the answers back.

    A batch begins `wait` seconds after its first sample arrived, or when it is full, or when no other request is under
    way that it could wait for; while one is predicted, the next collects. It holds several jobs only as far as `rows`
    allows, and is shared among the threads that there are. If it fails, its jobs are tried one by one, so that one
    request cannot fail another.

    Parameters
    ----------
    predict : callable
        From samples and the number of classes to name to one answer per sample.
    rows : int, >= 1
        Samples of a full batch.
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
        waiting: int = 0,
        deadline: float = 10.0,
        batch_seen: Callable[[int, float], None] = lambda samples, seconds: None,
        requests: Callable[[], float] = lambda: math.inf,
        threads: int = 1,
        begin: Callable[[], object] = lambda: None,
    ) -> None:
        self.predict = predict
        self.rows, self.wait, self.threads = rows, wait, threads
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

    def admitted(self, n: int) -> contextlib.AbstractAsyncContextManager[None]:
        """Hold room for `n` samples inside the block, once there is some; `Busy` if that takes too long."""
        return self._turns.turn(n)

    async def submit(self, samples: Sequence[Any], top: int = 1) -> list[Any]:
        """Answers of the samples, in their order."""
        if self._stopping:
            raise Busy("the server is stopping")
        loop = asyncio.get_running_loop()
        job = Job(samples, top, loop.time(), loop.create_future())
        self._jobs.append(job)
        self._news.set()
        return await job.answers

    async def _run(self) -> None:
        while batch := await self._next():
            await self._answer(batch)

    async def _next(self) -> list[Job]:
        """The jobs of the next batch; none at the end."""
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
        batch = [self._jobs.popleft()]
        while self._jobs and sum(len(job.samples) for job in (*batch, self._jobs[0])) <= self.rows:
            batch.append(self._jobs.popleft())
        return batch

    def _others_may_come(self) -> bool:
        return self._waiting() < self.rows and self._requests() > len(self._jobs)

    def _waiting(self) -> int:
        return sum(len(job.samples) for job in self._jobs)

    async def _answer(self, batch: list[Job]) -> None:
        batch = [job for job in batch if not job.answers.done()]  # whoever went away needs no answer
        samples = [sample for job in batch for sample in job.samples]
        if not batch:
            return
        try:
            answers = await self._predicted(samples, max(job.top for job in batch))
        except Exception as error:
            if len(batch) == 1:
                if not batch[0].answers.done():
                    batch[0].answers.set_exception(error)
                return
            logger.warning("a batch of %d requests failed (%s); each is tried alone", len(batch), type(error).__name__)
            for job in batch:
                await self._answer([job])
            return
        start = 0
        for job in batch:
            if not job.answers.done():
                job.answers.set_result(answers[start : start + len(job.samples)])
            start += len(job.samples)

    async def _predicted(self, samples: list[Any], top: int) -> list[Any]:
        size = min(self.rows, math.ceil(len(samples) / self.threads))
        pieces = [samples[start : start + size] for start in range(0, len(samples), size)]
        answered = await asyncio.gather(*(self._piece(piece, top) for piece in pieces))
        return [answer for answers in answered for answer in answers]

    async def _piece(self, samples: list[Any], top: int) -> list[Any]:
        loop = asyncio.get_running_loop()
        began = loop.time()
        answers = await loop.run_in_executor(self._threads, self._context.copy().run, self.predict, samples, top)
        self._seen(len(samples), loop.time() - began)
        return answers
