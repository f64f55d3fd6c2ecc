"""OSC datagrams to messages and back, and the arguments of a request, checked one by one.

Of python-osc only the codec of single messages serves: its bundles can hang (an element of a
negative size is read for ever), recurse without limit, and are sorted by their time tags.
Format: Wright, The Open Sound Control 1.0 Specification, 2002.
"""

from collections.abc import Sequence
from typing import Any

from pythonosc.osc_message import OscMessage
from pythonosc.osc_message_builder import OscMessageBuilder

from drumjax.audio.names import brief
from drumjax.errors import ConfigError
from drumjax.play.instrument import Instrument

LARGEST = 8192  # bytes of a datagram; a path of 4,096 and all else fit in
LONGEST_PATH = 4096  # bytes
MOST_MESSAGES = 32  # of a bundle, with those inside it

# Where each request's reply port stands among its arguments.
REPLY_PORTS = {
    "/drumjax/generate": 4,
    "/drumjax/random": 1,
    "/drumjax/vary": 2,
    "/drumjax/attribute": 2,
    "/drumjax/categories": 0,
    "/drumjax/instrument": 0,
    "/drumjax/ping": 0,
}

_BUNDLE = b"#bundle\0"
_MOST_NESTED = 8  # bundles in bundles
_MOST_ARGUMENTS = 16  # no request has half as many
_TAGS = frozenset(b"ifhdsbTFN[]")  # the codec would log a line for each it does not know
_SIZES = {ord("i"): 4, ord("f"): 4, ord("h"): 8, ord("d"): 8}  # bytes of an argument
_PLACES = {address.encode(): place for address, place in REPLY_PORTS.items()}
_ATTRIBUTE = b"/drumjax/attribute"


class Unreadable(Exception):
    """A datagram is no OSC, or of a kind that no request has; the text says why."""


def split(datagram: bytes, depth: int = 0) -> list[bytes]:
    """The messages of a datagram, in their order; a bundle's time tag is ignored.

    Raises:
      Unreadable: it is too large or no OSC packet, or holds too many messages.
    """
    if len(datagram) > LARGEST:
        raise Unreadable(f"longer than {LARGEST} bytes")
    if datagram.startswith(b"/"):
        return [datagram]
    if not datagram.startswith(_BUNDLE) or len(datagram) < 16:
        raise Unreadable("no OSC")
    if depth == _MOST_NESTED:
        raise Unreadable("bundles nested too deeply")
    messages, start = [], 16
    while start < len(datagram):
        size = int.from_bytes(datagram[start : start + 4], "big")
        end = start + 4 + size
        if start + 4 > len(datagram) or end > len(datagram):
            raise Unreadable("a bundle cut short")
        messages += split(datagram[start + 4 : end], depth + 1)
        if len(messages) > MOST_MESSAGES:
            raise Unreadable(f"a bundle of more than {MOST_MESSAGES} messages")
        start = end
    return messages


def decode(message: bytes) -> tuple[str, list[Any]]:
    """A message's address and arguments.

    Raises:
      Unreadable: it is damaged, or has arguments of a kind or number that no request has.
    """
    end = message.find(b"\0")
    tags_at = (end + 4) // 4 * 4
    tags = message[tags_at + 1 :].partition(b"\0")[0]
    if end < 1 or len(tags) > _MOST_ARGUMENTS or not _TAGS.issuperset(tags):
        raise Unreadable("arguments of a kind or number that no request has")
    try:
        read = OscMessage(message)
        return read.address, read.params
    except Exception as error:  # the codec lets many kinds through, such as of broken UTF-8
        raise Unreadable("a damaged message") from error


