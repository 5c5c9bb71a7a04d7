"""The page, driven in a real Chromium: restoring, comparing, cancelling, saving, staying on this machine."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from playwright.sync_api import Browser, FloatRect, Locator, Page, Route, expect, sync_playwright
from skimage.data import astronaut

import vheatir
from vheatir.cli import web
from vheatir.cli.main import main
from vheatir.weights.file import Task

Pixels = npt.NDArray[np.uint8]

CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS: Final = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
#: a slow machine with other work to do
PATIENCE: Final = 240_000
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
    pytest.mark.skipif(not (web.PAGE / "index.html").is_file(), reason="the page is not built: make web"),
    pytest.mark.skipif(not (web.WEIGHTS / "photo.onnx").is_file(), reason="no ONNX graphs beside the weights"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        yield browser
        browser.close()


@contextmanager
def running(server: ThreadingHTTPServer) -> Iterator[str]:
    """The address of a server, which runs meanwhile."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with running(web.serve(0)) as address:
        yield address


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """The page without its service worker, as a first visitor sees it, and with one thread, since tests share cores.

    Errors in its programs fail the test.
    """
    context = browser.new_context(service_workers="block")
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    replace(page, "network.js", "MOST_THREADS = 8", "MOST_THREADS = 1")
    page.goto(address)
    yield page
    context.close()
    assert errors == []


def replace(page: Page, script: str, old: str, new: str) -> None:
    """Let the page load one of its programs with a part of it replaced."""

    def answer(route: Route) -> None:
        response = route.fetch()
        text = response.text()
        assert old in text
        route.fulfill(response=response, body=text.replace(old, new))

    page.route(f"**/{script}", answer)


