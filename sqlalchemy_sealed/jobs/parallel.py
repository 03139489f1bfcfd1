"""Ranges through any executor: threads, processes, or a cluster's.

A task names a range by nothing but the run: it takes the next one that nobody works on.
Running it twice does no harm, and it holds no key, only what makes an engine there.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from sqlalchemy import Engine

from sqlalchemy_sealed.jobs.mover import Mover
from sqlalchemy_sealed.jobs.runrow import RunRow

if TYPE_CHECKING:
    from sqlalchemy_sealed.jobs.job import Job

__all__ = ["Connect", "RangeTask", "through"]

#: Makes an engine that is bound to its keyring, in the process where it is called.
Connect: TypeAlias = Callable[[], Engine]

_POLL: Final = 1.0


@dataclass(frozen=True)
class RangeTask:
    """Moves one range, wherever it runs.

    Attributes:
        job: what to do; it holds no engine when it arrives.
        table: whose run.
        connect: makes the engine.
        run_id: the run; a task that comes late must not begin another one.
        serial: makes every task another one: some clusters do not run equal tasks
            twice (Dask with ``pure=True``).

    """

    job: Job
    table: str
    connect: Connect
    run_id: str = ""
    serial: int = 0

    def __call__(self) -> bool:
        """Move one range; tell whether there was one that nobody works on."""
        engine = self.connect()
        try:
            mover = self.job.copy_for(engine).mover(self.table)
            mover.run.id = self.run_id
            return mover.worker.one()
        finally:
            engine.dispose()


def through(
    executor: Executor, task: RangeTask, mover: Mover, workers: int
) -> Callable[[], RunRow]:
    """Return the function that works through a pass with an executor.

    Args:
        executor: runs the tasks.
        task: what is submitted, again and again.
        mover: of this process, which plans, looks and ends.
        workers: tasks that are submitted at a time.

    """
    serials = itertools.count()
    task = replace(task, run_id=mover.run.id)

    def ranges() -> RunRow:
        if not mover.run.row().status.open:
            return mover.worker.work()
        pending = {_submit(executor, task, serials) for _ in range(workers)}
        try:
            while pending:
                done, pending = wait(
                    pending, timeout=_POLL, return_when=FIRST_COMPLETED
                )
                found = [future.result() for future in done]
                stopped = mover.worker.pacer.stop.is_set()
                row = mover.run.row()
                mover.tally.show(row)
                # A task that found nothing is not replaced.
                pending |= {
                    _submit(executor, task, serials)
                    for had_work in found
                    if had_work and not stopped and row.status.open
                }
        finally:
            for future in pending:
                future.cancel()
            wait(pending)
        # What a worker that is gone has left is done here.
        return mover.worker.work()

    return ranges


def _submit(executor: Executor, task: RangeTask, serials: Iterator[int]) -> Future[Any]:
    return executor.submit(replace(task, serial=next(serials)))
