"""A drum part played with sounds: each hit its own take, its velocity, and choked hats."""

import bisect
import sys
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from drumjax.audio.envelope import fade_out
from drumjax.audio.levels import peak_safe
from drumjax.categories import CHOKES
from drumjax.errors import DataError
from drumjax.play.midi import Hit

_CHOKE_FADE = 0.008  # seconds
_ROOM = 1.0  # seconds kept free behind the last hit, and by which the mix grows if that is short

Take = Callable[[str, int], np.ndarray]  # (category, index of the hit) -> float32 [n]


def velocity_gain(velocity: int) -> float:
    """Factor on a take's amplitude: (velocity / 127)², so 64 plays 12 dB below 127.

    It is what samplers do to an SFZ kit by default (amp_veltrack=100), so that a part sounds
    alike here and there.
    """
    return (velocity / 127.0) ** 2


def perform(
    hits: Sequence[Hit],
    categories: Mapping[int, str | None],
    take: Take,
    sample_rate: int,
    choke: Mapping[str, Sequence[str]] = CHOKES,
) -> np.ndarray:
    """Play a drum part: the mix of one take for each hit, its first sample at the hit's time.

    A hit of a choking category fades what rings of the choked ones to nothing in 8 ms. What two
    hits at one instant play rings on. A mix beyond -0.1 dBFS is scaled down to it as a whole.

    Args:
      hits: as `read_hits` gives them.
      categories: category of each MIDI key; a key that is absent or None plays nothing.
      take: gives the sound, float32 [n] at sample_rate, of the hit hits[index]; called once for
        each hit that plays, in the order of `hits`. Its level follows from `velocity_gain`.
      sample_rate: in Hz.
      choke: category → the categories that its hits silence.

    Returns:
      float32 [samples], from time 0 to the end of the last sound, within -0.1 dBFS.

    Raises:
      DataError: no hit has a category.
    """
    named = [(index, hit, categories.get(hit.note)) for index, hit in enumerate(hits)]
    played = [(index, hit, category) for index, hit, category in named if category is not None]
    if not played:
        notes = ", ".join(map(str, sorted({hit.note for hit in hits})))
        raise DataError(
            f"No sound is known for the part's keys ({notes}); use General MIDI's drum keys, such "
            "as 36 for the kick and 38 for the snare."
        )
    starts = [round(hit.time * sample_rate) for _, hit, _ in played]
    stops = _choke_times(starts, [category for _, _, category in played], choke)
    room = round(_ROOM * sample_rate)
    mix, end = np.zeros(max(starts) + room, np.float32), 0
    for start, stop, (index, hit, category) in zip(starts, stops, played, strict=True):
        sound = _choked(take(category, index), stop - start, sample_rate)
        end = max(end, start + len(sound))
        if end > len(mix):
            mix = np.pad(mix, (0, end - len(mix) + room))
        mix[start : start + len(sound)] += np.float32(velocity_gain(hit.velocity)) * sound
    return peak_safe(mix[:end])


def _choke_times(
    starts: Sequence[int], categories: Sequence[str], choke: Mapping[str, Sequence[str]]
) -> list[int]:
    """For each hit the sample at which the next one that chokes it starts; far away if none does.

    A hit is choked by what starts later than itself only.
    """
    chokers: dict[str, list[int]] = {}  # category → starts of what chokes it
    for start, category in zip(starts, categories, strict=True):
        for choked in choke.get(category, ()):
            chokers.setdefault(choked, []).append(start)
    chokers = {category: sorted(later) for category, later in chokers.items()}
    stops = []
    for start, category in zip(starts, categories, strict=True):
        later = chokers.get(category, [])
        place = bisect.bisect_right(later, start)
        stops.append(later[place] if place < len(later) else sys.maxsize)
    return stops


def _choked(sound: np.ndarray, stop: int, sample_rate: int) -> np.ndarray:
    """[n] up to sample `stop`, and from there on faded to nothing, linearly: [m], m ≤ n."""
    if stop >= len(sound):
        return sound
    ringing = sound[: stop + round(_CHOKE_FADE * sample_rate)]
    return np.concatenate([ringing[:stop], fade_out(ringing[stop:], len(ringing) - stop)])
