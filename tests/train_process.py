"""One process of a run, on noise bursts in place of a data set: `train_process.py FLAG ...`.

--model=NAME     of tests/tiny.py
--stop_at=STEP   ask this process to stop, as SLURM would, during that step
--die_at=STEP    end this process there without a word
--full_at=STEP   take no file beyond 3,000 bytes from there on, as a full disk would
"""

import os
import resource
import signal
import sys
from pathlib import Path

import jax
from tiny import bursts

from drumjax import train

SPLITS = {"train": bursts(7, 9, 8), "validation": bursts(2, 2, 3, seed=1)}


def main() -> int:
    """Train as the command line says; returns the exit status."""
    jax.config.update("jax_numpy_rank_promotion", "raise")
    own = {"model": "cwae", "stop_at": "0", "die_at": "0", "full_at": "0"}
    rest = []
    for argument in sys.argv[1:]:
        name, _, value = argument.removeprefix("--").partition("=")
        if name in own:
            own[name] = value
        else:
            rest.append(argument)
    check = train.check_finite

    def look(metrics, step, *rest):
        check(metrics, step, *rest)
        if step == int(own["stop_at"]):
            signal.raise_signal(signal.SIGTERM)
        if step == int(own["die_at"]):
            os.kill(os.getpid(), signal.SIGKILL)
        if step == int(own["full_at"]):
            resource.setrlimit(resource.RLIMIT_FSIZE, (3000, resource.RLIM_INFINITY))

    train.check_finite = look
    train.load_source = lambda path, split: SPLITS[split]
    config = Path(__file__).with_name("tiny.py")
    return train.main(["train", f"--config={config}:{own['model']}", *rest])


if __name__ == "__main__":
    sys.exit(main())
