"""The frame WAE: our own answer to the CWAE's blur.

python -m drumjax.train --config=configs/frame_wae.py --workdir=runs/frame_wae
    For an accelerator and tens of thousands of sounds; not run yet.
python -m drumjax.train --config=configs/frame_wae.py:small --workdir=runs/frame_wae
    Two cores: about 17 minutes. Mel spectral convergence on unseen kits: 0.36 (BUILD.md).
python -m drumjax.train --config=configs/frame_wae.py:tiny --workdir=runs/frame_wae
    Two cores: about 2 minutes.
"""

from drumjax.training.config import apply_variant, base_config

AUGMENT = {
    "data.augment.probability": 0.8,
    "data.augment.speed": 0.25,
    "data.augment.decay": 24.0,
    "data.augment.tilt": 6.0,
    "data.augment.layer": 0.3,
}
SHORT = {
    "train.schedule": "cosine",
    "train.plateau_factor": 1.0,
    "train.calibrate_sounds": 0,
}

BASES = {
    "base": {
        **AUGMENT,
        **SHORT,
        "frame_wae.width": 512,
        "frame_wae.wide": 640,
        "frame_wae.blocks": 4,
        "train.steps": 60_000,
        "train.warmup": 1000,
    },
    "small": {
        **AUGMENT,
        **SHORT,
        "data.per_category": 4,
        "train.steps": 2500,
        "train.warmup": 50,
        "train.validate_every": 500,
        "train.checkpoint_every": 500,
    },
    "tiny": {
        **SHORT,
        "data.per_category": 4,
        "frame_wae.width": 128,
        "frame_wae.wide": 192,
        "frame_wae.blocks": 1,
        "frame_wae.hidden": 256,
        "train.steps": 400,
        "train.learning_rate": 2e-3,
        "train.warmup": 20,
        "train.validate_every": 400,
        "train.checkpoint_every": 400,
    },
}
# What each idea is worth: --config=configs/frame_wae.py:small+latents64
CHANGES = {
    "latents64": {"frame_wae.latents": 64},
    "no_shortcut": {"frame_wae.shortcut": False},
    "log_like": {"frame_wae.power": 0.1},
    "square_root": {"frame_wae.power": 0.5},
    "no_augmentation": {"data.augment.probability": 0.0},
    "no_noise": {"frame_wae.noise": 0.0},
}


def get_config(variant: str = "base"):
    return apply_variant(base_config("frame_wae"), variant, BASES, CHANGES)
