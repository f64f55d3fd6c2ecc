"""SFZ kits: a text file that maps keys to WAV files beside it (sfzformat.com)."""

from collections.abc import Sequence
from pathlib import Path

from drumjax import __version__
from drumjax.atomic import write_file
from drumjax.export.kit import Pad, check_kit, label, write_samples
from drumjax.export.profiles import Profile


def write_sfz(folder: str | Path, pads: Sequence[Pad], name: str, profile: Profile) -> Path:
    """Write `<folder>/<name>.sfz` and its WAV files in `<folder>/<name>_samples`.

    Each pad sounds to its end whatever becomes of its key, at its own pitch on that key alone;
    velocity sets the volume; a hit of a choke group cuts off what rings of the pads that it cuts.

    Returns:
      The path of the .sfz.

    Raises:
      DataError: the kit or its name cannot be used (`kit.check_kit`), or a file not be written.
    """
    check_kit(name, pads)
    files = write_samples(Path(folder) / _samples(name), pads, profile)
    path = Path(folder) / f"{name}.sfz"
    regions = [_region(pad, file.name) for pad, file in zip(pads, files, strict=True)]
    write_file(path, "".join([_head(name), *regions]).encode())
    return path


def _samples(name: str) -> str:
    """The folder of the WAV files: the kit's own, as several kits may share the folder."""
    return f"{name}_samples"


def _head(name: str) -> str:
    """What holds for all pads.

    hint_ram_based=1: sfizz and ARIA load whole files at once. Else sfizz reads what follows the
    first 8192 samples while it plays, and has been heard to miss it on a busy machine.
    amp_veltrack=100: velocity rules the whole volume.
    """
    return (
        f"// {name}, made by drumjax {__version__}\n"
        f"<control>\ndefault_path={_samples(name)}/\nhint_ram_based=1\n"
        "<global>\nloop_mode=one_shot\namp_veltrack=100\n"
    )


def _region(pad: Pad, file_name: str) -> str:
    lines = [f"// {label(pad.name)}", "<region>", f"sample={file_name}", f"key={pad.note}"]
    groups = {"group": pad.group, "off_by": pad.cut_by}
    lines += [f"{opcode}={group}" for opcode, group in groups.items() if group is not None]
    return "\n".join(["", *lines, ""])
