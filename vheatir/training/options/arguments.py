"""Sections of option files whose keys are a constructor's arguments: its signature and docstring are what is checked.

What a constructor says is said there alone. A section adds what only an option file knows: what must be given, and
narrower ranges.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Mapping
from dataclasses import is_dataclass
from typing import Annotated, Any, get_type_hints

from msgspec import NODEFAULT, Meta, Struct, defstruct

__all__ = ["argument_texts", "arguments", "section"]

#: type and default of each key
Fields = dict[str, tuple[Any, Any]]


def arguments(
    constructor: type,
    *,
    leave_out: Collection[str] = (),
    required: Collection[str] = (),
    ranges: Mapping[str, Any] | None = None,
) -> Fields:
    """The keys that a constructor's arguments make: type, default and documentation.

    Args:
        constructor: a class with annotations, a dataclass or not, whose docstring has a part ``Args:``.
        leave_out: arguments that come from elsewhere.
        required: arguments that a file must give although the constructor has a default.
        ranges: narrower types than the annotations of some arguments.

    Returns:
        Type and default by name, for :func:`section`.
    """
    annotated = constructor if is_dataclass(constructor) else constructor.__init__  # type: ignore[misc]
    hints, texts = get_type_hints(annotated), argument_texts(constructor)
    fields: Fields = {}
    for name, parameter in inspect.signature(constructor).parameters.items():
        if name not in leave_out:
            kind = (ranges or {}).get(name, hints[name])
            is_required = name in required or parameter.default is parameter.empty
            default = NODEFAULT if is_required else parameter.default
            fields[name] = (Annotated[kind, Meta(description=texts[name])], default)
    return fields


def section(kind: str, own: Mapping[str, Any], more: Fields | None = None, meaning: type | None = None) -> type[Struct]:
    """A section whose key ``type`` is ``kind``.

    Args:
        kind: value of the key ``type``.
        own: types of keys that must be given.
        more: types and defaults of other keys, such as :func:`arguments` returns.
        meaning: class whose docstring's first line says what the section means.
    """
    fields = [(name, hint, NODEFAULT) for name, hint in own.items()]
    fields += [(name, hint, default) for name, (hint, default) in (more or {}).items()]
    namespace = {} if meaning is None else {"__doc__": (inspect.getdoc(meaning) or "").split("\n")[0]}
    return defstruct(
        kind, fields, namespace=namespace, tag_field="type", tag=kind, kw_only=True, forbid_unknown_fields=True
    )


def argument_texts(constructor: type) -> dict[str, str]:
    """The texts under ``Args:`` of a docstring, by argument, each on one line."""
    documentation = inspect.getdoc(constructor) or ""
    (block,) = re.findall(r"^Args:\n((?: {4}.*\n?)+)", documentation, re.MULTILINE)
    texts = re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", block, re.MULTILINE)
    return {name: re.sub(r":\w+:", "", " ".join(text.split())) for name, text in texts}
