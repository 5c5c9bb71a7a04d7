"""Commands in pages: each one is understood by its verb, and the files of the project that it names exist."""

from __future__ import annotations

import re
import shlex
from importlib import import_module

import pytest
from test_markdown import REPOSITORY, name, pages

from vheatir.cli.main import VERBS


def commands() -> list[tuple[str, str]]:
    """Every command of ``vheatir`` or of its doors in a block of code: page and words behind the program."""
    found = []
    for page in pages():
        blocks = "\n".join(re.findall(r"^ *```\w*\n(.*?)^ *```", page.read_text(encoding="utf-8"), re.M | re.S))
        for line in blocks.replace("\\\n", " ").splitlines():
            line = re.sub(r"^python inference\.py", "vheatir restore", line.strip())
            line = re.sub(r"^python -m vheatir\.train", "vheatir train", line)
            if re.match(r"vheatir [a-z]", line) and "$T" not in line:  # $T is defined beside it
                found.append((name(page), line.removeprefix("vheatir ")))
    return found


COMMANDS = commands()


def test_there_are_commands_of_most_verbs() -> None:
    assert {words.split()[0] for _, words in COMMANDS} >= set(VERBS) - {"report"}


@pytest.mark.parametrize(("page", "words"), COMMANDS, ids=lambda value: str(value)[:60])
def test_a_command_is_understood(page: str, words: str) -> None:
    verb, *arguments = shlex.split(words, comments=True)
    assert verb in VERBS, page
    parser = import_module(f"vheatir.cli.{verb.replace('-', '_')}").build_parser()
    try:
        parser.parse_args(arguments)
    except SystemExit:
        pytest.fail(f"{page}: vheatir {words}")
    for path in re.findall(r"\b(?:options|examples)/\S+", words):
        assert (REPOSITORY / path).exists(), f"{page} names {path}"
