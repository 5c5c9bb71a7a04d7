"""What the page of `vheatir web` takes for a photo: seconds, and memory of the browser; and its picture for the README.

``python docs/scripts/page_evidence.py`` measures 12 megapixels of noise of σ 25, by the model for gray.
``python docs/scripts/page_evidence.py --picture docs/web.png examples/denoise/chelsea_sigma25.png`` writes a picture.

Takes playwright, Debian's chromium, and the page: make web.
"""

from __future__ import annotations

import argparse
import re
import shutil
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
from PIL import Image
from playwright.sync_api import expect, sync_playwright
from skimage.data import camera

from vheatir.cli import web

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


def main() -> None:
    """Restore one photo in Chromium, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photo", type=Path, nargs="?", help="default: 4000 x 3000 pixels of a test image, with noise")
    parser.add_argument("--sigma", default="25", help="of its noise (default: 25)")
    parser.add_argument("--picture", type=Path, help="write a picture of the page with the restored photo")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, web.serve(0) as server, sync_playwright() as playwright:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        photo = arguments.photo or _large(Path(folder) / "photo.png")
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page(viewport={"width": 1180, "height": 800})
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        page.check("input[value=denoise]")
        page.uncheck("#auto")
        page.fill("#level", arguments.sigma)
        start = time.monotonic()
        page.set_input_files("#files", photo)
        peak, words = 0, page.locator("#words")
        told = ""
        while not re.match("Restored|Cancelled|.*(could not|enough)", told):
            peak = max(peak, _memory())
            page.wait_for_timeout(500)
            if told != (told := words.inner_text()):
                print(f"{time.monotonic() - start:6.0f} s  {peak / 2**20:6.0f} MiB  {told}", flush=True)
        print(f"{page.locator('#by').inner_text()}; all processes of Chromium: {peak / 2**20:.0f} MiB at most")
        if arguments.picture is not None:
            expect(page.locator("#after")).to_be_visible()
            page.mouse.move(0, 0)
            page.screenshot(path=arguments.picture)
        browser.close()
        server.shutdown()


def _large(path: Path) -> Path:
    """4000 x 3000 pixels: a test image again and again, with noise of its own everywhere."""
    noise = np.random.default_rng(0).normal(0, 25, (3000, 4000))
    noisy = np.tile(camera(), (6, 8))[:3000, :4000] + noise
    Image.fromarray(noisy.clip(0, 255).round().astype(np.uint8)).save(path)
    return path


def _memory() -> int:
    """Bytes that the browser's processes hold, shared ones counted in parts."""
    total = 0
    for process in psutil.Process().children(recursive=True):
        try:
            if "chrom" in process.name():
                total += process.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
    return total


if __name__ == "__main__":
    main()
