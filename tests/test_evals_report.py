"""The report's three files: numbers that parse, sounds that play, a page that a browser shows."""

import base64
import io
import json
import re
import shutil
import struct
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
import soundfile
from judging import known_subject, of_kits, to_float
from tiny import MEL, NAMES, bursts

from drumjax.audio.levels import CEILING
from drumjax.errors import DataError
from drumjax.evals import distribution, latent, report_page
from drumjax.evals.material import Material
from drumjax.evals.report import FILES, summary, write_report
from drumjax.evals.report_media import audio_uri, indexed_png, picture_uris
from drumjax.evals.report_tables import headlines, ranged
from drumjax.evals.run import Options, evaluate

EVIL = '"><script>alert(1)</script><img src=x onerror=alert(2)> | *b* `c`'
OPTIONS = Options(count=12, steps=3, rivals=1, timed=1, codes=12, pairs=1)


@pytest.fixture(scope="module")
def results():
    """The whole evaluation of a subject that plays training sounds back; without librosa."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "librosa", None)
        patch.setattr(distribution, "_SIZES", 2)
        patch.setattr(latent, "_DRAWS", 40)
        yield _results()
    latent._null.cache_clear()  # of so few draws


def _results():
    train, held = of_kits(bursts(20, 20, 20, seed=3)), of_kits(bursts(8, 8, 8, seed=4))
    both = held._replace(
        audio=np.concatenate([held.audio, train.audio]),
        category=np.concatenate([held.category, train.category]),
    )
    held = held._replace(names=(EVIL, *(f"held_{i}" for i in range(1, 24))))
    subject = known_subject(both)._replace(name=EVIL, about={"identity": EVIL})
    material = Material("sounds", held, held, train, True, True, (EVIL,))

    def sweeps(tick):
        tick(3.0)
        cell = {"each": -0.5, "each_size": 0.5, "slope_size": 0.25}
        return {"all": {"pitch": {"pitch": cell}}, "points": 10}

    return evaluate(subject, material, OPTIONS, sweeps)


@pytest.fixture(scope="module")
def written(results, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report") / "new"
    assert write_report(folder, results) == list(FILES)
    assert sorted(p.name for p in folder.iterdir()) == sorted(FILES)
    return folder


def refuse(constant):
    raise AssertionError(f"{constant} is no JSON")


# Numbers


def test_json_holds_every_section(written, results):
    told = json.loads((written / "report.json").read_text(), parse_constant=refuse)
    sections = {"reconstruction", "rivals", "latent", "sweeps", "generation", "headline", "notes"}
    assert sections <= told.keys()
    assert told["reconstruction"]["chain"]["sc"]["sounds"]["mean"] == pytest.approx(1.0, abs=1e-5)
    assert told["reconstruction"]["rendered"]["sc"]["macro"] == pytest.approx(0.0, abs=1e-5)
    assert told["data"]["judged"] == {
        "sounds": 24,
        "kits": 6,
        "categories": {name: {"sounds": 8, "kits": 6} for name in NAMES},
    }
    assert told["options"]["seed"] == 1
    assert len(told["data"]["digest"]) == 64
    assert {row["digest"] for row in told["generation"]["distances"].values()} != {""}
    assert told["seconds"].keys() >= {"reconstruction", "classifiers"}


def test_headlines_are_the_numbers(results):
    lines = {line.title: line for line in headlines(results.numbers)}
    assert lines["Whole chain, raw: mel SC"].value.startswith("1.000 (")
    assert "as played 0.000" in lines["Whole chain, raw: mel SC"].beside
    assert lines["Ends in silence"].value == "100 %"
    assert summary(results.numbers).count("\n") == 2 * len(lines) - 1


def test_markdown_has_a_row_for_each_category_and_its_counts(written):
    text = (written / "report.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| kick | 8 | 6 |")]
    assert len(rows) == 2  # what comes back, and what is recognised
    assert "0.500" in rows[0]  # the mel of the code is half of the kick's
    assert "<script>" not in text
    for block in text.split("\n\n"):
        widths = {
            len(re.findall(r"(?<!\\)\|", row)) for row in block.splitlines() if row[:1] == "|"
        }
        assert len(widths) <= 1, block  # all rows of a table have its columns


def test_copies_are_told_where_the_control_is_found(results):
    """The subject plays training sounds back without loss, so both tests see it."""
    found = results.numbers["generation"]["copies"]
    assert (found["control"]["mean"], found["nearer_control"]["mean"]) == (1.0, 1.0)
    lines = {line.title: line for line in headlines(results.numbers)}
    line = lines["Copies of training sounds"]
    assert "training sounds sent through the chain: 100.0 %" in line.beside


def test_copies_are_not_claimed_where_the_control_is_missed(results):
    found = dict(results.numbers["generation"])
    share = {"mean": 0.4, "low": 0.3, "high": 0.5, "n": 60}
    found["copies"] = {**found["copies"], "control": share, "nearer": share}
    lines = list(headlines({**results.numbers, "generation": found}))
    assert "Copies of training sounds" not in {line.title for line in lines}
    line = lines[-1]
    assert line.title == "Nearer to a training sound than to a held-out one"
    assert line.value == "40 % (30 to 50)"
    assert "cannot be told by this test" in line.words
    assert "training sounds sent through the chain: 40.0 %" in line.beside


def test_a_test_that_does_not_find_its_control_says_nothing(results):
    found = dict(results.numbers["generation"])
    share = {"mean": 0.45, "low": 0.3, "high": 0.6, "n": 60}
    found["copies"] = {**found["copies"], "control": share, "nearer_control": share}
    *_, line = headlines({**results.numbers, "generation": found})
    assert line.value == "cannot be told"
    assert "is 45 % (30 to 60)" in line.beside


def test_the_diagonal_of_attributes_has_its_sign(written):
    text = (written / "report.md").read_text()
    assert "| pitch | **-0.50** | 0.25 |" in text
    assert "about 0.22 by chance" in text  # 0.674 / √(10 - 1)


def test_one_number_of_codes_is_set_beside_the_prior(results):
    table = results.numbers["latent"]
    rows = [*table["categories"].values(), table["held_out"]]
    assert {row["raw"]["n"] for row in rows} == {table["n"]} == {12}
    assert "p" not in rows[0]["raw"]
    assert not any("prior" in line.title for line in headlines(results.numbers))


def test_a_dash_stands_for_what_is_not_known():
    assert ranged(None) == "–"
    assert ranged({"mean": 0.25, "low": None, "high": None}, 2) == "0.25"
    assert ranged({"mean": 0.25, "low": 0.1, "high": 0.4}, 0, 100) == "25 (10 to 40)"


# The page


class Page(HTMLParser):
    """Collects what a page consists of."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.append(dict(attrs))

    def handle_data(self, data):
        self.text += data

    def of(self, tag):
        return [a for t, a in zip(self.tags, self.attributes, strict=True) if t == tag]


