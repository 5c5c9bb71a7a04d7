"""What is said about a wrong option file: the key, its section, and the nearest known word."""

from __future__ import annotations

import difflib
from collections.abc import Collection

__all__ = ["OptionError", "hint", "listed", "section_name", "unknown_key"]


class OptionError(ValueError):
    """An option file that cannot be used; the message names the key and the remedy."""


def unknown_key(key: object, place: str, known: Collection[str]) -> str:
    """The sentence about a key that the section ``place`` does not have."""
    return f"Unknown key {key} in {section_name(place)}: {hint(key, known)}"


def hint(word: object, known: Collection[str]) -> str:
    """The nearest of the known words, or all of them."""
    near = difflib.get_close_matches(str(word), sorted(known), n=1)
    return f"did you mean {near[0]}?" if near else f"known are {listed(known)}."


def section_name(place: str) -> str:
    """A section in words; the empty place is the file itself."""
    return f"the section {place}" if place else "the option file"


def listed(words: Collection[str]) -> str:
    """Words in alphabetical order, with commas."""
    return ", ".join(sorted(words))
