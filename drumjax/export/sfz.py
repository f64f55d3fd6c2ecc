"""SFZ kits: a text file that maps keys to WAV files beside it (sfzformat.com)."""

from collections.abc import Sequence
from pathlib import Path

from drumjax import __version__
from drumjax.atomic import write_file
from drumjax.export.kit import Pad, check_kit, label, write_samples
from drumjax.export.profiles import Profile

_SAMPLES = "samples"  # the folder of the WAV files, beside the .sfz


def write_sfz(folder: str | Path, pads: Sequence[Pad], name: str, profile: Profile) -> Path:
    """Write `<folder>/<name>.sfz` and its WAV files in `<folder>/samples`; returns the .sfz.

    Each pad sounds to its end whatever becomes of its key, at its own pitch on that key alone;
    velocity sets the volume; pads of one choke group cut each other off.

    Raises:
      DataError: the kit or its name cannot be used (`kit.check_kit`), or a file not be written.
    """
    check_kit(name, pads)
    files = write_samples(Path(folder) / _SAMPLES, pads, profile)
    path = Path(folder) / f"{name}.sfz"
    regions = [_region(pad, file.name) for pad, file in zip(pads, files, strict=True)]
    write_file(path, "".join([_head(name), *regions]).encode())
    return path


def _head(name: str) -> str:
    """What holds for all pads.

    hint_ram_based=1: sfizz and ARIA load whole files at once. Else sfizz reads what follows the
    first 8192 samples while it plays, and has been heard to miss it on a busy machine.
    amp_veltrack=100: velocity rules the whole volume.
    """
    return (
        f"// {name}, made by drumjax {__version__}\n"
        f"<control>\ndefault_path={_SAMPLES}/\nhint_ram_based=1\n"
        "<global>\nloop_mode=one_shot\namp_veltrack=100\n"
    )


def _region(pad: Pad, file_name: str) -> str:
    choke = "" if pad.choke is None else f"group={pad.choke} off_by={pad.choke}\n"
    return f"\n// {label(pad.name)}\n<region>\nsample={file_name}\nkey={pad.note}\n{choke}"
