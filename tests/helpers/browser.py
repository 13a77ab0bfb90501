"""A headless Chromium or Chrome, driven through its own pipe by the Chrome DevTools Protocol.

That needs neither a driver of the browser's very version nor a port nor a package: what the tests ask of it is little.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
    "--no-first-run",
    "--remote-debugging-pipe",
)
KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, "End": 35, "Home": 36, "ArrowUp": 38, "ArrowDown": 40}
SILENCE = 60  # seconds without a word after which the browser is taken for dead
PATIENCE = 10  # seconds that it has to end by itself


def installed() -> str | None:
    """The path of a browser, if there is one."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """A running browser: commands go in, answers and events come out, each message ended by a zero byte."""

    def __init__(self, inlet: int, outlet: int) -> None:
        self._inlet, self._outlet = inlet, outlet
        self._buffer = b""
        self._calls = 0
        self.events: list[dict[str, Any]] = []

    def send(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Run a command and return its result; raises `RuntimeError` with the browser's own message."""
        self._calls += 1
        call = {"id": self._calls, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
        os.write(self._inlet, json.dumps(call).encode() + b"\0")
        while (answer := self._read()).get("id") != self._calls:
            self.events.append(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def wait(self, event: str) -> None:
        """Read on until this event has come since it was last waited for."""
        while not any(found.get("method") == event and not found.setdefault("used", False) for found in self.events):
            self.events.append(self._read())
        for found in self.events:
            found["used"] = True

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            if not select.select([self._outlet], [], [], SILENCE)[0] or not (part := os.read(self._outlet, 1 << 16)):
                raise RuntimeError("the browser does not answer")
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)


class Page:
    """A page in a tab of its own."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        target = browser.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = browser.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Run a command of the protocol in this page."""
        return self._browser.send(method, self._session, **parameters)

    def open(self, address: str, width: int = 1300, height: int = 900) -> None:
        """Load an address anew in a window of this size and wait until all of it is there."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        # By way of an empty page: another hash alone would load nothing.
        for url in ("about:blank", address):
            self._browser.events.clear()
            self.send("Page.navigate", url=url)
            self._browser.wait("Page.loadEventFired")

    def __call__(self, expression: str) -> Any:
        """The value of a JavaScript expression; raises `RuntimeError` if it throws."""
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["exception"]["description"])
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        """Press and release a key of `KEYS`."""
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            down = text if kind == "keyDown" else {}
            self.send("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=KEYS[key], **down)

    def point(self, x: float, y: float) -> None:
        """Move the pointer."""
        self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def complaints(self) -> list[str]:
        """Errors in the console and requests that failed or went anywhere but to the page's own file, so far."""
        self("0")  # what was under way has come with the answer
        found = []
        for event in self._browser.events:
            told, method = event.get("params", {}), event.get("method")
            if method == "Runtime.exceptionThrown":
                found.append(told["exceptionDetails"]["exception"]["description"])
            elif method == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
                found.append(str(told["args"]))
            elif method == "Log.entryAdded" and told["entry"]["level"] == "error":
                found.append(told["entry"]["text"])
            elif method == "Network.loadingFailed":
                found.append(told["errorText"])
            elif method == "Network.requestWillBeSent" and not told["request"]["url"].startswith(("data:", "file:")):
                found.append(told["request"]["url"])
        return found


@contextmanager
def running(program: str) -> Iterator[Browser]:
    """A browser with a profile of its own, which ends with the block."""
    # The browser reads from 3 and writes to 4, so our ends stay out of the way of these.
    (theirs_in, ours_in), (ours_out, theirs_out) = _pipe(), _pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = os.posix_spawn(
            program,
            [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, theirs_in, 3),
                (os.POSIX_SPAWN_DUP2, theirs_out, 4),
                *((os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_WRONLY, 0) for stream in (1, 2)),
            ],
        )
        os.close(theirs_in)
        os.close(theirs_out)
        try:
            yield Browser(ours_in, ours_out)
        finally:
            os.close(ours_in)  # at the end of its input the browser ends, and so does its output
            while select.select([ours_out], [], [], PATIENCE)[0]:
                if not os.read(ours_out, 1 << 16):
                    break
            else:
                os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            os.close(ours_out)


def _pipe() -> list[int]:
    ends = os.pipe()
    moved = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends]
    for end in ends:
        os.close(end)
    return moved
