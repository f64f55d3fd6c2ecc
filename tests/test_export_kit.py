"""Kits on disk: what the formats ask for, file names, notes, rates, and what is refused."""

import re
import tarfile
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile

from drumjax.categories import CATEGORIES
from drumjax.errors import ConfigError, DataError
from drumjax.export import gm
from drumjax.export.hydrogen import write_hydrogen
from drumjax.export.kit import Pad, check_kit, pad_file, pad_files, write_samples
from drumjax.export.profiles import PROFILES, file_name, find_profile, hybrid_word
from drumjax.export.sfz import write_sfz
from drumjax.export.wav import read_recipe
from drumjax.play.recipe import file_name_of

RATE = 22050


def make_pads(categories=CATEGORIES):
    rng = np.random.default_rng(5)
    return [
        Pad(
            name=f"{name} <{i} & more>\nof it",
            category=name,
            note=note,
            samples=rng.uniform(-0.5, 0.5, 999).astype(np.float32),
            sample_rate=RATE,
            recipe={"seed": i},
            group=gm.choke_groups(name)[0],
            cut_by=gm.choke_groups(name)[1],
        )
        for i, (name, note) in enumerate(zip(categories, gm.assign_notes(categories), strict=True))
    ]


def unity_note(data):
    """The fourth number of a file's smpl chunk."""
    return int.from_bytes(data[data.rindex(b"smpl") + 8 + 12 :][:4], "little")


# --- profiles


@pytest.mark.parametrize(
    ("name", "rate", "subtype", "plain"),
    [
        ("daw", 44100, "PCM_24", False),
        ("elektron", 48000, "PCM_16", True),
        ("mpc", 44100, "PCM_16", True),
        ("polyend", 44100, "PCM_16", True),
    ],
)
def test_profiles(tmp_path, name, rate, subtype, plain):
    pads = make_pads()
    paths = write_samples(tmp_path / "a/b", pads, find_profile(name))
    assert sorted(paths) == sorted((tmp_path / "a/b").iterdir())
    for pad, path in zip(pads, paths, strict=True):
        info = soundfile.info(path)
        assert (info.samplerate, info.subtype, info.channels) == (rate, subtype, 1)
        assert info.frames == pytest.approx(len(pad.samples) * rate / RATE, abs=1)
        assert read_recipe(path) == (None if plain else pad.recipe)
        assert plain or unity_note(path.read_bytes()) == pad.note


def test_an_unknown_profile_is_told_the_known_ones():
    with pytest.raises(ConfigError, match=r"'octatrack'; choose one of daw, elektron, mpc"):
        find_profile("octatrack")
    assert all(name == profile.name for name, profile in PROFILES.items())


# --- file names


def test_file_names_of_any_category_are_plain():
    assert file_name("closed_hat", 3) == "drumjax_closed_hat_03.wav"
    odd = ["Große Trommel", "gro_e", "打楽器", "", "../up", "a" * 99, "con", "x y"]
    for name in (file_name(category, 1200) for category in (*CATEGORIES, *odd)):
        assert re.fullmatch(r"drumjax_[a-z0-9_]+_1200\.wav", name)
        assert len(name) < 32


@pytest.mark.parametrize("name", ["kick_01", "Low Boom - b", "x" * 48, "con"])
def test_a_pads_file_is_called_as_the_sounds_own(name):
    """Oracle: the name that `sample`, `kit` and `render` give the loose file."""
    assert pad_file(name) == file_name_of(name)


def test_a_pads_file_stays_in_its_folder_whatever_the_pad_is_called():
    for name in ("../up", "a/b", "a\\b", "打楽器", "a\nb", ""):
        assert re.fullmatch(r"drumjax_[A-Za-z0-9_-]*\.wav", pad_file(name))


def test_pads_of_one_category_are_told_apart_by_their_names():
    """Each file holds the samples of the pad that it is called by, in whatever order they come."""
    pads = [pad._replace(name=n) for pad, n in zip(make_pads(["tom", "tom"]), "ba", strict=True)]
    files = dict(pad_files(pads, find_profile("mpc")))
    assert files.keys() == {"drumjax_a.wav", "drumjax_b.wav"}
    assert files == dict(pad_files(pads[::-1], find_profile("mpc")))


def test_two_pads_of_one_file_are_refused(tmp_path):
    pads = [pad._replace(name=n) for pad, n in zip(make_pads()[:2], ("a b", "A_b"), strict=True)]
    with pytest.raises(DataError, match=r"written to drumjax_a_b\.wav; give each a name"):
        write_sfz(tmp_path, pads, "kit", find_profile("daw"))
    assert list(tmp_path.iterdir()) == []


