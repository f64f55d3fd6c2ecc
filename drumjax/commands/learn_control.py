"""`drumjax learn-control`: a control of your own, from sounds that have what it is to add."""

import argparse
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from drumjax.commands import _flags
from drumjax.errors import AudioDecodeError, ConfigError, DataError

if TYPE_CHECKING:
    import numpy as np

    from drumjax.play.instrument import Instrument
    from drumjax.play.runtime import Player

_CHUNK = 8  # sounds that are encoded at a time
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_AXIS = re.compile(r"a\d+")


class Heard(NamedTuple):
    """What a folder held."""

    whitened: "np.ndarray"  # [n, d]
    categories: list[str]  # of each sound
    left_out: Counter[str]  # reason -> how many


def parser() -> argparse.ArgumentParser:
    """The command's flags."""
    p = _flags.new_parser(
        "learn-control",
        "Make a control from a folder of your own sounds that share a quality, such as dusty: it "
        "moves any sound towards them. Needs the instrument's encoder file. Some 30 sounds make a "
        "good control, a few a vague one; the report says how well it tells the sounds apart.",
        [
            "--instrument=studio.safetensors --name=dusty --examples=dusty/ \\\n"
            "    --against=clean/ --output=mine.safetensors"
        ],
    )
    _flags.add_instrument(p)
    p.add_argument("--name", required=True, help="of the control: letters, digits, - and _")
    p.add_argument("--examples", required=True, metavar="DIR", help="sounds that have the quality")
    p.add_argument(
        "--against",
        metavar="DIR",
        help="sounds that lack it and are otherwise alike; without it, all sounds that the "
        "instrument makes, and then whatever sets your sounds apart from those is learnt with it",
    )
    p.add_argument(
        "--category", metavar="NAME", help="of all the sounds; else their names and folders say it"
    )
    p.add_argument(
        "--hold-attributes",
        action="store_true",
        help="leave brightness, punch, decay, body and noisiness as they are, where possible",
    )
    p.add_argument("--output", metavar="FILE", help="the new instrument, NAME.safetensors")
    p.add_argument(
        "--overwrite",
        action="store_true",
        help="replace --output if it is there; without --output, the instrument itself",
    )
    return p


