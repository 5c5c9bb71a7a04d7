"""``python -m vheatir.evaluation report``: docs/results.md from the result files in docs/results/.

The committed page is never written by hand; ``--check`` tells whether it and the files agree.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from vheatir.evaluation.cli import BAD_USAGE, DONE, run_command
from vheatir.evaluation.cost.report import SPEED_FILE
from vheatir.evaluation.cost.train_report import TRAIN_SPEED_FILE, read_train_speed
from vheatir.evaluation.cost.train_report import markdown as train_markdown
from vheatir.evaluation.record_file import format_name
from vheatir.evaluation.results import Result, ResultError, read_results
from vheatir.system.atomic import atomic_path

__all__ = ["main", "report"]

_OUT_OF_DATE: Final = 1

_INTRODUCTION: Final = """\
# Results

Made by `python -m vheatir.evaluation report` from the files in [results/](results/), which hold every image's values;
not edited by hand. How they are measured, and how to measure them again, is in [benchmark.md](benchmark.md).
The protocol stands below every table. Published figures are in tables of their own, and were not measured here.
"""

_AGREEMENT: Final = """\
## Does the protocol hold?

Published methods, run by these commands with their authors' weights, and the compressed images themselves:
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Write or check the page, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m vheatir.evaluation report", description=__doc__)
    parser.add_argument(
        "folder", type=Path, nargs="?", default=Path("docs/results"), help="of the result files (default: docs/results)"
    )
    parser.add_argument("--output", type=Path, default=Path("docs/results.md"), help="page (default: docs/results.md)")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if the page is out of date")
    arguments = parser.parse_args(argv)
    return run_command(lambda: _run(arguments.folder, arguments.output, check=arguments.check))


def report(folder: Path) -> str:
    """Return the page of the files in a folder (``*.json``: scores and speed), in the order of their names.

    Raises:
        ResultError: if there are none, or one cannot be used.
        ValueError: if two of them have a result of the same method, set, level and protocol.
    """
    from vheatir.evaluation.tables import agreement_table, markdown

    paths = sorted(folder.glob("*.json"))
    if not paths:
        raise ResultError(f"{folder} holds no result files: score with --output {folder} first.")
    formats = {path: format_name(path) for path in paths}
    speeds = [path for path in paths if formats[path] == SPEED_FILE.name]
    trainings = [path for path in paths if formats[path] == TRAIN_SPEED_FILE.name]
    scores = [path for path in paths if path not in speeds + trainings]  # reading names what is none of these
    results: list[Result] = [result for path in scores for result in read_results(path)]
    parts = [_INTRODUCTION]
    if results:
        parts += ["## Scores\n", markdown(results, published=True)]
    if agreement := agreement_table(results):
        parts += [_AGREEMENT, agreement]
    if speeds:
        parts += ["## Speed\n", *map(_speed, speeds)]
    if trainings:
        parts += ["## Speed of training\n", *(train_markdown(read_train_speed(path)) for path in trainings)]
    return "\n".join(parts)


def _speed(path: Path) -> str:
    from vheatir.evaluation.cost.report import markdown, read_speed

    return markdown(read_speed(path)).rstrip("\n") + "\n"


def _run(folder: Path, output: Path, *, check: bool) -> int:
    text = report(folder)
    if check:
        if output.is_file() and output.read_text("utf-8") == text:
            return DONE
        print(f"{output} is out of date: run python -m vheatir.evaluation report.")
        return _OUT_OF_DATE
    if not output.absolute().parent.is_dir():
        print(f"error: the folder of {output} does not exist; make it first.")
        return BAD_USAGE
    with atomic_path(output) as temporary:
        temporary.write_text(text, "utf-8")
    return DONE