@pytest.fixture(scope="module")
def page(written):
    return Page((written / "report.html").read_text())


def test_every_player_plays_and_is_labelled(page, results):
    players = page.of("audio")
    assert len(players) == len(NAMES) * (3 * 3 + 8)  # known ones thrice each, and new ones
    peaks = []
    for player in players:
        kind, _, data = player["src"].partition(",")
        assert kind == "data:audio/wav;base64"
        sound, rate = soundfile.read(io.BytesIO(base64.b64decode(data, validate=True)))
        assert rate == MEL.sample_rate
        peaks.append(np.abs(sound).max())
        assert player["aria-label"]
        assert "controls" in player
    loud = [peak for peak in peaks if peak]
    np.testing.assert_allclose(loud, CEILING, atol=2e-4)
    assert len(peaks) - len(loud) == 3 * len(NAMES)  # the inverter's, which is silent


def test_every_picture_is_inside_and_described(page):
    pictures = page.of("img")
    assert len(pictures) == len(page.of("audio"))
    for picture in pictures:
        assert picture["alt"].startswith("Spectrogram: ")
        data = base64.b64decode(picture["src"].removeprefix("data:image/png;base64,"))
        assert data.startswith(b"\x89PNG")


def test_the_page_needs_nothing_else(page, written):
    text = (written / "report.html").read_text()
    assert not re.search(r"https?://|@import|url\(", text)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    policy = next(a for a in page.of("meta") if "http-equiv" in a)["content"]
    assert policy.startswith("default-src 'none'")
    assert len(text) < report_page.LARGEST
    assert "prefers-color-scheme: dark" in text


