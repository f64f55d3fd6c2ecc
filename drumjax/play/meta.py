"""What an instrument's metadata must say, and which tensors follow from it."""

import dataclasses
import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np

from drumjax.audio.mel import MelConfig, hz_to_mel, mel_to_hz
from drumjax.audio.names import brief
from drumjax.nn import compression
from drumjax.nn.frame_nets import FrameNets, decoder_shapes, encoder_shapes

Shape = tuple[int | None, ...]  # None: any size

# Bounds for files from strangers: far above what a drum needs, far below what fills a memory.
_MEL = {
    "sample_rate": (8_000, 192_000),
    "num_samples": (64, 10_000_000),
    "n_fft": (16, 65_536),
    "win_length": (16, 65_536),
    "hop_length": (1, 65_536),
    "n_mels": (1, 4_096),
}
_MEL_FIELDS = [field.name for field in dataclasses.fields(MelConfig)]
_SECONDS = 60
_DEEPEST = 32  # tables and lists inside one another
_SPECTRUM = 2**24  # numbers of one spectrogram, or of the mel filters
Mode = Literal["audible", "paper_category", "paper"]  # of the axes that controls lie along
MODES: tuple[Mode, ...] = ("audible", "paper_category", "paper")
MODELS = ("cwae", "frame_wae")  # what makes mels; an instrument has one of them
FRAME_SIZES = ("latents", "width", "wide", "blocks", "hidden", "narrow", "seed", "condition")
_CATEGORY = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_CONTROL = re.compile(r"[A-Za-z0-9_-]{1,40}")


def check_meta(meta: Any) -> None:
    """Refuse metadata that no instrument of ours could have.

    Args:
      meta: what JSON text held.

    Raises:
      ValueError: says what is wrong.
    """
    _need(isinstance(meta, dict), "its metadata are no table")
    check_plain(meta)
    for key in ("name", "made_by", "precision"):
        good = isinstance(meta.get(key), str) and len(meta[key]) <= 200 and meta[key].isprintable()
        _need(good, f"it has no usable {key}")
    about = meta.get("provenance")
    _need(isinstance(about, dict), "its provenance is no table")
    for key in (*MODELS, "mcnn"):
        run = about.get(key, {"data": {}})
        good = isinstance(run, dict) and isinstance(run.get("data"), dict)
        _need(good, f"its provenance of the {key} is no table")
    for key in ("licence", "credits"):
        _need(isinstance(about.get(key, ""), str), f"its provenance's {key} is no text")
    names = meta.get("categories")
    _need(isinstance(names, list) and 0 < len(names) <= 256, "it lists no categories")
    good = all(isinstance(n, str) and _CATEGORY.fullmatch(n) and n != "all" for n in names)
    _need(good and len(set(names)) == len(names), f"its categories are {brief(names)}")
    _check_mel(meta.get("mel"))
    for keys, what in ((MODELS, "models"), (("mcnn", "phase"), "inverters")):
        found = [k for k in keys if k in meta]
        _need(len(found) == 1, f"it has the {what} {found}, not one of {list(keys)}")
    (_check_frame_wae if "frame_wae" in meta else _check_cwae)(meta)
    (_check_phase if "phase" in meta else _check_mcnn)(meta)
    _check_controls(meta.get("controls", {}))


def check_plain(value: Any) -> None:
    """Refuse what JSON text held if it is nested too deeply, or a number of it is not finite.

    Raises:
      ValueError: says which.
    """
    level = [value]
    for _ in range(_DEEPEST):
        _need(all(abs(x) < np.inf for x in level if type(x) is float), "a number is not finite")
        tables = [x.values() if type(x) is dict else x for x in level if type(x) in (dict, list)]
        level = [item for table in tables for item in table]
        if not level:
            return
    raise ValueError("it is nested too deeply")


def _need(good: Any, reason: str) -> None:
    if not good:
        raise ValueError(reason)


def _whole(value: Any, low: int, high: int, what: str) -> None:
    good = type(value) is int and low <= value <= high
    _need(good, f"{what} is {brief(value)}, not {low} to {high}")


def _wholes(value: Any, count: tuple[int, int], low: int, high: int, what: str) -> None:
    good = isinstance(value, list) and count[0] <= len(value) <= count[1]
    _need(good, f"{what} is {brief(value)}, no list of {count[0]} to {count[1]} numbers")
    for item in value:
        _whole(item, low, high, what)


