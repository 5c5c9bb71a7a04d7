"""How the C library hands out memory: a setting of the process that restoring and training gain by."""

from __future__ import annotations

import ctypes
import logging
import os
import sys
from typing import Final

__all__ = ["keep_freed_memory"]

logger = logging.getLogger(__name__)

# mallopt(3) of the GNU C library; the environment variables say the same to a process that is to be started
_TRIM: Final = (-1, "MALLOC_TRIM_THRESHOLD_", 2**29)
_MAP: Final = (-3, "MALLOC_MMAP_THRESHOLD_", 2**25)  # the largest that is accepted
_HUGE_PAGES: Final = "THP_MEM_ALLOC_ENABLE"  # torch reads it when it makes its first tensor


def keep_freed_memory() -> bool:
    """Let this process keep up to half a gigabyte of freed memory, rather than return it to the system at once.

    Every layer of a network asks for memory and frees it. By default the GNU C library gives blocks of some megabytes
    back to the system, which then clears each page of them again at its next use. Blocks of 32 MB and more still come
    from the system and go back; torch, if it has not made a tensor yet, is told to ask for huge pages for them, of
    which 512 times fewer have to be cleared and found. What the environment already sets is left as it is.

    Commands of this package call it; a program that calls :class:`vheatir.Restorer` may.

    Returns:
        Whether anything was changed; False elsewhere than on Linux with the GNU C library.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    os.environ.setdefault(_HUGE_PAGES, "1")
    chosen = [(parameter, value) for parameter, variable, value in (_MAP, _TRIM) if variable not in os.environ]
    changed = [parameter for parameter, value in chosen if mallopt(parameter, value) == 1]
    logger.debug("Allocator settings changed: %s", changed)
    return bool(changed)
