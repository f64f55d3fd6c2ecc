"""The Multi-head CNN: a mel spectrogram becomes sound (NDM section 3.2; Arik et al. 2018)."""

import dataclasses
import functools
from collections.abc import Iterable, Mapping
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from drumjax.audio.envelope import activity_mask
from drumjax.audio.filters import keep_audible
from drumjax.audio.frames import stft
from drumjax.audio.mel import MelConfig, mel_spectrogram
from drumjax.audio.phase_losses import instantaneous_frequency_loss, weighted_phase_loss
from drumjax.audio.spectral_losses import log_mel_loss, mask_bce, spectral_convergence
from drumjax.categories import CATEGORIES
from drumjax.errors import ConfigError
from drumjax.models.checks import NUMBERS, check_choices, check_log_floor, check_sizes
from drumjax.models.objective import (
    Batch,
    Loss,
    Objective,
    Variables,
    mean_by_category,
    merge_categories,
    to_float,
)
from drumjax.nn import upsampling
from drumjax.nn.parts import Axis
from drumjax.nn.polyphase import (
    by_platform,
    conv_transpose_dilated,
    gather_taps,
    interleave,
    phase_kernel,
    plan_axis,
)

MASKS = ("binarised", "soft", "off")


@dataclasses.dataclass(frozen=True)
class McnnConfig:
    """The paper's values; where it gives none, the default's reason stands beside it."""

    mel: MelConfig = MelConfig()
    categories: tuple[str, ...] = CATEGORIES
    heads: int = 8
    # Printed as 2^(L-i) for i >= 2 and 2 for i = 1: an index slip, as a head's output is a couple.
    channels: tuple[int, ...] = (128, 64, 32, 16, 8, 4, 2, 2)
    width: int = 13
    stride: int = 2
    # Not given. With padding 6 and output padding 1 a layer doubles the length exactly and the
    # kernel's centre meets its input sample, so that frame t stays centred on sample 256 t.
    # Differs from the paper with an even width, 12 with padding 5 or 14 with padding 6: these have
    # as many taps for each of two phases, and double the length without an output padding.
    padding: int = 6
    # Differs from the paper unless "transposed": see `nn.upsampling`. `width` is that of the kernel
    # that the layer amounts to.
    upsampling: str = "transposed"
    elu_last: bool = False  # the figure draws one after the last layer too; it would skew the wave
    # The text and Fig. 2 place a scaled softsign that eq. 7-8 leave out: before the mask.
    softsign: bool = True
    weights: tuple[float, float, float] = (3.0, 10.0, 1.0)  # alpha, beta, gamma of eq. 13
    # Differs from the paper when above 0: the two terms of Arik et al. (2018) that it removed.
    frequency_weight: float = 0.0  # of the instantaneous frequency
    phase_weight: float = 0.0  # of the weighted phase
    log_floor: float = 1e-5  # epsilon of eq. 12, not given
    # Differs from the paper: the mel's first and last filters fall to zero at 0 Hz and at half the
    # sample rate, so that no loss sees what the network puts there, and its strides put most of a
    # sound's energy at half the rate. Generation filters it out; the training is the paper's.
    keep_audible: bool = True
    # Differs from the paper unless "binarised": "soft" multiplies by the sigmoid at generation too,
    # "off" leaves the mask out of the loss and of generation.
    mask: str = "binarised"
    mask_threshold: float = 0.5  # where the mask is binarised at generation; not given
    compute_dtype: str = "float32"

    def __post_init__(self) -> None:
        """Refuse values that no network can be built from."""
        check_sizes(self, "heads", "channels", "width", "stride")
        if self.stride ** len(self.channels) != self.mel.hop_length:
            raise ConfigError(
                f"{len(self.channels)} layers of stride {self.stride} make "
                f"{self.stride ** len(self.channels)} samples a frame, but the hop is "
                f"{self.mel.hop_length}; change mcnn.channels, mcnn.stride or mel.hop_length."
            )
        if self.channels[-1] != 2:
            raise ConfigError("The last entry of mcnn.channels must be 2: a sound and its mask.")
        upsampling.trained_width(self.upsampling, self.width, self.stride)
        check_choices(self, mask=MASKS, compute_dtype=NUMBERS)
        if len(self.weights) != 3:
            raise ConfigError(
                "mcnn.weights must be three numbers, alpha, beta and gamma of eq. 13, not "
                f"{self.weights}."
            )
        check_log_floor(self.log_floor)

    @property
    def output_padding(self) -> int:
        """What a layer adds so that it stretches by the stride exactly: out = stride * t."""
        return self.stride - self.width + 2 * self.padding


