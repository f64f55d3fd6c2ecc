"""A stateless, balanced sampler: a batch is a function of (seed, step) and of nothing else."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from drumjax.data.augment import AugmentConfig, apply_changes, draw_changes
from drumjax.data.source import Source
from drumjax.errors import ConfigError, DataError

_AUGMENT_STREAM = 1 << 20  # keeps these random numbers apart from those of the permutations


@dataclass(frozen=True, eq=False)
class Sampler:
    """Draws batches with the same number of sounds of each category.

    Each category is walked in epochs, and each epoch in its own shuffled order. To resume is to
    ask for the next step. Process p holds rows [p·n, (p + 1)·n) of each category's share of the
    batch, so the processes' batches, joined along axis 1, are the single-process batch.

    Attributes:
        source: the sounds to draw from.
        per_category: sounds of each category in the batch of all processes together (NDM: 64); if
            not `balanced`, the size of the whole batch.
        seed: not negative.
        process_index: this process, below `process_count`.
        process_count: must divide `per_category`.
        balanced: False draws from all sounds as one pool, category by chance.
        augment: random changes made to the drawn sounds, if any.

    Raises:
        DataError: a category of `source` has no sound.
        ConfigError: `per_category` cannot be shared among the processes.
    """

    source: Source
    per_category: int = 64
    seed: int = 0
    process_index: int = 0
    process_count: int = 1
    balanced: bool = True
    augment: AugmentConfig | None = None

    def __post_init__(self):
        if self.per_category < 1 or self.per_category % self.process_count:
            raise ConfigError(
                f"a batch of {self.per_category} sounds per category cannot be shared among "
                f"{self.process_count} processes; choose a multiple of {self.process_count}."
            )
        if not 0 <= self.process_index < self.process_count:
            raise ConfigError(
                f"process {self.process_index} of {self.process_count} is no process."
            )
        empty = [name for name, pool in zip(self._names, self._pools, strict=True) if not len(pool)]
        if empty:
            raise DataError(
                f"no sounds of {', '.join(empty)}: prepare the data set again with more of them, "
                "or with fewer validation sounds."
            )

    @property
    def steps_per_epoch(self) -> int:
        """Steps that draw as many sounds as the source holds."""
        return math.ceil(len(self.source.names) / (len(self._pools) * self.per_category))

    def warnings(self) -> list[str]:
        """Sentences about categories that are too small to fill their share without repeats."""
        return [
            f"{name}: {len(pool)} sounds for {self.per_category} places in each batch, "
            "so sounds repeat within a batch."
            for name, pool in zip(self._names, self._pools, strict=True)
            if len(pool) < self.per_category
        ]

    def batch(self, step: int) -> dict[str, np.ndarray]:
        """This process's part of the batch of `step` (an integer ≥ 0).

        Returns 'audio' int16 [categories, n, samples] and 'category' int32 [categories, n], with
        n = per_category / process_count; unbalanced, [1, n, samples] and [1, n].
        """
        rows = self._rows(step)  # [c, n]
        audio = self.source.audio[rows]  # [c, n, s]
        if self.augment is not None and self.augment.probability > 0:
            audio = self._augmented(audio, step, self.augment)
        return {"audio": audio, "category": self.source.category[rows]}

    @cached_property
    def _pools(self) -> list[np.ndarray]:
        """Indices into the source, one array for each axis-0 entry of a batch."""
        if not self.balanced:
            return [np.arange(len(self.source.names))]
        return [np.flatnonzero(self.source.category == c) for c in range(len(self._names))]

    @property
    def _names(self) -> tuple[str, ...]:
        return self.source.categories if self.balanced else ("all categories",)

    @property
    def _share(self) -> slice:
        """This process's rows of the batch's axis 1."""
        n = self.per_category // self.process_count
        return slice(self.process_index * n, (self.process_index + 1) * n)

    def _rows(self, step: int) -> np.ndarray:
        """Source indices of this process's part of the batch, [c, n]."""
        share = self._share
        position = step * self.per_category + np.arange(share.start, share.stop)
        return np.stack([self._walk(c, position) for c in range(len(self._pools))])

    def _walk(self, c: int, position: np.ndarray) -> np.ndarray:
        """The sounds at `position` [n] in the endless walk through pool c."""
        pool = self._pools[c]
        epochs, offset = np.divmod(position, len(pool))
        found = np.empty_like(position)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            order = np.random.default_rng([self.seed, c, int(epoch)]).permutation(pool)
            found[here] = order[offset[here]]
        return found

    def _augmented(self, audio: np.ndarray, step: int, config: AugmentConfig) -> np.ndarray:
        """Change `audio` [c, n, s]; drawn for all processes' rows, so that they agree on each."""
        rng = np.random.default_rng([self.seed, step, _AUGMENT_STREAM])
        changes = draw_changes(rng, (len(self._pools), self.per_category), config)
        changes = changes.take(self._share)
        sizes = np.array([len(pool) for pool in self._pools])[:, None]
        picks = (changes.partner * sizes).astype(int)
        partners = np.stack([pool[pick] for pool, pick in zip(self._pools, picks, strict=True)])
        return apply_changes(audio, self.source.audio[partners], changes, self.source.sample_rate)
