"""How many threads to compute with: as many as there are processors that are free for this process."""

from __future__ import annotations

import logging
import math
import os
import sys
from pathlib import Path
from typing import Final

__all__ = ["choose_threads", "chosen_threads", "one_thread_after_fork", "usable_processors"]

logger = logging.getLogger(__name__)

#: what the user may have set, in the environment that OpenMP reads when torch is imported
_SET_BY_USER: Final = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "MKL_NUM_THREADS")
_forks: list[bool] = []
_threads_of_opencv: list[int] = []


def choose_threads() -> int | None:
    """Tell OpenMP to use as many threads as processors are free, if the user has not told it anything.

    Threads of OpenMP wait for one another in a loop. On processors that others use too, or beyond a container's limit,
    each waits for one that does not run. It has an effect before torch is imported only: commands call it.

    Returns:
        The number of threads, or None if nothing was set.
    """
    if "torch" in sys.modules or any(variable in os.environ for variable in _SET_BY_USER):
        return None
    free = (os.cpu_count() or 1) - _busy_processors()  # of the whole machine, of which this process may use a part
    threads = max(1, min(usable_processors(), free))
    os.environ["OMP_NUM_THREADS"] = str(threads)
    logger.debug("%d threads", threads)
    return threads


def chosen_threads() -> int:
    """Return the number of threads for what does not follow OpenMP: OpenMP's, or one for each usable processor."""
    text = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return int(text) if text.isdecimal() and int(text) > 0 else usable_processors()


def usable_processors(root: Path = Path("/")) -> int:
    """Return the number of processors that this process may use, by its affinity and by the limits of its groups.

    Args:
        root: where the folders proc and sys stand.
    """
    mine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(mine, _quota(root))))


def one_thread_after_fork() -> None:
    """Let processes that are forked from now on compute with one thread.

    A forked process has none of its parent's waiting threads, and would wait for them without end. OpenCV would even
    wait for them to end when it is told to use one thread: its threads end before the fork, in the parent.
    """
    if _forks or not hasattr(os, "register_at_fork"):
        return
    _forks.append(True)
    os.register_at_fork(
        before=_end_threads_of_opencv,
        after_in_parent=_allow_threads_to_opencv,
        after_in_child=_use_one_thread,
    )


def _end_threads_of_opencv() -> None:
    if "cv2" in sys.modules:
        opencv = sys.modules["cv2"]
        _threads_of_opencv.append(opencv.getNumThreads())
        opencv.setNumThreads(1)


def _allow_threads_to_opencv() -> None:
    if _threads_of_opencv:
        sys.modules["cv2"].setNumThreads(_threads_of_opencv.pop())


def _use_one_thread() -> None:
    _threads_of_opencv.clear()
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def _busy_processors() -> int:
    """Processors that others keep busy: by the load of the last minute, or fewer if fewer processes run just now."""
    try:
        load, _, _, running = Path("/proc/loadavg").read_text(encoding="ascii").split()[:4]
        return round(min(float(load), int(running.split("/")[0]) - 1))
    except (OSError, ValueError):
        return 0


def _quota(root: Path) -> float:
    """Processors' worth of time that control groups grant, of version 2 or 1; the least of all that this is within."""
    quotas = [math.inf]
    for line in _lines(root / "proc/self/cgroup"):
        controllers, path = line.split(":", 2)[1:]
        # within a container, the path may be the one outside of it
        base = root / "sys/fs/cgroup" / ("" if not controllers else "cpu")
        if controllers and "cpu" not in controllers.split(","):
            continue
        inner = base / path.lstrip("/")
        for folder in (base, inner, *(parent for parent in inner.parents if base in parent.parents)):
            quotas.append(_quota_of(folder))
    return min(quotas)


def _quota_of(folder: Path) -> float:
    words = " ".join(
        _lines(folder / "cpu.max") or _lines(folder / "cpu.cfs_quota_us") + _lines(folder / "cpu.cfs_period_us")
    ).split()
    try:
        quota, period = (float(word) for word in words)
    except ValueError:  # no limit, or none that can be read
        return math.inf
    return quota / period if quota > 0 and period > 0 else math.inf


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return []
