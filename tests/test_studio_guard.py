"""Who gets an answer of the studio's server: this machine's own programs and page, nobody else."""

import asyncio

import pytest

from drumjax.studio.guard import Guard, own_hosts

SPEC = {"category": "snare", "seed": 3}


def test_no_page_of_another_site_gets_at_anything_and_no_script_of_one_runs(studio):
    for path in ("/instrument.json", "/nothing.js"):
        headers = studio.ask("GET", path)[1]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert not {"server", "access-control-allow-origin"} & headers.keys()
        policy = dict(p.split(" ", 1) for p in headers["content-security-policy"].split("; "))
        assert policy["default-src"] == "'self'"
        assert policy["connect-src"] == f"'self' ws://{studio.host}"
        assert policy["frame-ancestors"] == "'none'"
        assert "script-src" not in policy


@pytest.mark.parametrize("host", ["127.0.0.1:{}", "localhost:{}", "LOCALHOST:{}", "[::1]:{}"])
def test_it_answers_to_names_of_this_machine(studio, host):
    host = host.format(studio.port)
    origin = f"http://{host.lower()}"
    assert studio.ask("GET", "/instrument.json", Host=host)[0] == 200
    assert studio.ask("POST", "/wav", {"spec": SPEC}, Host=host, Origin=origin)[0] == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example:{}", "127.0.0.1", "127.0.0.1:1", "127.0.0.2:{}", "localhost.evil:{}", "", ":{}"],
)
def test_a_name_that_was_made_to_point_here_gets_nothing(studio, host):
    """DNS rebinding: the browser takes the stranger's page for ours, but names its host."""
    for path, method in (("/instrument.json", "GET"), ("/save", "POST")):
        status, sentence = studio.error(method, path, Host=host.format(studio.port))
        assert status == 403
        assert "its address" in sentence
    assert not studio.library.exists()


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:{}"},  # ours, but not by the name that is asked
        {"Origin": "https://127.0.0.1:{}"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"},
    ],
)
def test_a_form_of_another_site_is_refused(studio, headers):
    headers = {name: value.format(studio.port) for name, value in headers.items()}
    for path in ("/save", "/wav", "/kit", "/source"):
        status, sentence = studio.error("POST", path, {"spec": SPEC}, **headers)
        assert (status, sentence) == (403, "A page of another site may not use this server.")
    assert not studio.library.exists()


def test_a_link_to_the_page_may_be_followed_but_not_framed(studio):
    visit = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}
    assert studio.ask("GET", "/instrument.json", Sec_Fetch_Dest="document", **visit)[0] == 200
    assert studio.ask("GET", "/instrument.json", Sec_Fetch_Dest="iframe", **visit)[0] == 403
    assert studio.ask("GET", "/instrument.json", Sec_Fetch_Site="none")[0] == 200


@pytest.mark.parametrize(
    ("bound", "port", "host", "let_in"),
    [
        ("127.0.0.1", 8400, "192.168.0.7:8400", False),
        ("192.168.0.7", 8400, "192.168.0.7:8400", True),
        ("192.168.0.7", 8400, "192.168.0.8:8400", False),
        ("fe80::7", 8400, "[fe80::7]:8400", True),
        ("0.0.0.0", 8400, "192.168.0.7:8400", True),
        ("0.0.0.0", 8400, "[2001:db8::7]:8400", True),
        ("0.0.0.0", 8400, "evil.example:8400", False),
        ("0.0.0.0", 8400, "192.168.0.7:80", False),
        ("::", 8400, "192.168.0.7:8400", True),
        ("Studio.local", 8400, "studio.local:8400", True),
        ("localhost", 80, "localhost", True),
        ("localhost", 80, "evil.example", False),
    ],
)
def test_the_names_that_each_host_answers_to(bound, port, host, let_in):
    asked = []

    async def app(scope, receive, send):
        asked.append(scope["path"])

    async def send(message):
        asked.append(message.get("status"))

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"host", host.encode())]}
    asyncio.run(Guard(app, own_hosts(bound), port, print)(scope, None, send))
    assert asked == (["/"] if let_in else [403, None])
