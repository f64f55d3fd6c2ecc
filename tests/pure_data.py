"""What the tests of the Pure Data client share: a Pd without a window, driven over TCP."""

import asyncio
import contextlib
import re
from typing import NamedTuple

import numpy as np

from drumjax.studio.pd.patch import patch_text

WAIT = 30.0  # seconds: what a busy machine may take

# The patch that the tests drive the client with: what they send over TCP goes to its inlet
# (`client`), to a MIDI input (`midi`), or asks for numbers of a table (`table FIRST COUNT NAME`);
# what the client tells, and the numbers, come back. `record` keeps 8,192 samples of its sound.
DRIVER = r"""#N canvas 0 0 700 400 10;
#X obj 10 10 loadbang;
#X msg 10 40 connect 127.0.0.1 %(driver)d;
#X obj 10 70 netsend;
#X obj 10 100 route client midi table record;
#X obj 10 130 drumjax %(server)d;
#X obj 10 160 list prepend send told;
#X obj 10 220 list trim;
#X msg 150 130 \; #notein \$1 \$2 1;
#X obj 300 130 unpack f f s;
#X obj 300 160 array get;
#X obj 300 190 list prepend send table;
#X obj 450 130 tabwrite~ recorded;
#X obj 450 160 table recorded 8192;
#X obj 450 100 delay 400;
#X msg 450 190 send recorded;
#X connect 0 0 1 0;
#X connect 1 0 2 0;
#X connect 2 1 3 0;
#X connect 3 0 4 0;
#X connect 3 1 7 0;
#X connect 3 2 8 0;
#X connect 3 3 11 0;
#X connect 3 3 13 0;
#X connect 13 0 14 0;
#X connect 14 0 2 0;
#X connect 4 0 11 0;
#X connect 4 1 5 0;
#X connect 5 0 6 0;
#X connect 6 0 2 0;
#X connect 8 0 9 0;
#X connect 8 1 9 1;
#X connect 8 2 9 2;
#X connect 9 0 10 0;
#X connect 10 0 6 0;
"""


class PureData:
    """A running Pd with the client in it, as an object of a driver patch."""

    def __init__(self, reader, writer):
        self._reader, self._writer = reader, writer

    def send(self, *words):
        """Send words to the client's inlet."""
        self.drive("client", *words)

    def drive(self, *words):
        """Send words to the driver."""
        self._writer.write((" ".join(map(atom, words)) + ";\n").encode())

    async def hear(self, kind):
        """What comes next of a kind: words and numbers; other things are passed over."""
        while True:
            message = await asyncio.wait_for(self._reader.readuntil(b";\n"), WAIT)
            found = atoms(message.decode().removesuffix(";\n"))
            if found[:2] == ["told", kind]:
                return found[2:]
            if found[0] == kind:
                return found[1:]

    async def sound(self, *words):
        """The next sound, as a table: after words that were sent, if any."""
        if words:
            self.send(*words)
        return Sound(*await self.hear("sound"))

    async def numbers(self, table, count):
        """The first numbers of a table."""
        self.drive("table", 0, count, table)
        return np.array(await self.hear("table"))

    async def recorded(self, *words):
        """What is heard from when the driver has been told these words."""
        self.drive("record")
        self.drive(*words)
        await self.hear("recorded")
        return await self.numbers("recorded", 8192)


class Sound(NamedTuple):
    """What the client tells of a sound that it has loaded."""

    table: str
    frames: float
    rate: float
    milliseconds: float
    category: str
    path: str


def atom(word):
    """A word or number as Pd reads it: blanks and separators are escaped."""
    return re.sub(r"([ ,;$\\])", r"\\\1", str(word))


def atoms(text):
    """A message of Pd's as words and numbers."""
    words = re.findall(r"(?:\\.|[^\s\\])+", text, re.DOTALL)
    return [_number(re.sub(r"\\(.)", r"\1", word)) for word in words]


def _number(word):
    try:
        return float(word)
    except ValueError:
        return word


@contextlib.asynccontextmanager
async def pure_data(folder, osc_port, rate=44100, complaint=""):
    """A Pd with the client, which talks to a port; what it complains of must hold a complaint."""
    connected = asyncio.get_running_loop().create_future()
    driver = await asyncio.start_server(lambda *pair: connected.set_result(pair), "127.0.0.1", 0)
    port = driver.sockets[0].getsockname()[1]
    (folder / "drumjax.pd").write_text(patch_text())
    (folder / "driver.pd").write_text(DRIVER % {"driver": port, "server": osc_port})
    flags = ["-nogui", "-noprefs", "-noaudio", "-nomidi", "-stderr", "-r", str(rate)]
    pd = await asyncio.create_subprocess_exec(
        "pd", *flags, "-open", "driver.pd", cwd=folder, stderr=asyncio.subprocess.PIPE
    )
    try:
        reader, writer = await asyncio.wait_for(connected, WAIT)
        try:
            yield PureData(reader, writer)
        finally:
            writer.close()
    finally:
        pd.kill()
        said = (await pd.communicate())[1].decode()
        driver.close()
    assert complaint in said
    assert bool(complaint) == bool(said)
