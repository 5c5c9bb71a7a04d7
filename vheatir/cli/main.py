"""``vheatir VERB ...``, also ``python -m vheatir VERB ...``: finds the verb and runs it."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final, Protocol, cast

from vheatir import __version__
from vheatir.cli.shared import BAD_USAGE, DONE, EXIT_CODES, print_what_can_be_printed, run_command

__all__ = ["VERBS", "Verb", "main"]

#: what each verb does; :mod:`vheatir.cli` has a module of its name, with an underscore for a hyphen
VERBS: Final = {
    "restore": "remove noise and JPEG artifacts from images",
    "web": "restore photos on a page in the browser, on this machine",
    "explain": "show how far heat goes in a network, as pictures",
    "prepare": "check folders of clean images, and list what to train on",
    "pack": "put training images into one archive of limited size",
    "train": "train a network from an option file",
    "pretrain": "pretrain a network on photos alone, from an option file",
    "export": "turn a checkpoint into a weights file, or weights into an ONNX file",
    "test": "score weights on the sets of an option file",
    "benchmark": "score models and other methods on sets of images",
    "race": "train networks that differ in one thing under equal conditions",
    "speed": "measure speed and memory of networks, beside SwinIR's",
    "train-speed": "measure the speed of training steps",
    "plot": "plot the scores of a benchmark",
    "report": "renew the measured tables in Markdown pages, or check them",
}

_HELP: Final = """\
usage: vheatir VERB ...

Image restoration by heat conduction.

verbs:
{verbs}

vheatir VERB --help explains a verb, vheatir --version prints the version.

{exit_codes}
"""


class Verb(Protocol):
    """What a module of a verb offers."""

    def build_parser(self) -> argparse.ArgumentParser:
        """Return the verb's argument parser."""
        ...

    def run(self, arguments: argparse.Namespace) -> int:
        """Do the work and return the exit code; ``arguments.words`` are the arguments as they were typed.

        A ValueError or an OSError becomes one sentence and the exit code 2.
        """
        ...


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb that the first word names, and return the exit code; argparse exits by itself on bad arguments."""
    print_what_can_be_printed()
    words = sys.argv[1:] if argv is None else list(argv)
    name = words[0] if words else ""
    if name in ("-h", "--help"):
        sys.stdout.write(_help())
        return DONE
    if name == "--version":
        sys.stdout.write(f"vheatir {__version__}\n")
        return DONE
    if name not in VERBS:
        sys.stderr.write(f"error: {_wrong_verb(name)}\n" if name else _help())
        return BAD_USAGE
    verb = cast(Verb, import_module(f"vheatir.cli.{name.replace('-', '_')}"))
    arguments = verb.build_parser().parse_args(words[1:])
    arguments.words = words[1:]
    return run_command(lambda: verb.run(arguments), quiet=getattr(arguments, "quiet", False))


def _help() -> str:
    verbs = "\n".join(f"  {name:<12} {summary}" for name, summary in VERBS.items())
    return _HELP.format(verbs=verbs, exit_codes=EXIT_CODES)


def _wrong_verb(name: str) -> str:
    if name.startswith("-"):
        return f"The verb comes first: vheatir restore {name} ..., or another verb of vheatir --help."
    near = difflib.get_close_matches(name, VERBS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"verbs are {', '.join(VERBS)}."
    return f"There is no verb {name}: {hint}"
