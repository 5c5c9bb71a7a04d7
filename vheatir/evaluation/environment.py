"""Where and with what a number was measured."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from vheatir import __version__

if TYPE_CHECKING:
    import torch

__all__ = ["Environment", "describe_environment", "describe_environments"]


@dataclass(frozen=True)
class Environment:
    """Stored with every result.

    Attributes:
        machine: processor, and number of cores that may be used; the GPU's name on CUDA.
        device: "cpu" or "cuda".
        threads: torch's threads.
        torch: version.
        python: version.
        vheatir: version.
        commit: of the checkout, with "+" if tracked files were changed; None if it is not run from one.
        date: year, month and day, UTC.
    """

    machine: str
    device: str
    threads: int
    torch: str
    python: str
    vheatir: str
    commit: str | None
    date: str

    def __str__(self) -> str:
        commit = f" at {self.commit}" if self.commit else ""
        where = f"{self.machine}, {self.threads} thread{'s' if self.threads != 1 else ''}"
        return f"{where}, torch {self.torch}, Python {self.python}, vheatir {self.vheatir}{commit}, {self.date}"


def describe_environment(device: torch.device) -> Environment:
    """Describe this machine, this process and this checkout."""
    import torch  # reading results needs none

    return Environment(
        machine=torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
        device=device.type,
        threads=torch.get_num_threads(),
        torch=torch.__version__,
        python=platform.python_version(),
        vheatir=__version__,
        commit=_commit(),
        date=datetime.now(timezone.utc).date().isoformat(),
    )


def describe_environments(environments: Iterable[Environment]) -> list[str]:
    """One line for each machine and set of versions: what differs in commit or date alone stands in one."""
    groups: dict[Environment, list[Environment]] = {}
    for environment in environments:
        groups.setdefault(replace(environment, commit=None, date=""), []).append(environment)
    return [str(replace(group[0], commit=_commits(group), date=_dates(group))) for group in groups.values()]


def _commits(group: list[Environment]) -> str | None:
    return ", ".join(dict.fromkeys(environment.commit for environment in group if environment.commit)) or None


def _dates(group: list[Environment]) -> str:
    first, last = (pick(environment.date for environment in group) for pick in (min, max))
    return first if first == last else f"{first} to {last}"


def _processor() -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name}, {cores} core{'s' if cores != 1 else ''}"


def _commit() -> str | None:
    """Of the checkout that this file belongs to; an installed copy inside somebody else's checkout has none."""
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return None
    try:
        command = ["git", "-C", str(folder), "describe", "--always", "--exclude", "*", "--dirty=+"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
