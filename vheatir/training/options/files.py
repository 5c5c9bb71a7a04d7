"""Reads option files, each put together from the parts that it names under ``_base_``.

``_base_`` is a path or a list of paths, relative to the file, in any section. The parts are merged in their order, and
what stands beside ``_base_`` is merged over them, section by section. A section whose ``type`` differs from the one
below replaces it as a whole, since the keys of another type would not fit. Lists are replaced, too.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from vheatir.training.options.errors import OptionError, unknown_key

__all__ = ["BASE", "force_options", "read_options", "whole_text"]

#: the key that names the parts of a section
BASE: Final = "_base_"


def read_options(path: Path) -> dict[str, Any]:
    """Read a YAML option file together with its parts.

    Returns:
        The whole options, in which no ``_base_`` is left.

    Raises:
        OptionError: if a file is missing, is no YAML or holds no mapping, or if parts name each other in a circle.
    """
    return _read(path, ())


def whole_text(path: Path) -> str:
    """The text of an option file, or, if it has parts, of one without ``_base_`` that says the same."""
    import yaml

    whole = read_options(path)
    if whole == _load(path):
        return path.read_text(encoding="utf-8")
    text = yaml.safe_dump(whole, sort_keys=False, default_flow_style=None, allow_unicode=True, width=120)
    return f"# {path.name} and its parts in one.\n{text}"


def force_options(options: Mapping[str, Any], entries: Sequence[str]) -> dict[str, Any]:
    """What ``--force_yml`` makes of an option file.

    Args:
        options: the file's content.
        entries: ``section:key=value`` each, the value as YAML has it; ``None`` is none, too.

    Returns:
        A changed copy.

    Raises:
        OptionError: if an entry has another form, or names a section that the file does not have.
    """
    forced = copy.deepcopy(dict(options))
    for entry in entries:
        keys, value = _split_entry(entry)
        section, place = forced, ""
        for key in keys[:-1]:
            if not isinstance(section.get(key), dict):
                raise OptionError(f"--force_yml {entry}: {unknown_key(key, place, section)}")
            section, place = section[key], f"{place}.{key}".lstrip(".")
        section[keys[-1]] = value
    return forced


def _read(path: Path, readers: tuple[Path, ...]) -> dict[str, Any]:
    """Read a file for ``readers``, the files that are being put together, each of which names the next."""
    file = path.resolve()
    if file in readers:
        circle = " -> ".join(reader.name for reader in (*readers[readers.index(file) :], file))
        raise OptionError(f"{path} is a part of itself by {BASE}: {circle}.")
    return _put_together(_load(path), path, (*readers, file))


def _put_together(section: Mapping[str, Any], path: Path, readers: tuple[Path, ...]) -> dict[str, Any]:
    whole: dict[str, Any] = {}
    for part in _parts(section, path):
        whole = _merged(whole, _read(part, readers))
    own = {
        key: _put_together(value, path, readers) if isinstance(value, dict) else value
        for key, value in section.items()
        if key != BASE
    }
    return _merged(whole, own)


def _parts(section: Mapping[str, Any], path: Path) -> list[Path]:
    named = section.get(BASE, [])
    names = named if isinstance(named, list) else [named]
    parts = []
    for name in names:
        if not isinstance(name, str):
            raise OptionError(f"{path}: {BASE} is a path or a list of paths, not {named}.")
        parts.append(path.parent / name)
        if not parts[-1].is_file():
            raise OptionError(f"{path}: the part {name} does not exist; {BASE} is relative to the file that names it.")
    return parts


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        before = merged.get(key)
        if isinstance(before, dict) and isinstance(value, dict) and not _of_other_type(before, value):
            value = _merged(before, value)
        merged[key] = value
    return merged


def _of_other_type(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return "type" in one and "type" in other and bool(one["type"] != other["type"])


def _load(path: Path) -> dict[str, Any]:
    import yaml  # comes with the extra "train"

    if not path.is_file():
        raise OptionError(f"The option file {path} does not exist.")
    try:
        options = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())  # YAML's own messages run over several lines
        raise OptionError(f"{path} is not valid YAML: {reason}.") from error
    if not isinstance(options, dict):
        raise OptionError(f"{path} holds no options: it must be a mapping of keys to values.")
    return options


def _split_entry(entry: str) -> tuple[list[str], object]:
    """The keys and the value of ``section:key=value``."""
    import yaml

    if entry.count("=") != 1:
        raise OptionError(f"--force_yml takes section:key=value with one =, not {entry}.")
    path, text = entry.split("=")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise OptionError(f"--force_yml {entry}: the value is no YAML, which option files are written in.") from error
    return [key.strip() for key in path.split(":")], None if value == "None" else value
