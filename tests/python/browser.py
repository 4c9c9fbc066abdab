"""A headless Chromium, for tests of pages, driven by its own protocol (websockets come with viser)."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOUND = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_FLAGS = (
    *("--headless=new", "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"),
    *("--remote-debugging-port=0", "--window-size=1280,1000", "--no-first-run"),
)
_KEYS = {"End": 35, "Home": 36, "ArrowLeft": 37, "ArrowRight": 39}


def _labelled(label: str) -> str:
    """JavaScript for the element that has that label."""
    found = f"[...document.querySelectorAll('label')].find(l => l.innerText == '{label}')"
    return f"document.getElementById({found}.htmlFor)"


class Browser:
    """A tab."""

    def __init__(self, url: str) -> None:
        from websockets.sync.client import connect

        self._socket = connect(url, max_size=None)
        self._count = 0

    def _call(self, method: str, **parameters: Any) -> Any:
        self._count += 1
        self._socket.send(json.dumps({"id": self._count, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self._socket.recv(timeout=120))
            if answer.get("id") == self._count:
                return answer["result"]

    def value(self, expression: str) -> Any:
        """Of JavaScript."""
        return self._call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get(
            "value"
        )

    def text(self, containing: str, seconds: float = 15) -> str:
        """The page's text, once it has that."""
        end = time.monotonic() + seconds
        while containing not in (text := self.value("document.body.innerText") or ""):
            assert time.monotonic() < end, f"{containing!r} is not on the page:\n{text}"
            time.sleep(0.1)
        return str(text)

    def press(self, key: str) -> None:
        """A key, for what has the focus."""
        for kind in ("keyDown", "keyUp"):
            self._call(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=_KEYS[key]
            )

    def slide(self, label: str, key: str) -> None:
        """Moves viser's slider of that label by a key: Home and End, ArrowLeft and ArrowRight."""
        self.value(f"{_labelled(label)}.querySelector('[role=slider]').focus()")
        self.press(key)

    def choose(self, label: str, option: str) -> None:
        """Chooses in viser's list of that label."""
        self.value(f"{_labelled(label)}.click()")
        found = f"[...document.querySelectorAll('[role=option]')].find(o => o.innerText == '{option}')"
        end = time.monotonic() + 15
        while not self.value(f"Boolean({found})"):
            assert time.monotonic() < end, f"{option!r} is not offered"
            time.sleep(0.1)
        self.value(f"{found}.click()")

    def save(self, path: Path) -> None:
        """A picture of it."""
        path.write_bytes(base64.b64decode(self._call("Page.captureScreenshot")["data"]))


@contextlib.contextmanager
def browser(address: str, profile: Path) -> Iterator[Browser]:
    """The page at an address; ``profile``: a folder for what the browser writes."""
    import urllib.request

    assert FOUND is not None
    command = [FOUND, *_FLAGS, f"--user-data-dir={profile}", address]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if match := re.search(r"ws://(\S+?)/", line):
                    break
            else:
                raise AssertionError("the browser says no address")
            with urllib.request.urlopen(f"http://{match[1]}/json/list", timeout=10) as answer:
                tabs = json.load(answer)
            yield Browser(next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page"))
        finally:
            process.terminate()


def serve_at_once(*arguments: Any) -> None:
    """The process of the page beside a control loop, at a priority like any other's."""
    from mbmf.show import page_process

    page_process._run_when_idle = lambda: None
    page_process._serve(*arguments)
