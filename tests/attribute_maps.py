"""Attribute maps with random weights, for tests."""

import itertools

import numpy as np

from drumjax.play.attribute_map import AttributeMap


def random_map(rng, d=4, k=3, a=5, e=2):
    sizes = (d + k, 8, 6, a)
    layers = tuple(
        (rng.standard_normal((e, m, n)) / np.sqrt(m), 0.1 * rng.standard_normal((e, 1, n)))
        for m, n in itertools.pairwise(sizes)
    )
    return AttributeMap(rng.standard_normal(d), rng.uniform(0.5, 2, d), layers)
