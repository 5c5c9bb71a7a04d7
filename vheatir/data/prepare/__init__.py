"""Preparing a folder of clean images for training: checks, overlaps with benchmarks, the split, an LMDB.

``datasets/prepare.py`` is the command.
"""

from __future__ import annotations
