"""The instrument: one safetensors file that holds all that a player needs."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from drumjax import __version__
from drumjax.atomic import write_file
from drumjax.audio.mel import MelConfig
from drumjax.audio.names import brief
from drumjax.errors import ConfigError, DrumjaxError, InstrumentError
from drumjax.play import meta as words
from drumjax.play.meta import check_meta, check_tensors

FORMAT, SCHEMA = "drumjax-instrument", 2  # 1 had a CWAE and an MCNN, always
DTYPES = {"float16": np.float16, "float32": np.float32}
SOUND = (
    "decoder/",
    "mcnn/",
    "scaler/",
    "shortcut/",
)  # the tensors that decide what a code sounds like
_PLAYER = (*SOUND, "latents/", "controls/")
ROUNDS = 16  # of `audio.phase`, where there is no MCNN
_SMALL = 4096  # kernels up to this many numbers stay float32 whatever the file's precision
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)


@dataclasses.dataclass(frozen=True)
class Instrument:
    """Tensors by name, in the precision of the file, and what `meta` says of them.

    Tensors (d latents, k categories), of a frame WAE:
      decoder/...: as `nn.frame_nets` names them; shortcut/...: see `nn.compression`
    of a CWAE:
      decoder/dense{i}/kernel [in, out], bias [out]: the first takes [z, category] side by side
      decoder/conv{i}/kernel [h, w, in, out], last: bias [1]; transposed, scatter orientation
      decoder/norm{i}/scale [k, c], shift [k, c]: batch norm, its statistics folded in
      scaler/mean, scaler/std [frames, mels]: of the log-mel
    of an MCNN, if it has one:
      mcnn/layer{i}/kernel [heads, w, in, out], mcnn/head_weights [heads], mcnn/softsign [2]
    and always:
      latents/mean [k, d], latents/covariance [k, d, d]: of the training sounds' codes
      controls/...: see `play.controls.with_controls`
      encoder/...: mirrors decoder; in the second file
    """

    tensors: Mapping[str, np.ndarray]
    meta: Mapping[str, Any]
    path: Path | None = None

    @property
    def categories(self) -> tuple[str, ...]:
        """Names, in the order of every array."""
        return tuple(self.meta["categories"])

    @property
    def mel(self) -> MelConfig:
        """The analysis that the networks were trained on."""
        return MelConfig(**self.meta["mel"])

    @property
    def sample_rate(self) -> int:
        """In Hz."""
        return int(self.meta["mel"]["sample_rate"])

    @property
    def latents(self) -> int:
        """Size of a code z."""
        return words.latents(self.meta)

    @property
    def has_encoder(self) -> bool:
        """Whether sounds can be turned into codes."""
        return any(name.startswith("encoder/") for name in self.tensors)

    @functools.cached_property
    def identity(self) -> str:
        """SHA-256 of what decides the sound of a code: recipes name it."""
        parts = ("categories", "mel", *words.MODELS, "mcnn", "phase")
        meta = {k: self.meta[k] for k in parts if k in self.meta}
        return _digest(self.tensors, meta, SOUND)


def _digest(tensors: Mapping[str, np.ndarray], meta: Any, prefixes: tuple[str, ...] = ("",)) -> str:
    """SHA-256 over names, types, shapes and numbers of the tensors, and the metadata."""
    total = hashlib.sha256(json.dumps(meta, sort_keys=True).encode())
    for name in sorted(n for n in tensors if n.startswith(prefixes)):
        array = np.ascontiguousarray(tensors[name])
        total.update(f"{name} {array.dtype} {array.shape}".encode())
        total.update(hashlib.sha256(array.data).digest())
    return total.hexdigest()


def build_instrument(
    model_config: Any,
    model_variables: Mapping[str, Any],
    mcnn_config: Any = None,
    mcnn_variables: Mapping[str, Any] | None = None,
    name: str = "untitled",
    provenance: Mapping[str, Any] | None = None,
    rounds: int = ROUNDS,
) -> Instrument:
    """Gather trained networks into an instrument, with its encoder, in float32.

    Args:
      model_config: `models.cwae.CwaeConfig` or `models.frame_wae.FrameWaeConfig`; read as a
        dataclass, so that no flax is imported here.
      model_variables: params, batch_stats and constants of that model.
      mcnn_config: `models.mcnn.McnnConfig`; None for an instrument whose sound `audio.phase` makes.
      mcnn_variables: params of the MCNN.
      name: what musicians call it.
      provenance: JSON-able words on the training data: "data", "licence", "credits", ...
      rounds: of `audio.phase`, where there is no MCNN.

    Raises:
      InstrumentError: the two speak of different spectrograms, hold numbers that are not finite, or
        no category's codes differ.
    """
    if mcnn_config is not None and model_config.mel != mcnn_config.mel:
        raise InstrumentError(
            "The model and the MCNN use different mel settings; train both alike."
        )
    frames = hasattr(model_config, "nets")
    constants = model_variables["constants"]
    tensors = {f"latents/{k}": constants["latents"][k] for k in ("mean", "covariance")}
    tensors |= (_frame_tensors if frames else _grid_tensors)(model_variables)
    meta = {
        "name": name,
        "categories": list(model_config.categories),
        "mel": dataclasses.asdict(model_config.mel),
        **({"frame_wae": _frame_meta(model_config)} if frames else {}),
        **({"cwae": _cwae_meta(model_config)} if not frames else {}),
        **({"phase": {"rounds": rounds}} if mcnn_config is None else {}),
        "provenance": dict(provenance or {}),
        "made_by": f"drumjax {__version__}",
    }
    if mcnn_config is not None and mcnn_variables is not None:
        tensors |= _mcnn_tensors(mcnn_config, mcnn_variables["params"]["mcnn"])
        meta["mcnn"] = _mcnn_meta(mcnn_config)
    tensors = {k: np.asarray(v, np.float32) for k, v in tensors.items()}
    for key, value in tensors.items():
        if not np.isfinite(value).all():
            raise InstrumentError(f"{key} holds numbers that are not finite; train longer or anew.")
    if not tensors["latents/covariance"].any():
        raise InstrumentError(
            "The latent Gaussians were never measured, or every code is the same: each sound of a "
            "category would be the same; train until the next checkpoint, or anew."
        )
    return Instrument(tensors, json.loads(json.dumps(meta)))


def _frame_tensors(variables: Mapping[str, Any]) -> dict[str, Any]:
    groups = {**variables["params"], "shortcut": variables["constants"]["shortcut"]}
    return {f"{room}/{name}": v for room, group in groups.items() for name, v in group.items()}


def _grid_tensors(variables: Mapping[str, Any]) -> dict[str, Any]:
    scaler = variables["constants"]["scaler"]
    return {
        **_half(variables, "decoder", "ConvTranspose"),
        **_half(variables, "encoder", "Conv"),
        **{f"scaler/{k}": scaler[k] for k in ("mean", "std")},
    }


def _mcnn_tensors(config: Any, params: Mapping[str, Any]) -> dict[str, Any]:
    kernels = [params[f"layer{i + 1}"]["kernel"] for i in range(len(config.channels))]
    tensors = {f"mcnn/layer{i}/kernel": kernel for i, kernel in enumerate(kernels)}
    tensors["mcnn/head_weights"] = params["head_weights"]
    if config.softsign:
        tensors["mcnn/softsign"] = np.stack([params["softsign_a"], params["softsign_b"]])
    return tensors


def _frame_meta(c: Any) -> dict[str, Any]:
    sizes = dataclasses.asdict(c.nets)
    return {**{k: sizes[k] for k in words.FRAME_SIZES}, "power": c.power}


def _cwae_meta(c: Any) -> dict[str, Any]:
    return {
        **{k: getattr(c, k) for k in ("latents", "channels", "hidden", "log_floor")},
        **{"kernel": (11, 5), "stride": (3, 2), "padding": (5, 2)},
    }


def _mcnn_meta(c: Any) -> dict[str, Any]:
    names = ("heads", "channels", "width", "stride", "padding", "elu_last", "softsign")
    return {k: getattr(c, k) for k in (*names, "keep_audible", "mask_threshold")}


def _half(variables: Mapping[str, Any], half: str, conv: str) -> dict[str, Any]:
    """Tensors of the encoder or the decoder, batch norm folded to a scale and a shift."""
    params = variables["params"][half]
    stats = variables["batch_stats"].get(half, {})  # a decoder of one layer has no norm
    tensors = {}
    for key, value in params.items():
        kind, index = key.rsplit("_", 1)
        if kind == "ConditionalBatchNorm":
            norm = stats[key]["BatchNorm_0"]
            root = np.sqrt(np.asarray(norm["var"], np.float64) + 1e-5)
            scale = np.asarray(value["gamma"], np.float64) / root[None]
            shift = np.asarray(value["beta"], np.float64) - scale * np.asarray(norm["mean"])[None]
            tensors |= {f"{half}/norm{index}/scale": scale, f"{half}/norm{index}/shift": shift}
        else:
            room = {"Dense": "dense", conv: "conv"}[kind]
            tensors |= {f"{half}/{room}{index}/{k}": v for k, v in value.items()}
    return tensors


def save_instrument(
    instrument: Instrument, path: str | Path, precision: str = "float16", encoder: bool = True
) -> list[Path]:
    """Write the instrument, and its encoder into a second file beside it; each whole or not at all.

    Args:
      instrument: what to write.
      path: NAME.safetensors; the encoder goes to NAME.encoder.safetensors.
      precision: "float16" or "float32", of the large kernels; all else is always float32.
      encoder: whether the second file is written.

    Returns:
      The files written.

    Raises:
      DataError: the place cannot be written to; what was there stays.
      InstrumentError: the name lacks .safetensors, or a number does not fit into float16.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise InstrumentError(f"{path} must end in .safetensors.")
    meta = {**instrument.meta, "precision": precision}
    try:
        check_meta(meta)  # what is written must be readable
    except ValueError as error:
        raise InstrumentError(f"This instrument cannot be written ({error}).") from error
    stored = {k: _store(k, v, precision) for k, v in instrument.tensors.items()}
    main = {k: v for k, v in stored.items() if not k.startswith("encoder/")}
    files = [(path, main, {**meta, "part": "player"})]
    if encoder and instrument.has_encoder:
        rest = {k: v for k, v in stored.items() if k.startswith("encoder/")}
        belongs = {"part": "encoder", "belongs_to": Instrument(main, meta).identity}
        files.append((encoder_path(path), rest, {**meta, **belongs}))
    for target, tensors, about in files[::-1]:  # an encoder alone harms nobody
        _write(target, tensors, about)
    return [target for target, _, _ in files]


