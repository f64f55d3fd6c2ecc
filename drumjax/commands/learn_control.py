"""`drumjax learn-control`: a control of your own, from sounds that have what it is to add."""

import argparse
import hashlib
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, NamedTuple

from drumjax.commands import _files, _flags
from drumjax.data.aliases import Aliases
from drumjax.errors import AudioDecodeError, ConfigError, DataError

if TYPE_CHECKING:
    import numpy as np

    from drumjax.play.instrument import Instrument
    from drumjax.play.learn import Codes, Learnt
    from drumjax.play.runtime import Player

_CHUNK = 8  # sounds that are encoded at a time
_FEW = 10  # sounds from which on a verdict is more than a guess
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_AXIS = re.compile(r"a\d+")


class Heard(NamedTuple):
    """What a folder held."""

    codes: "Codes"
    categories: list[str]  # of each sound
    left_out: Counter[str]  # reason -> how many


def parser() -> argparse.ArgumentParser:
    """The command's flags."""
    p = _flags.new_parser(
        "learn-control",
        "Make a control from a folder of your own sounds that share a quality, such as dusty: it "
        "moves any sound towards them. It goes into a new instrument, --output; the factory "
        "instrument stays as it is. Needs the instrument's encoder file. Some 30 sounds make a "
        "good control, a few a vague one; the report says how well it tells the sounds apart. "
        "Moved by 1, the control takes a sound as far as your examples lie from the others, or 3 "
        "standard deviations if that is less.",
        [
            "--name=dusty --examples=dusty/ --output=mine.safetensors",
            "--name=dusty --examples=dusty/ --against=clean/ --output=mine.safetensors",
        ],
    )
    _flags.add_instrument(p)
    p.add_argument("--name", required=True, help="of the control: letters, digits, - and _")
    p.add_argument(
        "--examples",
        required=True,
        metavar="DIR",
        help="sounds that have the quality; copies are left out, and takes of one sound count as "
        "one: with several of each, the report is better than the control",
    )
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
        "--hold_attributes",
        action="store_true",
        help="leave brightness, punch, decay, body and noisiness as they are, where possible",
    )
    p.add_argument("--output", metavar="FILE", help="the new instrument, NAME.safetensors")
    p.add_argument(
        "--overwrite",
        action="store_true",
        help="replace --output if it is there; without --output, the --instrument itself",
    )
    return p


