"""An instrument's weights as torch and ONNX lay them out: channels before space."""

import itertools
from typing import Any

import numpy as np

from drumjax.play.instrument import Instrument
from drumjax.play.meta import grid_sizes


def decoder_sizes(instrument: Instrument) -> list[tuple[int, int]]:
    """(mels, frames) before the first transposed convolution and after each."""
    return grid_sizes(instrument.meta)[::-1]


def output_padding(instrument: Instrument) -> list[Any]:
    """Per layer (mels, frames): what brings a transposed convolution to its size exactly."""
    settings, sizes = instrument.meta["cwae"], decoder_sizes(instrument)
    axes = [settings[k] for k in ("stride", "padding", "kernel")]
    return [
        tuple(out - ((n - 1) * s - 2 * p + k) for n, out, s, p, k in zip(a, b, *axes, strict=True))
        for a, b in itertools.pairwise(sizes)
    ]


def dense_layer(instrument: Instrument, i: int) -> tuple[np.ndarray, np.ndarray]:
    """Kernel [in, out] and bias [out]; the last one's columns in channels-first order."""
    weight, bias = (instrument.tensors[f"decoder/dense{i}/{k}"] for k in ("kernel", "bias"))
    if i == len(instrument.meta["cwae"]["hidden"]):
        shape = (*decoder_sizes(instrument)[0], instrument.meta["cwae"]["channels"][-1])
        order = np.arange(len(bias)).reshape(shape).transpose(2, 0, 1).ravel()
        weight, bias = weight[:, order], bias[order]
    return weight, bias


def head_kernel(instrument: Instrument, i: int) -> np.ndarray:
    """An MCNN layer's kernel as grouped transposed convolutions store it.

    Layer 0: [in, heads * out, width], one group; the others: [heads * in, out, width].
    """
    kernel = instrument.tensors[f"mcnn/layer{i}/kernel"].transpose(0, 2, 3, 1)  # [h, in, out, w]
    if i == 0:
        kernel = kernel.transpose(1, 0, 2, 3)
        return kernel.reshape(kernel.shape[0], -1, kernel.shape[-1])
    return kernel.reshape(-1, *kernel.shape[2:])