def encoder_path(path: str | Path) -> Path:
    """Where the encoder of an instrument file lies: NAME.encoder.safetensors beside it."""
    return Path(path).with_suffix(".encoder.safetensors")


def is_ours(path: Path) -> bool:
    """Whether a file calls itself an instrument, or the encoder of one; it may be damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        if not path.is_file():  # a named pipe would be waited for
            return False
        with safe_open(path, framework="numpy") as file:
            return (file.metadata() or {}).get("format") == FORMAT
    except (*_UNREADABLE, SafetensorError):
        return False


def _store(name: str, value: np.ndarray, precision: str) -> np.ndarray:
    if precision not in DTYPES:
        raise ConfigError(f"The precision must be {' or '.join(DTYPES)}, not {precision!r}.")
    large = name.endswith("/kernel") and value.size > _SMALL
    with np.errstate(over="ignore"):
        stored = np.asarray(value, DTYPES[precision] if large else np.float32, order="C")
    if not np.isfinite(stored).all():
        raise InstrumentError(f"{name} does not fit into {precision}; write float32 instead.")
    return stored


def _write(path: Path, tensors: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> None:
    from safetensors.numpy import save

    header = {
        "format": FORMAT,
        "schema": str(SCHEMA),
        "sha256": _digest(tensors, meta),
        "meta": json.dumps(meta, sort_keys=True),
    }
    write_file(path, save(dict(tensors), header))


def load_instrument(path: str | Path, encoder: bool = False) -> Instrument:
    """Read an instrument file and check its SHA-256, its schema and every tensor's shape.

    Args:
      path: the file that `save_instrument` wrote.
      encoder: also read the second file beside it.

    Raises:
      InstrumentError: no file, a damaged or foreign one, one of a newer drumjax, or the encoder
        is missing or belongs to another instrument.
    """
    path = Path(path)
    tensors, meta = _read(path)
    if meta.get("part") != "player":
        raise InstrumentError(f"{path} is the encoder's file; give the instrument beside it.")
    instrument = Instrument(tensors, meta, path)
    _check(path, lambda: check_tensors(meta, tensors, _PLAYER))
    if not encoder:
        return instrument
    second = encoder_path(path)
    if not second.is_file():
        raise InstrumentError(
            f"This needs {second}, which is not there; it is written beside the instrument by "
            "'drumjax export-instrument'."
        )
    extra, about = _read(second)
    if about.get("belongs_to") != instrument.identity:
        raise InstrumentError(f"{second} belongs to another instrument than {path}.")
    _check(second, lambda: check_tensors(meta, extra, ("encoder/",)))
    return Instrument({**tensors, **extra}, meta, path)


def _check(path: Path, check: Callable[[], None]) -> None:
    """Run a check of what a file says; its ValueError becomes a sentence."""
    try:
        check()
    except (ValueError, ConfigError, OverflowError, TypeError) as error:
        reason = str(error).rstrip(".")
        raise InstrumentError(
            f"{path} is no instrument that this drumjax can play ({reason}); export it again."
        ) from error


def _read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Tensors and metadata of one file, checked against its SHA-256.

    No bit of the file is free: the SHA-256 is of what the tensors and the metadata say, safetensors
    allows no gaps, and the header is refused unless it is written the one way that we write it.
    """
    from safetensors import SafetensorError, safe_open

    try:
        if not path.is_file():
            raise InstrumentError(
                f"There is no instrument {path}; make one with export-instrument."
            )
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            if header.get("format") != FORMAT:
                raise InstrumentError(f"{path} is a safetensors file, but no drumjax instrument.")
            schema = int(header["schema"])
            if schema > SCHEMA:
                raise InstrumentError(
                    f"{path} has schema {brief(schema)}, which this drumjax {__version__} does not "
                    f"know (it reads up to {SCHEMA}); install a newer drumjax."
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        meta = json.loads(header["meta"])
        known = {"format", "schema", "sha256", "meta"} == set(header) and schema > 0
        as_written = known and (str(schema), json.dumps(meta)) == (header["schema"], header["meta"])
        damaged = not as_written or _digest(tensors, meta) != header["sha256"]
    except DrumjaxError:
        raise
    except (*_UNREADABLE, SafetensorError) as error:
        raise InstrumentError(
            f"{path} is no instrument, or is cut short or damaged ({error}); "
            "copy or export it again."
        ) from error
    if damaged:
        raise InstrumentError(
            f"{path} is damaged: its SHA-256 does not match; copy or export it again."
        )
    _check(path, lambda: check_meta(meta))
    return tensors, meta
