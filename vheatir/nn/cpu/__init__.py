"""What makes our networks fast on a CPU: the numbers of the plain network, with less time and memory."""

from __future__ import annotations

from vheatir.nn.cpu.fast import fast_on_cpu

__all__ = ["fast_on_cpu"]
