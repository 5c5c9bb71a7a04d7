"""The allocator's setting: pages are not cleared again and again; a setting of the user's stays."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

_PROBE = """
import resource, sys
from vheatir.system.allocator import keep_freed_memory
import torch
if sys.argv[1] == "keep":
    print(keep_freed_memory())
torch.set_num_threads(1)
x = torch.ones(2**21)
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [x + 1 for _ in range(8)]
    del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
for _ in range(4):
    faults()
print(min(faults() for _ in range(4)))  # a block that once lies elsewhere is no block that goes back every time
"""


_HUGE_PROBE = """
import re
from vheatir.system.allocator import keep_freed_memory
keep_freed_memory()
import torch
x = torch.ones(2**24)
print(re.search(r"AnonHugePages: *([0-9]+)", open("/proc/self/smaps_rollup").read()).group(1))
"""
_HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def _run(mode: str, **variables: str) -> list[str]:
    # small pages alone: a huge one is a single fault, whoever asked for it
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MALLOC_")}
    environment |= {"THP_MEM_ALLOC_ENABLE": "0"} | variables
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, mode], capture_output=True, text=True, check=True, env=environment
    )
    return done.stdout.split()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of the GNU C library")
def test_memory_is_used_again_without_new_pages() -> None:
    # the C library's own thresholds move with what was freed before: fixed, so that blocks do go back
    default = int(_run("leave", MALLOC_TRIM_THRESHOLD_="131072", MALLOC_MMAP_THRESHOLD_="131072")[0])
    changed, kept = _run("keep")
    assert changed == "True"
    assert default > 1000  # 64 MB are 16384 pages
    assert int(kept) < default / 10


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of the GNU C library")
def test_what_the_user_has_set_stays() -> None:
    changed, faults = _run("keep", MALLOC_TRIM_THRESHOLD_="131072", MALLOC_MMAP_THRESHOLD_="131072")
    assert changed == "False"
    assert int(faults) > 1000


@pytest.mark.skipif(
    not _HUGE_PAGES.is_file() or "[madvise]" not in _HUGE_PAGES.read_text("utf-8"),
    reason="no huge pages on demand here",
)
@pytest.mark.parametrize(("setting", "least", "most"), [(None, 48 * 1024, 80 * 1024), ("0", 0, 16 * 1024)])
def test_large_tensors_lie_in_huge_pages(setting: str | None, least: int, most: int) -> None:
    """64 MB of ones, in kilobytes; unless the user has said otherwise."""
    environment = {key: value for key, value in os.environ.items() if key != "THP_MEM_ALLOC_ENABLE"}
    environment |= {} if setting is None else {"THP_MEM_ALLOC_ENABLE": setting}
    done = subprocess.run(
        [sys.executable, "-c", _HUGE_PROBE], capture_output=True, text=True, check=True, env=environment
    )
    assert least <= int(done.stdout) <= most
