"""A node for ComfyUI, "Restore (vHeatIR)": this folder goes into ``custom_nodes``, see ``docs/comfyui.md``."""

from __future__ import annotations

from contextlib import suppress

from comfy.model_management import get_torch_device
from comfy_api.latest import ComfyExtension, io
from torch import Tensor

from vheatir.integrations.batches import restore_batch
from vheatir.weights.file import Task

__all__ = ["RestoreNode", "VHeatExtension", "comfy_entrypoint"]


class RestoreNode(io.ComfyNode):  # type: ignore[misc]  # untyped outside of ComfyUI
    """Restores the images of a batch."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="vHeatIR_Restore",
            display_name="Restore (vHeatIR)",
            category="image/restoration",
            description="Removes noise, JPEG artifacts, or whatever is wrong with a photograph.",
            inputs=[
                io.Image.Input("image"),
                io.Combo.Input(
                    "task",
                    options=["photo", "denoise", "jpeg"],
                    default="photo",
                    tooltip="photo: real photographs; denoise: white noise alone; jpeg: compression alone.",
                ),
                io.Float.Input(
                    "level",
                    default=0.0,
                    min=0.0,
                    max=100.0,
                    step=0.5,
                    tooltip="denoise: standard deviation of the noise, of 255; jpeg: quality; 0: found in the image. "
                    "photo needs none.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=4.0,
                    step=0.05,
                    tooltip="More or less than all of it; 0 with photo changes nothing.",
                ),
            ],
            outputs=[io.Image.Output(display_name="image")],
        )

    @classmethod
    def execute(cls, image: Tensor, task: Task, level: float, strength: float) -> io.NodeOutput:
        return io.NodeOutput(restore_batch(image, task, level=level, strength=strength, device=get_torch_device()))


class VHeatExtension(ComfyExtension):  # type: ignore[misc]
    """What ComfyUI loads from this folder."""

    async def on_load(self) -> None:
        """Let ComfyUI's own node "Load Upscale Model" load our weights too, if spandrel is there."""
        with suppress(ImportError):
            from vheatir.integrations.spandrel import install

            install()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [RestoreNode]


async def comfy_entrypoint() -> VHeatExtension:
    """Called by ComfyUI."""
    return VHeatExtension()
