"""The studio's web application over HTTP, from a real server, compared with the library."""

import asyncio
import contextlib
import dataclasses
import http.client
import io
import json
import socket
import subprocess
import sys
import tarfile
import time
import zipfile

import numpy as np
import pytest
import soundfile
import web_client
from playing import burst, files
from web_client import HYBRID, KIT, SPEC
from websockets.exceptions import ConnectionClosed, InvalidStatus

from drumjax import __version__
from drumjax.__main__ import main
from drumjax.errors import DataError
from drumjax.export.profiles import PROFILES
from drumjax.export.wav import read_recipe, wav_bytes
from drumjax.play.recipe import Output, Recipe, describe, read, render
from drumjax.studio import desk, kits, static
from drumjax.studio.engine import Engine
from drumjax.studio.http import WebServer
from drumjax.studio.spec import read_spec, sound_of


def wav(studio, spec, name, output, note=None):
    """The file by the library alone."""
    instrument = studio.player.instrument
    sound = sound_of(instrument, read_spec(spec, instrument), name)
    sound = dataclasses.replace(sound, note=note)
    return wav_bytes(
        render(studio.player, sound, output.sample_rate),
        output.sample_rate,
        output.bits,
        note=note,
        title=name,
        category=sound.label,
        recipe=Recipe(describe(instrument), (sound,), output).to_dict(),
        plain=output.plain,
    )


# The page


def test_the_page_and_the_files_beside_it(studio, tmp_path, monkeypatch):
    monkeypatch.setattr(static, "WEB", tmp_path / "web")
    (tmp_path / "web" / "sub.js").mkdir(parents=True)
    names = ["index.html", "x.js", "x-y.css", "x.svg", "x.png", "x.webmanifest", "x.json"]
    for name in [*names, "x.py", ".x.js", "sub.js/x.js"]:
        (tmp_path / "web" / name).write_bytes(name.encode())
    (tmp_path / "secret.js").write_text("secret")
    kinds = {}
    for name in names:
        status, headers, body = studio.ask("GET", f"/{name}")
        assert (status, body, headers["cache-control"]) == (200, name.encode(), "no-cache")
        kinds[name.split(".")[1]] = headers["content-type"]
    assert kinds == {
        "html": "text/html; charset=utf-8",
        "js": "text/javascript; charset=utf-8",
        "css": "text/css; charset=utf-8",
        "svg": "image/svg+xml",
        "png": "image/png",
        "webmanifest": "application/manifest+json",
        "json": "application/json",
    }
    assert studio.ask("GET", "/")[2] == b"index.html"
    others = ["x.py", ".x.js", "sub.js", "sub.js/x.js", "x.js%00", "x.js/", "no.js", "web/x.js"]
    paths = ["../secret.js", "%2e%2e%2fsecret.js", "..%5csecret.js", f"{tmp_path}/secret.js"]
    for name in [*others, *paths]:
        status, sentence = studio.error("GET", f"/{name}")
        assert status == 404
        assert sentence.startswith("There is no ")


def test_the_instrument_is_told(studio):
    instrument = studio.player.instrument
    told = json.loads(studio.ask("GET", "/instrument.json")[2])
    assert told == {
        "name": "tiny",
        "identity": instrument.identity,
        "version": __version__,
        "sample_rate": 22050,
        "seconds": 1279 / 22050,
        "latents": 4,
        "categories": ["kick", "snare", "clap"],
        "attributes": ["brightness", "punch", "decay", "body", "noisiness", "dusty"],
        "encoder": True,
        "axes": "audible",
        "library": str(studio.library),
        "profiles": {name: [p.sample_rate, p.bits] for name, p in PROFILES.items()},
    }


def test_an_instrument_without_an_encoder_says_so(instruments, tmp_path):
    with web_client.running(instruments / "mute.safetensors", tmp_path) as studio:
        assert not json.loads(studio.ask("GET", "/instrument.json")[2])["encoder"]
        soundfile.write(tmp_path / "x.wav", burst(), 22050)
        body = (tmp_path / "x.wav").read_bytes()
        status, sentence = studio.error("POST", "/source", body, X_Name="x.wav")
    assert status == 400
    assert "encoder" in sentence


# Sounds as files


