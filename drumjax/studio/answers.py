"""What strangers send, read with limits, and what they are told."""

import errno
import json
from collections.abc import AsyncIterator, Collection, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from drumjax.audio.names import brief
from drumjax.errors import ConfigError, DrumjaxError

_LONG = 20  # digits; no whole number that means something here has as many
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Refusal(DrumjaxError):
    """A request that cannot be answered, with the HTTP status that says so."""

    def __init__(self, sentence: str, status: int):
        super().__init__(sentence)
        self.status = status


def read_json(text: str | bytes) -> Any:
    """What JSON text holds; numbers are finite or, where they are too large, an infinite float.

    Raises:
      ConfigError: it is no JSON, no UTF-8, holds NaN, or is nested too deeply.
    """

    def refuse(word: str) -> float:
        raise ValueError(f"{word} is no number")

    def whole(digits: str) -> float:
        return int(digits) if len(digits) < _LONG else float(digits)

    try:
        return json.loads(text, parse_int=whole, parse_constant=refuse)
    except RecursionError as error:
        raise ConfigError("The JSON is nested too deeply.") from error
    except ValueError as error:  # UnicodeDecodeError, too
        raise ConfigError(f"The request is no JSON ({brief(str(error))}).") from error


def read_table(values: Any, what: str, known: Collection[str]) -> Mapping[str, Any]:
    """A table of known fields, each of which may be missing.

    Raises:
      ConfigError: it is none, or has another field.
    """
    if not isinstance(values, dict):
        raise ConfigError(f"{what} is a table of {', '.join(known)}.")
    if unknown := [key for key in values if key not in known]:
        raise ConfigError(f"{what} has no {brief(unknown[0])}, but {', '.join(known)}.")
    return values


async def chunks(request: Request, most: int) -> AsyncIterator[bytes]:
    """The body of a request, piece by piece.

    Raises:
      Refusal: it has, or says that it has, more than `most` bytes.
    """
    refusal = Refusal(f"That is too much; send {most / 2**20:g} MiB at most.", 413)
    said = request.headers.get("content-length", "")
    if said.isdecimal() and int(said[:_LONG]) > most:
        raise refusal
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > most:
            raise refusal
        yield chunk


async def body(request: Request, most: int) -> bytes:
    """The whole body of a request; see `chunks`."""
    return b"".join([chunk async for chunk in chunks(request, most)])


def told(values: Any, status: int = 200) -> Response:
    """Values as JSON, in ASCII."""
    return Response(json.dumps(values), status, media_type="application/json")


def refused(sentence: str, status: int) -> Response:
    """A sentence that says what is wrong and what to do."""
    return told({"error": sentence}, status)


def failed() -> Response:
    """What a client is told of a mistake of ours."""
    return refused("The server could not do that; what it printed says more.", 500)


def status_of(error: DrumjaxError) -> int:
    """The HTTP status of an error that speaks to the user: 507 where the disk is full."""
    if isinstance(error, Refusal):
        return error.status
    cause = error.__cause__
    return 507 if isinstance(cause, OSError) and cause.errno in _FULL else 400
