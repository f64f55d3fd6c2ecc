"""Strict settings for every test: 8 CPU devices, no broadcasting of ranks, no reused keys."""

import jax
import pytest

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_key_reuse", True)


@pytest.fixture
def rng():
    import numpy as np

    return np.random.default_rng(0)