def kind(datagram: bytes) -> tuple[bytes, bytes]:
    """What the newest of a burst's datagrams takes the place of, told at a glance.

    Of a kind are the requests to one OSC address with one reply port and, where it is an
    attribute's, of one name. A bundle is of a kind with its like alone.
    """
    end = datagram.find(b"\0")
    address = datagram[: max(0, end)]
    if address == b"#bundle":
        return datagram, b""
    if address == _ATTRIBUTE:
        return datagram[:-8], datagram[-4:]  # all but the value
    place = _PLACES.get(address)
    return address, b"" if place is None else _argument(datagram, end // 4 * 4 + 4, place)


def _argument(message: bytes, tags_at: int, place: int) -> bytes:
    """The bytes of a number among a message's arguments; none where it is not to be found."""
    tags = message[tags_at + 1 : message.find(b"\0", tags_at)]
    at = (tags_at + len(tags) + 5) // 4 * 4
    for tag in tags[:place]:
        if tag == ord("s"):
            at = message.find(b"\0", at) // 4 * 4 + 4
        else:
            at += _SIZES.get(tag, 0)
    size = _SIZES.get(tags[place], 0) if place < len(tags) else 0
    return message[at : at + size]


def encode(address: str, *values: str | int | float) -> bytes:
    """A datagram: texts as s, whole numbers as i, others as f."""
    builder = OscMessageBuilder(address)
    for value in values:
        text = isinstance(value, str)
        builder.add_arg(value.encode("utf-8", "replace").decode() if text else value)
    return builder.build().dgram


def whole(value: Any, low: int, high: int) -> int | None:
    """A whole number from low to high, which may have come as a float; None if it is none."""
    if type(value) not in (int, float) or not low <= value <= high or value != int(value):
        return None
    return int(value)


class Arguments:
    """A request's arguments, taken from the first to the last.

    Raises (each method):
      ConfigError: an argument is missing or cannot be used; one sentence.
    """

    def __init__(self, address: str, values: Sequence[Any], instrument: Instrument):
        self._address, self._values, self._instrument = address, values, instrument
        self._at = 0

    @property
    def more(self) -> bool:
        """Whether there are arguments left."""
        return self._at < len(self._values)

    def take(self, what: str) -> Any:
        """The next one, whatever it is."""
        if not self.more:
            raise ConfigError(f"{self._address} lacks {what}; see its list of arguments.")
        self._at += 1
        return self._values[self._at - 1]

    def number(self, what: str, low: float, high: float) -> float:
        """A number within a range."""
        value = self.take(what)
        if type(value) not in (int, float) or not low <= value <= high:
            raise ConfigError(f"{what} is {_shown(value)}; send a number, {low:g} to {high:g}.")
        return float(value)

    def whole(self, what: str, low: int, high: int) -> int:
        """A whole number within a range."""
        value = self.take(what)
        if (number := whole(value, low, high)) is None:
            raise ConfigError(f"{what} is {_shown(value)}; send a whole number, {low} to {high}.")
        return number

    def text(self, what: str) -> str:
        """A text."""
        value = self.take(what)
        if not isinstance(value, str):
            raise ConfigError(f"{what} is {_shown(value)}; send it as a string.")
        return value

    def category(self) -> str:
        """A category's name, given as such or by its index."""
        known = self._instrument.categories
        value = self.take("a category")
        index = whole(value, 0, len(known) - 1)
        if index is not None:
            return known[index]
        if value not in known:
            raise ConfigError(
                f"The instrument knows no category {_shown(value)}; send 0 to {len(known) - 1} or "
                f"one of {', '.join(known)}."
            )
        return value

    def category_or_none(self) -> str | None:
        """As `category`, if there is one; an empty text leaves it open, as does its absence."""
        if self.more and self._values[self._at] == "":
            self._at += 1
            return None
        return self.category() if self.more else None

    def end(self) -> None:
        """Nothing may be left."""
        if self.more:
            raise ConfigError(
                f"{self._address} takes {self._at} arguments, not {len(self._values)}; leave the "
                "others out."
            )


def _shown(value: Any) -> str:
    """An argument as a sentence can hold it."""
    if isinstance(value, list):
        return "a list"
    return "a blob" if isinstance(value, bytes) else brief(value)
