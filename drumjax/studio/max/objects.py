"""The Max objects that the device is made of: their inlets and outlets, as Max 9 documents them."""

from collections.abc import Callable, Sequence

Ports = tuple[int, tuple[str, ...]]  # how many inlets, the types of the outlets ("": any message)

_ANY = ("",)
_OBJECTS: dict[str, Ports] = {
    "*": (2, _ANY),
    "*~": (2, ("signal",)),
    "+": (2, _ANY),
    "/": (2, _ANY),
    "buffer~": (1, ("float", "bang")),
    "change": (1, ("", "int", "int")),
    "comment": (1, ()),
    "conformpath": (1, ("", "int")),
    "dbtoa": (1, ("float",)),
    "delay": (2, ("bang",)),
    "int": (2, ("int",)),
    "line~": (2, ("signal", "bang")),
    "live.comment": (1, ()),
    "live.dial": (1, ("", "float")),
    "live.drop": (1, ("", "")),
    "live.menu": (1, ("", "", "float")),
    "live.numbox": (1, ("", "float")),
    "live.tab": (1, ("", "", "float")),
    "live.text": (1, ("", "")),
    "live.thisdevice": (1, ("bang", "int", "int")),
    "maximum": (2, ("float", "int")),
    "message": (2, _ANY),
    "metro": (2, ("bang",)),
    "minimum": (2, ("float", "int")),
    "notein": (1, ("int", "int", "int")),
    "onebang": (2, ("bang", "bang")),
    "pictslider": (2, ("int", "int")),
    "play~": (1, ("signal", "bang")),
    "plugout~": (2, ("signal", "signal")),
    "prepend": (1, _ANY),
    "random": (2, ("int",)),
    "speedlim": (2, _ANY),
    "stripnote": (2, ("int", "int")),
    "udpreceive": (1, _ANY),
    "udpsend": (1, ()),
    "waveform~": (5, ("float", "float", "float", "float", "list", "")),
    "zl.change": (2, ("", "")),
    "zl.reg": (2, ("", "")),
    "zl.sort": (2, ("", "")),
}
_SENDS = {"b": "bang", "i": "int", "f": "float", "l": "", "s": ""}  # what `trigger` is told to send
_BY_ARGUMENTS: dict[str, Callable[[Sequence[str]], Ports]] = {
    "gate": lambda a: (2, ("",) * int(a[0] if a else 1)),
    "pack": lambda a: (len(a), _ANY),
    "pak": lambda a: (len(a), _ANY),
    "route": lambda a: (len(a) + 1, ("",) * (len(a) + 1)),
    "sel": lambda a: (len(a) + 1, ("bang",) * len(a) + _ANY),
    "sprintf": lambda a: (sum("%" in word for word in a), _ANY),
    "t": lambda a: (1, tuple(map(_sent, a))),
    "unpack": lambda a: (1, ("",) * len(a)),
}


def _sent(word: str) -> str:
    """The type of what `t` sends for an argument; a number is sent as it is."""
    return _SENDS.get(word, "float" if "." in word else "int")


OBJECTS = (*_OBJECTS, *_BY_ARGUMENTS)


def ports_of(name: str, arguments: Sequence[str] = ()) -> Ports:
    """The inlets and outlets of an object with these arguments (attributes, @…, not counted).

    Raises:
      ValueError: the object is not one of OBJECTS.
    """
    if name in _BY_ARGUMENTS:
        return _BY_ARGUMENTS[name](arguments)
    if name not in _OBJECTS:
        raise ValueError(f"{name!r} is no object that is known here; check it in Max's reference.")
    return _OBJECTS[name]