def test_file_names_of_hybrids_tell_them_apart():
    shares = [
        {"closed_hat": 0.7, "open_hat": 0.3},
        {"closed_hat": 0.6, "open_hat": 0.4},
        {"open_hat": 0.7, "closed_hat": 0.3},
        {"kick": 0.7, "snare": 0.3},
        {"kick": 0.7, "snap": 0.3},
    ]
    words = [hybrid_word(s) for s in shares]
    names = [file_name(word, 99_999) for word in words]
    assert len(set(names)) == len(names)
    assert [word[:9] for word in words[2:]] == ["open_hat_", "kick_snar", "kick_snap"]
    for name in names:
        assert re.fullmatch(r"drumjax_[a-z0-9_]+_99999\.wav", name)
        assert len(name) <= 32
    assert hybrid_word(dict(reversed(shares[0].items()))) == words[0]


# --- notes


def test_each_category_has_notes_and_each_note_comes_back():
    assert tuple(gm.NOTES) == CATEGORIES
    for name in CATEGORIES:
        assert {gm.category_of(note) for note in gm.NOTES[name]} == {name}


@pytest.mark.parametrize(
    ("notes", "category"),
    [
        ((35, 36), "kick"),
        ((38, 40), "snare"),
        ((39,), "clap"),
        ((37, 26, 75), "snap"),
        ((42, 44), "closed_hat"),
        ((46,), "open_hat"),
        ((41, 43, 45, 47, 48, 50, 65, 66, 86, 87), "tom"),
        ((62, 63, 64), "conga"),
        ((60, 61), "bongo"),
        ((69, 70, 82), "shaker"),
        ((54, 83), "tambourine"),
        ((49, 51, 52, 53, 55, 57, 59), None),  # cymbals
        ((56, 58, 67, 68, 71, 72, 73, 74, 80, 81), None),  # bells, whistles, scrapers
        ((0, 34, 88, 127, 128), None),
    ],
)
def test_notes_of_the_general_midi_percussion_map(notes, category):
    assert {gm.category_of(note) for note in notes} == {category}


def test_a_closed_hat_chokes_an_open_one_and_nothing_else_chokes():
    groups = {name: gm.choke_groups(name) for name in (*CATEGORIES, "gong")}
    hats = {"closed_hat": (1, None), "open_hat": (None, 1)}
    assert groups == dict.fromkeys(groups, (None, None)) | hats


def test_pads_get_notes_of_their_own():
    notes = gm.assign_notes(["tom", "kick", "tom", "gong", "kick", "kick", "gong"])
    assert notes[:3] == [45, 36, 41]
    assert notes[4] == 35
    assert len(set(notes)) == 7
    assert {gm.category_of(notes[i]) for i in (3, 5, 6)} == {None}
    assert len(set(gm.assign_notes(["gong"] * 90))) == 90
    spare = gm.assign_notes(["gong"] * 66 + ["kick"])[:66]
    assert not set(spare) & set(range(27, 88))  # the drums, cymbals and bells of GM 1, GM 2 and GS
    assert not set(gm.assign_notes(["gong"] * 76)) & set(range(35, 82))
    with pytest.raises(DataError, match="200 pads needs more notes"):
        gm.assign_notes(["kick"] * 200)


# --- SFZ


def regions(text):
    """The opcodes of each region, over those of the headers before it; comments left out."""
    text, above, found = re.sub(r"//.*", "", text), {}, []
    for header, body in re.findall(r"<(\w+)>([^<]*)", text):
        opcodes = dict(line.split("=") for line in body.splitlines() if line)
        if header == "region":
            found.append(above | opcodes)
        else:
            above |= opcodes
    return found


def test_sfz(tmp_path):
    pads = make_pads()
    path = write_sfz(tmp_path, pads, "My kit", find_profile("daw"))
    assert path == tmp_path / "My kit.sfz"
    found = regions(path.read_text("utf-8"))
    assert [int(r["key"]) for r in found] == [pad.note for pad in pads]
    for region, pad in zip(found, pads, strict=True):
        assert (region["loop_mode"], region["amp_veltrack"]) == ("one_shot", "100")
        assert region["hint_ram_based"] == "1"
        assert read_recipe(path.parent / (region["default_path"] + region["sample"])) == pad.recipe
        groups = [None if group is None else str(group) for group in (pad.group, pad.cut_by)]
        assert [region.get("group"), region.get("off_by")] == groups
    assert sorted(p.name for p in tmp_path.iterdir()) == ["My kit.sfz", "My kit_samples"]


def test_kits_that_share_a_folder_keep_their_samples(tmp_path):
    loud, quiet = make_pads(), make_pads()
    quiet = [pad._replace(samples=pad.samples / 4) for pad in quiet]
    for name, pads in (("loud", loud), ("quiet", quiet)):
        write_sfz(tmp_path, pads, name, find_profile("daw"))
    kicks = [regions((tmp_path / f"{name}.sfz").read_text())[0] for name in ("loud", "quiet")]
    paths = [tmp_path / (kick["default_path"] + kick["sample"]) for kick in kicks]
    peaks = [np.abs(soundfile.read(path)[0]).max() for path in paths]
    assert peaks[0] == pytest.approx(4 * peaks[1], rel=1e-3)