@pytest.mark.parametrize("spec", [SPEC, HYBRID])
@pytest.mark.parametrize("profile", [None, *PROFILES])
def test_a_wav_is_what_the_library_makes(studio, tmp_path, spec, profile):
    asked = {"spec": spec, "name": "snare_01", "profile": profile}
    status, headers, body = studio.ask("POST", "/wav", asked)
    form = PROFILES.get(profile)
    output = Output(form.sample_rate, form.bits, form.plain) if form else Output()
    assert status == 200
    assert headers["content-type"] == "audio/wav"
    assert headers["content-disposition"] == 'attachment; filename="snare_01.wav"'
    assert body == wav(studio, spec, "snare_01", output)
    (tmp_path / "x.wav").write_bytes(body)
    recipe = read_recipe(tmp_path / "x.wav")
    assert (recipe is None) == output.plain
    if recipe:
        [sound] = read(recipe, "x.wav").sounds
        again = render(studio.player, sound, output.sample_rate)
        heard, rate = soundfile.read(tmp_path / "x.wav", dtype="float32")
        assert rate == output.sample_rate
        np.testing.assert_allclose(heard, again, atol=2.0**-output.bits)


def test_a_kit_is_a_zip_of_what_the_command_writes(studio, instruments, tmp_path, monkeypatch):
    """Oracle: `drumjax kit --recipe` makes the same files of the kit.json, byte for byte."""
    status, headers, body = studio.ask("POST", "/kit", KIT)
    assert status == 200
    assert headers["content-type"] == "application/zip"
    assert headers["content-disposition"] == 'attachment; filename="my kit.zip"'
    assert studio.ask("POST", "/kit", KIT)[2] == body
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        assert archive.testzip() is None
        assert {entry.date_time[0] for entry in archive.infolist()} == {1980}
        archive.extractall(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("drumjax.play.cache.use_cache", lambda: None)
    instrument = f"--instrument={instruments / 'full.safetensors'}"
    assert main(["kit", instrument, "--recipe=my kit/kit.json", "--output=again"]) == 0
    made = files(tmp_path / "my kit")
    assert made == files(tmp_path / "again")
    assert set(made) == {
        *(f"drumjax_{name}.wav" for name in ("boom", "snare_01", "ghost")),
        *(f"my kit_samples/drumjax_{name}.wav" for name in ("boom", "snare_01", "ghost")),
        "my kit.sfz",
        "my kit.h2drumkit",
        "kit.json",
    }
    for pad in KIT["pads"]:
        want = wav(studio, pad["spec"], pad["name"], Output(44100, 24), pad["note"])
        file = f"drumjax_{pad['name'].replace(' ', '_')}.wav"
        assert made[file] == made[f"my kit_samples/{file}"] == want
    text = made["my kit.sfz"].decode()
    assert [line for line in text.split("\n") if line.startswith("key=")] == [
        f"key={note}" for note in (36, 50, 41)
    ]
    with tarfile.open(fileobj=io.BytesIO(made["my kit.h2drumkit"])) as tar:
        assert "my kit/drumkit.xml" in tar.getnames()
        assert len(tar.getnames()) == 4


def test_pads_without_notes_get_them(studio):
    pads = [{"name": n, "spec": {"category": n[:5]}} for n in ("snare", "snare b")]
    body = studio.ask("POST", "/kit", {"name": "k", "pads": pads})[2]
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        assert sorted(archive.namelist()) == [
            "k/drumjax_snare.wav",
            "k/drumjax_snare_b.wav",
            "k/kit.json",
        ]
        sounds = read(archive.read("k/kit.json"), "kit.json").sounds
    assert [sound.note for sound in sounds] == [38, 40]


def test_others_are_served_between_the_pads_of_a_kit(studio):
    """The kit's pads are queued one by one: what is asked for meanwhile is not behind them all."""
    order = []
    pads = [{"name": f"p{i}", "spec": {"category": "kick", "seed": i}} for i in range(80)]
    kit = {"name": "k", "pads": pads}

    async def both():
        loop, engine = asyncio.get_running_loop(), studio.engine
        asked = loop.run_in_executor(None, studio.ask, "POST", "/kit", kit)
        asked.add_done_callback(lambda _: order.append("kit"))
        done = engine.done
        while engine.done < done + 20:
            await asyncio.sleep(0.001)
        await engine.newest("other", lambda player: None)
        order.append("other")
        return await asked

    assert studio.on_loop(both())[0] == 200
    assert order == ["other", "kit"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "../../x"}, "cannot be called '../../x'"),
        ({"name": "/etc/passwd"}, "cannot be called"),
        ({"name": "a\0b"}, "cannot be called"),
        ({"name": "\ud800"}, "cannot be called"),
        ({"name": None}, "cannot be called"),
        ({"name": ["x"]}, "cannot be called"),
        ({"name": "x" * 100}, "cannot be called"),
        ({"profile": "cd"}, "The profile is null or one of daw"),
        ({"profile": []}, "The profile is null or one of daw"),
        ({"profil": "daw"}, "has no 'profil'"),
    ],
)
def test_files_that_cannot_be_made(studio, change, words):
    one = {"spec": SPEC}
    for path, asked in (("/wav", one), ("/kit", KIT), ("/save", KIT), ("/save", one)):
        status, sentence = studio.error("POST", path, {**asked, **change})
        assert status == 400
        assert words in sentence
    assert not studio.library.exists()


