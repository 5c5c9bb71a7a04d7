"""What BasicSR 1.4.2 needs to import today, each case in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from training_options import HAS_BASICSR

pytestmark = pytest.mark.skipif(not HAS_BASICSR, reason="training needs basicsr, which is not installed")

# a torchvision whose compiled part belongs to another torch: loading it fails, as it does beside a CPU torch
FOREIGN_OPERATORS = """
import torch

load_library = torch.ops.load_library

def refuse(path):
    if "torchvision" in str(path):
        raise OSError("libcudart.so.13: cannot open shared object file")
    load_library(path)

torch.ops.load_library = refuse
"""


def run(code: str, repository: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)],
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_operators_of_another_torch(repository: Path) -> None:
    """Without help torchvision cannot be imported at all; with it, BasicSR can."""
    check = """
    try:
        import torchvision
    except RuntimeError as error:
        assert "operator torchvision::nms does not exist" in str(error), error
    else:
        raise SystemExit("torchvision imports as it is")

    from vheatir.training.basicsr import SRModel, build_model
    import torchvision

    assert torchvision.transforms.functional.rgb_to_grayscale is not None
    print(SRModel.__module__)
    """
    result = run(FOREIGN_OPERATORS + textwrap.dedent(check), repository)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["basicsr.models.sr_model"]


def test_the_vanished_module_and_nothing_else(repository: Path) -> None:
    """After the import one module is ours and one function replaced: what the documentation of the module says."""
    result = run(
        """
        import importlib.util, sys
        from vheatir.training import basicsr
        import torchvision.transforms.functional as functional
        from torchvision.transforms.functional_tensor import rgb_to_grayscale

        assert rgb_to_grayscale is functional.rgb_to_grayscale

        foreign = ("basicsr", "torchvision")
        modules = {name: module for name, module in sys.modules.items() if name.split(".")[0] in foreign}
        print("made:", *sorted(name for name, module in modules.items() if getattr(module, "__file__", None) is None))

        def owners(module):
            for key, value in vars(module).items():
                members = vars(value).items() if isinstance(value, type) else ()
                for name, part in [(key, value), *((f"{key}.{inner}", member) for inner, member in members)]:
                    if str(getattr(part, "__module__", "")).startswith("vheatir"):
                        yield name

        print("replaced:", *sorted(f"{name}.{key}" for name, module in modules.items() for key in owners(module)))
        """,
        repository,
    )
    assert result.returncode == 0, result.stderr
    made, replaced = result.stdout.splitlines()
    assert made == "made: torchvision.transforms.functional_tensor"
    assert replaced == "replaced: basicsr.utils.options.init_dist"


def test_package_and_inference_do_without_it(repository: Path) -> None:
    result = run(
        """
        import sys
        import vheatir, vheatir.cli.main, vheatir.cli.restore, vheatir.inference.restorer
        print(*sorted({"basicsr", "torchvision", "skimage", "scipy"} & {name.split(".")[0] for name in sys.modules}))
        """,
        repository,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == []


def test_several_gpus_by_slurm_need_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from vheatir.training import basicsr

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="Without a GPU only --launcher pytorch"):
        basicsr._init_dist("slurm", "nccl", 29500)


def test_basicsr_gets_its_own_start_on_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a GPU the call goes on as it is, SLURM's port included."""
    import torch

    from vheatir.training import basicsr

    calls: list[tuple[object, ...]] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(basicsr, "_basicsr_init_dist", lambda *values, **named: calls.append((*values, named)))
    basicsr._init_dist("pytorch")
    basicsr._init_dist("slurm", backend="nccl", port=29500)
    assert calls == [("pytorch", "nccl", {}), ("slurm", "nccl", {"port": 29500})]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("~", None),
        ("None", None),
        ("true", True),
        ("False", False),
        ("12", 12),
        ("0.5", 0.5),
        ("!!float 2e-4", 2e-4),
        ("2e-4", "2e-4"),
        ("[0, 55]", [0, 55]),
        ("folder/name", "folder/name"),
    ],
)
def test_forced_values_are_read_by_basicsrs_rules(text: str, value: object) -> None:
    from vheatir.training.basicsr import read_forced_value

    found = read_forced_value(text)
    assert found == value
    assert type(found) is type(value)
