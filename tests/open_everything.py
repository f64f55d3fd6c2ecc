"""Makes one of every file that drumjax opens, opens them, and tells what was unpickled meanwhile.

    python tests/open_everything.py FOLDER

Run as a process of its own: audit hooks stay for good. Each file is opened as it was written, then
with a pickle in its place that would make a folder. Prints, as JSON: what was opened; what opening
the pickles said; what was unpickled, unmarshalled or run; and the same of a control, which does so.
"""

import io
import json
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path

HEARD: list[str] = []
_DIRECT = ("pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen")
_listening = False


def _listen(event: str, arguments: tuple) -> None:
    if not _listening:
        return
    if event in _DIRECT or (event.startswith("marshal.load") and not _is_import()):
        HEARD.append(f"{event} {str(arguments)[:200]}")


def _is_import() -> bool:
    """Whether Python's own import, which reads compiled modules, is what called."""
    frame = sys._getframe()
    while frame := frame.f_back:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap_external>":
            return True
    return False


def _tell_unpickling() -> None:
    """Hear of every unpickler that is made: plain values call for no class, so no event tells."""
    import _pickle

    for module in (pickle, _pickle):
        for name in ("load", "loads", "Unpickler"):
            setattr(module, name, _telling(name, getattr(module, name)))


def _telling(name: str, real: Callable) -> Callable:
    def told(*arguments, **options):
        if _listening:
            HEARD.append(f"pickle.{name}")
        return real(*arguments, **options)

    return told


class Trap:
    """Unpickled, it makes a folder."""

    def __init__(self, path: Path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def sounds(folder: Path) -> dict[str, Callable[[], object]]:
    """A sound file of each suffix."""
    import mutate_audio

    from drumjax.audio.files import AUDIO_SUFFIXES, read_audio

    kinds = {".aif": "aiff"}
    openers = {}
    for suffix in AUDIO_SUFFIXES:
        path = folder / f"a{suffix}"
        path.write_bytes(mutate_audio.originals(kinds.get(suffix, suffix[1:]))[0])
        openers[path.name] = lambda path=path: read_audio(path)
    return openers


def played(folder: Path) -> dict[str, Callable[[], object]]:
    """Instruments, recipes, kits, drum parts, tables."""
    import numpy as np
    from playing import write_instruments, write_part

    from drumjax.atomic import write_file
    from drumjax.commands._files import load_recipe
    from drumjax.data.aliases import load_aliases
    from drumjax.data.scan import read_manifest
    from drumjax.export.wav import write_wav
    from drumjax.play import recipe
    from drumjax.play.instrument import is_ours, load_instrument
    from drumjax.play.kit import read_pads
    from drumjax.play.midi import read_hits

    write_instruments(folder)
    tiny = load_instrument(folder / "tiny.safetensors")
    sound = recipe.Sound("kick", "kick", np.zeros(4, np.float32))
    document = recipe.Recipe(recipe.describe(tiny), (sound,), extra={"name": "a"})
    write_file(folder / "kit.json", document.to_json().encode())
    write_wav(folder / "recipe.wav", np.zeros(8), 22050, recipe=document.to_dict())
    write_part(folder / "a.mid", (0, 36, 100))
    (folder / "pads.toml").write_text('[pads]\nboom = "kick"\n')
    (folder / "aliases.toml").write_text('[aliases]\nkick = ["boom"]\n')
    (folder / "sounds.csv").write_text("path,category,fold\na.wav,kick,train\n")
    return {
        "tiny.encoder.safetensors": lambda: load_instrument(folder / "tiny.safetensors", True),
        "tiny.safetensors": lambda: load_instrument(folder / "tiny.safetensors"),
        "full.safetensors": lambda: is_ours(folder / "full.safetensors"),
        "kit.json": lambda: load_recipe(folder / "kit.json"),
        "recipe.wav": lambda: load_recipe(folder / "recipe.wav"),
        "a.mid": lambda: read_hits(folder / "a.mid"),
        "pads.toml": lambda: read_pads(str(folder / "pads.toml"), tiny.categories),
        "aliases.toml": lambda: load_aliases(folder / "aliases.toml"),
        "sounds.csv": lambda: list(read_manifest(folder, folder / "sounds.csv")),
    }


def trained(folder: Path) -> dict[str, Callable[[], object]]:
    """A data set, a checkpoint and a work directory's config."""
    import jax
    import tiny
    from one_shots import prepare, two_kits

    from drumjax.data.source import load_source
    from drumjax.training.checkpoint import Checkpoints
    from drumjax.training.config import check_workdir, claim_workdir

    data = prepare(two_kits(folder / "in"))
    config, make = tiny.state_maker("mcnn")
    fresh = make(jax.random.key(0))
    (folder / "run").mkdir()
    plain = tiny.get_config("mcnn").to_dict()
    claim_workdir(folder / "run", plain)
    checkpoints = Checkpoints(folder / "run")
    checkpoints.save(fresh, config, {}, 1.0)
    checkpoints.close()

    def restore():
        opened = Checkpoints(folder / "run", read_only=True)
        try:
            step = opened.latest_step()
            assert step is not None
            return opened.config(step), opened.restore(step, fresh)
        finally:
            opened.close()

    return {
        str(data.relative_to(folder)): lambda: load_source(data, "train"),
        "run/config.json": lambda: check_workdir(folder / "run", plain),
        "run/checkpoints": restore,
    }


def files_of(path: Path) -> list[Path]:
    """A file, or all that lie in a folder."""
    return [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())


def poison(file: Path, trap: bytes) -> None:
    """Put a pickle in the place of a file; one of a .npy file stands where its objects would."""
    import numpy as np

    if file.suffix == ".npy":
        buffer = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            buffer, {"descr": "|O", "fortran_order": False, "shape": (1,)}
        )
        trap = buffer.getvalue() + trap
    file.write_bytes(trap)


