"""Headless Chromium, driven through the pipe of its developers' protocol: no port, no driver, nothing to install beside it."""

import base64
import fcntl
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import wait_until
from tests.outside import is_here, outside

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--remote-debugging-pipe")


class Leaves(AssertionError):
    """The page went on to another one while it was asked."""


class Browser:
    """One tab. `requests` are the addresses that it asked for, `complaints` what its console said and what was thrown."""

    def __init__(self, send: FileIO, receive: FileIO) -> None:
        self.requests, self.complaints = list[str](), list[str]()
        self._send, self._receive = send, receive
        self._buffer, self._number, self._session = b"", 0, ""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        """One command of the protocol, and its answer."""
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": arguments} | ({"sessionId": self._session} if self._session else {})
        self._send.write(json.dumps(message).encode() + b"\0")
        while True:
            found = self._next()
            if found.get("id") == number:
                fault = found.get("error", {})
                if "navigated" in fault.get("message", ""):
                    raise Leaves(f"{method}: {fault}")
                assert not fault, f"{method}: {fault}"
                return dict(found["result"])
            self._note(found)

    def open(self, path: Path | str, *, width: int = 1280, height: int = 900, dark: bool = False, scripts: bool = True) -> None:
        """Open a file as a person would who clicks on it, and wait until it has been read."""
        phone = width < 500
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.call("Page.navigate", url=path if isinstance(path, str) else path.as_uri())
        if scripts:
            self.wait("document.readyState === 'complete'")

    def run(self, script: str) -> Any:
        """What a JavaScript expression is."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True, userGesture=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, script: str, seconds: float = 30.0) -> Any:
        """Wait until a JavaScript expression is true."""

        def is_true() -> Any:
            with suppress(Leaves):
                return self.run(script)

        return wait_until(is_true, seconds=seconds, what=script)

    def press(self, key: str, *, text: str = "", code: int = 0) -> None:
        """One key, as from the keyboard."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **({"text": text} if text else {}))

    def picture(self, path: Path, *, whole: bool = False) -> Path:
        """A picture of the window, or of the whole page."""
        found = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole, **(self._whole() if whole else {}))
        path.write_bytes(base64.b64decode(found["data"]))
        return path

    def _whole(self) -> dict[str, Any]:
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        return {"clip": {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 6000), "scale": 1}}

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            more = self._receive.read(1 << 16)
            assert more, "the browser has ended"
            self._buffer += more
        message, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(message))

    def _note(self, event: dict[str, Any]) -> None:
        about = event.get("params", {})
        if event.get("method") == "Network.requestWillBeSent":
            self.requests.append(about["request"]["url"])
        if event.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled"):
            self.complaints.append(json.dumps(about))


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A browser with a profile of its own in a folder; the test is skipped where there is none."""
    program = next((name for name in NAMES if is_here(name)), None)
    if program is None:
        pytest.skip(f"needs {NAMES[0]}")
    (theirs, send), (receive, answers) = os.pipe(), os.pipe()
    # The protocol has the numbers 3 and 4 for the two ends, which those here may be already, the other way round.
    theirs, answers = (_moved(end) for end in (theirs, answers))
    words = [f'exec {program} "$@" 3<&{theirs} 4>&{answers}', program, *FLAGS, f"--user-data-dir={folder}"]
    process = subprocess.Popen(
        ["bash", "-c", *words], pass_fds=(theirs, answers), env=outside(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    os.close(theirs)
    os.close(answers)
    try:
        with os.fdopen(send, "wb", buffering=0) as commands, os.fdopen(receive, "rb", buffering=0) as events:
            yield Browser(commands, events)
    finally:
        process.kill()
        process.wait()


def _moved(descriptor: int) -> int:
    high = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 64)
    os.close(descriptor)
    return high
