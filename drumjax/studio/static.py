"""The page's files."""

import re
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from drumjax.studio.answers import Refusal

WEB = Path(__file__).with_name("web")
TYPES = {
    "html": "text/html",
    "js": "text/javascript",
    "css": "text/css",
    "svg": "image/svg+xml",
    "png": "image/png",
    "webmanifest": "application/manifest+json",
    "json": "application/json",
}

_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_.-]*\.({'|'.join(TYPES)})")


def index(request: Request) -> Response:
    """The page itself."""
    return _serve("index.html")


def file(request: Request) -> Response:
    """One of the files beside it."""
    return _serve(request.path_params["name"])


def _serve(name: str) -> Response:
    """A file of the folder itself; nothing below it or beside it has such a name."""
    match = _NAME.fullmatch(name)
    if match is None or not (WEB / name).is_file():
        raise Refusal(f"There is no {name[:60]!a} here.", 404)
    return Response((WEB / name).read_bytes(), media_type=TYPES[match[1]])
