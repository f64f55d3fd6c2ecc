"""A headless Chromium, driven over its DevTools protocol: keys, mouse, files, pictures."""

import base64
import contextlib
import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from drumjax.errors import DataError

Point = tuple[float, float]  # in CSS pixels

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--remote-debugging-port=0",
    "--no-first-run",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--mute-audio",
    "--disable-dev-shm-usage",
    "--disable-renderer-backgrounding",
    "--hide-scrollbars",
]
_KEYS = {" ": "Space", "[": "BracketLeft", "]": "BracketRight", "?": "Slash"}
_CODES = {"Home": 36, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
_CODES |= {"Enter": 13, "Tab": 9, "Escape": 27, "Delete": 46, "End": 35}


def found() -> str | None:
    """The path of a Chromium, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Page:
    """One tab. What it logs and asks the network for is kept in `errors` and `requests`."""

    def __init__(self, socket: ClientConnection):
        self.socket, self.number = socket, 0
        self.errors: list[str] = []
        self.requests: list[str] = []
        for domain in ("Page", "Runtime", "Network", "Log", "DOM"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> Any:
        """A method of the protocol; its result.

        Raises:
          DataError: it fails.
        """
        number = self._send(method, params)
        while True:
            message = json.loads(self.socket.recv(timeout=30))
            if message.get("id") == number:
                if "error" in message:
                    raise DataError(f"Chromium refuses {method}: {message['error']}.")
                return message["result"]
            if "method" in message:  # or it answers what nobody waits for
                self._event(message["method"], message["params"])

    def _send(self, method: str, params: dict[str, Any]) -> int:
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": params}))
        return self.number

    def _event(self, method: str, params: dict[str, Any]) -> None:
        if method in ("Network.requestWillBeSent", "Network.webSocketCreated"):
            self.requests.append(params["request"]["url"] if "request" in params else params["url"])
        elif method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
            self.errors.append(str(params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.errors.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")

    def run(self, code: str) -> Any:
        """The value of a JavaScript expression; a promise is awaited.

        Raises:
          DataError: it throws.
        """
        result = self.call(
            "Runtime.evaluate",
            expression=code,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        if "exceptionDetails" in result:
            raise DataError(f"The page fails at {code}: {result['exceptionDetails']}.")
        return result["result"].get("value")

    def until(self, code: str, seconds: float = 15) -> Any:
        """Wait for a JavaScript expression to be true; returns its value.

        Raises:
          DataError: it stays false for so long.
        """
        end = time.monotonic() + seconds
        while not (value := self.run(code)):
            if time.monotonic() > end:
                raise DataError(f"This never came true in the page: {code}.")
            time.sleep(0.02)
        return value

    def open(self, url: str) -> None:
        """Go to an address and wait until its page has loaded."""
        self.call("Page.navigate", url=url)
        self.until(f"document.readyState === 'complete' && location.href.startsWith({url!r})")

    def key(self, key: str, shift: bool = False, control: bool = False) -> None:
        """A key, pressed and released."""
        letter = len(key) == 1
        code = _KEYS.get(key) or (
            f"Digit{key}" if key.isdecimal() else f"Key{key.upper()}" if letter else key
        )
        params = {"key": key, "code": code, "modifiers": 8 * shift + 2 * control}
        params["windowsVirtualKeyCode"] = _CODES.get(key) or (ord(key.upper()) if letter else 0)
        text = "\r" if key == "Enter" else key if letter and not control else ""
        kind = "keyDown" if text else "rawKeyDown"
        self.call("Input.dispatchKeyEvent", type=kind, text=text, **params)
        self.call("Input.dispatchKeyEvent", type="keyUp", **params)

    def mouse(self, kind: str, x: float, y: float, held: bool = True, wait: bool = True) -> None:
        """A mouse event: Pressed, Moved or Released, at CSS pixels; wait: until it is handled."""
        params = {
            "type": f"mouse{kind}",
            "x": x,
            "y": y,
            "button": "left" if held else "none",
            "buttons": int(held and kind != "Released"),
            "clickCount": 0 if kind == "Moved" else 1,
        }
        method = "Input.dispatchMouseEvent"
        self.call(method, **params) if wait else self._send(method, params)

    def place(self, selector: str, across: float = 0.5, down: float = 0.5) -> Point:
        """A point of an element, scrolled to: CSS pixels."""
        x, y, w, h = self.run(
            f"(() => {{ const e = document.querySelector({selector!r}); "
            "e.scrollIntoView({block: 'nearest'}); const b = e.getBoundingClientRect(); "
            "return [b.x, b.y, b.width, b.height]; })()"
        )
        return x + across * w, y + down * h

    def click(self, selector: str, across: float = 0.5, down: float = 0.5) -> None:
        """A click on an element."""
        self.drag(self.place(selector, across, down))

    def drag(self, *points: Point) -> None:
        """The mouse pressed at the first point, moved through the others, and released."""
        self.mouse("Pressed", *points[0])
        for point in points[1:]:
            self.mouse("Moved", *point)
        self.mouse("Released", *points[-1])

    def files(self, selector: str, *paths: str | Path) -> None:
        """Choose files in a file input."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path) for path in paths])

    def size(self, width: int, height: int, dark: bool = True, scale: float = 1) -> None:
        """The window's size in CSS pixels, and the theme that the system wishes."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=width < 600,
        )
        feature = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[feature])

    def shot(self, path: str | Path) -> None:
        """A picture of the page, as PNG."""
        picture = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=False)
        Path(path).write_bytes(base64.b64decode(picture["data"]))


@contextlib.contextmanager
def chromium() -> Iterator[Page]:
    """A page of a fresh browser, which ends with the block.

    Raises:
      DataError: there is no Chromium, or it does not start.
    """
    folder = tempfile.mkdtemp(prefix="drumjax-chromium-")
    path = found()
    if path is None:
        raise DataError(f"There is none of {', '.join(NAMES)}; install Chromium.")
    process = subprocess.Popen(
        [path, *_FLAGS, f"--user-data-dir={folder}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with connect(_address(folder), max_size=None, compression=None) as socket:
            page = Page(socket)
            yield page
            page.call("Browser.close")  # its children, too
    finally:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        process.terminate()
        process.wait(10)
        shutil.rmtree(folder, ignore_errors=True)


def _address(folder: str) -> str:
    """Of the first tab's socket."""
    end = time.monotonic() + 30
    port = Path(folder, "DevToolsActivePort")
    while time.monotonic() < end:
        if port.is_file() and len(lines := port.read_text().split("\n")) > 1:
            with urllib.request.urlopen(f"http://127.0.0.1:{lines[0]}/json") as answer:
                tabs = [tab for tab in json.load(answer) if tab["type"] == "page"]
            if tabs:
                return tabs[0]["webSocketDebuggerUrl"]
        time.sleep(0.05)
    raise DataError("Chromium did not start.")
