"""`drumjax info`: what an instrument file holds, in words."""

import argparse
import collections
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drumjax.commands import _files, _flags
from drumjax.errors import ConfigError, DrumjaxError

if TYPE_CHECKING:
    from drumjax.play.instrument import Instrument

EXPLAINED = """
What is heard to vary among a category's sounds. explains: how much of it is known once a sound's
place on three axes is (100 %: all; below 0: the place misleads). reaches: how much sounds on the
three axes vary, beside all sounds (above 100 %: more than these)."""


def parser() -> argparse.ArgumentParser:
    """The command's flags."""
    p = _flags.new_parser(
        "info",
        "Say what an instrument file holds, after checking its SHA-256: categories, networks, "
        "controls, where its sounds come from and under which licence.",
        ["", "mine.safetensors", "mine.safetensors --sweep"],
    )
    p.add_argument(
        "file",
        nargs="?",
        metavar="FILE",
        help="an instrument, NAME.safetensors (the factory instrument)",
    )
    p.add_argument(
        "--sweep",
        action="store_true",
        help="move each attribute of sounds of every category, and measure what is heard (minutes)",
    )
    p.add_argument("--json", action="store_true", help="the whole metadata as JSON")
    return p


def main(argv: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    args = parser().parse_args(argv)
    from drumjax.play.instrument import load_instrument

    instrument = load_instrument(_files.instrument_path(args.file))
    if args.sweep:
        print(sweep(instrument))
        return 0
    if args.json:
        print(json.dumps(dict(instrument.meta), indent=2, sort_keys=True))
        return 0
    for title, text in describe(instrument):
        print(f"{title + ':' * bool(title):<14}{_plain(text)}")
    if "audible_share" in instrument.meta.get("controls", {}):
        from drumjax.play.axes import as_text

        print(EXPLAINED)
        print(as_text(instrument.meta["controls"]))
    return 0


def sweep(instrument: "Instrument") -> str:
    """Tables of what is heard when each attribute is swept; see `play.sweep.summary`.

    Raises:
      ConfigError: the instrument has no attributes.
    """
    from drumjax.play.cache import use_cache
    from drumjax.play.runtime import Player
    from drumjax.play.sweep import as_text, measure_sweeps

    if not instrument.meta.get("controls", {}).get("attributes"):
        raise ConfigError("The instrument has no attributes; export it again with its controls.")
    use_cache()
    table = measure_sweeps(Player(instrument), progress=lambda line: print(line, file=sys.stderr))
    parts = {
        "each": "rank correlation with the amount, median of the sounds",
        "each_size": "the same without its sign",
        "together_size": "rank correlation over all sounds of a category, without its sign",
        "slope_size": "change per unit, in standard deviations, without its sign",
    }
    return "\n\n".join(f"{title}\n{as_text(table, key)}" for key, title in parts.items())


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
    yield from _controls(instrument)
    yield from _provenance(meta["provenance"])


def _plain(text: str) -> str:
    """A stranger's words without what steers a terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


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
    meta, sizes = instrument.meta, collections.defaultdict(float)
    for name, tensor in instrument.tensors.items():
        sizes[name.partition("/")[0]] += tensor.size / 1e6
    if f := meta.get("frame_wae"):
        shape = f"{2 * f['blocks']} blocks, channels {f['wide']} and {f['width']}"
        numbers = sizes["decoder"] + sizes["shortcut"]
        yield "frame WAE", f"{shape}, {numbers:.1f} M numbers in the decoder"
    if c := meta.get("cwae"):
        channels = "-".join(map(str, c["channels"]))
        yield "CWAE", f"channels {channels}, {sizes['decoder']:.1f} M numbers in the decoder"
    if v := meta.get("mcnn"):
        channels = "-".join(map(str, v["channels"]))
        yield "MCNN", f"{v['heads']} heads, channels {channels}, {sizes['mcnn']:.1f} M numbers"
    if p := meta.get("phase"):
        yield "waveform", f"from the spectrogram's phase gradient, {p['rounds']} rounds"


def _controls(instrument: "Instrument") -> Iterator[tuple[str, str]]:
    from drumjax.play.controls import names

    words = instrument.meta.get("controls", {})
    yield "controls", ", ".join(names(instrument)) or "none; export it again with its controls"
    if predicted := words.get("predicted"):
        rows = predicted.values()
        means = {a: sum(r[a] for r in rows) / len(rows) for a in words["attributes"]}
        text = ", ".join(f"{a} {r:.2f}" for a, r in means.items())
        yield "", f"how well unheard sounds' attributes are predicted (R², 1 at best): {text}"


def _provenance(provenance: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "licence", f"of the training sounds: {provenance.get('licence', 'not stated')}"
    yield "credits", provenance.get("credits") or "not stated"
    for name, title in {"cwae": "CWAE", "frame_wae": "frame WAE", "mcnn": "MCNN"}.items():
        if about := provenance.get(name):
            sounds = about["data"].get("sounds", "?")
            yield f"{title} run", f"{about.get('steps', '?')} steps on {sounds} sounds"
