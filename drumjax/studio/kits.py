"""Recipes' sounds as files: a WAV for one, and a kit in the formats that samplers read."""

import dataclasses
import io
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from drumjax.atomic import write_file, write_files
from drumjax.audio.files import make_folder
from drumjax.errors import DataError
from drumjax.export.gm import assign_notes, choke_groups
from drumjax.export.hydrogen import write_hydrogen
from drumjax.export.kit import Pad
from drumjax.export.profiles import SUFFIXES, Profile
from drumjax.export.sfz import write_sfz
from drumjax.export.wav import wav_bytes
from drumjax.play.recipe import Recipe, Sound, render
from drumjax.play.runtime import Player

_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the time of all files in a zip: the same kit, the same bytes
_UNIX = 3  # what made a zip, whatever system it was made on


def wav_of(recipe: Recipe, sound: Sound, samples: np.ndarray) -> bytes:
    """The WAV file of one of a recipe's sounds, rendered to [n] samples, with its own recipe.

    Raises:
      DataError: see `wav_bytes`.
    """
    output = recipe.output
    return wav_bytes(
        samples,
        output.sample_rate,
        output.bits,
        note=sound.note,
        title=sound.name,
        category=sound.label,
        recipe=recipe.alone(sound).to_dict(),
        plain=output.plain,
    )


def with_notes(sounds: Sequence[Sound]) -> tuple[Sound, ...]:
    """The sounds, each with a MIDI note of its own.

    Raises:
      DataError: there are more of them than MIDI has notes.
    """
    held = [sound.note for sound in sounds]
    if None not in held and len(set(held)) == len(held):
        return tuple(sounds)
    notes = assign_notes([sound.strongest for sound in sounds])
    return tuple(dataclasses.replace(s, note=n) for s, n in zip(sounds, notes, strict=True))


def pad_of(recipe: Recipe, sound: Sound, player: Player) -> Pad:
    """Render one of a kit's sounds, for `write_kit`.

    Raises:
      DrumjaxError: it cannot be made; see `recipe.render`.
    """
    rate = recipe.output.sample_rate
    samples, about = render(player, sound, rate), recipe.alone(sound).to_dict()
    groups = choke_groups(sound.strongest)
    return Pad(sound.name, sound.label, sound.note or 0, samples, rate, about, *groups)


def write_kit(folder: Path, recipe: Recipe, pads: Sequence[Pad]) -> None:
    """Write a kit into a folder, which is made, in each of its formats; and kit.json, its recipe.

    Args:
      folder: where.
      recipe: with "name" and "formats", of `profiles.FORMATS`, in its extra.
      pads: of its sounds, in their order.

    Raises:
      DataError: a sampler could not play the kit (`export.kit.check_kit`), or a file cannot be
        written.
    """
    output, name, formats = recipe.output, recipe.extra["name"], recipe.extra["formats"]
    profile = Profile("kit", output.sample_rate, output.bits, output.plain)
    make_folder(str(folder))
    if "wav" in formats:
        pairs = zip(recipe.sounds, pads, strict=True)
        write_files(folder, [(s.file_name, wav_of(recipe, s, pad.samples)) for s, pad in pairs])
    if "sfz" in formats:
        write_sfz(folder, pads, name, profile)
    if "hydrogen" in formats:
        write_hydrogen(folder / f"{name}{SUFFIXES['hydrogen']}", pads, name, profile)
    write_file(folder / "kit.json", recipe.to_json().encode())


def kit_zip(recipe: Recipe, pads: Sequence[Pad]) -> bytes:
    """What `write_kit` writes, in a zip file; the same kit gives the same bytes.

    Raises:
      DataError: as `write_kit`; or there is no room for temporary files.
    """
    name = recipe.extra["name"]
    buffer = io.BytesIO()
    try:
        with tempfile.TemporaryDirectory(prefix="drumjax_") as place:
            folder = Path(place, name)
            write_kit(folder, recipe, pads)
            with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
                for path in sorted(p for p in folder.rglob("*") if p.is_file()):
                    entry = zipfile.ZipInfo(path.relative_to(place).as_posix(), _LONG_AGO)
                    entry.create_system, entry.external_attr = _UNIX, 0o644 << 16
                    archive.writestr(entry, path.read_bytes())
    except OSError as error:
        raise DataError(
            f"The kit cannot be made ({error.strerror}); make room on the disk."
        ) from error
    return buffer.getvalue()
