"""The error of a request that cannot be carried out; rooms have errors of their own for their files."""

from __future__ import annotations

__all__ = ["UsageError"]


class UsageError(ValueError):
    """A request that cannot be carried out as it stands; nothing has been done yet."""
