"""One call in a process of its own: the seconds of the whole process, and its peak memory.

    python -m vheatir.speed.process fast 256 --threads 2 --device cpu

prints ``{"peak_bytes": ...}``. On a CPU that is the peak of the resident memory (VmHWM of Linux) while the competitor
is built and called, above what the interpreter and the imported packages hold before; on CUDA the peak of what torch
has allocated.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from vheatir.speed.reference import CostError
from vheatir.speed.rows import ROWS, NetworkRow
from vheatir.system.allocator import keep_freed_memory

__all__ = ["ProcessCost", "peak_memory", "run_process"]

_STATUS: Final = Path("/proc/self/status")
_RESET: Final = Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class ProcessCost:
    """What one process cost.

    Attributes:
        seconds: from its start to its end.
        peak_bytes: memory above the interpreter's own; None where the system does not tell.
    """

    seconds: float
    peak_bytes: int | None


def run_process(row: str, size: int, *, threads: int, device: torch.device, timeout: float) -> ProcessCost:
    """Start Python, build a competitor, call it once, and end.

    Args:
        row: a name of :data:`vheatir.speed.rows.ROWS`.
        size: side of the image in pixels.
        threads: torch's.
        device: where it computes.
        timeout: seconds after which the process is ended.

    Raises:
        CostError: if it fails, is ended by the system for want of memory, or takes too long.
    """
    module = "vheatir.speed.process"
    command = [sys.executable, "-m", module, row, str(size), "--threads", str(threads), "--device", str(device)]
    start = time.perf_counter()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired as error:
        raise CostError(f"more than {timeout:.0f} s") from error
    seconds = time.perf_counter() - start
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        raise CostError(f"failed: {lines[-1] if lines else f'ended by signal {-done.returncode}'}")
    return ProcessCost(seconds, json.loads(done.stdout)["peak_bytes"])


def peak_memory(work: Callable[[], object], device: torch.device) -> int | None:
    """Run ``work`` and measure by how much it raises the peak of this process' memory.

    Args:
        work: must not have run before in this process, which keeps the memory that it was given.
        device: CPU or CUDA.

    Returns:
        Bytes; None on a system without ``/proc``.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        torch.cuda.synchronize(device)
        return int(torch.cuda.max_memory_allocated(device)) - before
    _reset_peak()
    before_bytes = _status_bytes("VmRSS")
    work()
    peak = _status_bytes("VmHWM")
    return None if peak is None or before_bytes is None else max(0, peak - before_bytes)


def _reset_peak() -> None:
    """Let VmHWM begin again at the present VmRSS: imports may have peaked above what they keep."""
    try:
        _RESET.write_text("5", "ascii")
    except OSError:  # forbidden in some containers; the peak of the imports then hides as much of the work's
        return


def _status_bytes(name: str) -> int | None:
    try:
        lines = _STATUS.read_text("ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), None)


def main() -> None:
    """Measure the memory of one call in this process and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("row", choices=tuple(ROWS))
    parser.add_argument("size", type=int)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--device", type=torch.device, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    row = ROWS[arguments.row]
    row.prepare()
    if not (isinstance(row, NetworkRow) and row.is_swinir):
        keep_freed_memory()  # as our command does, and BasicSR does not
    if arguments.device.type == "cuda":
        torch.cuda.init()

    def work() -> None:
        row.build(arguments.size, arguments.device)()

    peak = peak_memory(work, arguments.device)
    sys.stdout.write(json.dumps({"peak_bytes": peak}) + "\n")


if __name__ == "__main__":
    main()