# --- Hydrogen


def test_hydrogen(tmp_path):
    pads, profile = make_pads(), find_profile("daw")
    write_hydrogen(tmp_path / "kit.h2drumkit", pads, "My kit", profile)
    with tarfile.open(tmp_path / "kit.h2drumkit") as archive:
        members = {m.name: archive.extractfile(m).read() for m in archive.getmembers()}
        assert {(m.mtime, m.uid, m.uname, m.mode) for m in archive} == {(0, 0, "", 0o644)}
    files = dict(pad_files(pads, profile))
    assert members.keys() == {f"My kit/{name}" for name in ("drumkit.xml", *files)}
    assert all(members[f"My kit/{name}"] == content for name, content in files.items())
    kit = ElementTree.fromstring(members["My kit/drumkit.xml"])
    h2 = {"h2": "http://www.hydrogen-music.org/drumkit"}
    assert kit.findtext("h2:name", namespaces=h2) == "My kit"
    instruments = kit.findall("h2:instrumentList/h2:instrument", h2)
    for i, (node, pad, name) in enumerate(zip(instruments, pads, files, strict=True)):
        tags = ("id", "name", "muteGroup", "midiOutNote", "applyVelocity")
        group = 1 if pad.category in ("closed_hat", "open_hat") else -1
        assert [node.findtext(f"h2:{tag}", namespaces=h2) for tag in tags] == [
            str(i),
            pad.name.replace("\n", " "),
            str(group),
            str(pad.note),
            "true",
        ]
        assert [n.text for n in node.findall(".//h2:layer/h2:filename", h2)] == [name]


@pytest.mark.parametrize("name", PROFILES)
def test_the_same_kit_gives_the_same_bytes(tmp_path, name):
    for folder in ("a", "b"):
        write_sfz(tmp_path / folder, make_pads(), "kit", find_profile(name))
        write_hydrogen(tmp_path / folder / "k.h2drumkit", make_pads(), "kit", find_profile(name))
    first, second = (
        {p.relative_to(tmp_path / f): p.read_bytes() for p in (tmp_path / f).rglob("*.*")}
        for f in ("a", "b")
    )
    assert first == second
    assert len(first) == 2 + len(CATEGORIES)


# --- refusals


@pytest.mark.parametrize("name", ["", " ", "../up", "a/b", "tröt", "x" * 61, "a\n", "-a", "a."])
def test_names_that_are_no_file_names(tmp_path, name):
    with pytest.raises(DataError, match="cannot be called"):
        write_sfz(tmp_path, make_pads(), name, find_profile("daw"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("notes", "message"),
    [
        ([], "at least one pad"),
        ([36, 128], "between 0 and 127"),
        ([-1], "between 0 and 127"),
        ([36, 38, 36], "share note 36"),
    ],
)
def test_kits_that_cannot_be_played(tmp_path, notes, message):
    pads = [make_pads()[0]._replace(note=note) for note in notes]
    with pytest.raises(DataError, match=message):
        write_hydrogen(tmp_path / "k.h2drumkit", pads, "kit", find_profile("daw"))
    assert list(tmp_path.iterdir()) == []


def test_kits_at_the_limits_are_taken():
    pads = [make_pads()[i]._replace(note=note) for i, note in enumerate((0, 127))]
    for name in ("k", "My kit_2 - b", "x" * 60):
        check_kit(name, pads)


def test_a_pad_that_clips_leaves_no_file(tmp_path):
    pads = make_pads()
    pads[-1] = pads[-1]._replace(samples=np.full(10, 1.5, np.float32), sample_rate=44100)
    for write in (
        lambda: write_sfz(tmp_path / "a", pads, "kit", find_profile("daw")),
        lambda: write_hydrogen(tmp_path / "k.h2drumkit", pads, "kit", find_profile("daw")),
    ):
        with pytest.raises(DataError, match=r"reach 1\.5"):
            write()
    assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_bytes(b"file")
    with pytest.raises(DataError, match="cannot be made"):
        write_sfz(tmp_path / "file" / "kit", make_pads(), "kit", find_profile("daw"))
    with pytest.raises(DataError, match="cannot be written"):
        write_hydrogen(tmp_path / "no/k.h2drumkit", make_pads(), "kit", find_profile("daw"))
    with pytest.raises(DataError, match=r"end in \.h2drumkit"):
        write_hydrogen(tmp_path / "k.tar", make_pads(), "kit", find_profile("daw"))
