"""Files of measurements: one JSON object, which begins with the name and the version of its format."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from vheatir.system.atomic import atomic_path

__all__ = ["RecordFormat", "format_name"]

Built = TypeVar("Built")


@dataclass(frozen=True)
class RecordFormat:
    """One format of such files.

    Attributes:
        name: what stands under ``format``.
        version: what stands under ``format_version``.
        kind: what people call such a file, for messages.
        remedy: what to do about one that cannot be used, for messages.
        error: raised by :meth:`read`; the message names the file and the remedy.
    """

    name: str
    version: int
    kind: str
    remedy: str
    error: type[ValueError]

    def write(self, path: Path, content: Mapping[str, Any]) -> None:
        """Write a file, atomically; its folder must exist.

        Raises:
            OSError: if it cannot be written.
            ValueError: if the content holds a number that is not finite, which JSON does not know.
        """
        whole = {"format": self.name, "format_version": self.version, **content}
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")

    def read(self, path: Path, build: Callable[[Mapping[str, Any]], Built]) -> Built:
        """Read a file.

        Args:
            path: the file.
            build: what to make of its content, without format and version; raises KeyError, TypeError, AttributeError
                or ValueError where something is missing or wrong.

        Raises:
            ValueError: of the type ``error``, if the file is missing, of another format or version, or damaged.
        """
        try:
            content = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise self.error(f"{path} cannot be read as a {self.kind} ({error}); {self.remedy}.") from error
        if not isinstance(content, dict) or content.pop("format", None) != self.name:
            raise self.error(f"{path} is not a {self.kind} ({self.name}); give another file, or leave it out.")
        if content.pop("format_version", None) != self.version:
            raise self.error(f"{path} has another version than {self.version}; {self.remedy}.")
        try:
            return build(content)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise self.error(f"{path} is damaged ({type(error).__name__}: {error}); {self.remedy}.") from error


def format_name(path: Path) -> object:
    """Return what a file gives as the name of its format; None if it is no such file."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return content.get("format") if isinstance(content, dict) else None
