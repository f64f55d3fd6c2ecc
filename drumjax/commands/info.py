"""`drumjax info`: what an instrument file holds, in words."""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drumjax.errors import DrumjaxError

if TYPE_CHECKING:
    from drumjax.play.instrument import Instrument


def parser() -> argparse.ArgumentParser:
    """The command's flags."""
    p = argparse.ArgumentParser(
        prog="drumjax info",
        description="Say what an instrument file holds, after checking its SHA-256: categories, "
        "networks, controls, where its sounds come from and under which licence.",
    )
    p.add_argument("file", metavar="FILE", help="an instrument, NAME.safetensors")
    p.add_argument("--json", action="store_true", help="the whole metadata as JSON")
    return p


def main(argv: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    args = parser().parse_args(argv)
    from drumjax.play.instrument import load_instrument

    instrument = load_instrument(args.file)
    if args.json:
        print(json.dumps(dict(instrument.meta), indent=2, sort_keys=True))
        return 0
    for title, text in describe(instrument):
        print(f"{title + ':':<14}{text}")
    return 0


def describe(instrument: "Instrument") -> Iterator[tuple[str, str]]:
    """The instrument in titled lines."""
    meta, mel, path = instrument.meta, instrument.mel, instrument.path
    yield "instrument", f"{meta['name']} (made by {meta['made_by']})"
    if path is not None:
        yield "file", f"{path.stat().st_size / 1e6:.1f} MB, weights in {meta['precision']}, intact"
        yield "encoder", _encoder(path)
    yield "identity", instrument.identity
    seconds = mel.num_samples / mel.sample_rate
    yield "sound", f"{mel.sample_rate} Hz, mono, up to {seconds:.2f} s ({mel.num_samples} samples)"
    yield "categories", ", ".join(instrument.categories)
    yield "latents", f"{instrument.latents} numbers a sound, a Gaussian for each category"
    yield from _networks(instrument)
    yield from _controls(meta.get("controls", {}))
    yield from _provenance(meta["provenance"])


def _encoder(path: Path) -> str:
    from drumjax.play.instrument import encoder_path, load_instrument

    second = encoder_path(path)
    if not second.is_file():
        return "none beside it: vary, morph and learn-control need one"
    try:
        load_instrument(path, encoder=True)
    except DrumjaxError as error:
        return f"cannot be used: {error}"
    return f"{second.name}, {second.stat().st_size / 1e6:.1f} MB, intact"


def _networks(instrument: "Instrument") -> Iterator[tuple[str, str]]:
    c, v = instrument.meta["cwae"], instrument.meta["mcnn"]
    sizes = {
        half: sum(t.size for n, t in instrument.tensors.items() if n.startswith(half + "/"))
        for half in ("decoder", "mcnn")
    }
    channels, heads = ("-".join(map(str, x["channels"])) for x in (c, v))
    yield "CWAE", f"channels {channels}, {sizes['decoder'] / 1e6:.1f} M numbers in the decoder"
    yield "MCNN", f"{v['heads']} heads, channels {heads}, {sizes['mcnn'] / 1e6:.1f} M numbers"


def _controls(controls: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if not controls:
        yield "controls", "none; export it again without --no-controls"
        return
    yield "controls", json.dumps(controls)


def _provenance(provenance: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "licence", f"of the training sounds: {provenance.get('licence', 'not stated')}"
    yield "credits", provenance.get("credits") or "not stated"
    for name in ("cwae", "mcnn"):
        if about := provenance.get(name):
            sounds = about["data"].get("sounds", "?")
            yield f"{name.upper()} run", f"{about['steps']} steps on {sounds} sounds"
