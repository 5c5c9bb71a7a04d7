"""Train from an option file, which may be one of BasicSR's.

python -m vheatir.train -opt options/train/fast_denoise_gray.yml
python -m vheatir.train -opt ... --auto_resume                    # go on after an interruption
python -m vheatir.train -opt ... --force_yml train:ema_decay=0.99 # change an option
torchrun --nproc_per_node=4 -m vheatir.train -opt ... --launcher pytorch
"""

from __future__ import annotations

import sys

from vheatir.training.loop import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
