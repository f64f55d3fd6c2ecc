"""Which checkpoints of a run are whole, and where those go that are not."""

import json
import sys
import time
from pathlib import Path

from drumjax.errors import CheckpointError
from drumjax.integrity import IntegrityError, has_manifest, step_label, verify_folder

SEALED = "manifest"  # in a checkpoint's config: it was written with a manifest


def is_whole(folder: Path) -> bool:
    """Verify a checkpoint; False if it is of a run before there were manifests.

    Raises:
      IntegrityError: it is damaged.
    """
    if has_manifest(folder):
        verify_folder(folder, step_label(folder.name))
        return True
    try:
        config = json.loads((folder / "config" / "metadata").read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise IntegrityError(f"{folder} lacks its config") from error
    if not isinstance(config, dict) or SEALED in config:
        raise IntegrityError(f"{folder} lacks its manifest")
    return False


def has_checkpoints(workdir: Path) -> bool:
    """Whether a run saved anything there that was not set aside, whole or damaged."""
    return any(f.name.isdecimal() for f in (workdir / "checkpoints").glob("[0-9]*"))


def set_aside(workdir: Path) -> set[int]:
    """Move damaged checkpoints to `workdir/damaged`, where none is lost and none in the way.

    Returns:
      The steps of those that were verified.

    Raises:
      CheckpointError: all of them are damaged, or they cannot be moved.
    """
    whole, damaged = {}, {}
    for folder in sorted((workdir / "checkpoints").glob("[0-9]*"), key=lambda f: f.name):
        if folder.name.isdecimal():
            try:
                whole[int(folder.name)] = is_whole(folder)
            except IntegrityError as error:
                damaged[folder] = error.what
    if damaged and not whole:
        raise CheckpointError(
            f"None of the checkpoints in {workdir} is whole ({'; '.join(damaged.values())}). "
            "Bring back a copy of one, or begin another --workdir."
        )
    for folder, what in damaged.items():
        place = workdir / "damaged" / f"{folder.name}_{time.strftime('%Y%m%d_%H%M%S')}"
        try:
            place.parent.mkdir(exist_ok=True)
            folder.rename(place)
        except OSError as error:
            raise CheckpointError(
                f"The checkpoint {folder} is damaged ({what}) and cannot be moved to {place} "
                f"({error.strerror}); delete it to go on from an older one."
            ) from error
        tell(
            f"The checkpoint of step {folder.name} is damaged: {what}. It now lies in {place}; "
            "the run goes on without it."
        )
    return {step for step, verified in whole.items() if verified}


def tell(line: str) -> None:
    """Say a line that the user must know of, beside what is printed anyway."""
    print(line, file=sys.stderr, flush=True)
