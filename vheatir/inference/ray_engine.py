"""Restoring by Ray Data: files are listed in tasks, and restored by a pool of processes, on one machine or many.

What travels is names of files and lines of the report, never pixels. A process that ends takes a block of files with
it, which another does again; results appear whole or not at all, so that nothing is lost and nothing half-written.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import ray
import ray.data

from vheatir.errors import UsageError
from vheatir.inference.paths import Job
from vheatir.inference.report import FileReport, json_line
from vheatir.system.threads import usable_processors

__all__ = ["Pool", "restore_by_ray"]

#: files that go to a process together, and are done again if it ends
_BLOCK: Final = 16
#: a file that ends its process so often is left out, so that the others go on
_ATTEMPTS: Final = 2
# small, so that restoring begins while listing goes on: some thousand files
_BYTES_OF_LISTING: Final = 512 * 1024

_RESUME: Final = "not every file was restored: run again with --skip-existing"
#: reads a word from the process that started it, or says that it ended without
_WATCHER: Final = """
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
sys.stdin.read() or sys.stderr.write(sys.argv[1])
"""

Restore = Callable[[Job], FileReport]


@dataclass(frozen=True)
class Pool:
    """The processes that restore, each with models of its own.

    Attributes:
        workers: how many; None means as many as the cluster has room for.
        cpus: processors, and threads, of each.
        gpus: GPUs of each.
    """

    workers: int | None = None
    cpus: int = 1
    gpus: float = 0


def restore_by_ray(
    listings: Sequence[Callable[[], Iterable[Job]]], make: Callable[[], Restore], pool: Pool
) -> Iterator[FileReport]:
    """Restore files by Ray Data and report on each as it finishes, in no order.

    The cluster is the one that this process has joined, that of ``RAY_ADDRESS``, or one that is made of this machine
    and ends with the iteration.

    Args:
        listings: what lists the files, each in a task of its own.
        make: makes, in each process of the pool, what restores one file.
        pool: the processes.

    Raises:
        ValueError: if ``make`` raises one.
        OSError: the same; or if Ray ended before every file that was listed had its report.
    """
    with _watched():
        yield from _restore(listings, make, pool)


def _restore(
    listings: Sequence[Callable[[], Iterable[Job]]], make: Callable[[], Restore], pool: Pool
) -> Iterator[FileReport]:
    is_joined = ray.is_initialized()
    if not is_joined:
        _join(pool)
    try:
        _check_room(pool)
        _unwrapped(ray.remote(num_cpus=pool.cpus, num_gpus=pool.gpus)(_try).remote(make))
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.target_max_block_size = _BYTES_OF_LISTING
        attempts = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(_Attempts).remote()
        jobs = ray.data.from_items(list(range(len(listings))), override_num_blocks=len(listings)).flat_map(
            lambda row: ({"job": text} for text in _counted(listings[row["item"]]()))
        )
        reports = jobs.repartition(target_num_rows_per_block=_BLOCK).map_batches(
            _Worker,
            batch_size=None,
            fn_constructor_args=(make, attempts),
            compute=ray.data.ActorPoolStrategy(size=pool.workers or _room(pool)),
            num_cpus=pool.cpus,
            num_gpus=pool.gpus,
        )
        lines = (
            line for batch in reports.iter_batches(batch_size=None, prefetch_batches=0) for line in batch["report"]
        )
        yield from _complete(lines, len(listings))
    except ray.exceptions.RayError as error:
        reason = str(error).strip().splitlines()[-1]  # of the traceback, where there is one
        raise OSError(f"Ray ended early; {_RESUME} ({reason})") from error
    finally:
        if not is_joined:
            ray.shutdown()


@contextmanager
def _watched() -> Iterator[None]:
    """Let another process say so if this one ends within: Ray ends it at once, by C++, where its own ones are gone."""
    sentence = f"error: Ray ended, or was ended; {_RESUME}.\n"
    with subprocess.Popen([sys.executable, "-c", _WATCHER, sentence], stdin=subprocess.PIPE) as watcher:
        try:
            yield
        finally:
            watcher.communicate(b"still here")


def _counted(jobs: Iterable[Job]) -> Iterator[str]:
    """The jobs of a listing as texts, and last their number, which travels as they do."""
    number = 0
    for job in jobs:
        number += 1
        yield _encoded(job)
    yield str(number)


def _complete(lines: Iterable[str], listings: int) -> Iterator[FileReport]:
    """The reports among the lines; the numbers among them say how many there must be.

    Raises:
        OSError: if there are fewer, or not every listing told its number.
    """
    reported, numbers = 0, []
    for line in lines:
        if line.isdecimal():
            numbers.append(int(line))
            continue
        reported += 1
        yield FileReport(**json.loads(line))
    if len(numbers) < listings:
        raise OSError(f"Ray ended before all files were listed; {_RESUME}.")
    if reported < sum(numbers):
        missing = sum(numbers) - reported
        raise OSError(f"Ray ended without a word on {missing} of {sum(numbers)} files; {_RESUME}.")


class _Attempts:
    """Counts how often each file was begun that has not been finished."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def begin(self, job: str) -> int:
        self._counts[job] += 1
        return self._counts[job]

    def end(self, job: str) -> None:
        del self._counts[job]


