"""`prepare`: turns folders of one-shots, or the procedural drums, into a data set."""

import argparse
import json
import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from drumjax.categories import CATEGORIES
from drumjax.data.aliases import load_aliases
from drumjax.data.assemble import divide, read_sounds, render_sounds, trainable, without_duplicates
from drumjax.data.normalise import SAMPLE_RATE, Sound
from drumjax.data.scan import UNDECIDED, Skipped, as_text, read_manifest, scan_folders
from drumjax.errors import DataError

_EXAMPLES = 3  # file names printed for each reason

Folds = dict[str, list[Sound]]


def main(argv: list[str]) -> int:
    """Run the command; `argv` is what follows its name."""
    from drumjax.data.builder import check_output, write_dataset  # tfds takes a while to import

    options = _options(argv)
    check_output(options.output, options.overwrite)
    sounds, skipped = _collect(options)
    folds = divide(sounds, options.split_by == "folder", options.validation, options.seed)
    folds, categories, lost = trainable(folds)
    skipped += lost
    if not folds["validation"]:
        raise DataError(_no_validation(options))
    metadata = _metadata(argv, options.seed, folds, categories)
    write_dataset(options.output, folds, categories, metadata, _notes(metadata, skipped))
    lines = [*_table(folds, categories), *_skip_lines(skipped), *_remarks(folds, categories)]
    _print([*lines, f"The data set is in {options.output}."])
    return 0


def _options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="drumjax prepare",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Make a data set for training from folders of drum one-shots.",
        epilog="""\
Each sound's category is read from its file name or, if that says nothing, from the folders
above it. Sounds are mixed to mono, resampled to 22,050 Hz, trimmed of silence (-60 dB) at both
ends, and must then last 0.1 to 1 second; equal sounds are taken once. What is left out, and why,
is printed and listed in OUTPUT/report.json, and names that say no category in
OUTPUT/undecided.txt; a table of your own words settles those:

  [aliases]
  kick = ["boom", "low thud"]
  other = ["loop"]        # none of the eleven categories

Without --input the data set consists of procedural drums alone, and a SHARE of them validates.""",
    )
    add = parser.add_argument
    add("--input", metavar="FOLDER[,FOLDER]", default="", help="where the one-shots are")
    add("--output", metavar="DIR", type=_path, required=True, help="the data set's new folder")
    add(
        "--categories",
        metavar="TABLE.toml",
        type=_path,
        help="your words for categories, see below",
    )
    add(
        "--manifest",
        metavar="TABLE.csv",
        type=_path,
        help="a table with the columns path (inside "
        "--input), category, fold (train or validation) and, if any, kit, instead of names",
    )
    add(
        "--split_by",
        choices=("file", "folder"),
        help="draw single files for validation (the "
        "default), or whole kits: the folders above the first whose name says a category",
    )
    add("--validation", metavar="SHARE", type=float, help="share held back (default 0.2)")
    add(
        "--long",
        choices=("drop", "cut"),
        default="drop",
        help="what to do with sounds over 1 "
        "second: leave them out (the default), or cut them with a fade",
    )
    add(
        "--synth_per_category",
        metavar="N",
        type=int,
        default=0,
        help="add N procedural sounds of each category to the training sounds",
    )
    add("--seed", type=int, default=0, help="for the division and the procedural sounds")
    add("--overwrite", action="store_true", help="replace a data set in --output")
    options = parser.parse_args(argv)
    _check(parser, options)
    return options


def _path(text: str) -> Path:
    """A path on the command line; shells leave the ~ in --input=~/drums alone."""
    return Path(text).expanduser()