class Heads(nn.Module):
    """One transposed convolution of every head at once, without biases.

    x [b, t, c_in] (first layer: shared by the heads) or [heads, b, t, c_in]
    -> [heads, b, 2 t, c_out].
    """

    config: McnnConfig
    features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Apply the layer in the form that is fast where it runs (see `nn.polyphase`)."""
        c = self.config
        taps = upsampling.trained_width(c.upsampling, c.width, c.stride)
        shape = (c.heads, taps, x.shape[-1], self.features)
        # An output sees 1 / stride of the taps: the variance is scaled by the stride to match.
        variance = upsampling.gain(c.upsampling, c.stride)
        scale = nn.initializers.variance_scaling(variance, "fan_in", "normal", batch_axis=(0,))
        kernel = self.param("kernel", scale, shape).astype(x.dtype)
        kernel = upsampling.compose(c.upsampling, kernel, c.stride)
        return by_platform(
            functools.partial(heads_of_products, config=c),
            tpu=functools.partial(heads_of_convolutions, config=c),
        )(x, kernel)


def heads_of_products(x: jax.Array, kernel: jax.Array, config: McnnConfig) -> jax.Array:
    """A layer of `Heads`, kernel [heads, width, c_in, c_out]: one batched product."""
    c = config
    axis = plan_axis(x.shape[-2], c.width, c.stride, c.padding, c.output_padding)
    phases = jax.vmap(lambda k: phase_kernel(k, (c.stride,)))(kernel)
    equation = "btk,hkc->hbtc" if x.ndim == 3 else "hbtk,hkc->hbtc"
    return interleave(jnp.einsum(equation, gather_taps(x, [axis]), phases), [axis])


def heads_of_convolutions(x: jax.Array, kernel: jax.Array, config: McnnConfig) -> jax.Array:
    """The same for a TPU: one convolution with a group of channels a head.

    The product's taps, side by side, are seven times what a layer reads, and must be written first.
    """
    c = config
    spec = (c.stride,), (c.padding,), (c.output_padding,)
    run = functools.partial(conv_transpose_dilated, spec=spec)
    return jax.vmap(run, in_axes=(None if x.ndim == 3 else 0, 0))(x, kernel)


def scaled_softsign(x: jax.Array, a: jax.Array, b: jax.Array) -> jax.Array:
    """Squash softly: a x / (1 + |b x|); a and b are trainable scalars; keeps the shape."""
    return a * x / (1.0 + jnp.abs(b * x))


class Mcnn(nn.Module):
    """Linear mel [b, frames, mels] -> (sound before the mask, mask logits), [b, frames * hop]."""

    config: McnnConfig

    @nn.compact
    def __call__(self, mel: jax.Array) -> tuple[jax.Array, jax.Array]:
        """NDM eq. 6 (logits) and eq. 7 with the softsign of Fig. 2."""
        c = self.config
        x = mel.astype(c.compute_dtype)
        for i, features in enumerate(c.channels):
            x = Heads(c, features, name=f"layer{i + 1}")(x)
            if c.elu_last or i < len(c.channels) - 1:
                x = nn.elu(x)
        x = x.astype(jnp.float32)  # [heads, b, samples, 2]
        weights = self.param("head_weights", nn.initializers.ones, (c.heads,))
        sound = jnp.einsum("h,hbt->bt", weights, x[..., 0])  # eq. 7
        if c.softsign:
            a = self.param("softsign_a", nn.initializers.ones, ())
            b = self.param("softsign_b", nn.initializers.ones, ())
            sound = scaled_softsign(sound, a, b)
        return sound, x[..., 1].sum(0)


def forward(config: McnnConfig, params: Any, mel: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Run the network and crop frames * hop samples to the sound's length.

    Differs from the paper: 22,015 samples have 86 centred frames, so that the network makes one
    sample too many (85 frames, without centring, would give 22,015 exactly); the last one is cut.

    Returns:
      (sound [b, samples], mask logits [b, samples])
    """
    sound, logits = cast(Any, Mcnn(config).apply({"params": params}, mel))
    n = config.mel.num_samples
    return sound[:, :n], logits[:, :n]