_PAD = KIT["pads"][0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"formats": []}, "The formats are a list of some of wav, sfz, hydrogen."),
        ({"formats": ["wav", {}]}, "The formats are a list"),
        ({"formats": "wav"}, "The formats are a list"),
        ({"pads": []}, "1 to 100"),
        ({"pads": {}}, "1 to 100"),
        ({"pads": [_PAD] * 101}, "1 to 100"),
        ({"pads": [7]}, "A pad is a table of name, note, spec"),
        ({"pads": [_PAD, {**_PAD, "note": 37}]}, "written to drumjax_boom.wav"),
        ({"pads": [_PAD, {**_PAD, "name": "BOOM", "note": 37}]}, "written to drumjax_boom.wav"),
        ({"pads": [_PAD, {**_PAD, "name": "b"}]}, "played by note 36"),
        ({"pads": [{**_PAD, "note": 128}]}, "The note of boom"),
        ({"pads": [{**_PAD, "note": 36.5}]}, "The note of boom"),
        ({"pads": [{**_PAD, "note": True}]}, "The note of boom"),
        ({"pads": [{**_PAD, "name": "a/b"}]}, "cannot be called 'a/b'"),
        ({"pads": [{**_PAD, "spec": {}}]}, "boom: The category must be"),
        (
            {"pads": [{**_PAD, "spec": {"category": "kick", "shape": {"trim_end": 9}}}]},
            "boom: trim_start and trim_end leave nothing",
        ),
    ],
)
def test_kits_that_cannot_be_made(studio, change, words):
    status, sentence = studio.error("POST", "/kit", {**KIT, **change})
    assert status == 400
    assert words in sentence


# What goes wrong


@pytest.mark.parametrize(("path", "mib"), [("/source", 20), ("/wav", 2), ("/kit", 2), ("/save", 2)])
def test_a_body_without_a_length_is_counted(studio, path, mib):
    """In chunks, of which there is no last one: the answer comes when there were too many."""
    head = f"POST {path} HTTP/1.1\r\nHost: {studio.host}\r\nX-Name: x.wav\r\n"
    with socket.create_connection(("127.0.0.1", studio.port), web_client.TIMEOUT) as raw:
        raw.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        for _ in range(16 * mib):
            raw.sendall(b"10000\r\n" + bytes(2**16) + b"\r\n")
        raw.settimeout(0.1)
        with pytest.raises(TimeoutError):
            raw.recv(1)
        raw.settimeout(web_client.TIMEOUT)
        raw.sendall(b"1\r\n0\r\n")
        answer = http.client.HTTPResponse(raw)
        answer.begin()
        with contextlib.closing(answer):
            assert answer.status == 413
            assert f"{mib} MiB at most" in json.loads(answer.read())["error"]


@pytest.mark.parametrize("depth", [100, 300, 500, 700, 850, 900, 950, 1000])
def test_values_nested_more_deeply_than_a_sentence_can_tell(studio, depth):
    nested = "[" * depth + "]" * depth
    body = f'{{"spec": {{"category": "kick", "alphas": {nested}}}}}'.encode()
    status, sentence = studio.error("POST", "/wav", body)
    assert status == 400
    assert len(sentence) < 200


@pytest.mark.parametrize("path", ["/wav", "/kit", "/save"])
@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff\xfe{}", b'{"name": "\xff"}', b"[" * 10**6, b'{"a":' * 10**5, b"NaN", b"7"],
)
def test_bodies_that_are_no_request(studio, path, body):
    status, sentence = studio.error("POST", path, body)
    assert status == 400
    assert len(sentence) < 200


