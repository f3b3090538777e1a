"""Headless Chromium over the DevTools protocol, through a pipe: no port, no driver, no further package."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars",
         "--disable-background-networking", "--remote-debugging-pipe")  # fmt: skip


def found() -> str:
    """Chromium's program. It has to be here where SEPCONV_CHROMIUM says so, as in `.ci/run`; elsewhere a test skips."""
    program = next((p for p in map(shutil.which, NAMES) if p), None)
    if program is None and os.environ.get("SEPCONV_CHROMIUM"):
        pytest.fail("SEPCONV_CHROMIUM is set, and Chromium is not installed (apt-get install chromium)")
    if program is None:
        pytest.skip("Chromium is not installed (Debian: chromium); .ci/run installs it")
    return program


class Browser:
    """`with Browser() as browser: browser.open(path, width=390); browser.evaluate("...")`. One page at a time."""

    def __init__(self, patience: float = 60):
        """patience: seconds that any answer may take."""
        self.patience = patience
        self.requests: list[str] = []
        """Addresses that the page asked for, `data:` left out."""
        self.errors: list[str] = []
        """Exceptions, failed assertions and everything that the browser logged as an error or a warning."""
        self._count, self._session, self._buffer = 0, "", b""

    def __enter__(self) -> Browser:
        program = found()
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        # The protocol's pipe is descriptors 3 and 4 of the browser; dash knows no descriptor above 9.
        redirected = ["bash", "-c", f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}', "bash"]
        command = [*redirected, program, *FLAGS, f"--user-data-dir={self._profile.name}", "about:blank"]
        self._process = subprocess.Popen(
            command, pass_fds=(theirs_in, theirs_out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(theirs_in)
        os.close(theirs_out)
        try:
            self._begin()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _begin(self) -> None:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._out)
        os.close(self._in)
        self._process.kill()
        self._process.wait()
        self._profile.cleanup()

    def open(self, path: Path, *, width: int, height: int = 900) -> None:
        """Show a file in a window of `width` CSS pixels; returns when it and its fonts are loaded."""
        self.requests, self.errors = [], []
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call("Page.navigate", url=path.resolve().as_uri())
        self._until(lambda m: m.get("method") == "Page.loadEventFired")
        self.evaluate("document.fonts.ready.then(() => true)")

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page, awaited."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def screenshot(self, path: Path, *, scale: float = 1) -> None:
        """The whole page, as far as it reaches, as a PNG."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": scale}
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)["data"]
        path.write_bytes(base64.b64decode(data))

    def pdf(self, path: Path) -> None:
        """The page as it prints on A4."""
        data = self.call("Page.printToPDF", preferCSSPageSize=True, paperWidth=8.27, paperHeight=11.69)["data"]
        path.write_bytes(base64.b64decode(data))

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol and its result."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        answer = self._until(lambda m: m.get("id") == message["id"])
        assert "error" not in answer, (method, answer["error"])
        return dict(answer["result"])

    def _until(self, wanted: Any) -> dict[str, Any]:
        """The first message that is wanted; what comes before it is noted."""
        end = time.monotonic() + self.patience
        while time.monotonic() < end:
            while b"\0" not in self._buffer:
                os.set_blocking(self._in, False)
                try:
                    more = os.read(self._in, 1 << 20)
                except BlockingIOError:
                    assert time.monotonic() < end, f"Chromium has not answered within {self.patience} s"
                    time.sleep(0.01)
                    continue
                assert more, f"Chromium has ended with code {self._process.poll()}"
                self._buffer += more
            line, _, self._buffer = self._buffer.partition(b"\0")
            message = json.loads(line)
            self._note(message)
            if wanted(message):
                return dict(message)
        raise AssertionError(f"Chromium has not answered within {self.patience} s")

    def _note(self, message: dict[str, Any]) -> None:
        method, said = message.get("method"), message.get("params", {})
        if method == "Network.requestWillBeSent" and not said["request"]["url"].startswith("data:"):
            self.requests.append(said["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.errors.append(said["exceptionDetails"]["text"])
        elif method == "Log.entryAdded" and said["entry"]["level"] in ("error", "warning"):
            self.errors.append(said["entry"]["text"])
        elif method == "Runtime.consoleAPICalled" and said["type"] in ("error", "assert"):
            self.errors.append(str(said["args"]))
