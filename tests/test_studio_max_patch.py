"""The Max for Live device's patch, held to the reference of Max that py2max brings along.

No Max is run; test_studio_max_run.py runs the patch's messages.
"""

import copy
import itertools
import re

import pytest
from max_graph import BOXES, CORDS, DEVICE, PARAMETERS, find, find_status, reach, sets_off, words_of

from drumjax.studio.max import objects, patcher
from drumjax.studio.max.container import patcher_text

# The patch, held to Max's reference


@pytest.fixture(scope="module")
def reference():
    """An object's entry in the reference of Max 9."""
    maxref = pytest.importorskip("py2max.maxref")
    return maxref.get_object_info


def test_all_objects_are_in_the_reference_with_these_ports(reference):
    ports = pytest.importorskip("py2max.maxref.porttypes")
    for name in objects.OBJECTS:
        assert reference(name), name
    for id, box in BOXES.items():
        name, *arguments = words_of(id)
        ins, outs = ports.port_counts(reference(name)["name"], box.get("text"))
        told = box["numinlets"], box["numoutlets"]
        assert told == (ins, outs), (name, arguments)
        assert len(box.get("outlettype", [])) == told[1]
        signals = ["signal" in o["type"].lower() for o in reference(name)["outlets"]]
        for outlet, kind in enumerate(box.get("outlettype", [])):
            if kind == "signal":
                assert signals[outlet], name


def test_all_attributes_are_in_the_reference(reference):
    every = {"id", "maxclass", "numinlets", "numoutlets", "outlettype", "patching_rect"}
    every |= {"presentation", "presentation_rect", "text", "varname", "annotation", "fontsize"}
    every |= {"parameter_enable", "saved_attribute_attributes", "textjustification"}
    every |= {"num_lines_patching", "num_lines_presentation"}
    for id, box in BOXES.items():
        told = {word[1:] for word in words_of(id) if word.startswith("@")}
        known = reference(words_of(id)[0])["attributes"]
        assert told | (set(box) - every) <= set(known), box


def test_all_messages_are_understood(reference):
    """What `prepend` and message boxes say is a method of the object that hears it."""
    count = 0
    for a, _, b, _ in CORDS:
        box = BOXES[a]
        if words_of(a)[0] not in ("prepend", "message") or words_of(b)[0] == "gate":
            continue  # a gate passes everything on
        said = box["text"].removeprefix("prepend ").split()[0]
        known = reference(words_of(b)[0])["methods"]
        if not re.fullmatch(r"-?\d+\.?\d*", said) and "anything" not in known:
            count += 1
            # Parameters take this one, which the reference of each object leaves out.
            assert said in known or said == "_parameter_range", (said, words_of(b))
    assert count > 10


def test_py2max_finds_nothing_to_say(tmp_path, capsys):
    cli = pytest.importorskip("py2max.cli")
    path = tmp_path / "drumjax.maxpat"
    path.write_bytes(patcher_text(DEVICE))
    assert cli.main(["validate", str(path)]) == 0
    assert "clean" in capsys.readouterr().out
    spoilt = copy.deepcopy(DEVICE)
    spoilt["patcher"]["lines"][0]["patchline"]["source"][1] = 9
    path.write_bytes(patcher_text(spoilt))
    assert cli.main(["validate", str(path)]) == 1


# The patch, looked at


def test_nothing_is_cut_off_or_covered():
    places = {id: b["presentation_rect"] for id, b in BOXES.items() if b.get("presentation")}
    assert DEVICE["patcher"]["openinpresentation"] == 1
    for x, y, width, height in places.values():
        assert min(x, y) >= 0
        assert x + width <= DEVICE["patcher"]["devicewidth"]
        assert y + height <= 169
    for (a, (ax, ay, aw, ah)), (b, (bx, by, bw, bh)) in itertools.combinations(places.items(), 2):
        apart = ax + aw <= bx or bx + bw <= ax or ay + ah <= by or by + bh <= ay
        assert apart, (words_of(a), words_of(b))