def _check_mel(mel: Any) -> None:
    _need(isinstance(mel, dict), "it has no mel settings")
    for key in mel:
        _need(key in _MEL_FIELDS, f"mel has no {brief(key)}")
    for key, known in (("scale", ("slaney", "htk")), ("norm", ("slaney", None))):
        _need(mel.get(key, "slaney") in known, f"mel.{key} is {brief(mel.get(key))}")
    for key, bounds in _MEL.items():
        _whole(mel.get(key), *bounds, f"mel.{key}")
    for key in ("f_min", "f_max"):
        value = mel.get(key, 0)
        good = type(value) in (int, float) and 0 <= value <= mel["sample_rate"]
        _need(good or (key == "f_max" and value is None), f"mel.{key} is {brief(value)}")
    _need(mel["num_samples"] <= _SECONDS * mel["sample_rate"], f"it lasts more than {_SECONDS} s")
    MelConfig(**mel)  # says the rest


def _section(meta: Any, key: str) -> Any:
    _need(isinstance(meta[key], dict), f"its {key}'s settings are no table")
    return meta[key]


def _check_frame_wae(meta: Any) -> None:
    c = _section(meta, "frame_wae")
    for key in FRAME_SIZES:
        _whole(c.get(key), 1, 16_384, f"frame_wae.{key}")
    _need(c["blocks"] <= 64, f"frame_wae.blocks is {c['blocks']}")
    power = c.get("power")
    _need(type(power) in (int, float) and 0.1 <= power <= 1, f"frame_wae.power is {brief(power)}")


def _check_phase(meta: Any) -> None:
    _whole(_section(meta, "phase").get("rounds"), 1, 1_000, "phase.rounds")
    win, fft, hop = (meta["mel"][k] for k in ("win_length", "n_fft", "hop_length"))
    _need(2 * hop <= win <= fft, "mel.hop_length leaves gaps between its windows")
    _need(fft <= 64 * hop, f"mel.n_fft is {fft}, more than 64 hops")
    mel = MelConfig(**meta["mel"])
    bins = fft // 2 + 1
    small = bins * mel.frames <= _SPECTRUM and bins * mel.n_mels <= _SPECTRUM
    _need(small, "its spectrograms are too large")
    _need(_has_filters(mel), "its mel filters are empty")


def _has_filters(mel: MelConfig) -> bool:
    """Whether `mel_filterbank` is finite and not empty, without making it, which costs memory."""
    ends = hz_to_mel(np.array([mel.f_min, mel.top]), mel.scale)
    edges = mel_to_hz(np.linspace(ends[0], ends[1], mel.n_mels + 2), mel.scale)
    bins = np.fft.rfftfreq(mel.n_fft, 1.0 / mel.sample_rate)
    inside = (edges[0] < bins) & (bins < edges[-1])
    return bool((np.diff(edges) > 0).all() and inside.any())


def _check_cwae(meta: Any) -> None:
    c = _section(meta, "cwae")
    _whole(c.get("latents"), 1, 4_096, "cwae.latents")
    _wholes(c.get("channels"), (1, 8), 1, 4_096, "cwae.channels")
    _wholes(c.get("hidden"), (1, 8), 1, 65_536, "cwae.hidden")
    for key, low, high in (("kernel", 1, 64), ("stride", 1, 16), ("padding", 0, 64)):
        _wholes(c.get(key), (2, 2), low, high, f"cwae.{key}")
    floor = c.get("log_floor")
    _need(type(floor) in (int, float) and 0 < floor < 1, f"cwae.log_floor is {brief(floor)}")


def _check_mcnn(meta: Any) -> None:
    v, hop = _section(meta, "mcnn"), meta["mel"]["hop_length"]
    _whole(v.get("heads"), 1, 256, "mcnn.heads")
    _wholes(v.get("channels"), (2, 16), 1, 4_096, "mcnn.channels")
    _whole(v.get("width"), 1, 64, "mcnn.width")
    _whole(v.get("stride"), 1, 16, "mcnn.stride")
    _whole(v.get("padding"), 0, v["width"] - 1, "mcnn.padding")
    for key in ("elu_last", "softsign", "keep_audible"):
        _need(isinstance(v.get(key), bool), f"mcnn.{key} is {brief(v.get(key))}")
    threshold = v.get("mask_threshold")
    good = type(threshold) is float and 0 < threshold < 1
    _need(good, f"mcnn.mask_threshold is {brief(threshold)}")
    _need(v["channels"][-1] == 2, "the last of mcnn.channels is not 2, a sound and its mask")
    _need(v["stride"] ** len(v["channels"]) == hop, "mcnn.stride and mel.hop_length do not agree")


