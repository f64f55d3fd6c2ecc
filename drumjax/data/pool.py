"""Runs jobs on all processor cores, in processes that end with this one however it ends."""

import contextlib
import itertools
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from drumjax.errors import DataError

T = TypeVar("T")
MOST = 61 if sys.platform == "win32" else 1024  # processes; Windows can wait for no more
_AHEAD = 2  # jobs for each process that wait beside the one it does
_PATIENCE = 180.0  # seconds without the end of a job until those in hand are named
_GRACE = 2.0  # seconds from a second Ctrl-C to the end at the latest
_IN_A_ROW = 3  # jobs that new processes die of, none done in between: it is not the jobs


def cores() -> int:
    """Processor cores that this process may use, at most MOST."""
    if hasattr(os, "sched_getaffinity"):
        return min(MOST, len(os.sched_getaffinity(0)))
    return min(MOST, os.cpu_count() or 1)


def run_jobs(
    work: Callable[[T], None],
    jobs: Iterable[T],
    split: Callable[[T], list[T]],
    lost: Callable[[T], None],
    workers: int,
    name: Callable[[T], str] = str,
) -> Iterator[T]:
    """Do all jobs; each is yielded when it is done, in any order.

    Few jobs are in memory at a time. Ctrl-C lets the processes end what they have begun, and a
    second one kills them and ends this process.

    Args:
        work: a function of a module, called in other processes unless `workers` is 1.
        split: makes the smallest jobs of one, when a process has died of one of several.
        lost: is told of a smallest job of which a process dies, and that then counts as done.
        workers: how many processes, at most MOST.
        name: what a user calls a job.

    Raises:
        DataError: processes cannot be started, die before they have begun, or die of one job after
            another.
        Whatever `work` raises.
    """
    jobs = iter(jobs)
    if workers == 1:
        for job in jobs:
            work(job)
            yield job
        return
    with _interrupted_twice():
        while True:
            left: list[T] = []
            yield from _until_broken(work, jobs, workers, name, left)
            if not left:
                return
            pieces = itertools.chain.from_iterable(map(split, left))
            yield from _one_by_one(work, pieces, lost, name)


def _one_by_one(
    work: Callable[[T], None],
    jobs: Iterator[T],
    lost: Callable[[T], None],
    name: Callable[[T], str],
) -> Iterator[T]:
    """Do the smallest jobs, in order, in one process, and in another when that dies of a job."""
    culprits: list[T] = []
    while True:
        left: list[T] = []
        for job in _until_broken(work, jobs, 1, name, left):
            culprits.clear()
            yield job
        if not left:
            return
        culprit, *rest = left
        culprits.append(culprit)
        if len(culprits) == _IN_A_ROW:
            raise DataError(
                f"processes died of {', '.join(map(name, culprits))} one after another; see "
                "whether memory is enough, or take these away."
            )
        lost(culprit)
        yield culprit
        jobs = itertools.chain(rest, jobs)


def _until_broken(
    work: Callable[[T], None],
    jobs: Iterator[T],
    workers: int,
    name: Callable[[T], str],
    left: list[T],
) -> Iterator[T]:
    """Do jobs in new processes; if one of these dies, `left` gets what was begun and is not done.

    A single process is seen to live before it is given a job, so that its death is the job's.
    """
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_begin)
    running: dict[Future, T] = {}
    patience: float | None = _PATIENCE
    try:
        if workers == 1:
            _try_out(pool, work)
        for job in itertools.islice(jobs, workers * (1 + _AHEAD)):
            running[_submit(pool, work, job)] = job
        while running:
            done, _ = wait(running, patience, FIRST_COMPLETED)
            if not done:
                in_hand = map(name, itertools.islice(running.values(), workers))
                _say(f"nothing has ended for {patience:.0f} s; in hand: {', '.join(in_hand)}")
                patience = None
            if any(map(_is_broken, done)):
                wait(running)
                for future, job in running.items():
                    if _is_broken(future):
                        left.append(job)
                    else:
                        future.result()
                        yield job
                return
            for future in done:
                future.result()
                yield running.pop(future)
                for job in itertools.islice(jobs, 1):
                    running[_submit(pool, work, job)] = job
    finally:
        pool.shutdown(cancel_futures=True)


def _is_broken(future: Future) -> bool:
    return isinstance(future.exception(), BrokenProcessPool)


def _submit(pool: ProcessPoolExecutor, work: Callable, *arguments: Any) -> Future:
    """Give work to a pool, which may start a process for it; if it is broken, so is the result."""
    try:
        with _interrupts_ignored():  # a process that starts now keeps that for life
            return pool.submit(work, *arguments)
    except BrokenProcessPool as error:
        failed: Future = Future()
        failed.set_exception(error)
        return failed
    except OSError as error:
        raise DataError(f"no process can be started ({error}); try --workers=1.") from error


def _try_out(pool: ProcessPoolExecutor, work: Callable) -> None:
    """See that the first process of a pool lives until it has found out what the work is."""
    before = multiprocessing.active_children()
    future = _submit(pool, callable, work)
    new = [process for process in multiprocessing.active_children() if process not in before]
    if _is_broken(future):
        pool.shutdown()  # then it is known how it ended
        told = ", ".join(f"exit status {process.exitcode}" for process in new)
        raise DataError(
            f"new processes die at once ({told}); see whether memory is enough, or try --workers=1."
        )


def _say(text: str) -> None:
    """Write a line for the user, in a signal handler or not."""
    with contextlib.suppress(OSError):
        os.write(2, f"\n{text}\n".encode("utf-8", "backslashreplace"))


def _begin() -> None:
    """In each process: Ctrl-C is for the first one; if that one dies, so does this."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


@contextlib.contextmanager
def _interrupted_twice() -> Iterator[None]:
    """The first Ctrl-C interrupts, and says so; the second kills all processes, then this one."""
    end = threading.Timer(_GRACE, os._exit, (130,))  # if even killing does not end them
    end.daemon = True
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return

    def first(*_: Any) -> None:
        signal.signal(signal.SIGINT, second)
        _say("ending what is in hand; Ctrl-C again stops at once")
        raise KeyboardInterrupt

    def second(*_: Any) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for process in multiprocessing.active_children():
            process.kill()
        end.start()

    signal.signal(signal.SIGINT, first)
    try:
        yield
    finally:
        end.cancel()
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)


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
