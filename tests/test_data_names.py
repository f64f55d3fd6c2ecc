"""Categories read from real-world file names, and the division into folds."""

from pathlib import PurePath

import numpy as np
import pytest

from drumjax.data.aliases import OTHER, Aliases, load_aliases
from drumjax.data.split import split_by_file, split_by_kit
from drumjax.errors import DataError

NAMES = {
    "kick": [
        "Kick 01.wav",
        "BD0025.WAV",
        "808_bd_long.wav",
        "VEC1 Bassdrums/VEC1 BD Distortion 12.wav",
        "KICKdrum.aif",
        "Bass Drum-7.flac",
        "Kik.wav",
        "hardkick03.wav",
        "Snares and more/Kick_Deep.wav",
        "TR-909/Kicks/12.wav",
        "BD/01.wav",
        "Kicks/Snappy/Boomy 5.wav",
    ],
    "snare": [
        "SD_snappy.wav",
        "Snr-Tight.wav",
        "SnareDrum1.wav",
        "VEC1 Snares 034.wav",
        "Vintage (Snare) C#.wav",
    ],
    "clap": ["HandClap.wav", "clp3.wav", "CP.WAV", "808-Clap07.wav", "claps/dry.wav"],
    "snap": ["Finger Snap 2.wav", "fingersnap.wav", "pinkysnap_l_rr1.wav"],
    "closed_hat": [
        "Hat Closed 1.wav",
        "CHH 3.wav",
        "HHClosed.wav",
        "hihat-closed.wav",
        "42-RockHatClosed-1.wav",
        "CL Tip Hat 8.aif",
        "sdbkit-hatclsd.wav",
        "hihatclosed.wav",
        "Closed Hats/HH 01.wav",
        "Hats/closed 03.wav",
        "Hi-Hats/Closed/07.wav",
        "CH/01.wav",
        "HH 909/closed 1.wav",
    ],
    "open_hat": [
        "OpenHat5.wav",
        "Open Hi-Hat.wav",
        "ohh_12.wav",
        "909 OH.wav",
        "mfb_op_hat.wav",
        "hatopen.wav",
        "ohihat.ogg",
        "Hats/Open/Hat 4.wav",
    ],
    "tom": ["LT.wav", "FloorTom 2.wav", "Tom3-9.flac", "mfb_hitom.wav", "Low Tom.wav", "MT75.WAV"],
    "conga": ["tr505-conga-l.wav", "Quinto_HitN.wav", "Congas/slap 3.wav", "Perc Conga 4.wav"],
    "bongo": ["BongoH_HitMuted1.wav", "bongo01.wav", "Percussion/Bongos/x.wav"],
    "shaker": ["shaker 5.wav", "Maracas.wav", "Hi_Shk1.wav", "Cabasa_2.wav"],
    "tambourine": ["TambUp.wav", "DT_Tamborine.ogg", "Tambourine roll.wav"],
    OTHER: ["Crash 1.wav", "Kicks/Ride 2.wav", "Rimshot.wav", "cowbell_808.wav", "Clave.wav"],
    None: [
        "01.wav",
        "Roland MC-303/07.wav",
        "Casio MT-40/3.wav",
        "SD Card/01.wav",
        "Snare Clap 3.wav",
        "Hat 05.wav",
        "Kicks/HH 2.wav",
        "Hat Half Open.wav",
        "Snare Rimshot 2.wav",
        "Drums/One Shots/weird.wav",
    ],
}


@pytest.mark.parametrize(
    ("name", "category"), [(name, key) for key, names in NAMES.items() for name in names]
)
def test_category_of_a_name(name, category):
    assert Aliases().category(PurePath(name)) == category