def _check_controls(words: Any) -> None:
    _need(isinstance(words, dict), "its controls are no table")
    for key in ("attributes", "learnt"):
        names = words.get(key, [])
        _need(isinstance(names, list | dict), f"controls.{key} is no list")
        good = all(isinstance(n, str) and _CONTROL.fullmatch(n) for n in names)
        _need(good, f"controls.{key} are {brief(names)}")
    modes = dict.fromkeys(MODES, dict.fromkeys(("explains", "reaches"), 0.0))
    attributes = dict.fromkeys(words.get("attributes", []), 0.0)
    for key, like in (("audible_share", modes), ("predicted", attributes)):
        table = words.get(key, {})
        good = isinstance(table, dict) and all(_is_like(row, like) for row in table.values())
        _need(good, f"controls.{key} is no table of numbers")


def _is_like(value: Any, like: Any) -> bool:
    """Whether a value has at least the keys of nested dicts of numbers, and numbers there."""
    if not isinstance(like, dict):
        return type(value) in (int, float)
    return isinstance(value, dict) and all(k in value and _is_like(value[k], like[k]) for k in like)


def grid_sizes(meta: Mapping[str, Any]) -> list[tuple[int, int]]:
    """(mels, frames) before and after each of the encoder's convolutions; the decoder reversed."""
    sizes = [(int(meta["mel"]["n_mels"]), MelConfig(**meta["mel"]).frames)]
    strides = meta["cwae"]["stride"]
    for _ in meta["cwae"]["channels"]:
        m, t = sizes[-1]
        sizes.append((-(-m // strides[0]), -(-t // strides[1])))
    return sizes


def latents(meta: Mapping[str, Any]) -> int:
    """Size of a code z."""
    return int(next(meta[key] for key in MODELS if key in meta)["latents"])


def frame_nets(meta: Mapping[str, Any]) -> FrameNets:
    """The sizes of a frame WAE's networks."""
    mel = MelConfig(**meta["mel"])
    sizes = {k: meta["frame_wae"][k] for k in FRAME_SIZES}
    return FrameNets(mel.frames, mel.n_mels, len(meta["categories"]), **sizes)


def expected_tensors(meta: Mapping[str, Any]) -> Iterator[tuple[str, Shape]]:
    """Name and shape of every tensor that the metadata call for, the encoder's included."""
    k, d = len(meta["categories"]), latents(meta)
    yield from _of_frames(meta) if "frame_wae" in meta else _of_grid(meta)
    if "mcnn" in meta:
        yield from _mcnn(meta["mcnn"], meta["mel"]["n_mels"])
    yield "latents/mean", (k, d)
    yield "latents/covariance", (k, d, d)
    yield from _controls(meta.get("controls", {}), k, d)


def _of_frames(meta: Mapping[str, Any]) -> Iterator[tuple[str, Shape]]:
    nets = frame_nets(meta)
    groups = {"encoder": encoder_shapes, "decoder": decoder_shapes, "shortcut": compression.shapes}
    for room, shapes in groups.items():
        yield from ((f"{room}/{name}", shape) for name, shape in shapes(nets).items())


def _of_grid(meta: Mapping[str, Any]) -> Iterator[tuple[str, Shape]]:
    c, k, sizes = meta["cwae"], len(meta["categories"]), grid_sizes(meta)
    d = c["latents"]
    inner = sizes[-1][0] * sizes[-1][1] * c["channels"][-1]
    ups = [c["channels"][-1], *c["channels"][-2::-1], 1]
    yield from _half("encoder", c, k, [inner, *c["hidden"], d], [1, *c["channels"]])
    yield from _half("decoder", c, k, [d + k, *c["hidden"][::-1], inner], ups)
    for key in ("mean", "std"):
        yield f"scaler/{key}", sizes[0][::-1]


def _half(
    half: str, c: Mapping[str, Any], k: int, widths: list[int], chain: list[int]
) -> Iterator[tuple[str, Shape]]:
    for i, shape in enumerate(itertools.pairwise(widths)):
        yield f"{half}/dense{i}/kernel", shape
        yield f"{half}/dense{i}/bias", shape[1:]
    for i, shape in enumerate(itertools.pairwise(chain)):
        yield f"{half}/conv{i}/kernel", (*c["kernel"], *shape)
        if half == "encoder" or i < len(chain) - 2:
            yield f"{half}/norm{i}/scale", (k, shape[1])
            yield f"{half}/norm{i}/shift", (k, shape[1])
        else:
            yield f"{half}/conv{i}/bias", (1,)


def _mcnn(v: Mapping[str, Any], mels: int) -> Iterator[tuple[str, Shape]]:
    for i, shape in enumerate(itertools.pairwise([mels, *v["channels"]])):
        yield f"mcnn/layer{i}/kernel", (v["heads"], v["width"], *shape)
    yield "mcnn/head_weights", (v["heads"],)
    if v["softsign"]:
        yield "mcnn/softsign", (2,)


def _controls(words: Mapping[str, Any], k: int, d: int) -> Iterator[tuple[str, Shape]]:
    if "audible_share" in words:
        for mode, lead in zip(MODES, ((k,), (k,), ()), strict=True):
            yield f"controls/{mode}/directions", (*lead, None, d)
            yield f"controls/{mode}/spread", (*lead, None)
    if count := len(words.get("attributes", [])):
        for key in ("mean", "std"):
            yield f"controls/attributes/{key}", (k, count)
        for key in ("centre", "scale"):
            yield f"controls/map/{key}", (d,)
        for i, (rows, columns) in enumerate(((d + k, None), (None, None), (None, count))):
            yield f"controls/map/layer{i}/kernel", (None, rows, columns)
            yield f"controls/map/layer{i}/bias", (None, 1, columns)
    for name in words.get("learnt", []):
        yield f"controls/step/{name}", (k, d)


def check_tensors(
    meta: Mapping[str, Any], tensors: Mapping[str, np.ndarray], prefixes: tuple[str, ...]
) -> None:
    """Refuse tensors that are missing, of another shape, or not finite.

    Args:
      meta: checked.
      tensors: by name.
      prefixes: of the names to look at.

    Raises:
      ValueError: says which one.
    """
    for name, shape in expected_tensors(meta):
        if not name.startswith(prefixes):
            continue
        _need(name in tensors, f"{name} is missing")
        found = tensors[name].shape
        fits = len(found) == len(shape) and all(
            want is None or size == want for size, want in zip(found, shape, strict=True)
        )
        _need(fits, f"{name} has the shape {found}, not {shape}")
    _check_pairs(tensors)
    for name, value in tensors.items():
        if name.startswith(prefixes):
            _need(value.dtype in (np.float16, np.float32), f"{name} is of {value.dtype}")
            _need(_is_finite(value), f"{name} holds numbers that are not finite")
            divides = name in ("shortcut/spread", "shortcut/scale", "scaler/std")
            _need(not divides or np.min(value) > 0, f"{name} is not above 0 everywhere")


def _check_pairs(tensors: Mapping[str, np.ndarray]) -> None:
    """Refuse controls whose tensors, each of a good shape, do not go together."""
    shape = {name: value.shape for name, value in tensors.items()}
    for mode in MODES:
        axes, spread = (shape.get(f"controls/{mode}/{k}") for k in ("directions", "spread"))
        _need(axes is None or axes[:-1] == spread, f"controls/{mode}/spread has the shape {spread}")
    layers = [shape.get(f"controls/map/layer{i}/kernel") for i in range(3)]
    before = layers[0]
    for i, kernel in enumerate(layers):
        if kernel is not None:
            joined = i == 0 or (before is not None and kernel[:2] == (before[0], before[2]))
            good = joined and shape.get(f"controls/map/layer{i}/bias") == (kernel[0], 1, kernel[2])
            _need(good, f"controls/map/layer{i} does not fit the one before")
        before = kernel


def _is_finite(x: np.ndarray) -> bool:
    """NumPy's own test widens half precision first, which is five times as slow."""
    if x.dtype == np.float16:
        return not ((x.view(np.uint16) & 0x7C00) == 0x7C00).any()
    return bool(np.isfinite(x).all())