def test_parameters_are_whole():
    names = [p["parameter_longname"] for p in PARAMETERS.values()]
    assert len(set(names)) == len(names) == 21
    listed = dict(DEVICE["patcher"]["parameters"])
    banks = listed.pop("parameterbanks")
    told = {
        id: [p["parameter_longname"], p["parameter_shortname"], 0] for id, p in PARAMETERS.items()
    }
    assert listed == told
    for id, p in PARAMETERS.items():
        assert BOXES[id]["varname"] == p["parameter_longname"]
        if p["parameter_type"] == patcher.FILE:
            assert p["parameter_invisible"] == 1
            continue
        (initial,) = p["parameter_initial"]
        assert p["parameter_initial_enable"] == 1
        if p["parameter_type"] == patcher.ENUM:
            assert p["parameter_mmax"] == len(p["parameter_enum"]) - 1
        assert p.get("parameter_mmin", 0) <= initial <= p["parameter_mmax"]
        assert BOXES[id]["annotation"].endswith(".")
    for number, bank in banks.items():
        assert int(number) == bank["index"]
        assert len(bank["parameters"]) == 8
        assert set(bank["parameters"]) <= {*names, "-"}
    on_push = [n for bank in banks.values() for n in bank["parameters"] if n != "-"]
    assert sorted(on_push) == sorted(n for n in names if n != "File")


def test_it_is_an_instrument_of_its_own_buffer():
    assert DEVICE["patcher"]["project"]["amxdtype"] == 1768515945 == 0x69696969
    users = [words_of(i)[1] for i in BOXES if words_of(i)[0] in ("buffer~", "play~")]
    wave = next(b for b in BOXES.values() if b["maxclass"] == "waveform~")
    assert [*users, wave["buffername"]] == ["---drumjax"] * 3


PACKED = {"X": 0, "Y": 1, "Fine": 2, "Category": 3, "Range": 5, "Seed": 6}


@pytest.mark.parametrize(("name", "inlet"), PACKED.items())
def test_controls_lead_to_the_server_in_order(name, inlet):
    """generate a1 a2 a3 category reply_port range seed"""
    pack = find("pack", "0.", "0.", "0.", "0", "0", "1.", "0")
    others = {find(n) for n in PACKED if n != name} | {find("pictslider")}
    # Each comes to its own inlet, and sets the list off by the first.
    assert {j for b, j in reach(find(name), others) if b == pack} == {0, inlet}
    assert (find("prepend", "/drumjax/generate"), 0) in reach(pack, avoid={find("udpsend")})
    assert (find("+", "20001"), 0, pack, 4) in CORDS


def test_requests_for_sounds_share_one_way_to_the_server():
    """Two limits side by side would let an older request come after a newer one."""
    outbox, send = find("t", "b", "l"), find("udpsend")
    for word in ("generate", "vary"):
        address = find("prepend", f"/drumjax/{word}")
        assert [end for end in CORDS if end[0] == address] == [(address, 0, outbox, 0)]
    last = {tuple(words_of(a)) for a, _, b, _ in CORDS if b == send}
    facts = {("prepend", f"/drumjax/{word}") for word in ("attribute", "categories", "ping")}
    assert last == {("speedlim", "25"), *facts}


def test_answers_lead_to_the_buffer_and_the_status_line():
    receive, status = find("udpreceive"), find_status()
    route = find("route", "/drumjax/pong", "/drumjax/sample", "/drumjax/error")
    assert (receive, 0, route, 0) in CORDS
    heard = {
        o: set().union(*(reach(b) | {(b, j)} for a, i, b, j in CORDS if (a, i) == (route, o)))
        for o in range(4)
    }
    assert (find("buffer~"), 0) in heard[1]
    for outlet in (0, 1, 2):
        assert (status, 0) in heard[outlet]
    assert (find("Category"), 0) in heard[3]


def test_no_control_feeds_itself_without_set():
    sets = {i for i in BOXES if words_of(i)[:2] == ["prepend", "set"]}
    assert len(sets) >= 5
    for id in BOXES:
        back = {b for b, j in reach(id, avoid=sets) if sets_off(words_of(b)[0], j)}
        assert id not in back, BOXES[id]
