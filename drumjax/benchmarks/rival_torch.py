"""The networks in torch, eager or compiled."""

from collections.abc import Callable
from typing import Any

import numpy as np

from drumjax.benchmarks.channels_first import (
    decoder_sizes,
    dense_layer,
    head_kernel,
    output_padding,
)
from drumjax.benchmarks.networks import finisher
from drumjax.play.instrument import Instrument


def torch_apply(
    instrument: Instrument, threads: int, compiled: bool = False
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """z [b, d], weights [b, k] -> sound [b, samples].

    The last steps (filter and mask) are JAX's: `mcnn.finish`.

    Raises:
      ModuleNotFoundError: torch is not installed.
    """
    import torch

    finish = finisher(instrument)
    decode, generate = build_decoder(instrument), build_mcnn(instrument)

    def network(z: Any, weights: Any) -> Any:
        return generate(decode(z, weights))

    run = torch.compile(network, dynamic=False) if compiled else network

    def render(z: np.ndarray, weights: np.ndarray) -> np.ndarray:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        with torch.inference_mode():
            sound, logits = run(torch.from_numpy(z), torch.from_numpy(weights))
        return finish(sound.numpy(), logits.numpy())

    return render


def _tensor(x: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(np.array(x, np.float32, order="C"))


def _set(layer: Any, weight: np.ndarray, bias: np.ndarray | None = None) -> Any:
    """Put a NumPy weight (and a bias) into a torch layer, whose shapes they must have."""
    import torch

    with torch.no_grad():
        layer.weight.copy_(_tensor(weight))
        if bias is not None:
            layer.bias.copy_(_tensor(bias))
    return layer


def build_decoder(instrument: Instrument) -> Callable[[Any, Any], Any]:
    """z [b, d], weights [b, k] -> linear mel [b, mels, frames], torch tensors."""
    import torch
    from torch import nn

    t, settings = instrument.tensors, instrument.meta["cwae"]
    sizes = decoder_sizes(instrument)
    dense = [dense_layer(instrument, i) for i in range(len(settings["hidden"]) + 1)]
    linear = [_set(nn.Linear(w.shape[0], w.shape[1]), w.T, b) for w, b in dense]
    trunk = nn.Sequential(*(layer for pair in ((x, nn.ReLU()) for x in linear) for layer in pair))
    convs, norms = [], []
    for i, extra in enumerate(output_padding(instrument)):
        kernel = t[f"decoder/conv{i}/kernel"].transpose(2, 3, 0, 1)  # [in, out, h, w]
        bias = t.get(f"decoder/conv{i}/bias")
        conv = nn.ConvTranspose2d(
            *kernel.shape[:2],
            kernel_size=settings["kernel"],
            stride=settings["stride"],
            padding=settings["padding"],
            output_padding=extra,
            bias=bias is not None,
        )
        convs.append(_set(conv, kernel, bias))
        if bias is None:
            norms.append([_tensor(t[f"decoder/norm{i}/{k}"]) for k in ("scale", "shift")])
    mean, std = (_tensor(t[f"scaler/{k}"].T) for k in ("mean", "std"))
    floor, channels = settings["log_floor"], settings["channels"][-1]

    def decode(z: Any, weights: Any) -> Any:
        x = trunk(torch.cat([z, weights], 1)).reshape(-1, channels, *sizes[0])
        for conv, (scale, shift) in zip(convs, norms, strict=False):
            x = conv(x) * (weights @ scale)[:, :, None, None] + (weights @ shift)[:, :, None, None]
            x = torch.relu(x)
        logs = convs[-1](x)[:, 0] * std + mean
        return torch.clamp(torch.exp(logs) - floor, min=0.0)

    return decode


def build_mcnn(instrument: Instrument) -> Callable[[Any], tuple[Any, Any]]:
    """Linear mel [b, mels, frames] -> (sound, mask logits), [b, frames * hop], torch tensors.

    The first layer is one convolution to all heads' channels, the others have a group a head.
    """
    import torch
    from torch import nn

    t, settings = instrument.tensors, instrument.meta["mcnn"]
    heads, width, stride = settings["heads"], settings["width"], settings["stride"]
    padding = settings["padding"]
    layers: list[Any] = []
    for i in range(len(settings["channels"])):
        kernel = head_kernel(instrument, i)  # [in of all groups, out of one, width]
        groups = heads if i else 1
        shape = (kernel.shape[0], kernel.shape[1] * groups, width, stride, padding)
        extra = stride - width + 2 * padding
        layers.append(_set(nn.ConvTranspose1d(*shape, extra, groups, bias=False), kernel))
        if settings["elu_last"] or i < len(settings["channels"]) - 1:
            layers.append(nn.ELU())
    stack = nn.Sequential(*layers)
    head_weights = _tensor(t["mcnn/head_weights"][:, None])
    squash = [float(x) for x in t["mcnn/softsign"]] if settings["softsign"] else None

    def generate(mel: Any) -> tuple[Any, Any]:
        y = stack(mel).unflatten(1, (heads, 2))  # [b, heads, 2, samples]
        sound = (y[:, :, 0] * head_weights).sum(1)
        if squash:
            sound = squash[0] * sound / (1.0 + torch.abs(squash[1] * sound))
        return sound, y[:, :, 1].sum(1)

    return generate
