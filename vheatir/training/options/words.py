"""Types of options in words, for messages and for the page of all options."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import inspect

__all__ = ["bare", "members", "shown", "text_of", "words"]

_ONE: Final = {
    inspect.IntType: "a whole number",
    inspect.FloatType: "a number",
    inspect.StrType: "text",
    inspect.BoolType: "true or false",
    inspect.NoneType: "~",
    inspect.DictType: "a mapping",
    inspect.StructType: "a section",
    inspect.AnyType: "a value",
}
_MANY: Final = {inspect.IntType: "whole numbers", inspect.FloatType: "numbers", inspect.StrType: "text"}


def words(kind: inspect.Type) -> str:
    """A type in words, such as ``a number of 0 or more, or ~``."""
    said: dict[str, None] = {}
    for member in sorted(members(kind), key=lambda member: isinstance(member, inspect.NoneType)):
        said |= dict.fromkeys(_choices(member) if isinstance(member, inspect.LiteralType) else [_one(member)])
    title = text_of(kind, "title")
    return f"{_either(list(said))} {title}" if title else _either(list(said))


def shown(value: object) -> str:
    """A value as it stands in a YAML file."""
    if value is None:
        return "~"
    return str(value).lower() if isinstance(value, bool) else str(value)


def members(kind: inspect.Type) -> Sequence[inspect.Type]:
    """The types of a union; any other type is the only member of itself."""
    kind = bare(kind)
    return [bare(member) for member in kind.types] if isinstance(kind, inspect.UnionType) else [kind]


def bare(kind: inspect.Type) -> inspect.Type:
    """A type without its documentation."""
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    return kind


def text_of(kind: inspect.Type, key: str) -> str:
    """What the documentation of a type holds under ``title`` or ``description``; empty if nothing."""
    found = ""
    for member in (kind, *(kind.types if isinstance(kind, inspect.UnionType) else ())):
        while isinstance(member, inspect.Metadata):
            found = found or str((member.extra_json_schema or {}).get(key, ""))
            member = member.type
    return found


def _one(kind: inspect.Type) -> str:
    if not isinstance(kind, inspect.ListType | inspect.VarTupleType | inspect.TupleType):
        return _ONE[type(kind)] + _range(kind)
    item = bare(kind.item_types[0] if isinstance(kind, inspect.TupleType) else kind.item_type)
    count = f"{len(kind.item_types)} " if isinstance(kind, inspect.TupleType) else ""
    if isinstance(item, inspect.LiteralType):
        return f"a list of {_either(_choices(item))}"
    return f"a list of {count}{_MANY[type(item)]}{_range(item)}" if type(item) in _MANY else "a list"


def _choices(kind: inspect.LiteralType) -> list[str]:
    return list(dict.fromkeys(shown(value) for value in kind.values))


def _either(said: list[str]) -> str:
    *first, last = said
    if not first:
        return last
    return f"{', '.join(first)}{',' if any(' ' in word for word in said) else ''} or {last}"


def _range(kind: inspect.Type) -> str:
    if not isinstance(kind, inspect.IntType | inspect.FloatType):
        return ""
    if kind.ge is not None and kind.le is not None:
        return f" from {kind.ge:g} to {kind.le:g}"
    if kind.ge is not None and kind.lt is not None:
        return f" of {kind.ge:g} or more and less than {kind.lt:g}"
    if kind.ge is not None:
        return f" of {kind.ge:g} or more"
    return f" above {kind.gt:g}" if kind.gt is not None else ""
