"""What all verbs of ``vheatir`` share: help, exit codes, messages, interruption; and who may import them."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Final

import pytest

import vheatir
from vheatir.cli.main import VERBS, main

Captured = pytest.CaptureFixture[str]

HEAVY: Final = ("torch", "numpy", "cv2", "msgspec", "yaml", "PIL", "tqdm", "safetensors", "skimage", "matplotlib")

#: what each verb needs to start: an input that is missing, and a place for the output
MISSING_INPUT: Final[dict[str, list[str]]] = {
    "restore": ["--task", "photo", "missing", "out"],
    "web": [],
    "explain": ["--model", "denoise-gray", "missing.png", "out"],
    "prepare": ["--source", "missing", "--out", "out"],
    "pack": ["--source", "missing", "--validation", "missing.txt", "--out", "out.tar"],
    "train": ["-opt", "missing.yml"],
    "pretrain": ["-opt", "missing.yml"],
    "export": ["-opt", "missing.yml", "missing.pth", "out.safetensors"],
    "test": ["-opt", "missing.yml"],
    "benchmark": ["--task", "denoise", "--sigma", "25", "--sets", "missing", "--model"],
    "race": ["-opt", "missing.yml"],
    "speed": ["--show", "missing.json"],
    "train-speed": ["--output", "missing/out.json"],
    "plot": ["missing.json", "--output", "out"],
    "report": ["missing"],
}

#: an output where a file stands in the way of its folder
BLOCKED_OUTPUT: Final[dict[str, list[str]]] = {
    "restore": ["--task", "photo", "in", "file/out"],
    "prepare": ["--source", "in", "--out", "file/out", "--validation", "0"],
    "benchmark": ["--task", "denoise", "--sigma", "25", "--sets", "in", "--model", "--output", "file/out"],
    "export": ["-opt", "missing.yml", "missing.pth", "file/out.safetensors"],
    "speed": ["--output", "file/out.json"],
    "train-speed": ["--output", "file/out.json"],
    "plot": ["results.json", "--output", "file/out"],
}


def run(code: str, *arguments: str, repository: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(repository)}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)


# ------------------------------------------------------------------------------------------------------------- help


def test_help_names_every_verb_in_a_line(capsys: Captured) -> None:
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, summary in VERBS.items():
        assert sum(re.fullmatch(rf"  {name} +{re.escape(summary)}", line) is not None for line in lines) == 1
        assert len(summary) < 80


def test_every_verb_is_a_module_and_every_other_module_is_shared(repository: Path) -> None:
    modules = {path.stem for path in (repository / "vheatir" / "cli").glob("*.py")}
    assert modules - {"__init__", "main", "shared"} == {name.replace("-", "_") for name in VERBS}


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["nothing"], *([name, "--help"] for name in VERBS)])
def test_help_imports_nothing_heavy(words: list[str], repository: Path) -> None:
    code = f"""
import sys
from vheatir.cli.main import main
try:
    code = main(sys.argv[1:])
except SystemExit as stop:
    code = stop.code