def test_own_table_extends_and_overrides(tmp_path):
    path = tmp_path / "table.toml"
    path.write_text('[aliases]\nkick = ["boom", "low thud"]\nother = ["shake"]\n')
    table = load_aliases(path)
    assert table.category(PurePath("Boom_3.wav")) == "kick"
    assert table.category(PurePath("snares/low-thud 3.wav")) == "kick"
    assert table.category(PurePath("thud low.wav")) is None
    assert table.category(PurePath("shake 1.wav")) == OTHER
    assert table.category(PurePath("snare 1.wav")) == "snare"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[aliases]\nkik = ["x"]\n', "names the category 'kik'"),
        ("[aliases]\nkick = 3\n", "word"),
        ('kick = ["x"]\n', r"no \[aliases\]"),
        ("aliases]", "cannot be read"),
        ('[aliases]\nkick = ["808"]\n', "'808'; write words of letters"),
        ('[aliases]\nkick = ["boom+9"]\n', "write words of letters"),
        ("aliases = 3\n", r"write \[aliases\]"),
        ("[[aliases]]\n", r"write \[aliases\]"),
    ],
)
def test_a_table_that_cannot_be_used_is_named(tmp_path, text, words):
    path = tmp_path / "table.toml"
    path.write_text(text)
    with pytest.raises(DataError, match=words):
        load_aliases(path)
    with pytest.raises(DataError, match="cannot be read"):
        load_aliases(tmp_path / "none.toml")


def test_a_table_may_begin_with_a_mark_and_hold_parted_accents(tmp_path):
    path = tmp_path / "table.toml"
    path.write_text('[aliases]\nkick = ["tr\u00e9s"]\nsnare = ["gra\u0302ve"]\n', "utf-8-sig")
    table = load_aliases(path)
    assert table.category(PurePath("tre\u0301s 1.wav")) == "kick"
    assert table.category(PurePath("gr\u00e2ve 1.wav")) == "snare"


def test_folders_that_name_a_category():
    table = Aliases()
    folders = ("Kicks", "Closed Hats", "hi-hat", "808 Kicks", "VEC1 Bassdrums", "Cymbals", "BD")
    assert [name for name in folders if not table.is_named_by(name)] == []
    kits = ("TR909", "Hard", "SD Card", "Casio MT-40", "Drums", "Kit C", "Percussion")
    assert [name for name in kits if table.is_named_by(name)] == []


def test_split_by_file_holds_back_the_share_of_each_category():
    categories = ["kick"] * 50 + ["snare"] * 2 + ["tom"] + ["clap"] * 3
    held = split_by_file(categories, 0.2, seed=0)
    counts = {c: int(held[np.array(categories) == c].sum()) for c in set(categories)}
    assert counts == {"kick": 10, "snare": 1, "tom": 0, "clap": 1}
    np.testing.assert_array_equal(held, split_by_file(categories, 0.2, seed=0))
    assert (held != split_by_file(categories, 0.2, seed=1)).any()


def random_kits(rng):
    """30 kits with 0 to 8 sounds of each of five categories."""
    counts = rng.integers(0, 9, (30, 5))
    kit, category = np.nonzero(counts)
    repeats = counts[kit, category]
    names = np.array(["kick", "snare", "tom", "clap", "conga"])
    return names[np.repeat(category, repeats)], np.repeat(kit, repeats).astype(str)


def test_split_by_kit_never_parts_a_kit_and_comes_near_the_share(rng):
    for seed in range(5):
        categories, kits = random_kits(rng)
        held = split_by_kit(categories, kits, 0.2, seed)
        for kit in set(kits):
            assert len(set(held[kits == kit])) == 1
        for category in set(categories):
            assert 0.1 < held[categories == category].mean() < 0.3


def test_split_by_kit_leaves_each_category_something_to_train_on():
    categories = ["kick", "kick", "snare", "snare", "snare", "tom"]
    kits = ["a", "b", "a", "a", "a", "b"]
    held = split_by_kit(categories, kits, 0.2, seed=0)
    assert not held.any()  # kit a holds all snares, kit b the only tom
    two = split_by_kit(["kick"] * 4, ["a", "a", "b", "b"], 0.2, seed=0)
    assert two.sum() == 2