def test_other_methods_and_places(studio):
    assert studio.error("GET", "/wav")[0] == 404
    assert studio.error("POST", "/")[0] == 405
    assert studio.error("PUT", "/instrument.json")[0] == 405
    assert studio.error("POST", "/nowhere/at/all")[0] == 404
    assert studio.ask("GET", "/ws")[0] == 404
    assert studio.ask("HEAD", "/instrument.json")[2] == b""


def test_a_mistake_of_ours_is_one_line_here_and_a_sentence_there(studio, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("secret\npath")

    monkeypatch.setattr(kits, "wav_of", broken)
    status, sentence = studio.error("POST", "/wav", {"spec": SPEC})
    assert status == 500
    assert "secret" not in sentence
    assert studio.lines == [r"'/wav' failed: ZeroDivisionError: 'secret\npath'"]
    studio.lines.clear()
    monkeypatch.setattr(desk.Conversation, "run", broken)
    with pytest.raises(InvalidStatus, match="500"):
        studio.talk()
    [line] = studio.lines
    assert line.startswith("'/ws' failed")
    studio.lines.clear()


def test_bytes_that_are_no_http(studio):
    rng = np.random.default_rng(1)
    for size in (1, 10, 100, 1000, 100_000):
        raw = socket.create_connection(("127.0.0.1", studio.port), web_client.TIMEOUT)
        with raw, contextlib.suppress(OSError):  # the server may hang up at any time
            raw.sendall(rng.bytes(size))
            raw.shutdown(socket.SHUT_WR)
            assert raw.recv(100)[:12] in (b"", b"HTTP/1.1 400")
    assert studio.ask("GET", "/instrument.json")[0] == 200


# The server


def test_who_says_nothing_is_not_kept(studio, monkeypatch):
    monkeypatch.setattr("drumjax.studio.http._SILENT", 0.1)
    with socket.create_connection(("127.0.0.1", studio.port), web_client.TIMEOUT) as silent:
        assert silent.recv(1) == b""
    with socket.create_connection(("127.0.0.1", studio.port), web_client.TIMEOUT) as slow:
        slow.sendall(b"GET / HT")
        time.sleep(0.3)
        slow.sendall(f"TP/1.1\r\nHost: {studio.host}\r\n\r\n".encode())
        assert slow.recv(15) == b"HTTP/1.1 200 OK"


def test_a_port_in_use(studio):
    web = WebServer(studio.engine, library=studio.library)
    with pytest.raises(DataError, match=rf"^Port {studio.port} is in use; .*--port=\d+\.$"):
        asyncio.run(web.start(port=studio.port))
    with pytest.raises(DataError, match=r"There is no host 'no\.such\.invalid'"):
        asyncio.run(web.start(host="no.such.invalid", port=0))
    with pytest.raises(DataError, match=r"192\.0\.2\.1 port 0 cannot be used"):
        asyncio.run(web.start(host="192.0.2.1", port=0))
    asyncio.run(web.stop())


def test_the_end_closes_what_is_open_and_frees_the_port(instruments, tmp_path):
    full = instruments / "full.safetensors"
    with web_client.running(full, tmp_path) as studio:
        talk = studio.talk()
        idle = socket.create_connection(("127.0.0.1", studio.port), web_client.TIMEOUT)
        started = time.monotonic()
    assert time.monotonic() - started < 10.0  # generous: it takes some 0.2 s
    with pytest.raises(ConnectionClosed), talk:
        talk.recv(web_client.TIMEOUT)
    with idle:
        assert idle.recv(1) == b""
    again = WebServer(Engine(studio.player), library=tmp_path)

    async def restart():
        port = await again.start(port=studio.port)
        await again.stop()
        return port

    assert asyncio.run(restart()) == studio.port


def test_signals_are_left_to_the_process(tmp_path):
    """In a process of its own: Ctrl-C reaches whoever set a handler before the server began."""
    code = """
import asyncio, pathlib, signal, sys
from drumjax.studio.http import WebServer
async def run():
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, ended.set)
    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    web = WebServer(None, library=pathlib.Path("x"))
    await web.start(port=0)
    assert handlers == [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    signal.raise_signal(signal.SIGINT)
    await ended.wait()
    await web.stop()
    print("ended")
asyncio.run(run())
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True)
    assert (done.stdout, done.stderr) == (b"ended\n", b"")