def main(argv: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    args = parser().parse_args(argv)
    output = _output(args.instrument, args.output, args.overwrite)
    from drumjax.play.cache import use_cache
    from drumjax.play.controls import STEP, with_controls
    from drumjax.play.gaussian import category_weights
    from drumjax.play.instrument import load_instrument, save_instrument
    from drumjax.play.learn import learn
    from drumjax.play.runtime import Player

    instrument = load_instrument(args.instrument, encoder=True)
    _check_name(args.name, instrument)
    if args.category is not None:
        category_weights(instrument, args.category)
    use_cache()
    player = Player(instrument)
    examples = listen(player, Path(args.examples), args.category)
    against = listen(player, Path(args.against), args.category) if args.against else None
    learnt = learn(
        instrument, examples.whitened, against.whitened if against else None, args.hold_attributes
    )
    words = {
        "sounds": len(examples.categories),
        "categories": dict(sorted(Counter(examples.categories).items())),
        "against": len(against.categories) if against else "all that the instrument makes",
        "distance": round(learnt.distance, 3),
        "auc": round(learnt.auc, 3),
        "attributes_held": args.hold_attributes,
    }
    others = instrument.meta.get("controls", {}).get("learnt", {})
    fuller = with_controls(
        instrument,
        {STEP + args.name: learnt.steps},
        {"learnt": {**others, args.name: words}},
    )
    written = save_instrument(fuller, output, instrument.meta["precision"])
    print(report(args.name, examples, against, learnt.auc, learnt.held))
    print(f"It is in {' and '.join(map(str, written))}: move it with --set={args.name}=1.")
    return 0


def _output(instrument: str, output: str | None, overwrite: bool) -> Path:
    if output is None and not overwrite:
        raise ConfigError("Name the new instrument with --output=NAME.safetensors.")
    path = Path(output or instrument)
    if path.suffix != ".safetensors" or not path.absolute().parent.is_dir():
        raise ConfigError(f"--output={path} must be NAME.safetensors in a folder that is there.")
    if path.exists() and not overwrite:
        raise ConfigError(f"{path} exists; choose another --output or add --overwrite.")
    return path


def _check_name(name: str, instrument: "Instrument") -> None:
    from drumjax.play.controls import names

    if not _NAME.fullmatch(name) or _AXIS.fullmatch(name):
        raise ConfigError(
            f"{name!r} cannot name a control; use up to 32 letters, digits, - and _, and no axis "
            "such as a1."
        )
    if name in names(instrument):
        raise ConfigError(f"The instrument has a control {name!r} already; choose another --name.")


def listen(player: "Player", folder: Path, category: str | None) -> Heard:
    """Read and encode the sounds of a folder and of all folders in it.

    Args:
      player: with the instrument's encoder.
      folder: of sounds.
      category: of all of them, or None: their names say it.

    Raises:
      DataError: the folder cannot be used, or fewer than 3 of its sounds can.
    """
    import numpy as np

    from drumjax.play.learn import FEWEST, whitened
    from drumjax.play.source_sound import read_source

    files, left_out = _find(folder, category, player.categories)
    sounds, kinds = [], []
    for path, kind in files:
        try:
            source = read_source(path, player.sample_rate, player.samples)
        except AudioDecodeError as error:
            left_out[error.reason] += 1
        except DataError:
            left_out["silent"] += 1
        else:
            if source.seconds < _shortest(player):
                left_out["too short"] += 1
            else:
                sounds.append(source.audio)
                kinds.append(kind)
    if len(sounds) < FEWEST:
        raise DataError(
            f"{folder} holds {len(sounds)} usable sounds and a control takes at least {FEWEST}"
            f"{_why(left_out)}; add sounds, or name their category with --category."
        )
    indices = [player.categories.index(k) for k in kinds]
    codes = np.concatenate(
        [
            _encode(player, sounds[i : i + _CHUNK], kinds[i : i + _CHUNK])
            for i in range(0, len(sounds), _CHUNK)
        ]
    )
    return Heard(whitened(player.instrument, codes, indices), kinds, left_out)


def _shortest(player: "Player") -> float:
    """Seconds of the shortest sound: what training takes, or half of a very short instrument's."""
    from drumjax.data.normalise import SHORTEST

    return min(SHORTEST, 0.5 * player.samples / player.sample_rate)


def _encode(player: "Player", sounds: list["np.ndarray"], kinds: list[str]) -> "np.ndarray":
    """Codes of up to `_CHUNK` sounds, always computed in batches of that size."""
    import numpy as np

    pick = np.minimum(np.arange(_CHUNK), len(sounds) - 1)
    batch, names = np.stack([sounds[i] for i in pick]), [kinds[i] for i in pick]
    return player.encode(batch, names)[: len(sounds)]


def _find(
    folder: Path, category: str | None, known: Sequence[str]
) -> tuple[list[tuple[Path, str]], Counter[str]]:
    """(file, category) of the sounds in a folder, and how many are left out for which reason."""
    from drumjax.data.aliases import Aliases
    from drumjax.data.scan import NOT_ELEVEN, UNDECIDED, scan_folders

    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; name a folder of sounds.")
    candidates, skipped = scan_folders([folder], Aliases())
    found = [(c.path, category or c.category) for c in candidates]
    if category is not None:
        found += [
            (folder / s.name, category) for s in skipped if s.reason in (NOT_ELEVEN, UNDECIDED)
        ]
        skipped = [s for s in skipped if s.reason not in (NOT_ELEVEN, UNDECIDED)]
    left_out = Counter(s.reason for s in skipped)
    left_out.update("a category that the instrument lacks" for _, c in found if c not in known)
    return sorted((p, c) for p, c in found if c in known), left_out


def _why(left_out: Counter[str]) -> str:
    listed = ", ".join(f"{n} × {reason}" for reason, n in sorted(left_out.items()))
    return f" (left out: {listed})" if listed else ""


def report(name: str, examples: Heard, against: Heard | None, auc: float, held: float) -> str:
    """What was learnt, from what, and how well it tells the sounds apart."""
    kinds = ", ".join(f"{n} {k}" for k, n in sorted(Counter(examples.categories).items()))
    other = f"{len(against.categories)} other sounds" if against else "all the instrument makes"
    lines = [
        f"{name}: learnt from {kinds} against {other}{_why(examples.left_out)}.",
        f"A sound left out of learning is told from the others {auc:.0%} of the time "
        f"({_quality(auc)}; chance is 50%).",
        "It moves sounds of every category, and was learnt from those named above.",
    ]
    if held < 0.5:
        lines.append(
            "Most of what sets these sounds apart is in the attributes that are held; "
            "consider leaving out --hold-attributes."
        )
    return "\n".join(lines)


def _quality(auc: float) -> str:
    if auc >= 0.85:
        return "clear"
    return "usable" if auc >= 0.7 else "vague: add sounds, or choose --against more alike"
