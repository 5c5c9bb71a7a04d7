"""Preparing a folder of clean images for training: checks, overlaps with benchmarks, the split, an LMDB.

``vheatir prepare`` and ``vheatir pack`` are the commands.
"""

from __future__ import annotations
