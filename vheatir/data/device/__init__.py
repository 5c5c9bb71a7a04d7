"""Training batches made on the device of the network: crops, noise and JPEG compression for a whole batch at once."""

from __future__ import annotations

from vheatir.data.device.batches import DeviceBatches
from vheatir.data.device.degrade import degrade
from vheatir.data.device.images import DeviceImages
from vheatir.data.device.jpeg import compress_jpeg

__all__ = ["DeviceBatches", "DeviceImages", "compress_jpeg", "degrade"]
