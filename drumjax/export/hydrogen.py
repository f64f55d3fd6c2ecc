"""Hydrogen drum kits: a tar file of drumkit.xml and WAV files (hydrogen-music.org)."""

import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

from drumjax import __version__
from drumjax.atomic import write_file
from drumjax.errors import DataError
from drumjax.export.kit import Pad, check_kit, label, pad_files
from drumjax.export.profiles import Profile

_NAMESPACE = "http://www.hydrogen-music.org/drumkit"
_RELEASE = 1000  # samples in which a pad dies away that another of its choke group cuts off

# The schema, drumkit.xsd of Hydrogen 1.2, wants its elements in this order.
_BEFORE_GROUP = {
    "volume": "1",
    "isMuted": "false",
    "isSoloed": "false",
    "pan": "0",
    "pitchOffset": "0",
    "randomPitchFactor": "0",
    "gain": "1",
    "applyVelocity": "true",
    "filterActive": "false",
    "filterCutoff": "1",
    "filterResonance": "0",
    "Attack": "0",
    "Decay": "0",
    "Sustain": "1",
    "Release": str(_RELEASE),
}
_AFTER_NOTE = {
    "isStopNote": "false",
    "sampleSelectionAlgo": "VELOCITY",
    "isHihat": "-1",
    "lower_cc": "0",
    "higher_cc": "127",
    "FX1Level": "0",
    "FX2Level": "0",
    "FX3Level": "0",
    "FX4Level": "0",
}


def write_hydrogen(path: str | Path, pads: Sequence[Pad], name: str, profile: Profile) -> None:
    """Write a kit as a .h2drumkit file; the same kit gives the same bytes.

    Velocity sets the volume. Pads of one choke group, and those that it cuts off, cut each other
    off: Hydrogen has no other way, so that here an open hat ends a closed one, too.

    Raises:
      DataError: the suffix is another, the kit or its name cannot be used (`kit.check_kit`), or
        the file cannot be written.
    """
    if Path(path).suffix != ".h2drumkit":
        raise DataError(f"{path} is no name for a Hydrogen kit; let it end in .h2drumkit.")
    check_kit(name, pads)
    files = pad_files(pads, profile)
    names = [file_name for file_name, _ in files]
    write_file(path, _tar(name, [("drumkit.xml", _document(name, pads, names)), *files]))


def _tar(folder: str, files: Sequence[tuple[str, bytes]]) -> bytes:
    """An uncompressed tar file of one folder, with no times, users or groups in it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for file_name, content in files:
            entry = tarfile.TarInfo(f"{folder}/{file_name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _document(name: str, pads: Sequence[Pad], file_names: Sequence[str]) -> bytes:
    """drumkit.xml: one component, and an instrument of one layer for each pad."""
    root = ElementTree.Element("drumkit_info", {"xmlns": _NAMESPACE})
    _fill(
        root,
        {
            "name": name,
            "author": f"drumjax {__version__}",
            "info": "Generated sounds",
            "license": "undefined license",
            "image": "",
            "imageLicense": "undefined license",
        },
    )
    component = _under(root, "componentList", "drumkitComponent")
    _fill(component, {"id": "0", "name": "Main", "volume": "1"})
    instruments = _under(root, "instrumentList")
    for number, (pad, file_name) in enumerate(zip(pads, file_names, strict=True)):
        _add_instrument(instruments, number, pad, file_name)
    ElementTree.indent(root, " ")
    return ElementTree.tostring(root, "UTF-8", xml_declaration=True) + b"\n"


def _add_instrument(
    instruments: ElementTree.Element, number: int, pad: Pad, file_name: str
) -> None:
    instrument = _under(instruments, "instrument")
    _fill(instrument, {"id": str(number), "name": label(pad.name), **_BEFORE_GROUP})
    group = next((g for g in (pad.group, pad.cut_by) if g is not None), -1)
    _fill(
        instrument,
        {"muteGroup": str(group), "midiOutChannel": "-1", "midiOutNote": str(pad.note)},
    )
    _fill(instrument, _AFTER_NOTE)
    component = _under(instrument, "instrumentComponent")
    _fill(component, {"component_id": "0", "gain": "1"})
    layer = _under(component, "layer")
    _fill(layer, {"filename": file_name, "min": "0", "max": "1", "gain": "1", "pitch": "0"})


def _under(parent: ElementTree.Element, *names: str) -> ElementTree.Element:
    """A new element of the last name, inside new ones of the names before it."""
    for name in names:
        parent = ElementTree.SubElement(parent, name)
    return parent


def _fill(parent: ElementTree.Element, texts: Mapping[str, str]) -> None:
    """Add an element for each (name, text)."""
    for name, text in texts.items():
        ElementTree.SubElement(parent, name).text = text
