"""Runs jobs on all processor cores, in processes that end with this one however it ends."""

import contextlib
import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

T = TypeVar("T")
_AHEAD = 2  # jobs for each process that wait beside the one it does


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_jobs(
    work: Callable[[T], None],
    jobs: Iterable[T],
    split: Callable[[T], list[T]],
    lost: Callable[[T], None],
    workers: int,
) -> Iterator[T]:
    """Do all jobs; each is yielded when it is done, in any order.

    Few jobs are in memory at a time. Ctrl-C lets the processes end what they have begun.

    Args:
        work: a function of a module, called in other processes unless `workers` is 1.
        split: makes the smallest jobs of one, when a process has died of one of several.
        lost: is told of a smallest job of which a process dies, and that then counts as done.
        workers: how many processes.

    Raises:
        Whatever `work` raises.
    """
    jobs = iter(jobs)
    if workers == 1:
        for job in jobs:
            work(job)
            yield job
        return
    while left := (yield from _until_broken(work, jobs, workers)):
        pieces = itertools.chain.from_iterable(map(split, left))
        while left := (yield from _until_broken(work, pieces, 1)):
            culprit, *rest = left  # one process does them in their order
            lost(culprit)
            yield culprit
            pieces = itertools.chain(rest, pieces)


def _until_broken(
    work: Callable[[T], None], jobs: Iterator[T], workers: int
) -> Generator[T, None, list[T]]:
    """Do jobs in new processes; if one of these dies, returns what was begun and is not done."""
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, initializer=_begin)
    running: dict[Future, T] = {}
    try:
        with _interrupts_ignored():  # the processes that start now keep that for life
            for job in itertools.islice(jobs, workers * (1 + _AHEAD)):
                _submit(pool, work, job, running)
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            if any(isinstance(future.exception(), BrokenProcessPool) for future in done):
                wait(running)
                broken = [f for f in running if isinstance(f.exception(), BrokenProcessPool)]
                yield from (job for future, job in running.items() if future not in broken)
                return [running[future] for future in broken]
            for future in done:
                future.result()
                yield running.pop(future)
                for job in itertools.islice(jobs, 1):
                    _submit(pool, work, job, running)
        return []
    finally:
        pool.shutdown(cancel_futures=True)


def _submit(
    pool: ProcessPoolExecutor, work: Callable[[T], None], job: T, running: dict[Future, T]
) -> None:
    try:
        running[pool.submit(work, job)] = job
    except BrokenProcessPool as error:
        failed: Future = Future()
        failed.set_exception(error)
        running[failed] = job


def _begin() -> None:
    """In each process: Ctrl-C is for the first one; if that one dies, so does this."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


@contextlib.contextmanager
def _interrupts_ignored() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
