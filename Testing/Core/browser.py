"""A headless Chromium, spoken to over a pipe in its own protocol (CDP), so that nothing has to be installed for it."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
PLAYWRIGHT = ("chrome-linux/chrome", "chrome-linux64/chrome", "chrome-linux/headless_shell", "chrome-win/chrome.exe")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",  # a container's /dev/shm is too small for a long page
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
PATIENCE_S = 240.0


def find_browser() -> str | None:
    """The browser that PRRT_TEST_BROWSER names, one on the search path, or one that playwright installed."""
    named = os.environ.get("PRRT_TEST_BROWSER")
    if named:
        return named
    for name in NAMES:
        if (found := shutil.which(name)) and _runs(found):
            return found
    folder = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache" / "ms-playwright")
    return next((str(found) for inner in PLAYWRIGHT for found in sorted(folder.glob(f"chromium*/{inner}"))), None)


def _runs(program: str) -> bool:
    """Whether it is a browser: Ubuntu's chromium-browser may be no more than advice to install a snap."""
    asked = subprocess.run([program, "--version"], stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE_S)
    return asked.returncode == 0


class Tab:
    """One page of the browser, with every event that it told of."""

    def __init__(self, into: int, out_of: int) -> None:
        self._into, self._out_of = into, out_of
        self._buffer = b""
        self._last = 0
        self._session = ""
        self.events: list[dict[str, Any]] = []

    def open(self, address: str, width: int = 1200, height: int = 900) -> None:
        """Load an address to its end."""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log", "Security"):
            self.ask(f"{domain}.enable")
        self.resize(width, height)
        self.events.clear()
        self.ask("Page.navigate", url=address)
        end = time.monotonic() + PATIENCE_S
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self._take(end)

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Give one command and return its answer."""
        self._last += 1
        asked: dict[str, Any] = {"id": self._last, "method": method, "params": parameters}
        if self._session:
            asked["sessionId"] = self._session
        os.write(self._into, json.dumps(asked).encode() + b"\0")
        end = time.monotonic() + PATIENCE_S
        while True:
            message = self._take(end)
            if message.get("id") == self._last:
                assert "error" not in message, f"{method}: {message['error']}"
                result: dict[str, Any] = message["result"]
                return result

    def resize(self, width: int, height: int) -> None:
        """Give the page another window."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def media(self, kind: str = "screen", scheme: str = "light") -> None:
        """Show the page on another medium, in a light or dark scheme."""
        self.ask("Emulation.setEmulatedMedia", media=kind, features=[{"name": "prefers-color-scheme", "value": scheme}])

    def value(self, expression: str) -> Any:
        """What a JavaScript expression gives; it runs beside the page's own rules."""
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def picture(self) -> bytes:
        """A PNG of the whole page, once it stands still: after a change of window the first may have blank tiles."""
        taken, end = self._frame(), time.monotonic() + PATIENCE_S
        while (again := self._frame()) != taken:
            assert time.monotonic() < end, "the page never stood still"
            taken = again
        return taken

    def _frame(self) -> bytes:
        size = self.ask("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 12000), "scale": 0.5}
        shot = self.ask("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        return base64.b64decode(shot["data"])

    def paper(self) -> bytes:
        """The page as a PDF."""
        self.ask("Emulation.setEmulatedMedia", media="")  # else it would be printed as for a screen
        return base64.b64decode(self.ask("Page.printToPDF", printBackground=True, preferCSSPageSize=True)["data"])

    def told(self, *methods: str) -> list[dict[str, Any]]:
        """What the page told of, by kind of event."""
        return [event["params"] for event in self.events if event["method"] in methods]

    def _take(self, end: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._out_of], [], [], max(end - time.monotonic(), 0))
            assert ready, "the browser did not answer in time"
            part = os.read(self._out_of, 1 << 16)
            assert part, "the browser ended"
            self._buffer += part
        line, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        if "method" in message:
            self.events.append(message)
        return message


@contextmanager
def browsing(program: str, profile: Path) -> Iterator[Tab]:
    """Start the browser with a profile of its own and end it afterwards."""
    assert sys.platform != "win32", "pipes of given numbers are for POSIX systems"
    import fcntl

    to_read, into = os.pipe()
    out_of, to_write = os.pipe()

    def number_pipes() -> None:  # Chromium reads descriptor 3 and writes descriptor 4
        read, write = (fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (to_read, to_write))
        os.dup2(read, 3)
        os.dup2(write, 4)

    process = subprocess.Popen(
        [program, *FLAGS, f"--user-data-dir={profile}"],
        preexec_fn=number_pipes,
        close_fds=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_read)
    os.close(to_write)
    try:
        yield Tab(into, out_of)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(20)
        os.close(into)
        os.close(out_of)