def main(argv: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    args = parser().parse_args(_flags.underscored(argv))
    for flag in ("examples", "against", "output"):
        if getattr(args, flag) == "":
            raise ConfigError(f"--{flag}= is empty; write a name after it.")
    source = _files.instrument_path(args.instrument)
    output = _output(source, args.output, args.overwrite)
    from drumjax.play.cache import use_cache
    from drumjax.play.controls import STEP, with_controls
    from drumjax.play.gaussian import category_weights
    from drumjax.play.instrument import load_instrument, save_instrument
    from drumjax.play.learn import learn
    from drumjax.play.runtime import Player

    instrument = load_instrument(source, encoder=True)
    _check_name(args.name, instrument)
    if args.category is not None:
        category_weights(instrument, args.category)
    use_cache()
    player = Player(instrument)
    examples = listen(player, args.examples, args.category, "--examples")
    against = args.against and listen(player, args.against, args.category, "--against")
    learnt = learn(
        instrument, examples.codes, against.codes if against else None, args.hold_attributes
    )
    words = {
        "sounds": len(examples.categories),
        "categories": dict(sorted(Counter(examples.categories).items())),
        "against": len(against.categories) if against else "all that the instrument makes",
        "distance": round(learnt.distance, 3),
        "auc": round(learnt.separation.auc, 3),
        "auc_error": round(learnt.separation.error, 3),
        "attributes_held": args.hold_attributes,
    }
    others = instrument.meta.get("controls", {}).get("learnt", {})
    fuller = with_controls(
        instrument,
        {STEP + args.name: learnt.steps},
        {"learnt": {**others, args.name: words}},
    )
    written = save_instrument(fuller, output, instrument.meta["precision"])
    print(report(args.name, examples, against, learnt))
    print(
        f"It is in {' and '.join(map(str, written))}: move it with --instrument={output} "
        f"--set={args.name}=1."
    )
    return 0


def _output(instrument: Path, output: str | None, overwrite: bool) -> Path:
    """The file to write, after a look at it and at the encoder's that goes beside it."""
    from drumjax.play.instrument import encoder_path

    if output is None and not overwrite:
        raise ConfigError("Name the new instrument with --output=NAME.safetensors.")
    path = _files.check_instrument(Path(output) if output else instrument)
    for file in (path, encoder_path(path)):
        if file.exists() and not overwrite:
            raise ConfigError(f"{file} exists; choose another --output or add --overwrite.")
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


def listen(player: "Player", folder: str, category: str | None, flag: str) -> Heard:
    """Read and encode the sounds of a folder and of all folders in it.

    Args:
      player: with the instrument's encoder.
      folder: of sounds.
      category: of all of them, or None: their names say it.
      flag: that named the folder.

    Raises:
      DataError: the folder cannot be used, or fewer than 3 of its sounds can.
    """
    import numpy as np

    from drumjax.play.learn import FEWEST, whitened

    files, left_out = _find(Path(folder), category, player.categories, flag)
    codes, kinds = [], []
    usable = _usable(player, files, left_out)
    while chunk := list(itertools.islice(usable, _CHUNK)):
        codes.append(_encode(player, [x for x, _ in chunk], [kind for _, kind in chunk]))
        kinds += [kind for _, kind in chunk]
    if len(kinds) < FEWEST:
        raise DataError(
            f"{folder} holds {len(kinds)} usable sounds and a control takes at least {FEWEST}"
            f"{_why(left_out)}; add sounds, or name their category with --category."
        )
    indices = [player.categories.index(k) for k in kinds]
    return Heard(whitened(player.instrument, np.concatenate(codes), indices), kinds, left_out)


def _usable(
    player: "Player", files: Sequence[tuple[Path, str]], left_out: Counter[str]
) -> Iterator[tuple["np.ndarray", str]]:
    """(samples, category) of each file that can be used; the others are counted in `left_out`."""
    from drumjax.play.source_sound import read_source

    seen = set()
    for path, kind in _files.progress(files, "sounds"):
        try:
            source = read_source(path, player.sample_rate, player.samples)
        except AudioDecodeError as error:
            left_out[error.reason] += 1
            continue
        except DataError:
            left_out[f"silent below {player.sample_rate // 2} Hz"] += 1
            continue
        digest = hashlib.sha256(source.audio.tobytes()).digest()
        if source.seconds < _shortest(player):
            left_out["too short"] += 1
        elif digest in seen:
            left_out["the same as another"] += 1
        else:
            seen.add(digest)
            yield source.audio, kind


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


class _Named(Aliases):
    """Takes every sound for one of the category that the user named."""

    def __init__(self, category: str):
        super().__init__()
        self._category = category

    def category(self, path: PurePath) -> str:
        return self._category


def _find(
    folder: Path, category: str | None, known: Sequence[str], flag: str
) -> tuple[list[tuple[Path, str]], Counter[str]]:
    """(file, category) of the sounds in a folder, and how many are left out for which reason."""
    from drumjax.data.scan import scan_folders

    if not folder.is_dir():
        raise DataError(f"{flag}={folder} is no folder; name a folder of sounds.")
    try:
        candidates, skipped = scan_folders([folder], _Named(category) if category else Aliases())
    except DataError as error:
        raise DataError(f"{flag}={folder} holds no files; name a folder of sounds.") from error
    left_out = Counter(s.reason for s in skipped)
    lacking = sum(c.category not in known for c in candidates)
    if lacking:
        left_out["a category that the instrument lacks"] += lacking
    return sorted((c.path, c.category) for c in candidates if c.category in known), left_out


def _why(left_out: Counter[str]) -> str:
    listed = ", ".join(f"{n} × {reason}" for reason, n in sorted(left_out.items()))
    return f" (left out: {listed})" if listed else ""


def report(name: str, examples: Heard, against: Heard | None, learnt: "Learnt") -> str:
    """What was learnt, from what, and how well it tells the sounds apart, in lines.

    Args:
      name: of the control.
      examples: what was heard of --examples.
      against: of --against, if it was given.
      learnt: the control.
    """
    kinds = ", ".join(f"{n} {k}" for k, n in sorted(Counter(examples.categories).items()))
    other = "all the instrument makes"
    counts = [len(examples.categories)]
    if against:
        counts.append(len(against.categories))
        other = f"{counts[1]} other sounds{_why(against.left_out)}"
    auc, error, _ = learnt.separation
    lines = [
        f"{name}: learnt from {kinds}{_why(examples.left_out)} against {other}.",
        f"A sound left out of learning is told from the others {auc:.0%} of the time, give or take "
        f"{error:.0%} ({_quality(auc, min(counts))}; chance is 50%).",
        f"These lie {learnt.separation.distance:.1f} standard deviations from the others along it; "
        f"moved by 1, it goes {learnt.distance:.1f}.",
        "It moves sounds of every category, and was learnt from those named above.",
    ]
    if learnt.held < 0.5:
        lines.append(
            "Most of what sets these sounds apart is in the attributes that are held; "
            "consider leaving out --hold_attributes."
        )
    return "\n".join(lines)


def _quality(auc: float, sounds: int) -> str:
    if sounds < _FEW:
        return f"a guess, from fewer than {_FEW} sounds: add some"
    if auc >= 0.85:
        return "clear"
    return "usable" if auc >= 0.7 else "vague: add sounds, or choose --against more alike"