def try_to(opener: Callable[[], object]) -> str:
    """What opening said."""
    global _listening
    from drumjax.errors import DrumjaxError

    _listening = True
    try:
        return f"opened: {opener()!r:.80}"
    except DrumjaxError as error:
        return f"{type(error).__name__}: {error}"
    except Exception as error:
        return f"BAD {error!r}"
    finally:
        _listening = False


def one_by_one(name: str, folder: Path, opener: Callable[[], object], trap: bytes) -> dict:
    """What opening a folder said with a pickle for each of its files, told by its manifest."""
    from drumjax.integrity import DATA_SET, MANIFEST, step_label, write_manifest

    said = {}
    (manifest,) = folder.rglob(MANIFEST)
    label = DATA_SET if manifest.parent == folder else step_label(manifest.parent.name)
    for file in files_of(folder):
        if file == manifest:
            continue
        before = file.read_bytes()
        poison(file, trap)
        write_manifest(manifest.parent, label)
        said[f"{name}: {file.relative_to(folder)}"] = try_to(opener)
        file.write_bytes(before)
    write_manifest(manifest.parent, label)
    return {**said, f"{name}: none": try_to(opener)}


def main(folder: Path) -> None:
    """Open everything."""
    global _listening
    sys.addaudithook(_listen)
    _tell_unpickling()
    import jax

    jax.config.update("jax_platforms", "cpu")
    openers = sounds(folder) | played(folder) | trained(folder)
    _listening = True
    for opener in openers.values():
        opener()
    _listening = False
    trap, said, single = pickle.dumps(Trap(folder / "sprung")), {}, {}
    for name, opener in openers.items():
        if (folder / name).is_dir():
            single |= one_by_one(name, folder / name, opener, trap)
        for file in files_of(folder / name):
            poison(file, trap)
        said[name] = try_to(opener)
    heard, sprung = list(HEARD), (folder / "sprung").exists()
    _listening = True
    control(folder, trap)
    told = {"opened": list(openers), "said": said, "single": single, "sprung": sprung}
    print(json.dumps({**told, "heard": heard, "control": HEARD[len(heard) :]}))


def control(folder: Path, trap: bytes) -> None:
    """What must be heard: a pickle, plain and of an array, a marshalled value, a program."""
    import marshal

    import numpy as np

    pickle.loads(trap)
    np.save(folder / "control.npy", np.array([{"a": 1}], object), allow_pickle=True)
    np.load(folder / "control.npy", allow_pickle=True)
    marshal.loads(marshal.dumps([1]))
    os.system("true")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