def test_strangers_words_stay_words(page):
    assert not any(name.startswith("on") for a in page.attributes for name in a)
    assert "alert(1)" in page.text  # shown, not run
    assert {"x"}.isdisjoint(a.get("src") for a in page.attributes)


def test_headings_lead_to_categories(page):
    targets = {a["href"].removeprefix("#") for a in page.of("a")}
    assert targets <= {a.get("id") for a in page.attributes}
    assert len(targets) == len(NAMES)


def test_a_page_that_would_be_too_large_has_fewer_players(results, monkeypatch):
    whole = report_page.page(results)
    monkeypatch.setattr(report_page, "LARGEST", len(whole) - 1)
    fewer = report_page.page(results)
    assert len(fewer) < len(whole)
    assert 0 < fewer.count("<audio") < whole.count("<audio")


BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.mark.parametrize("size", [(1200, 900), (390, 844)], ids=["desk", "phone"])
def test_a_browser_shows_it(written, tmp_path, size):
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip("no Chromium or Chrome is installed")
    shot = tmp_path / "shot.png"
    flags = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'x'}"]
    flags += [f"--window-size={size[0]},{size[1]}", f"--screenshot={shot}"]
    address = (written / "report.html").as_uri()
    subprocess.run([browser, *flags, address], capture_output=True, timeout=120, check=True)
    data = shot.read_bytes()
    assert struct.unpack(">II", data[16:24])[0] >= size[0]
    from matplotlib.image import imread

    pixels = imread(shot)[..., :3]
    assert len(np.unique(pixels.reshape(-1, 3)[::7], axis=0)) > 50  # not one empty page


# Its parts


def test_a_sound_is_kept_without_the_zeros_at_its_end():
    sound = np.zeros(22050, np.float32)
    sound[:4410] = 0.25
    data = base64.b64decode(audio_uri(sound, 22050).partition(",")[2])
    samples, _ = soundfile.read(io.BytesIO(data), dtype="int16")
    assert len(samples) == 4410
    assert samples.max() == round(CEILING * 32768)
    silent = base64.b64decode(audio_uri(0 * sound, 22050).partition(",")[2])
    assert len(soundfile.read(io.BytesIO(silent))[0]) == 2205


def test_a_picture_has_the_colours_of_its_palette(tmp_path):
    """matplotlib is the oracle."""
    from matplotlib.image import imread

    colours = np.array([[0, 0, 0], [255, 0, 0], [10, 20, 30]], np.uint8)
    pixels = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)
    file = tmp_path / "x.png"
    file.write_bytes(indexed_png(pixels, colours))
    read = np.round(imread(file)[..., :3] * 255).astype(np.uint8)
    np.testing.assert_array_equal(read, colours[pixels])


def test_low_notes_lie_at_the_bottom_of_a_picture(tmp_path):
    from matplotlib.image import imread

    t = np.arange(MEL.num_samples) / MEL.sample_rate
    [uri] = picture_uris(np.sin(2 * np.pi * 600 * t)[None].astype(np.float32), MEL)
    file = tmp_path / "x.png"
    file.write_bytes(base64.b64decode(uri.partition(",")[2]))
    bright = imread(file)[..., :3].sum(-1).mean(1)
    assert bright.argmax() > 0.6 * len(bright)


def test_nothing_is_written_where_nothing_can_be(results, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="choose another place"):
        write_report(tmp_path / "file", results)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_the_sounds_of_the_page_are_those_judged(page, results):
    first = to_float(results.material.judged)[0]
    player = next(a for a in page.of("audio") if a["aria-label"] == "kick, original")
    data = base64.b64decode(player["src"].partition(",")[2])
    sound = soundfile.read(io.BytesIO(data))[0]
    np.testing.assert_allclose(sound, first[: len(sound)] * CEILING, atol=1e-3)
