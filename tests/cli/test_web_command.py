"""``vheatir web``: what it serves, what it refuses, what it saves. The page itself is tested in tests/web."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import pytest

from vheatir.cli import web
from vheatir.cli.main import main

POLICY = "default-src 'none'; connect-src 'self'"


@pytest.fixture(autouse=True)
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for the built page, and for the weights beside it."""
    folder, weights = tmp_path / "page", tmp_path / "weights"
    (folder / "js").mkdir(parents=True)
    weights.mkdir()
    (folder / "index.html").write_text(f'<meta http-equiv="Content-Security-Policy"\n content="{POLICY}">')
    (folder / "js" / "app.mjs").write_text("export {};")
    (weights / "photo.onnx").write_bytes(b"graph")
    (weights / "photo.safetensors").write_bytes(b"weights")
    (weights / "photo.md").write_text("card")
    monkeypatch.setattr(web, "PAGE", folder)
    monkeypatch.setattr(web, "WEIGHTS", weights)
    return folder


@pytest.fixture
def connection() -> Iterator[HTTPConnection]:
    with web.serve(0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield HTTPConnection("127.0.0.1", server.server_port, timeout=20)
        server.shutdown()
        thread.join()


def get(connection: HTTPConnection, path: str) -> tuple[HTTPResponse, bytes]:
    connection.request("GET", path)
    response = connection.getresponse()
    return response, response.read()


def test_the_page_comes_with_its_policy_and_isolated(connection: HTTPConnection) -> None:
    response, text = get(connection, "/")
    assert response.status == 200
    assert b"Content-Security-Policy" in text
    headers = ("Content-Security-Policy", "Cross-Origin-Opener-Policy", "Cross-Origin-Embedder-Policy")
    assert [response.headers[name] for name in headers] == [POLICY, "same-origin", "require-corp"]
    assert get(connection, "/js/app.mjs")[0].headers["Content-Type"] == "text/javascript"


def test_models_come_from_the_weights_and_nothing_else_does(connection: HTTPConnection) -> None:
    assert get(connection, "/models/photo.onnx")[1] == b"graph"
    assert get(connection, "/models/photo.safetensors?again")[1] == b"weights"
    for path in ("/models/photo.md", "/models/../weights/photo.md", "/../weights/photo.onnx", "/models/%2e%2e/x.onnx"):
        assert get(connection, path)[0].status == 404


def test_it_is_saved_with_its_models(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = tmp_path / "site"
    assert main(["web", "--save", str(site)]) == 0
    names = {str(path.relative_to(site)) for path in site.rglob("*") if path.is_file()}
    assert names == {"index.html", "js/app.mjs", "models/photo.onnx", "models/photo.safetensors"}
    assert f"Wrote the page to {site}." in capsys.readouterr().out
    assert main(["web", "--save", str(site / "index.html" / "below")]) == 2
    assert "index.html/below cannot be made" in capsys.readouterr().err


def test_a_page_that_is_not_built_and_a_port_in_use_are_told_in_one_sentence(
    page: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with web.serve(0) as server:
        assert main(["web", "--no-browser", "--port", str(server.server_port)]) == 2
        assert f"error: Port {server.server_port} cannot be used: " in capsys.readouterr().err
    assert main(["web", "--port", "70000"]) == 2
    assert "--port" in capsys.readouterr().err
    (page / "index.html").unlink()
    assert main(["web"]) == 2
    assert "run make web in the folder of the project." in capsys.readouterr().err
    monkeypatch.setattr(web, "_PACKAGE", page / "vheatir")  # a copy, which make web does not reach
    assert main(["web"]) == 2
    assert "run make web in the folder of the project, and install" in capsys.readouterr().err


def test_it_starts_without_torch(repository: Path) -> None:
    code = "import sys; sys.modules['torch'] = None; from vheatir.cli.main import main; main(['web', '--help'])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "--no-browser" in done.stdout