def generate(config: McnnConfig, variables: Variables, mel: jax.Array) -> jax.Array:
    """Linear mel [b, frames, mels] -> sound [b, samples], filtered and masked."""
    return finish(config, *forward(config, variables["params"]["mcnn"], mel))


def finish(config: McnnConfig, sound: jax.Array, logits: jax.Array) -> jax.Array:
    """Filter raw sounds [b, samples]; where a binarised mask is off, they are exactly zero."""
    if config.keep_audible:
        sound = keep_audible(sound, config.mel.sample_rate, config.mel.top)
    if config.mask != "binarised":
        return soften(config, sound, logits)
    return jnp.where(jax.nn.sigmoid(logits) > config.mask_threshold, sound, 0.0)


def soften(config: McnnConfig, sound: jax.Array, logits: jax.Array) -> jax.Array:
    """NDM eq. 8, as training hears it: sound and mask logits [b, samples] -> [b, samples]."""
    return sound if config.mask == "off" else sound * jax.nn.sigmoid(logits)


def as_played(config: McnnConfig, variables: Variables) -> tuple[McnnConfig, Variables]:
    """The same network as an instrument holds it: plain transposed convolutions.

    Raises:
      ConfigError: its mask is not binarised, which a player always does.
    """
    if config.mask != "binarised":
        raise ConfigError(
            f"An instrument's mask is binarised, but this MCNN was trained with mcnn.mask="
            f"{config.mask}; export one with mcnn.mask=binarised."
        )
    if config.upsampling == "transposed":
        return config, variables
    params = {
        name: {"kernel": upsampling.compose(config.upsampling, value["kernel"], config.stride)}
        if name.startswith("layer")
        else value
        for name, value in variables["params"]["mcnn"].items()
    }
    plain = dataclasses.replace(config, upsampling="transposed")
    return plain, {**variables, "params": {"mcnn": params}}


def loss(
    config: McnnConfig, variables: Variables, batch: Batch, key: jax.Array, axis_name: Axis
) -> tuple[jax.Array, tuple[Any, dict[str, jax.Array]]]:
    """NDM eq. 13: alpha SC + beta SC_log + gamma L_mask, of the masked sound's mel (eq. 8-12).

    Without a mask there is no L_mask; the phases' losses join where the config gives them a weight.
    """
    del key, axis_name  # nothing is random, and every term is a mean over sounds
    audio = to_float(merge_categories(batch["audio"]))
    target = mel_spectrogram(audio, config.mel)
    sound, logits = forward(config, variables["params"]["mcnn"], target)
    masked = soften(config, sound, logits)  # eq. 8
    estimate = mel_spectrogram(masked, config.mel)  # eq. 10

    sc = spectral_convergence(target, estimate).mean()  # eq. 11
    sc_log = log_mel_loss(target, estimate, config.log_floor).mean()  # eq. 12
    metrics = {"sc": sc, "sc_log": sc_log}
    if config.mask != "off":
        metrics["mask"] = mask_bce(activity_mask(audio), logits).mean()  # eq. 9
    metrics |= {k: v.mean() for k, v in phase_errors(config, audio, masked).items()}
    total = weighted(config, metrics)
    return total, (variables["batch_stats"], {"loss": total, **metrics})


