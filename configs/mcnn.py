"""The Multi-head CNN.

python -m drumjax.train --config=configs/mcnn.py --workdir=runs/mcnn
    The paper: 50,000 iterations of 128 sounds. For an accelerator; two CPU cores would take days.
python -m drumjax.train --config=configs/mcnn.py:small --workdir=runs/mcnn
    Two cores: about 22 minutes. Mel spectral convergence on true mels of unseen kits: 0.43
    (BUILD.md). The paper's network; smaller batches and a falling rate reach further in that time.
python -m drumjax.train --config=configs/mcnn.py:tiny --workdir=runs/mcnn
    Two cores: about 2 minutes. Rough, but the sounds can be told apart.
python -m drumjax.train --config=configs/mcnn.py:small+linear --workdir=runs/linear
    One thing of the paper changed, to see what it is for (launch/ablations.sh runs them all).
"""

from drumjax.training.config import apply_variant, base_config

BASES = {
    "paper": {
        "data.balanced": False,
        "data.per_category": 128,
        "train.steps": 50_000,
        "train.learning_rate": 1e-4,
        "train.plateau_factor": 0.2,
        "train.plateau_patience": 50,
    },
    "small": {
        "data.balanced": False,
        "data.per_category": 8,
        "data.augment.probability": 0.5,
        "data.augment.speed": 0.25,
        "data.augment.decay": 24.0,
        "data.augment.tilt": 6.0,
        "data.augment.layer": 0.3,
        "mcnn.log_floor": 1e-3,
        "train.steps": 4000,
        "train.learning_rate": 1.5e-3,
        "train.schedule": "cosine",
        "train.warmup": 50,
        "train.plateau_factor": 1.0,
        "train.validate_every": 1000,
        "train.checkpoint_every": 1000,
    },
    "tiny": {
        "mcnn.channels": (64, 32, 16, 8, 8, 4, 2, 2),
        "mcnn.heads": 4,
        "mcnn.log_floor": 1e-3,
        "data.balanced": False,
        "data.per_category": 8,
        "train.steps": 600,
        "train.learning_rate": 3e-3,
        "train.schedule": "cosine",
        "train.warmup": 20,
        "train.plateau_factor": 1.0,
        "train.validate_every": 600,
        "train.checkpoint_every": 600,
    },
}
# Ablations, to be joined to one of the above by "+".
CHANGES = {
    "no_mask": {"mcnn.mask": "off"},
    "soft_mask": {"mcnn.mask": "soft"},  # trains as the paper's, whose mask is binarised later
    "phase": {"mcnn.frequency_weight": 1.0, "mcnn.phase_weight": 1.0},
    "k12": {"mcnn.width": 12, "mcnn.padding": 5},
    "k14": {"mcnn.width": 14, "mcnn.padding": 6},
    "hann": {"mcnn.upsampling": "hann"},
    "linear": {"mcnn.upsampling": "linear"},
    "nearest": {"mcnn.upsampling": "nearest"},
}


def get_config(variant: str = "paper"):
    return apply_variant(base_config("mcnn"), variant, BASES, CHANGES)