class _Worker:
    """A process of the pool."""

    def __init__(self, make: Callable[[], Restore], attempts: Any) -> None:
        self._restore, self._attempts = make(), attempts

    def __call__(self, batch: dict[str, Any]) -> Iterator[dict[str, list[str]]]:
        for text in map(str, batch["job"]):
            if text.isdecimal():
                yield {"report": [text]}
                continue
            job = _decoded(text)
            if ray.get(self._attempts.begin.remote(text)) > _ATTEMPTS:  # and stays so, if its block is done again
                reason = f"{job.source} ended the process that restored it, {_ATTEMPTS} times; is there memory for it?"
                report = self._restore(Job(job.source, job.destination, job.name, reason))
            else:
                report = self._restore(job)
                self._attempts.end.remote(text)
            yield {"report": [json_line(report)]}


def _join(pool: Pool) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent to anybody
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if "RAY_ADDRESS" not in os.environ:
        # one more than there are, for the tasks that list: else the pool may take all, and wait for files for ever
        cpus = max(usable_processors(), (pool.workers or 1) * pool.cpus) + 1
        options |= {"num_cpus": cpus, "include_dashboard": False}
    try:
        ray.init(**options)
    except Exception as error:  # Ray raises no kind of its own
        raise UsageError(f"Ray cannot be started or joined: {error}") from error


def _check_room(pool: Pool) -> None:
    """Refuse processes that this machine has no room for: Ray would wait for it. Clusters may grow."""
    gpus = ray.cluster_resources().get("GPU", 0)
    if "RAY_ADDRESS" not in os.environ and gpus < pool.gpus:
        raise UsageError(f"A process of the pool needs {pool.gpus:g} GPUs, and Ray finds {gpus:g} on this machine.")


def _room(pool: Pool) -> int:
    """Processes that the cluster has room for, beside the tasks that list."""
    has = ray.cluster_resources()
    by_cpus = (has.get("CPU", 1) - 1) / pool.cpus
    return max(1, int(min(by_cpus, has.get("GPU", 0) / pool.gpus) if pool.gpus else by_cpus))


def _try(make: Callable[[], Restore]) -> None:
    make()


def _unwrapped(reference: Any) -> None:
    """Wait for a task, and raise what it raised."""
    try:
        ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None


def _encoded(job: Job) -> str:
    """A job as JSON, in which bytes that are no UTF-8 survive: Arrow's texts do not hold them."""
    return json.dumps([str(job.source), str(job.destination), str(job.name), job.problem])


def _decoded(text: str) -> Job:
    source, destination, name, problem = json.loads(text)
    return Job(Path(source), Path(destination), Path(name), problem)