def phase_errors(
    config: McnnConfig, target: jax.Array, estimate: jax.Array
) -> dict[str, jax.Array]:
    """The losses of Arik et al. (2018) that have a weight, of sounds [b, samples] twice: [b]."""
    if not (config.frequency_weight or config.phase_weight):
        return {}
    mel = config.mel
    a, b = (stft(x, mel.n_fft, mel.win_length, mel.hop_length) for x in (target, estimate))
    errors = {}
    if config.frequency_weight:
        errors["frequency"] = instantaneous_frequency_loss(a, b)
    if config.phase_weight:
        errors["phase"] = weighted_phase_loss(a, b)
    return errors


def weighted(config: McnnConfig, terms: Mapping[str, Any]) -> Any:
    """NDM eq. 13 and what the config adds to it, of terms by name; those not there count 0."""
    names = ("sc", "sc_log", "mask", "frequency", "phase")
    weights = (*config.weights, config.frequency_weight, config.phase_weight)
    alpha, *rest = (w * terms[k] for k, w in zip(names, weights, strict=True) if k in terms)
    return sum(rest, alpha)


def init(config: McnnConfig, key: jax.Array) -> Variables:
    """Fresh variables; the network has no statistics and no constants."""
    mel = jnp.zeros((1, config.mel.frames, config.mel.n_mels))
    return {
        "params": {"mcnn": Mcnn(config).init(key, mel)["params"]},
        "batch_stats": {},
        "constants": {},
    }


def validate(
    config: McnnConfig, variables: Variables, audio: jax.Array, category: jax.Array
) -> dict[str, jax.Array]:
    """Per sound [b]: the terms of the loss, and SC as at generation, with the mask binarised."""
    del category
    audio = to_float(audio)
    target = mel_spectrogram(audio, config.mel)
    sound, logits = forward(config, variables["params"]["mcnn"], target)
    masked = soften(config, sound, logits)
    soft = mel_spectrogram(masked, config.mel)
    hard = mel_spectrogram(generate(config, variables, target), config.mel)
    values = {
        "sc": spectral_convergence(target, hard),
        "sc_soft": spectral_convergence(target, soft),
        "sc_log": log_mel_loss(target, soft, config.log_floor),
    }
    if config.mask != "off":
        values["mask"] = mask_bce(activity_mask(audio), logits)
    return {**values, **phase_errors(config, audio, masked)}


def summarise(
    config: McnnConfig, values: dict[str, np.ndarray], category: np.ndarray
) -> dict[str, float]:
    """Means over the validation set, SC of each category, and eq. 13."""
    means = {k: float(v.mean()) for k, v in values.items()}
    total = weighted(config, {**means, "sc": means["sc_soft"]})
    each = mean_by_category(values["sc"], category, config.categories)
    return {"loss": total, **means, **{f"sc/{k}": v for k, v in each.items()}}


def calibrate(
    config: McnnConfig, variables: Variables, batches: Iterable[tuple[np.ndarray, np.ndarray]]
) -> dict[str, Any]:
    """Nothing to measure before a checkpoint."""
    del config, batches
    return variables["constants"]


def fit(config: McnnConfig, batches: Iterable[tuple[np.ndarray, np.ndarray]]) -> dict[str, Any]:
    """Nothing to measure: the MCNN takes the mel unscaled, or silence would not stay silence."""
    del config, batches
    return {}


def reconstruct(
    config: McnnConfig, variables: Variables, audio: jax.Array, category: jax.Array
) -> dict[str, jax.Array]:
    """Sound [b, samples] -> {"audio" [b, samples], "mel" of it}, from the true mel."""
    del category
    sound = generate(config, variables, mel_spectrogram(to_float(audio), config.mel))
    return {"audio": sound, "mel": mel_spectrogram(sound, config.mel)}


def objective(config: McnnConfig) -> Objective:
    """Bind the functions of this file to one configuration."""
    bound = {
        f.__name__: functools.partial(f, config)
        for f in (init, fit, validate, summarise, calibrate, reconstruct)
    }
    return Objective(losses={"mcnn": Loss(functools.partial(loss, config), ("mcnn",))}, **bound)
