"""The Conditional Wasserstein Auto-Encoder.

python -m drumjax.train --config=configs/cwae.py --workdir=runs/cwae
    The paper: 110,000 iterations of 704 sounds. For an accelerator; two CPU cores would take weeks.
python -m drumjax.train --config=configs/cwae.py:small --workdir=runs/cwae
    Two cores: about 18 minutes. Mel spectral convergence on unseen kits: 0.64 (BUILD.md).
python -m drumjax.train --config=configs/cwae.py:tiny --workdir=runs/cwae
    Two cores: about 2 minutes. The outline of a drum.
python -m drumjax.train --config=configs/cwae.py:small+no_mmd --workdir=runs/no_mmd
    One thing of the paper changed, to see what it is for (launch/ablations.sh runs them all).

Where `small` and `tiny` leave the paper, the reason stands in `models/cwae.py` beside the field:
batches of a few sounds a category make a noisy MMD, so that it weighs less (beta = 1), and the
errors of loud elements are counted besides (convergence_weight, loudness_weight).
"""

from drumjax.categories import CATEGORIES
from drumjax.training.config import apply_variant, base_config

BASES = {
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
        "train.steps": 400,
        "train.learning_rate": 2e-3,
        "train.schedule": "cosine",
        "train.warmup": 20,
        "train.plateau_factor": 1.0,
        "train.validate_every": 400,
        "train.checkpoint_every": 400,
        "train.calibrate_sounds": 64,
    },
}
# Ablations, to be joined to one of the above by "+".
CHANGES = {
    "no_mmd": {"cwae.divergence": "none"},
    "global_mmd": {"cwae.divergence": "mmd_global"},
    "vae": {"cwae.divergence": "kl"},
    "recon_sum": {"cwae.recon_reduction": "sum"},
    "recon_mean": {"cwae.recon_reduction": "mean"},
    "no_standardisation": {"cwae.scaling": "global"},
    # As many sounds a batch as of eleven categories, which come by chance.
    # The pool knows no categories: where layering is on, a sound may be mixed with one of another
    # category, so join no_layering too.
    "random_sampler": lambda config: {
        "data.balanced": False,
        "data.per_category": config.data.per_category * len(CATEGORIES),
    },
    "no_layering": {"data.augment.layer": 0.0},
}


def get_config(variant: str = "paper"):
    return apply_variant(base_config("cwae"), variant, BASES, CHANGES)
