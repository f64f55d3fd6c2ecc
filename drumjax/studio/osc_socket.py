"""A UDP socket on the event loop that a flood from one client does not close to the others.

asyncio's own transport reads one datagram each time it looks, while the kernel's buffer holds some
hundreds: of 50,000 a second most would be lost, whoever sent them. Here everything that has come is
read at once; of clients that sent much only what is newest is looked at; and who sent little is
looked at first.
"""

import asyncio
import errno
import ipaddress
import socket
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from contextlib import suppress

from drumjax.errors import DataError
from drumjax.studio.osc_messages import LARGEST, kind

Address = tuple  # (host, port), of IPv6 with two more numbers

_DRAINED = 1000  # datagrams read at once
_BURST = 8  # from one address at once: beyond that, only the newest of a `kind` counts
_KINDS = 32  # of a burst
_HANDLED = 64  # datagrams handled at once
_PAUSE, _LONGEST_PAUSE = 0.001, 0.004  # seconds from one look to the next, if much comes
_KNOWN = 256  # addresses that are looked at before strangers
_BUFFERS = (2**22, 2**20, 2**18)  # bytes of the kernel's buffer: the first that it agrees to


class DatagramSocket:
    """Hands datagrams to a function; made within a running event loop.

    Attributes:
      port: where it listens.
    """

    def __init__(
        self,
        host: str,
        port: int,
        handle: Callable[[bytes, Address], object],
        counters: Counter[str],
    ):
        """Listen.

        Args:
          host, port: of this machine; the port may be 0.
          handle: takes each datagram and where it came from, and raises nothing; returns whether
            it was of use.
          counters: "received" and "dropped" datagrams are counted there.

        Raises:
          DataError: the address cannot be listened at.
        """
        self._socket = _bound(host, port)
        self.port = self._socket.getsockname()[1]
        self._handle, self._counters = handle, counters
        self._known: OrderedDict[Address, None] = OrderedDict()
        self._loop = asyncio.get_running_loop()
        self._listening = 0.0  # since when, by perf_counter
        self._later: asyncio.TimerHandle | None = None
        self._listen()

    def send(self, datagram: bytes, to: Address) -> None:
        """Send; what cannot be sent is lost, as UDP may lose it anyway."""
        with suppress(OSError):
            self._socket.sendto(datagram, to)

    def close(self) -> None:
        """Listen no more."""
        self._loop.remove_reader(self._socket)
        if self._later:
            self._later.cancel()
        self._socket.close()

    def _listen(self) -> None:
        self._loop.add_reader(self._socket, self._readable)

    def _readable(self) -> None:
        started = time.perf_counter()
        count, came = self._drain()
        self._counters["received"] += count
        left = count
        for source, datagram in self._chosen(came):
            left -= 1
            if self._handle(datagram, source):
                self._remember(source)
        self._counters["dropped"] += left
        ended, pause = time.perf_counter(), 0.0
        if started - self._listening < _PAUSE and count < _DRAINED:  # soon, and all is read
            pause = min(max(_PAUSE, ended - started), _LONGEST_PAUSE)
            self._loop.remove_reader(self._socket)
            self._later = self._loop.call_later(pause, self._listen)
        self._listening = ended + pause

    def _drain(self) -> tuple[int, dict[Address, deque[bytes]]]:
        """What has come: how many datagrams, and the last of each address."""
        came: dict[Address, deque[bytes]] = {}
        for count in range(_DRAINED):
            try:
                datagram, source = self._socket.recvfrom(LARGEST + 1)
            except OSError:  # most often that there is none
                return count, came
            kept = came.get(source)
            if kept is None:
                kept = came[source] = deque(maxlen=_DRAINED // 4)
            kept.append(datagram)
        return _DRAINED, came

    def _chosen(self, came: dict[Address, deque[bytes]]) -> list[tuple[Address, bytes]]:
        """What is to be handled of it: first of addresses that were of use and sent little."""
        order = sorted(came, key=lambda source: (source not in self._known, len(came[source])))
        chosen = [(source, datagram) for source in order for datagram in newest(came[source])]
        return chosen[:_HANDLED]

    def _remember(self, source: Address) -> None:
        self._known[source] = None
        self._known.move_to_end(source)
        if len(self._known) > _KNOWN:
            self._known.popitem(last=False)


def newest(datagrams: deque[bytes]) -> list[bytes]:
    """All datagrams of an address, or, of a burst, the newest of each kind, `_KINDS` at most."""
    if len(datagrams) <= _BURST:
        return list(datagrams)
    kinds: dict[tuple[bytes, bytes], bytes] = {}
    for datagram in datagrams:
        key = kind(datagram)
        kinds.pop(key, None)
        kinds[key] = datagram
    return list(kinds.values())[-_KINDS:]


def is_loopback(host: str) -> bool:
    """Whether an address, or the name localhost, is one that only this machine reaches."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def _bound(host: str, port: int) -> socket.socket:
    """A socket that does not block, bound to an address, with as large a buffer as there is."""
    if not 0 <= port <= 65535:  # else its lower bits would count
        raise DataError(f"There is no port {port}; choose --osc_port=1024 to 65535, or 0 for any.")
    made = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE
        )[0]
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        for size in _BUFFERS:
            try:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
                break
            except OSError:  # larger than this system allows
                continue
        made.bind(address)
    except OSError as error:
        if made:
            made.close()
        if getattr(error, "errno", None) == errno.EADDRINUSE:
            raise DataError(
                f"Port {port} is in use, perhaps by another drumjax; end that one, or choose "
                "another port with --osc_port."
            ) from error
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"OSC cannot be received at {host}, port {port} ({reason}); choose another --host or "
            "--osc_port."
        ) from error
    return made
