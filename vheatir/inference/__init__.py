"""Restoring images: arrays and tensors (``restorer``), files (``folder``), and the command (``cli``)."""