def _check(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Refuse what cannot go together, and fill in the defaults."""
    whole = options.input and _path(options.input).is_dir()  # commas are part of its name
    listed = [options.input] if whole else options.input.split(",")
    options.input = [_path(folder).resolve() for folder in listed if folder]
    if not options.input and options.synth_per_category < 1:
        parser.error("name folders with --input, or ask for --synth_per_category=N")
    if not options.input and (options.manifest or options.categories or options.split_by):
        parser.error("--manifest, --categories and --split_by need an --input")
    if options.manifest and len(options.input) > 1:
        parser.error("--manifest needs exactly one --input")
    if options.manifest and (options.categories or options.split_by or options.validation):
        parser.error("--manifest settles what --categories, --split_by and --validation ask")
    if options.validation is None:
        options.validation = 0.2
    if not 0 < options.validation < 1:
        parser.error("--validation is a share between 0 and 1")
    if options.seed < 0 or options.synth_per_category < 0:
        parser.error("--seed and --synth_per_category are not negative")


def _collect(options: argparse.Namespace) -> tuple[list[Sound], list[Skipped]]:
    """All sounds for the data set, real and procedural, and the files left out."""
    sounds, skipped = _from_files(options) if options.input else ([], [])
    if count := options.synth_per_category:
        wanted = [("train", count)]
        if not options.input:
            share = options.validation / (1 - options.validation)
            wanted.append(("validation", max(1, round(count * share))))
        total = len(CATEGORIES) * sum(n for _, n in wanted)
        rendered = (item for fold, n in wanted for item in render_sounds(n, fold, options.seed))
        made, failed = _sorted_out(rendered, total, "rendering")
        sounds, skipped = sounds + made, skipped + failed
    sounds, duplicates = without_duplicates(sounds)
    return sounds, skipped + duplicates


def _from_files(options: argparse.Namespace) -> tuple[list[Sound], list[Skipped]]:
    """Sounds from the input folders; DataError if there are none."""
    if options.manifest:
        candidates, skipped = read_manifest(options.input[0], options.manifest)
    else:
        candidates, skipped = scan_folders(options.input, load_aliases(options.categories))
    sounds, unfit = _sorted_out(
        read_sounds(candidates, options.long == "cut"), len(candidates), "reading"
    )
    skipped += unfit
    if not sounds:
        counts = Counter(skip.reason for skip in skipped)
        seen = ", ".join(f"{n} {reason}" for reason, n in counts.most_common())
        raise DataError(
            f"none of the {len(skipped)} files can be used ({seen}); give files or folders names "
            "like 'kick' or 'closed hat', or name your own words in a --categories table."
        )
    return sounds, skipped


def _sorted_out(
    items: Iterable[Sound | Skipped], total: int, label: str
) -> tuple[list[Sound], list[Skipped]]:
    """Run through `items` under a progress bar and part sounds from skipped files."""
    from tqdm import tqdm

    sounds, skipped = [], []
    for item in tqdm(items, label, total, unit=" sounds", disable=None):
        (sounds if isinstance(item, Sound) else skipped).append(item)
    return sounds, skipped


def _metadata(
    argv: list[str], seed: int, folds: Folds, categories: Sequence[str]
) -> dict[str, Any]:
    counts = {fold: Counter(s.category for s in sounds) for fold, sounds in folds.items()}
    return {
        "categories": list(categories),
        "seed": seed,
        "command": shlex.join(["drumjax", "prepare", *map(as_text, argv)]),
        "counts": {f: {c: count[c] for c in categories} for f, count in counts.items()},
    }


def _notes(metadata: dict[str, Any], skipped: Sequence[Skipped]) -> dict[str, str]:
    """The text files beside the data: the whole report, and the names that say no category."""
    reasons = Counter(skip.reason for skip in skipped)
    report = {**metadata, "skipped": reasons, "files": [skip._asdict() for skip in skipped]}
    undecided = "".join(f"{skip.name}\n" for skip in skipped if skip.reason == UNDECIDED)
    return {"report.json": json.dumps(report, indent=1), "undecided.txt": undecided}


def _no_validation(options: argparse.Namespace) -> str:
    """Why nothing is left to validate on, and what to do."""
    if options.manifest:
        return f"{options.manifest} lists no usable sound for validation; name some there."
    if options.split_by == "folder":
        return "the sounds lie in one kit, or in kits that cannot be parted; use --split_by=file."
    return "no category has two sounds, one of them for validation; add sounds with --input."


def _print(lines: Sequence[str]) -> None:
    """Print lines; what the terminal cannot show is replaced."""
    encoding = sys.stdout.encoding or "utf-8"
    print("\n".join(lines).encode(encoding, "replace").decode(encoding))


def _table(folds: Folds, categories: Sequence[str]) -> list[str]:
    """Counts, kits and median duration of each category."""
    lines = [f"{'category':<12}{'train':>8}{'validation':>12}{'kits':>6}{'median s':>10}"]
    for category in (*categories, "all"):
        here = {
            fold: [s for s in sounds if category in (s.category, "all")]
            for fold, sounds in folds.items()
        }
        both = here["train"] + here["validation"]
        kits = len({sound.kit for sound in both})
        median = np.median([len(sound.audio) for sound in both]) / SAMPLE_RATE
        train, validation = len(here["train"]), len(here["validation"])
        lines.append(f"{category:<12}{train:>8}{validation:>12}{kits:>6}{median:>10.2f}")
    return lines


def _skip_lines(skipped: Sequence[Skipped]) -> list[str]:
    """Each reason with how many files it met and the first of them."""
    if not skipped:
        return []
    lines = [f"Left out: {len(skipped)}"]
    for reason, count in Counter(skip.reason for skip in skipped).most_common():
        names = [skip.name for skip in skipped if skip.reason == reason]
        more = ", …" if count > _EXAMPLES else ""
        lines.append(f"{count:>7}  {reason}: {', '.join(names[:_EXAMPLES])}{more}")
    return lines


def _remarks(folds: Folds, categories: Sequence[str]) -> list[str]:
    """What the user should know about categories that are missing on either side."""
    remarks = []
    held = {sound.category for sound in folds["validation"]}
    if absent := [category for category in CATEGORIES if category not in categories]:
        remarks.append(f"No sounds to train on, so not in the data set: {', '.join(absent)}.")
    if unheld := [category for category in categories if category not in held]:
        remarks.append(f"No sounds to validate on, and all in training: {', '.join(unheld)}.")
        remarks.append("A category needs two sounds for that, or two kits to split by folder.")
    return remarks
