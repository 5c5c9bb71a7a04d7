"""``vheatir web``: serves the page that restores photos in the browser, on this machine alone."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import webbrowser
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import vheatir
from vheatir.cli.shared import DONE, make_folder, new_parser
from vheatir.errors import UsageError

__all__ = ["build_parser", "run", "serve"]

_PACKAGE: Final = Path(vheatir.__file__).parent
PAGE: Final = _PACKAGE / "page"
#: read as files: the module of weights imports torch, which the page does without
WEIGHTS: Final = _PACKAGE / "weights"
#: some systems' tables say otherwise, and browsers refuse modules then
_TYPES: Final = {".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm"}
_MODEL: Final = re.compile(r"/models/([\w-]+\.(?:onnx|safetensors))")

_EPILOG: Final = """\
Photos are restored by the browser; nothing is uploaded. --save writes the page with its models to a folder that any web
server can offer.

examples:
  %(prog)s
  %(prog)s --save site/
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the command's argument parser."""
    parser = new_parser("web", "Restore photos on a page in the browser, on this machine.", _EPILOG)
    parser.add_argument("--port", type=int, default=8321, help="of the address, 0 for a free one (default: 8321)")
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    parser.add_argument("--save", type=Path, metavar="FOLDER", help="write the page there instead, to be served")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C, or save it."""
    if not (PAGE / "index.html").is_file():
        again = "" if (_PACKAGE.parent / "web").is_dir() else ", and install vheatir from there again"
        raise UsageError(f"The page is not built: run make web in the folder of the project{again}.")
    if arguments.save is not None:
        return _save(arguments.save)
    with serve(arguments.port) as server:
        address = f"http://127.0.0.1:{server.server_port}/"
        print(f"vHeatIR is at {address} (Ctrl-C ends it)", flush=True)
        if not arguments.no_browser:
            webbrowser.open(address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return DONE
    return DONE


def serve(port: int) -> ThreadingHTTPServer:
    """Return a server of the page on 127.0.0.1, listening.

    Raises:
        UsageError: if the port cannot be used.
    """
    try:
        return ThreadingHTTPServer(("127.0.0.1", port), partial(_Handler, directory=str(PAGE)))
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"Port {port} cannot be used: {reason}; give another by --port.") from error


def _save(folder: Path) -> int:
    make_folder(folder, "folder of --save")
    shutil.copytree(PAGE, folder, dirs_exist_ok=True)
    models = make_folder(folder / "models", "folder of --save")
    for path in (*WEIGHTS.glob("*.onnx"), *WEIGHTS.glob("*.safetensors")):
        shutil.copy(path, models)
    print(f"Wrote the page to {folder}.")
    return DONE


class _Handler(SimpleHTTPRequestHandler):
    """Files of the page, and the models; with the headers that threads in the browser need."""

    def guess_type(self, path: str | os.PathLike[str]) -> str:
        return _TYPES.get(Path(path).suffix) or super().guess_type(path)

    def translate_path(self, path: str) -> str:
        model = _MODEL.fullmatch(path.partition("?")[0])
        return str(WEIGHTS / model[1]) if model else super().translate_path(path)

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", _policy())
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Requests are of no interest."""


def _policy() -> str:
    """What the page itself says of its connections; in a header it holds for its workers too."""
    found = re.search(r'Content-Security-Policy"\s+content="([^"]+)"', (PAGE / "index.html").read_text("utf-8"))
    assert found is not None
    return found[1]
