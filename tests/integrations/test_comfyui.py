"""The node for ComfyUI: what it computes, and in ComfyUI's own code, if COMFYUI names a checkout of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

import vheatir
from vheatir.integrations.batches import restore_batch
from vheatir.weights.file import Task

NODE = Path(vheatir.__file__).parent / "integrations" / "comfyui"

#: loads the node from its folder, copied, as ComfyUI does, and uses it as ComfyUI does, by ComfyUI's own types
SCRIPT = """
import asyncio, importlib.util, json, sys
from pathlib import Path

from vheatir.system.torchvision import mend_torchvision

mend_torchvision()
folder, sys.argv = Path(sys.argv[1]), ["main.py", "--cpu"]
import comfy.options

comfy.options.enable_args_parsing()
import torch
from comfy_api.latest import ComfyExtension, io
from comfy_execution.validation import validate_node_input

spec = importlib.util.spec_from_file_location(str(folder), folder / "__init__.py")
module = sys.modules[str(folder)] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)


async def load():
    extension = await module.comfy_entrypoint()
    assert isinstance(extension, ComfyExtension)
    await extension.on_load()
    return await extension.get_node_list()


(node,) = asyncio.run(load())
assert issubclass(node, io.ComfyNode)
node.VALIDATE_CLASS()
node.GET_SCHEMA().validate()
info = node.GET_NODE_INFO_V1()
json.dumps(info)  # what the page in the browser is sent
assert info["output"] == ["IMAGE"], info
inputs = info["input"]["required"]
assert list(inputs) == ["image", "task", "level", "strength"], inputs
for name, (kind, _) in inputs.items():
    assert validate_node_input({"image": "IMAGE", "task": "COMBO"}.get(name, "FLOAT"), kind, strict=True), (name, kind)
image = torch.rand(2, 12, 10, 3, generator=torch.Generator().manual_seed(0))
defaults = {name: options["default"] for name, (_, options) in inputs.items() if "default" in options}
clone = node.PREPARE_CLASS_CLONE(None)
output = clone.EXECUTE_NORMALIZED(image=image, **{**defaults, "task": "denoise", "level": 25.0})
assert isinstance(output, io.NodeOutput)
(restored,) = output.result
from vheatir.integrations.batches import restore_batch

assert torch.equal(restored, restore_batch(image, "denoise", level=25.0))
assert restored.shape == image.shape and not torch.equal(restored, image)
assert torch.equal(clone.EXECUTE_NORMALIZED(image=image, **{**defaults, "strength": 0.0}).result[0], image)

from spandrel import MAIN_REGISTRY

assert "VHeatIR" in MAIN_REGISTRY, "ComfyUI's own loader of models does not know the weights"
print("done")
"""


def test_the_node_in_comfyui_itself(tmp_path: Path) -> None:
    checkout = os.environ.get("COMFYUI")
    if checkout is None:
        pytest.skip("set COMFYUI to a checkout of ComfyUI, its requirements installed")
    folder = tmp_path / "custom_nodes" / "vheatir"
    shutil.copytree(NODE, folder)
    paths = os.pathsep.join([checkout, str(NODE.parents[2]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder)],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines()[-1:] == ["done"], done.stderr


def images(channels: int) -> Tensor:
    return torch.rand(2, 12, 10, channels, generator=torch.Generator().manual_seed(0))


@pytest.mark.usefixtures("bundled")
@pytest.mark.parametrize(("task", "level"), [("photo", 0.0), ("denoise", 25.0), ("jpeg", 40.0)])
def test_each_image_of_a_batch_is_restored_as_it_would_be_alone(task: Task, level: float) -> None:
    batch = images(3)
    batch[1] = batch[1, ..., :1]  # a gray one, for which there is another model
    before = batch.clone()

    restored = restore_batch(batch, task, level=level, strength=0.5)

    restorer = vheatir.Restorer(task, strength=0.5)
    told = {"photo": {}, "denoise": {"sigma": level}, "jpeg": {"quality": level}}[task]
    for image, result in zip(before, restored, strict=True):
        assert torch.equal(result, torch.from_numpy(restorer.restore(image.numpy(), **told)))
    assert restored.shape == batch.shape
    assert not torch.equal(restored, before)
    assert torch.equal(batch, before), "the input is another node's too"


@pytest.mark.usefixtures("bundled")
def test_level_0_is_found_in_each_image() -> None:
    noise = torch.randn(1, 64, 64, 3, generator=torch.Generator().manual_seed(0))
    batch = torch.cat((0.5 + noise * 10 / 255, 0.5 + noise * 40 / 255)).clamp(0, 1)
    restorer = vheatir.Restorer("denoise")
    expected = [torch.from_numpy(restorer.restore(image.numpy(), sigma="auto")) for image in batch]
    assert torch.equal(restore_batch(batch, "denoise"), torch.stack(expected))
    with pytest.raises(ValueError, match="shows no trace of JPEG compression; give its quality"):
        restore_batch(batch, "jpeg")


@pytest.mark.usefixtures("bundled")
def test_alpha_and_half_precision_are_kept() -> None:
    batch = images(4).half()
    restored = restore_batch(batch, "photo")
    assert restored.dtype == torch.float16
    assert torch.equal(restored[..., 3], batch[..., 3])
    assert not torch.equal(restored[..., :3], batch[..., :3])
    assert restore_batch(images(1), "photo").shape == (2, 12, 10, 1)
