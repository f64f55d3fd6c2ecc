"""What an instrument's programs are compiled for: shapes and constants, no weights."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from drumjax.audio.mel import MelConfig
from drumjax.play.meta import grid_sizes


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is fixed when the programs are compiled."""

    mel: MelConfig
    sizes: tuple[tuple[int, int], ...]
    channels: tuple[int, ...]
    hidden: int
    log_floor: float
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    heads: int
    head_channels: tuple[int, ...]
    width: int
    head_stride: int
    head_padding: int
    elu_last: bool
    softsign: bool
    keep_audible: bool
    mask_threshold: float

    @staticmethod
    def of(meta: Mapping[str, Any]) -> "Plan":
        """Read it from an instrument's metadata."""
        c, v = meta["cwae"], meta["mcnn"]
        return Plan(
            mel=MelConfig(**meta["mel"]),
            sizes=tuple(grid_sizes(meta)),
            channels=tuple(c["channels"]),
            hidden=len(c["hidden"]),
            log_floor=c["log_floor"],
            kernel=tuple(c["kernel"]),
            stride=tuple(c["stride"]),
            padding=tuple(c["padding"]),
            heads=v["heads"],
            head_channels=tuple(v["channels"]),
            width=v["width"],
            head_stride=v["stride"],
            head_padding=v["padding"],
            elu_last=v["elu_last"],
            softsign=v["softsign"],
            keep_audible=v["keep_audible"],
            mask_threshold=v["mask_threshold"],
        )

    @property
    def frames(self) -> int:
        """Frames of a whole sound."""
        return self.mel.frames

    @property
    def lengths(self) -> tuple[int, ...]:
        """Lengths in frames that the MCNN is compiled for: twelfths of the whole."""
        return tuple(sorted({-(-self.frames * i // 12) for i in range(1, 13)}))

    def length(self, end: int) -> int:
        """The next of `lengths` that computes the samples before frame `end` exactly."""
        need = min(end + self.reach, self.frames)
        return next(n for n in self.lengths if n >= need)

    @property
    def reach(self) -> int:
        """Frames that the MCNN looks ahead, rounded up: 6 for the paper's."""
        s = self.head_stride
        steps = -(-self.head_padding // s)  # that one layer looks ahead in its input
        return math.ceil(sum(steps * s**-i for i in range(len(self.head_channels))))
