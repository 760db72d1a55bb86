"""Write docs/page.webp, the moving picture in README.md: screenshots of the page of a running server.

    make dev && sh tests/system-programs .venv/bin/python && .venv/bin/python docs/record_page.py

The script needs the built page and Chromium.
"""

from __future__ import annotations

import asyncio
import base64
import shutil
import struct
import tempfile
from pathlib import Path

from playwright.async_api import CDPSession, Page, async_playwright

from tickwire.testing.server import ServerProcess

TARGET = Path(__file__).with_name("page.webp")
WIDTH, HEIGHT = 1000, 470
FRAMES = 9
FRAME_MS, LAST_FRAME_MS = 500, 1_500
# The quality of the pictures, from 0 to 100.
QUALITY = 65
MAX_BYTES = 400_000
# The market first runs fast for a few seconds, so that the lines of the trends have a history of 40 minutes.
WARM_UP_SPEED, WARM_UP_S = 120, 20
# With this rate of ticks (lower than the default) and this speed, about ten prices change between two pictures.
RATE, SPEED = 0.3, 4
_DO_NOT_BLEND = 2
_IS_ANIMATED = 2


async def main() -> None:
    """Run a market and a browser, take the pictures, and write the file."""
    browser_path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with tempfile.TemporaryDirectory() as folder:
        options = ("--seed", "1", "--journal", "memory", "--rate", str(RATE), "--speed", str(WARM_UP_SPEED))
        async with ServerProcess(*options, cwd=Path(folder)) as server, async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
            page = await browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, locale="en-US")
            await asyncio.sleep(WARM_UP_S)
            await page.request.post(f"{server.url}/v1/simulator", data={"command": f"SPEED={SPEED}"})
            await page.goto(server.url)
            await page.locator(".row polyline[points*=' ']").first.wait_for()
            frames = await take_pictures(page)
            await browser.close()
    data = join_frames(frames)
    if len(data) > MAX_BYTES:
        raise SystemExit(f"{len(data):,} bytes exceed the limit of {MAX_BYTES:,}: reduce QUALITY or FRAMES")
    TARGET.write_bytes(data)
    print(f"{TARGET}: {len(data):,} bytes, {FRAMES} frames")


async def take_pictures(page: Page) -> list[bytes]:
    """Return pictures of the page as WebP files."""
    session: CDPSession = await page.context.new_cdp_session(page)
    pictures = []
    for _ in range(FRAMES):
        await asyncio.sleep(FRAME_MS / 1000)
        answer = await session.send("Page.captureScreenshot", {"format": "webp", "quality": QUALITY})
        pictures.append(base64.b64decode(answer["data"]))
    return pictures


def join_frames(pictures: list[bytes]) -> bytes:
    """Return an animated WebP file (RFC 9649) with one frame for each picture."""
    size = uint24(WIDTH - 1) + uint24(HEIGHT - 1)
    frames = b""
    for number, picture in enumerate(pictures, 1):
        duration = LAST_FRAME_MS if number == len(pictures) else FRAME_MS
        header = uint24(0) + uint24(0) + size + uint24(duration) + bytes([_DO_NOT_BLEND])
        frames += chunk(b"ANMF", header + image_chunk(picture))
    head = chunk(b"VP8X", bytes([_IS_ANIMATED, 0, 0, 0]) + size)
    # The background is white, and the animation repeats forever.
    animation = chunk(b"ANIM", b"\xff\xff\xff\xff" + struct.pack("<H", 0))
    body = b"WEBP" + head + animation + frames
    return b"RIFF" + struct.pack("<I", len(body)) + body


def image_chunk(picture: bytes) -> bytes:
    """Return the chunk with the image data of a WebP file that has one picture."""
    position = 12
    while position < len(picture):
        name, length = picture[position : position + 4], struct.unpack_from("<I", picture, position + 4)[0]
        if name in (b"VP8 ", b"VP8L"):
            return chunk(name, picture[position + 8 : position + 8 + length])
        position += 8 + length + length % 2
    raise ValueError("the screenshot contains no image data")


def chunk(name: bytes, data: bytes) -> bytes:
    """Return a chunk of a RIFF file. A chunk has an even length."""
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def uint24(value: int) -> bytes:
    return struct.pack("<I", value)[:3]


if __name__ == "__main__":
    asyncio.run(main())
