"""Strict settings for every test: 8 CPU devices, no broadcasting of ranks, no reused keys."""

import signal

import jax
import pytest

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_key_reuse", True)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as of a shell's background jobs: what tests
    signal.signal(signal.SIGINT, signal.default_int_handler)  # start would be deaf to Ctrl-C, too


@pytest.fixture
def rng():
    import numpy as np

    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def instruments(tmp_path_factory):
    """Files: tiny and other; full, tiny with axes and attributes; mute, which lacks its encoder;
    hats, of other categories.
    """
    from playing import write_instruments

    folder = tmp_path_factory.mktemp("instruments")
    write_instruments(folder)
    return folder


@pytest.fixture(scope="session")
def player():
    """Of the tiny instrument."""
    from instruments import tiny_instrument

    from drumjax.play.runtime import Player

    return Player(tiny_instrument())


@pytest.fixture
def play(instruments, tmp_path, monkeypatch):
    """Runs a command in a fresh folder; returns the exit status. No cache is kept."""
    from drumjax.__main__ import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("drumjax.play.cache.use_cache", lambda: None)

    def run(command, *flags, instrument="tiny"):
        return main([command, f"--instrument={instruments / instrument}.safetensors", *flags])

    return run


@pytest.fixture
def refused(play, tmp_path, capsys):
    """Runs a command that must refuse; returns its sentence. Nothing may be written."""

    def run(command, *flags, **options):
        before = sorted(tmp_path.rglob("*"))
        capsys.readouterr()
        assert play(command, *flags, **options) == 1
        error = capsys.readouterr().err
        assert error.startswith(f"drumjax {command}: ")
        assert error.endswith(".\n")
        assert error.count("\n") == 1
        assert sorted(tmp_path.rglob("*")) == before
        return error

    return run


@pytest.fixture
def groove(tmp_path):
    """in.mid: kick, snare, a cymbal that no pad plays, and the same kick again: half a second."""
    from playing import write_part

    write_part(tmp_path / "in.mid", (0, 36, 127), (240, 38, 64), (0, 49, 100), (240, 36, 127))
    return tmp_path


@pytest.fixture(scope="module")
def studio_server(instruments, tmp_path_factory):
    """A studio's web server of the instrument full, at a port of its own; no library is made."""
    from web_client import running

    folder = tmp_path_factory.mktemp("studio")
    with running(instruments / "full.safetensors", folder / "a" / "library") as server:
        yield server


@pytest.fixture
def studio(studio_server):
    """The server, which must fail at nothing that a test does not take from its lines."""
    yield studio_server
    lines, studio_server.lines[:] = studio_server.lines[:], []
    assert lines == []


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    from drumjax.benchmarks import chromium

    if chromium.found() is None:
        pytest.skip("there is no Chromium")
    with chromium.chromium() as page:
        page.downloads = tmp_path_factory.mktemp("downloads")
        page.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(page.downloads))
        yield page


@pytest.fixture
def page(browser, studio):
    """A fresh session; at the end, nothing was logged and nobody else was asked."""
    url = f"http://{studio.host}/"
    browser.size(1280, 800)
    browser.open(url)
    browser.run("drumjax.ready.then(() => localStorage.clear())")
    browser.errors.clear()
    browser.requests.clear()
    browser.open(url)
    browser.run("drumjax.ready")
    yield browser
    browser.run("0")
    assert browser.errors == []
    own = (url, url.replace("http", "ws"), f"blob:{url}")
    assert [r for r in browser.requests if not r.startswith((*own, "data:"))] == []


@pytest.fixture(scope="module")
def compile_once(tmp_path_factory):
    """What a module's tests compile is kept on disk until its end."""
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    for name, value in zip(names, (str(tmp_path_factory.mktemp("cache")), 0.1), strict=True):
        jax.config.update(name, value)
    yield
    for name, value in before.items():
        jax.config.update(name, value)
