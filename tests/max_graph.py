"""The device's patch as a graph: its boxes, its cords, and where they lead."""

from drumjax.studio.max import face
from drumjax.studio.max.device import build_device

DEVICE = build_device()
BOXES = {entry["box"]["id"]: entry["box"] for entry in DEVICE["patcher"]["boxes"]}
CORDS = [
    (*line["patchline"]["source"], *line["patchline"]["destination"])
    for line in DEVICE["patcher"]["lines"]
]
PARAMETERS = {
    id: box["saved_attribute_attributes"]["valueof"]
    for id, box in BOXES.items()
    if box.get("parameter_enable")
}


def words_of(id):
    """A box's object and its arguments."""
    box = BOXES[id]
    return box["text"].split() if box["maxclass"] == "newobj" else [box["maxclass"]]


def find(*words):
    """The one box whose text begins with these words, or a parameter of that name."""
    named = [i for i, p in PARAMETERS.items() if [p["parameter_longname"]] == [*words]]
    (id,) = named or [i for i in BOXES if tuple(words_of(i)[: len(words)]) == words]
    return id


def reach(id, avoid=()):
    """All (box, inlet) that messages of a box can come to, and what they set off there."""
    seen, new = set(), {id}
    while new:
        ends = {(b, j) for a, _, b, j in CORDS if a in new and b not in avoid} - seen
        seen |= ends
        new = {b for b, j in ends if sets_off(words_of(b)[0], j)}
    return seen


def sets_off(name, inlet):
    """Whether what comes to an inlet makes output, or is only stored."""
    if name == "gate":
        return inlet == 1
    return (inlet == 0 and name != "udpreceive") or name in ("pak", "waveform~")


def find_status():
    return next(i for i, b in BOXES.items() if b.get("text") == face.offline(9400))