def noisy_photo(height: int, width: int, sigma: float = 25) -> Pixels:
    """A colour photo with noise, cut off at black and at white."""
    clean = astronaut()[:: 512 // height, :: 512 // width][:height, :width].astype(float)
    clean[: height // 6, : width // 3] = 255
    clean[: height // 6, -width // 3 :] = 0
    noise = np.random.default_rng(0).normal(0, sigma, clean.shape)
    noisy: Pixels = np.clip(clean + noise, 0, 255).round().astype(np.uint8)
    return noisy


def saved(pixels: Pixels, path: Path) -> Path:
    Image.fromarray(pixels).save(path)
    return path


def words(page: Page) -> Locator:
    return page.locator("#words")


def box(element: Locator) -> FloatRect:
    """Where it is on the screen."""
    found = element.bounding_box()
    assert found is not None
    return found


def choose(page: Page, task: Task, level: float | None = None, strength: float = 1.0) -> None:
    page.check(f"input[value={task}]")
    if level is not None:
        page.uncheck("#auto")
        page.get_by_role("slider", name={"denoise": "Noise σ, of 255", "jpeg": "JPEG quality"}[task]).fill(str(level))
    page.get_by_role("slider", name="Removed").fill(f"{100 * strength:g}")


def restored(page: Page) -> None:
    expect(words(page)).to_have_text(re.compile("^Restored"), timeout=PATIENCE)


def download(page: Page, button: str, folder: Path) -> Path:
    with page.expect_download() as started:
        page.click(button)
    path = folder / started.value.suggested_filename
    started.value.save_as(path)
    return path


def test_a_noisy_photo_in_tiles_becomes_what_python_makes_of_it(page: Page, tmp_path: Path) -> None:
    noisy = noisy_photo(133, 163)  # two rows and two columns of tiles
    page.unroute("**/network.js")  # with all threads
    replace(page, "engine.js", "const TILE = 512", "const TILE = 128")
    page.reload()
    choose(page, "denoise", 25)
    page.set_input_files("#files", saved(noisy, tmp_path / "noisy.png"))
    restored(page)
    expect(words(page)).to_contain_text("163 × 133 pixels")
    expect(words(page)).to_contain_text("model denoise-color")
    result = np.asarray(Image.open(download(page, "#png", tmp_path)).convert("RGB"), int)
    expected = vheatir.Restorer("denoise", tile=128).restore(noisy, sigma=25).astype(int)
    assert np.abs(result - expected).max() <= 1
    assert np.abs(expected - noisy).mean() > 5
    assert [path.name for path in tmp_path.glob("*-restored*")] == ["noisy-restored.png"]


def test_every_task_does_what_python_does(page: Page, tmp_path: Path) -> None:
    cases: list[tuple[Task, float | None, float, bool]] = [
        ("photo", None, 1, False),
        ("photo", None, 0.5, True),
        ("denoise", 40, 0.5, True),
        ("jpeg", 20, 1, False),
    ]
    for index, (task, level, strength, is_gray) in enumerate(cases):
        noisy = noisy_photo(40, 56)
        noisy = noisy[..., :1].repeat(3, axis=2) if is_gray else noisy
        choose(page, task, level, strength)
        page.set_input_files("#files", saved(noisy, tmp_path / f"{index}.png"))
        photo = page.get_by_role("list", name="Your photos").get_by_role("button").nth(index)
        expect(photo).to_contain_text("Done", timeout=PATIENCE)
        photo.click()
        if task == "photo":
            expect(words(page)).to_have_text(re.compile(r"model photo; found noise [\d.]+, JPEG quality \d+"))
        result = np.asarray(Image.open(download(page, "#png", tmp_path)).convert("RGB"), int)
        levels = {"denoise": {"sigma": level}, "jpeg": {"quality": level}, "photo": {}}[task]
        expected = vheatir.Restorer(task, strength=strength).restore(noisy, **levels).astype(int)
        assert np.abs(result - expected).max() <= 1
        assert np.abs(expected - noisy).mean() > 0.5


def test_a_turned_jpeg_is_saved_upright(page: Page, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    source = tmp_path / "turned.jpg"
    Image.fromarray(noisy_photo(40, 64, 5)).save(source, quality=60, subsampling=0, exif=exif)
    choose(page, "jpeg")
    page.set_input_files("#files", source)
    restored(page)
    expect(words(page)).to_have_text(re.compile("40 × 64 pixels .* model jpeg-color; found JPEG quality 60"))
    png, jpeg = (Image.open(download(page, button, tmp_path)) for button in ("#png", "#jpeg"))
    assert (png.format, png.size, jpeg.format, jpeg.size) == ("PNG", (40, 64), "JPEG", (40, 64))
    assert jpeg.getexif().get(0x0112, 1) == 1
    vheatir.Restorer("jpeg").restore_file(source, tmp_path / "python.png", quality=60)
    expected = np.asarray(Image.open(tmp_path / "python.png"), int)
    assert np.abs(np.asarray(png.convert("RGB"), int) - expected).max() <= 2  # decoders of JPEG round differently
    assert np.abs(np.asarray(jpeg, int) - expected).mean() < 4


def test_the_divider_moves_and_the_photo_is_shown_pixel_by_pixel(page: Page, tmp_path: Path) -> None:
    choose(page, "denoise", 0)
    page.set_input_files("#files", saved(noisy_photo(128, 128), tmp_path / "noisy.png"))
    restored(page)
    slider = page.get_by_role("slider", name="Before and after")
    place = box(slider)
    middle = place["y"] + place["height"] / 2
    page.mouse.move(place["x"] + place["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(place["x"] + place["width"] / 4, middle, steps=4)
    page.mouse.up()
    expect(slider).to_have_attribute("aria-valuenow", "25")
    for key, share in (("ArrowRight", "27"), ("PageDown", "17"), ("End", "100")):
        slider.press(key)
        expect(slider).to_have_attribute("aria-valuenow", share)
    expect(page.locator("#viewer")).to_have_css("outline-style", "solid")  # it has the focus, and shows it

    after = page.get_by_role("img", name="After")
    assert box(after)["width"] > 128
    page.get_by_role("button", name="Zoom to 1:1").click()
    assert (box(after)["width"], box(after)["height"]) == (128, 128)

    page.set_viewport_size({"width": 360, "height": 150})  # the photo is larger than its window then
    before = box(after)["y"]
    slider.press("Shift+ArrowDown")
    assert box(after)["y"] < before
    page.get_by_role("button", name="Fit to the window").click()
    assert box(after)["height"] < 128


def test_a_restoration_is_cancelled_and_another_one_follows(page: Page, tmp_path: Path) -> None:
    choose(page, "denoise", 25)
    large, small = (saved(noisy_photo(side, side), tmp_path / f"{side}.png") for side in (512, 32))
    page.set_input_files("#files", [large, small, small])
    expect(words(page)).to_have_text("Restoring", timeout=PATIENCE)
    photos = page.get_by_role("list", name="Your photos").get_by_role("button")
    photos.nth(2).click()
    page.get_by_role("button", name="Cancel", exact=True).click()
    expect(photos).to_contain_text([re.compile("%"), "Waiting", "Cancelled"])
    page.get_by_role("button", name="Cancel all").click()
    expect(photos).to_contain_text(["Cancelled"] * 3)
    expect(page.locator("#png")).to_be_hidden()
    page.set_input_files("#files", small)
    restored(page)
    expect(words(page)).to_contain_text("32 × 32")
    page.evaluate("for (const id of ['again', 'cancel']) document.getElementById(id).click()")
    expect(words(page)).to_contain_text("32 × 32")  # the earlier result is still there
    expect(page.locator("#png")).to_be_visible()


def test_twelve_megapixels_are_restored_part_by_part(page: Page, tmp_path: Path) -> None:
    """Only the first of 70 parts: docs/scripts/page_evidence.py restores all, and measures time and memory."""
    choose(page, "denoise", 25)
    gray = np.tile(noisy_photo(300, 400)[..., 0], (10, 10))
    page.set_input_files("#files", saved(gray, tmp_path / "large.png"))
    expect(words(page)).to_contain_text("Part 1 of 70", timeout=PATIENCE)
    page.get_by_role("button", name="Cancel", exact=True).click()
    expect(words(page)).to_have_text("Cancelled")
    page.set_input_files("#files", saved(noisy_photo(32, 32), tmp_path / "small.png"))
    restored(page)  # the large one left room


def test_a_broken_file_is_told_in_words_and_the_others_go_on(page: Page, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe1\x00\x20Exif\x00\x00II*\x00 no image")
    one, two, moving = (tmp_path / name for name in ("one.png", "two.png", "moving.gif"))
    noisy = noisy_photo(32, 32)
    saved(noisy, one)
    cv2.imwrite(str(two), noisy.astype(np.uint16) * 257)
    Image.fromarray(noisy).save(moving, save_all=True, append_images=[Image.fromarray(255 - noisy)])
    choose(page, "denoise", 25)
    page.set_input_files("#files", [broken, one, two, moving])
    expect(words(page)).to_contain_text("broken.jpg is not an image")
    photos = page.get_by_role("list", name="Your photos").get_by_role("button")
    expect(photos).to_contain_text(["Failed", "Done", "Done", "Failed"], timeout=PATIENCE)
    for index, told in ((3, "moving.gif is an animation"), (2, "; 8 of its 16 bits a channel are kept"), (1, "color")):
        photos.nth(index).click()
        expect(words(page)).to_have_text(re.compile(f"{re.escape(told)}(: save .*)?$"))
    with page.expect_download() as first:
        page.get_by_role("button", name="Download all").click()
    assert first.value.suggested_filename == "one-restored.png"


def test_photos_are_dropped_and_pasted(page: Page, tmp_path: Path) -> None:
    choose(page, "denoise", 25)
    for event in ("DragEvent('drop', { dataTransfer: files", "ClipboardEvent('paste', { clipboardData: files"):
        page.evaluate(
            f"""async () => {{
                const canvas = new OffscreenCanvas(24, 16);
                canvas.getContext("2d").fillRect(0, 0, 9, 9);
                const files = new DataTransfer();
                files.items.add(new File([await canvas.convertToBlob()], "photo.png", {{ type: "image/png" }}));
                document.body.dispatchEvent(new {event}, bubbles: true, cancelable: true }}));
            }}"""
        )
    photos = page.get_by_role("list", name="Your photos").get_by_role("button")
    expect(photos).to_have_count(2)
    expect(photos.nth(1)).to_contain_text("Done", timeout=PATIENCE)
    page.evaluate("dispatchEvent(new ClipboardEvent('paste', { clipboardData: new DataTransfer() }))")
    expect(words(page)).to_have_text("There is no photo on the clipboard.")

    inner = tmp_path / "folder" / "inner"
    inner.mkdir(parents=True)
    drag = {"x": 99, "y": 99, "data": {"items": [], "files": [str(inner.parent)], "dragOperationsMask": 1}}
    session = page.context.new_cdp_session(page)  # playwright drops no folders
    (inner / "a.txt").write_text("no photo")
    for step in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": step, **drag})
    expect(words(page)).to_contain_text("There is no photo in what was dropped")
    (inner / "a.png").write_bytes(b"")
    for step in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": step, **drag})
    expect(photos).to_have_count(3)
    expect(photos.nth(2)).to_contain_text("a.png")


def test_a_graphics_card_that_fails_leaves_the_work_to_webassembly(page: Page, tmp_path: Path) -> None:
    """There is none here, and the page is made to believe that there is."""
    replace(page, "network.js", "/** @type {any} */ (navigator).gpu?.requestAdapter()", "true")
    page.reload()
    choose(page, "denoise", 25)
    with page.expect_console_message(lambda message: "WebGPU is not used" in message.text, timeout=PATIENCE):
        page.set_input_files("#files", saved(noisy_photo(32, 32), tmp_path / "noisy.png"))
    restored(page)
    expect(page.locator("#by")).to_contain_text("WebAssembly")


def test_memory_that_runs_out_halves_the_tiles(page: Page, tmp_path: Path) -> None:
    start = "{ channels, width, height }, levels) => {"
    replace(page, "network.js", start, f'{start} if (width > 256) throw new Error("out of memory");')
    page.reload()
    choose(page, "denoise", 25)
    page.set_input_files("#files", saved(noisy_photo(32, 320), tmp_path / "noisy.png"))
    restored(page)
    expect(words(page)).to_contain_text("320 × 32")


@pytest.mark.parametrize(
    ("script", "old", "new", "sentence"),
    [
        ("pixels.js", "MEGAPIXELS = 100", "MEGAPIXELS = 1e-3", "noisy.png is too large: "),
        ("worker.js", "await network(", "await oom(", "noisy.png could not be restored: ReferenceError"),
        ("pixels.js", "const bytes", "throw new RangeError(); const bytes", "There is not enough memory for noisy.png"),
    ],
)
def test_what_cannot_be_restored_is_told_in_words(
    page: Page, tmp_path: Path, script: str, old: str, new: str, sentence: str
) -> None:
    replace(page, script, old, new)
    page.reload()
    page.set_input_files("#files", saved(noisy_photo(32, 200), tmp_path / "noisy.png"))
    expect(words(page)).to_contain_text(sentence, timeout=PATIENCE)


def test_it_fits_a_phone(browser: Browser, address: str, tmp_path: Path) -> None:
    phone = {"width": 375, "height": 740}
    context = browser.new_context(viewport=phone, device_scale_factor=2, has_touch=True, is_mobile=True)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(address)
    choose(page, "denoise", 25)
    page.set_input_files("#files", saved(noisy_photo(32, 48), tmp_path / "a_long_name_of_a_photo_from_a_camera.png"))
    restored(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= phone["width"]
    for button in page.locator("button:visible, .button:visible, label:visible").all():
        place = box(button)
        assert place["height"] >= 44
        assert place["x"] >= 0
        assert place["x"] + place["width"] <= phone["width"]
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out(page: Page, scheme: str) -> None:
    """WCAG 2.2, 1.4.3: a contrast of 4.5 at least."""
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.check("input[value=denoise]")
    contrasts = page.evaluate(
        """() => {
            const luminance = (color) => {
                const [r, g, b] = color.match(/[\\d.]+/g).map(Number).map((v) => v / 255)
                    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
                return 0.2126 * r + 0.7152 * g + 0.0722 * b;
            };
            const ground = (node) => {
                const color = getComputedStyle(node).backgroundColor;
                return color === "rgba(0, 0, 0, 0)" ? ground(node.parentElement) : color;
            };
            const texts = "h1, p, strong, b, small, legend, a, .drop span, .primary";
            return [...document.querySelectorAll(texts)].map((node) => {
                const pair = [luminance(getComputedStyle(node).color), luminance(ground(node))].sort((a, b) => a - b);
                return [node.textContent.trim().slice(0, 20), (pair[1] + 0.05) / (pair[0] + 0.05)];
            });
        }"""
    )
    assert len(contrasts) > 10
    assert [(text, ratio) for text, ratio in contrasts if ratio < 4.5] == []
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background)[:3])) < 384) == (scheme == "dark")


def test_a_saved_page_works_offline_from_a_plain_server(browser: Browser, tmp_path: Path) -> None:
    """Without a header of the server: the service worker adds those that threads need."""
    site = tmp_path / "site"
    assert main(["web", "--save", str(site)]) == 0
    context = browser.new_context()
    page = context.new_page()
    handler = partial(_QuietHandler, directory=str(site))
    with running(ThreadingHTTPServer(("127.0.0.1", 0), handler)) as address:
        page.goto(address)
        expect(page.locator("html")).to_have_attribute("data-offline", "ready", timeout=PATIENCE)
        page.wait_for_load_state()
    page.goto(address)  # nobody is there any more
    assert page.evaluate("crossOriginIsolated")
    choose(page, "jpeg", 30)
    page.set_input_files("#files", saved(noisy_photo(32, 48), tmp_path / "noisy.png"))
    restored(page)
    context.close()


def test_nothing_is_sent_elsewhere(page: Page, tmp_path: Path) -> None:
    requests: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(self.path)
            self.send_response(204)
            self.send_header("Access-Control-Allow-Origin", "*")
            self.send_header("Cross-Origin-Resource-Policy", "cross-origin")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Requests are listed."""

    asked: list[str] = []
    page.on("request", lambda request: asked.append(f"{request.method} {request.url}"))
    choose(page, "denoise", 25)
    page.set_input_files("#files", saved(noisy_photo(32, 32), tmp_path / "noisy.png"))
    restored(page)
    own = page.url
    assert [request for request in asked if not request.startswith((f"GET {own}", f"GET blob:{own}"))] == []
    assert asked

    with running(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as elsewhere:
        attempt = f"fetch('{elsewhere}').then(() => 'sent', () => 'refused')"
        assert page.evaluate(attempt) == "refused"
        (worker,) = (worker for worker in page.workers if worker.url.startswith("blob:"))  # the others are its threads
        assert worker.evaluate(attempt) == "refused"
        image = f"new Promise((end) => Object.assign(new Image(), {{ onload: end, onerror: end, src: '{elsewhere}' }}))"
        page.evaluate(image)
        assert requests == []


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Requests are of no interest."""
