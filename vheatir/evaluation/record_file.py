"""Files of measurements: one JSON object, which begins with the name and the version of its format."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from vheatir.system.atomic import atomic_path

__all__ = ["RecordFormat", "format_name"]

Record = TypeVar("Record")


@dataclass(frozen=True)
class RecordFormat(Generic[Record]):
    """One format of such files.

    Attributes:
        record: the dataclass that a file holds.
        name: what stands under ``format``.
        version: what stands under ``format_version``.
        kind: what people call such a file, for messages.
        remedy: what to do about one that cannot be used, for messages.
        error: raised by :meth:`read`; the message names the file and the remedy.
        build: makes the record of the file's content, without format and version; raises KeyError, TypeError,
            AttributeError or ValueError where something is missing or wrong. None takes field by field.
    """

    record: type[Record]
    name: str
    version: int
    kind: str
    remedy: str
    error: type[ValueError]
    build: Callable[[Mapping[str, Any]], Record] | None = None

    def write(self, path: Path, record: Record) -> None:
        """Write a file, atomically; its folder must exist.

        Raises:
            OSError: if it cannot be written.
            ValueError: if the record holds a number that is none, which JSON does not know.
        """
        content: Any = _finite(asdict(record))  # type: ignore[call-overload]
        whole = {"format": self.name, "format_version": self.version, **content}
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")

    def read(self, path: Path) -> Record:
        """Read a file.

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
            return self._build(content)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise self.error(f"{path} is damaged ({type(error).__name__}: {error}); {self.remedy}.") from error

    def _build(self, content: Mapping[str, Any]) -> Record:
        if self.build is not None:
            return self.build(content)
        import msgspec

        return msgspec.convert(content, self.record)


def format_name(path: Path) -> object:
    """Return what a file gives as the name of its format; None if it is no such file."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return content.get("format") if isinstance(content, dict) else None


def _finite(value: Any) -> Any:
    """JSON knows no infinity, which the PSNR of an image with itself is."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return "inf" if value == math.inf else value
