"""The Conditional Wasserstein Auto-Encoder.

python -m drumjax.train --config=configs/cwae.py --workdir=runs/cwae          the paper
python -m drumjax.train --config=configs/cwae.py:small --workdir=runs/cwae    a laptop, a coffee
python -m drumjax.train --config=configs/cwae.py:tiny --workdir=runs/cwae     two minutes
"""

from drumjax.training.config import apply_variant, base_config

VARIANTS = {
    "paper": {},
    "small": {
        "cwae.channels": (16, 32, 64),
        "cwae.recon_reduction": "mean",
        "cwae.log_floor": 1e-3,
        "cwae.convergence_weight": 1.0,
        "cwae.loudness_weight": 1.0,
        "cwae.beta": 1.0,
        "data.per_category": 4,
        "data.augment.probability": 0.8,
        "data.augment.speed": 0.25,
        "data.augment.decay": 24.0,
        "data.augment.tilt": 6.0,
        "data.augment.layer": 0.3,
        "train.steps": 1600,
        "train.learning_rate": 2e-3,
        "train.schedule": "cosine",
        "train.warmup": 50,
        "train.plateau_factor": 1.0,
        "train.validate_every": 400,
        "train.checkpoint_every": 400,
        "train.calibrate_sounds": 128,
    },
    "tiny": {
        "cwae.channels": (8, 16, 32),
        "cwae.hidden": (256, 128),
        "cwae.recon_reduction": "mean",
        "cwae.log_floor": 1e-3,
        "cwae.convergence_weight": 1.0,
        "cwae.loudness_weight": 1.0,
        "cwae.beta": 1.0,
        "data.per_category": 4,
        "train.steps": 250,
        "train.learning_rate": 2e-3,
        "train.schedule": "cosine",
        "train.warmup": 20,
        "train.plateau_factor": 1.0,
        "train.validate_every": 250,
        "train.checkpoint_every": 250,
        "train.calibrate_sounds": 64,
    },
}


def get_config(variant: str = "paper"):
    return apply_variant(base_config("cwae"), variant, VARIANTS)
