"""Who may talk to the server: its own page and programs, but no page of another site."""

import ipaddress
from collections.abc import Callable, Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from drumjax.studio.answers import failed, refused

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
# Browsers of before 2022 do not take ws: for 'self'.
_POLICY = (
    "default-src 'self'; connect-src 'self' ws://{host}; img-src 'self' data: blob:; "
    "media-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


def own_hosts(host: str) -> frozenset[str]:
    """The names that a server bound to `host` answers to; with "*", any address in numbers, too.

    A page that lets its name point here (DNS rebinding) has a name: numbers are safe.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return frozenset({*LOOPBACK, host.lower()})
    if address.is_unspecified:
        return frozenset({*LOOPBACK, "*"})
    return frozenset({*LOOPBACK, f"[{address}]" if address.version == 6 else str(address)})


class Guard:
    """Middleware around the whole app: refuses strangers, adds headers, and stops exceptions."""

    def __init__(
        self, app: ASGIApp, hosts: Collection[str], port: int, say: Callable[[str], object]
    ):
        """See `http.make_app`."""
        self.app, self.hosts, self.port, self.say = app, hosts, port, say

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or talk over one WebSocket."""
        headers = Headers(scope=scope)
        started = False

        async def send_guarded(message: Message) -> None:
            nonlocal started
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                started = True
                policy = _POLICY.format(host=headers.get("host", ""))
                MutableHeaders(scope=message).update(
                    {**_HEADERS, "Content-Security-Policy": policy}
                )
            started |= message["type"].startswith("websocket.")
            await send(message)

        try:
            if reason := self._reason(scope, headers):
                await refused(reason, 403)(scope, receive, send_guarded)
            else:
                await self.app(scope, receive, send_guarded)
        except ClientDisconnect:
            pass
        except Exception as error:
            self.say(f"{scope['path']!a} failed: {type(error).__name__}: {str(error)!a}"[:300])
            if not started:
                await failed()(scope, receive, send_guarded)

    def _reason(self, scope: Scope, headers: Headers) -> str | None:
        """Why a request is refused, or None."""
        host = headers.get("host", "").lower()
        if not self._is_own(host):
            return "Open this server by its address; it answers to no other name."
        origin = headers.get("origin")
        if origin is not None and origin.lower() != f"http://{host}":
            return "A page of another site may not use this server."
        site = headers.get("sec-fetch-site", "none")
        if site not in ("same-origin", "none") and not _is_visit(scope, headers):
            return "A page of another site may not use this server."
        return None

    def _is_own(self, host: str) -> bool:
        """Whether a Host header names this server."""
        name, _, port = host.rpartition(":")
        if port != str(self.port):
            if self.port != 80:
                return False
            name = host
        return name in self.hosts or ("*" in self.hosts and _is_number(name))


def _is_visit(scope: Scope, headers: Headers) -> bool:
    """Whether somebody followed a link to the page: it then opens by itself, in no frame."""
    there = (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest"))
    return (
        scope["type"] == "http" and scope["method"] == "GET" and there == ("navigate", "document")
    )


def _is_number(name: str) -> bool:
    """Whether the name in a Host header is an IP address."""
    try:
        return ipaddress.ip_address(name.removeprefix("[").removesuffix("]")) is not None
    except ValueError:
        return False
