"""What an instrument's programs are compiled for: shapes and constants, no weights."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from drumjax.audio.mel import MelConfig
from drumjax.nn.frame_nets import FrameNets
from drumjax.play.meta import frame_nets, grid_sizes


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is fixed when the programs are compiled.

    A frame WAE has `nets` and a power, a CWAE all from `sizes` to `padding`; sound is made by the
    rounds of `audio.phase`, or, where there are none, by an MCNN, which has the rest.
    """

    mel: MelConfig
    nets: FrameNets | None = None
    power: float = 1.0
    sizes: tuple[tuple[int, int], ...] = ()
    channels: tuple[int, ...] = ()
    hidden: int = 0
    log_floor: float = 0.0
    kernel: tuple[int, int] = (0, 0)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    rounds: int = 0
    heads: int = 0
    head_channels: tuple[int, ...] = ()
    width: int = 0
    head_stride: int = 1
    head_padding: int = 0
    elu_last: bool = False
    softsign: bool = False
    keep_audible: bool = False
    mask_threshold: float = 0.5

    @staticmethod
    def of(meta: Mapping[str, Any]) -> "Plan":
        """Read it from an instrument's metadata."""
        model = _of_frames(meta) if "frame_wae" in meta else _of_grid(meta)
        inverter = {"rounds": meta["phase"]["rounds"]} if "phase" in meta else _of_heads(meta)
        return Plan(mel=MelConfig(**meta["mel"]), **model, **inverter)

    @property
    def frames(self) -> int:
        """Frames of a whole sound."""
        return self.mel.frames

    @property
    def lengths(self) -> tuple[int, ...]:
        """Lengths in frames that sounds are made in: twelfths of the whole."""
        return tuple(sorted({-(-self.frames * i // 12) for i in range(1, 13)}))

    def length(self, end: int) -> int:
        """The next of `lengths` that computes the samples before frame `end` exactly."""
        need = min(end + self.reach, self.frames)
        return next(n for n in self.lengths if n >= need)

    @property
    def reach(self) -> int:
        """Frames that what makes the sound looks ahead: rounded up, 6 for the paper's MCNN.

        `audio.phase` looks ahead as far as a window that overlaps the end: 2 with the defaults.
        """
        if self.rounds:
            return -(-self.mel.win_length // self.mel.hop_length) - 2
        s = self.head_stride
        steps = -(-self.head_padding // s)  # that one layer looks ahead in its input
        return math.ceil(sum(steps * s**-i for i in range(len(self.head_channels))))

    @property
    def latest_end(self) -> int:
        """Frames of the longest sound: an MCNN needs to see what follows a sound's end."""
        return self.frames if self.rounds else max(1, self.frames - self.reach)


def _of_frames(meta: Mapping[str, Any]) -> dict[str, Any]:
    return {"nets": frame_nets(meta), "power": float(meta["frame_wae"]["power"])}


def _of_grid(meta: Mapping[str, Any]) -> dict[str, Any]:
    c = meta["cwae"]
    return {
        "sizes": tuple(grid_sizes(meta)),
        "hidden": len(c["hidden"]),
        "log_floor": c["log_floor"],
        **{k: tuple(c[k]) for k in ("channels", "kernel", "stride", "padding")},
    }


def _of_heads(meta: Mapping[str, Any]) -> dict[str, Any]:
    v = meta["mcnn"]
    same = ("heads", "width", "elu_last", "softsign", "keep_audible", "mask_threshold")
    return {
        "head_channels": tuple(v["channels"]),
        "head_stride": v["stride"],
        "head_padding": v["padding"],
        **{k: v[k] for k in same},
    }