print("exit", code, [name for name in {HEAVY!r} if name in sys.modules])
"""
    done = run(code, *words, repository=repository)
    assert done.stdout.splitlines()[-1] == f"exit {2 if words == ['nothing'] else 0} []", done.stderr


@pytest.mark.parametrize("name", VERBS)
def test_help_of_a_verb_says_the_exit_codes(name: str, capsys: Captured) -> None:
    with pytest.raises(SystemExit) as stop:
        main([name, "--help"])
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"usage: vheatir {name} ")
    assert "exit codes:\n  0 done; " in printed


def test_the_package_is_the_command(repository: Path) -> None:
    command = [sys.executable, "-m", "vheatir", "--version"]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"vheatir {vheatir.__version__}\n")


# ------------------------------------------------------------------------------------------------------ exit codes


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tran"], "There is no verb tran: did you mean train?"),
        (["benchmrk", "--task"], "There is no verb benchmrk: did you mean benchmark?"),
        (["train_speed"], "There is no verb train_speed: did you mean train-speed?"),
        (["xyz"], "There is no verb xyz: verbs are restore, web, "),
        (["--task", "photo", "in", "out"], "The verb comes first: vheatir restore --task ..., or another verb"),
    ],
)
def test_a_wrong_verb_names_the_nearest(words: list[str], message: str, capsys: Captured) -> None:
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {message}")
    assert error.count("\n") == 1


def test_no_verb_shows_the_help(capsys: Captured) -> None:
    assert main([]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("usage: vheatir VERB")


@pytest.mark.parametrize("name", VERBS)
def test_an_unknown_argument_is_wrong_usage(name: str, capsys: Captured) -> None:
    with pytest.raises(SystemExit) as stop:
        main([name, *MISSING_INPUT[name], "--no-such-thing"])
    assert stop.value.code == 2
    assert "unrecognized arguments: --no-such-thing" in capsys.readouterr().err


def _one_sentence(captured: Captured) -> str:
    out, err = captured.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize("name", [name for name in VERBS if name != "web"])  # which has no input
def test_a_missing_input_is_one_sentence(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    pytest.importorskip("msgspec", reason="option files need msgspec")
    monkeypatch.chdir(tmp_path)
    assert main([name, *MISSING_INPUT[name]]) == 2
    assert "missing" in _one_sentence(capsys)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", BLOCKED_OUTPUT)
def test_an_output_that_cannot_be_made_is_one_sentence(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    from benchmark_folders import GRAY, write

    from vheatir.evaluation.results import write_results

    monkeypatch.chdir(tmp_path)
    write(tmp_path / "in", GRAY)
    (tmp_path / "file").write_text("in the way")
    write_results(tmp_path / "results.json", [])
    assert main([name, *BLOCKED_OUTPUT[name]]) == 2
    assert re.search(r"file(/out)?", _one_sentence(capsys).splitlines()[-1])


@pytest.mark.parametrize("error", [ValueError("a sentence."), FileNotFoundError("a sentence.")])
@pytest.mark.parametrize("name", VERBS)
def test_faults_have_one_exit_code(
    name: str, error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    def fail(_: object) -> int:
        raise error

    monkeypatch.setattr(import_module(f"vheatir.cli.{name.replace('-', '_')}"), "run", fail)
    assert main([name, *MISSING_INPUT[name]]) == 2
    assert capsys.readouterr().err == "error: a sentence.\n"


def test_a_full_disk_is_said_with_its_file(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    def fail(_: object) -> int:
        raise OSError(28, "No space left on device", "out/a.png")

    monkeypatch.setattr("vheatir.cli.report.run", fail)
    assert main(["report"]) == 2
    assert capsys.readouterr().err == "error: out/a.png: No space left on device.\n"


def test_a_fault_of_the_program_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> int:
        raise ModuleNotFoundError("No module named 'vheatri'", name="vheatri")

    monkeypatch.setattr("vheatir.cli.report.run", fail)
    with pytest.raises(ModuleNotFoundError):
        main(["report"])


@pytest.mark.parametrize("name", VERBS)
def test_ctrl_c_is_130_without_a_traceback(name: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    def interrupt(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(import_module(f"vheatir.cli.{name.replace('-', '_')}"), "run", interrupt)
    assert main([name, *MISSING_INPUT[name]]) == 130
    assert capsys.readouterr().err == "interrupted\n"


# ---------------------------------------------------------------------------------------------------------- imports


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_nothing_but_its_verbs_imports_research(repository: Path) -> None:
    package = repository / "vheatir"
    rooms = [path for path in package.rglob("*.py") if path.relative_to(package).parts[0] not in ("research", "cli")]
    offending = {
        path.relative_to(package).as_posix()
        for path in rooms
        if any(name.startswith("vheatir.research") for name in _imports(path))
    }
    assert offending == set()


def test_nothing_but_the_doors_imports_the_command(repository: Path) -> None:
    package = repository / "vheatir"
    offending = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if path.parent.name != "cli" and any(name.startswith("vheatir.cli") for name in _imports(path))
    }
    assert offending == {"__main__.py", "train.py"}


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs", "datasets", "options", "examples", "vheatir"])
def test_no_page_names_a_command_that_is_gone(page: str, repository: Path) -> None:
    """Commands in pages, option files and docstrings: vheatir VERB, or one of the two doors."""
    place = repository / page
    files = [place] if place.is_file() else [path for path in place.rglob("*") if path.suffix in (".md", ".yml", ".py")]
    wrong = {
        f"{path.relative_to(repository)}: {match[0]}"
        for path in files
        for match in _COMMAND.finditer(path.read_text("utf-8"))
        if not _is_known(match[0])
    }
    assert wrong == set()


def _is_known(command: str) -> bool:
    if command.startswith("python"):
        return command in ("python -m vheatir.train", *_INTERNAL)
    return command.split()[-1] in VERBS


_COMMAND: Final = re.compile(
    r"python (?:-m vheatir\.[\w.]+|datasets/\w+\.py)|`vheatir [a-z][a-z-]*|^vheatir [a-z][a-z-]*", re.MULTILINE
)
#: processes that measurements and races start
_INTERNAL: Final = (
    "python -m vheatir.speed.folder",
    "python -m vheatir.speed.process",
    "python -m vheatir.research.race.training",
)
