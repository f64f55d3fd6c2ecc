"""`prepare`: turns folders of one-shots, or the procedural drums, into a data set."""

import argparse
import contextlib
import functools
import json
import os
import shlex
import sqlite3
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from drumjax.categories import CATEGORIES
from drumjax.data import assemble, beam, pool
from drumjax.data.aliases import load_aliases
from drumjax.data.ledger import Ledger
from drumjax.data.normalise import SAMPLE_RATE
from drumjax.data.parts import told
from drumjax.data.scan import NOT_OPENED, UNDECIDED, as_text, read_manifest, scan
from drumjax.errors import DataError

_EXAMPLES = 3  # file names printed for each reason
_BATCH = 32  # files read into one part
_FEW = 256  # files that are read before other processes would have started
_FEW_TO_WRITE = 4096  # sounds that are written before, too
_CLOSED = (NOT_OPENED, "cannot be opened")  # reasons that have nothing to do with names
_SEEDS = 2**31  # 0 to one less; others would render the same sounds again
_REMEDY = "make room, or choose another --output"

_EPILOG = """\
Each sound's category is read from its file name or, if that says nothing, from the folders
above it. Sounds are mixed to mono, resampled to 22,050 Hz, trimmed of silence (-60 dB) at both
ends, and must then last 0.1 to 1 second; equal sounds are taken once. What is left out, and why,
is printed and listed in OUTPUT/report.json, and names that say no category in
OUTPUT/undecided.txt; a table of your own words settles those:

  [aliases]
  kick = ["boom", "low thud"]
  other = ["loop"]        # none of the eleven categories

Without --input the data set consists of procedural drums alone, and a SHARE of them validates."""

FOLDS = ("train", "validation")


def main(argv: list[str]) -> int:
    """Run the command; `argv` is what follows its name."""
    from drumjax.data.builder import check_output, write_dataset  # tfds takes a while to import

    options = _options(argv)
    options.output = Path(os.path.realpath(options.output))  # where a link points to
    check_output(options.output, options.overwrite)
    with _workplace(options.output) as ledger:
        _collect(options, ledger)
        ledger.settle()
        ledger.divide(options.split_by == "folder", options.validation, options.seed)
        categories = ledger.drop_untrained()
        if not ledger.count("validation"):
            raise DataError(_no_validation(options))
        metadata = _metadata(argv, options.seed, ledger, categories)
        notes = functools.partial(_write_notes, ledger, metadata)
        run = functools.partial(_write_shards, options, ledger)
        again = options.overwrite  # asked once more when the data set is moved into its place
        write_dataset(options.output, ledger, categories, metadata, notes, run, overwrite=again)
        lines = [
            *_table(ledger, categories),
            *_skip_lines(ledger),
            *_remarks(ledger, categories),
        ]
    _print([*lines, f"The data set is in {options.output}."])
    return 0


@contextlib.contextmanager
def _workplace(output: Path) -> Iterator[Ledger]:
    """A folder beside `output` for what is read; it stays until the data set is complete."""
    folder = output.absolute().with_name(f".{output.absolute().name}-partial")
    missing = [path for path in folder.parents if not path.exists()]
    with told(f"nothing can be written to {folder}", _REMEDY):
        ledger = Ledger(folder)
    try:
        with told(f"the sounds cannot be kept in {folder}", _REMEDY, (OSError, sqlite3.Error)):
            yield ledger
    except BaseException as error:
        if ledger.holds_sounds():
            ledger.close()
            if isinstance(error, DataError):
                kept = f"What has been read is kept in {folder} for the next try."
                raise DataError(f"{error} {kept}") from error
        else:
            ledger.remove()
            with contextlib.suppress(OSError):
                for path in missing:
                    path.rmdir()
        raise
    ledger.remove()


def _options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="drumjax prepare",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Make a data set for training from folders of drum one-shots.",
        epilog=_EPILOG,
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
    add("--workers", metavar="N", type=int, help="processes that read (default: one a core)")
    add("--runner", choices=beam.RUNNERS, help="read on the machines of Apache Beam instead")
    add("--beam_options", metavar="FLAGS", default="", help="what else to tell Apache Beam")
    options = parser.parse_args(argv)
    _check(parser, options)
    return options


def _path(text: str) -> Path:
    """A path on the command line; shells leave the ~ in --input=~/drums alone."""
    return Path(text).expanduser()


def _check(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Refuse what cannot go together, and fill in the defaults."""
    whole = options.input and os.path.isdir(_path(options.input))  # commas are part of its name
    listed = [options.input] if whole else options.input.split(",")
    options.input = [Path(os.path.realpath(_path(folder))) for folder in listed if folder]
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
    if not 0 <= options.seed < _SEEDS or options.synth_per_category < 0:
        parser.error(f"--seed is 0 to {_SEEDS - 1}, and --synth_per_category not negative")
    if options.workers is not None and not 1 <= options.workers <= pool.MOST:
        parser.error(f"--workers is 1 to {pool.MOST}")
    if (options.workers and options.runner) or (options.beam_options and not options.runner):
        parser.error("--workers is for this machine alone, and --beam_options for a --runner")


def _collect(options: argparse.Namespace, ledger: Ledger) -> None:
    """Find, read and render all sounds for the data set; DataError if an input has none."""
    if options.input:
        if options.manifest:
            found = read_manifest(options.input[0], options.manifest)
        else:
            found = scan(options.input, load_aliases(options.categories))
        ledger.want_files(found, options.long == "cut")
        _read(options, ledger)
    if count := options.synth_per_category:
        counts = {"train": count}
        if not options.input:
            share = options.validation / (1 - options.validation)
            counts["validation"] = max(1, round(count * share))
        _render(options, ledger, counts)
    total, known = ledger.counts()
    if known < total:
        raise DataError(
            f"{total - known} of {total} sounds are not in {ledger.parts}; see that all machines "
            "find that folder, and run the same command again."
        )


def _read(options: argparse.Namespace, ledger: Ledger) -> None:
    """Read the files that no earlier try has read; DataError if none can be used."""
    total, known = ledger.counts()
    cut_long, folder = options.long == "cut", str(ledger.parts)
    batches = (
        assemble.Batch(folder, number, files, cut_long)
        for number, files in ledger.waiting_files(_BATCH)
    )
    split = functools.partial(assemble.single_files, number=ledger.new_part)
    run = _runner(options, ledger, few=total - known < _FEW)
    with _bar("reading", total, known) as bar:
        for batch in run(assemble.read_batch, batches, split, assemble.give_up):
            bar.update(ledger.absorb(batch.number))
    if not ledger.has_sounds():
        raise DataError(_no_sounds(ledger))


def _render(options: argparse.Namespace, ledger: Ledger, counts: dict[str, int]) -> None:
    """Render the procedural sounds that no earlier try has rendered; `counts` is fold → count."""
    _, before = ledger.counts()
    for group in assemble.groups(counts, options.seed):
        ledger.want_rendered(group)
    total, known = ledger.counts()
    total = len(CATEGORIES) * sum(counts.values())
    with _bar("rendering", total, known - before) as bar:
        for group in assemble.groups(counts, options.seed):
            if not all(ledger.has(wanted.key) for wanted in group):
                number = ledger.new_part()
                assemble.render_group(ledger.parts, number, group, options.seed)
                bar.update(ledger.absorb(number))


def _write_shards(
    options: argparse.Namespace, ledger: Ledger, work: Callable[[Any], None], jobs: Iterable[Any]
) -> Generator[Any, None, None]:
    """Run the jobs that write a data set; see `builder.Run`."""

    def lost(job: Any) -> None:
        raise DataError(f"the process that wrote {job.path} has died; is there memory enough?")

    total = ledger.count("train") + ledger.count("validation")
    run = _runner(options, ledger, few=total < _FEW_TO_WRITE)
    with _bar("writing", total, 0) as bar:
        for job in run(work, jobs, lambda job: [job], lost):
            bar.update(len(job.sounds))
            yield job


def _runner(options: argparse.Namespace, ledger: Ledger, few: bool) -> Callable[..., Iterator[Any]]:
    """What runs jobs: (work, jobs, split, lost) -> those that are done; see `pool.run_jobs`."""
    if options.runner:
        how = {"runner": options.runner, "options": options.beam_options, "folder": ledger.folder}
        return lambda work, jobs, *_: beam.run_jobs(work, jobs, **how)
    workers = options.workers or (1 if few else pool.cores())
    return functools.partial(pool.run_jobs, workers=workers, name=_name_of)


def _name_of(job: Any) -> str:
    """What a job reads or writes, for the user."""
    if not isinstance(job, assemble.Batch):
        return as_text(job.path)
    more = f" and {len(job.files) - 1} after it" if len(job.files) > 1 else ""
    return as_text(job.files[0][1]) + more


def _bar(label: str, total: int, known: int) -> Any:
    """A progress bar of sounds, of which some were known before."""
    from tqdm import tqdm

    return tqdm(desc=label, total=total, initial=known, unit=" sounds", disable=None)


def _no_sounds(ledger: Ledger) -> str:
    """Why an input has nothing to use, and what to do."""
    ledger.settle()
    reasons = ledger.reasons()
    seen = ", ".join(f"{n} {reason}" for reason, n in reasons.items())
    remedy = (
        "check the permissions"
        if next(iter(reasons)) in _CLOSED
        else "give files or folders names like 'kick' or 'closed hat', or name your own words in a "
        "--categories table"
    )
    return f"none of the {sum(reasons.values())} files can be used ({seen}); {remedy}."


def _metadata(
    argv: list[str], seed: int, ledger: Ledger, categories: Sequence[str]
) -> dict[str, Any]:
    return {
        "categories": list(categories),
        "seed": seed,
        "command": shlex.join(["drumjax", "prepare", *map(as_text, argv)]),
        "counts": {f: {c: ledger.count(f, c) for c in categories} for f in FOLDS},
    }


def _write_notes(ledger: Ledger, metadata: dict[str, Any], folder: Path) -> None:
    """The text files beside the data: the whole report, and the names that say no category."""
    head = json.dumps({**metadata, "skipped": ledger.reasons()}, indent=1).removesuffix("\n}")
    with (folder / "report.json").open("w", encoding="utf-8") as file:
        file.write(f'{head},\n "files": [')
        for index, skip in enumerate(ledger.left_out()):
            file.write("," * (index > 0) + "\n  " + json.dumps(skip._asdict()))
        file.write("\n ]\n}")
    with (folder / "undecided.txt").open("w", encoding="utf-8") as file:
        file.writelines(f"{name}\n" for name in ledger.names_for(UNDECIDED))


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


def _table(ledger: Ledger, categories: Sequence[str]) -> list[str]:
    """Counts, kits and median duration of each category."""
    lines = [f"{'category':<12}{'train':>8}{'validation':>12}{'kits':>6}{'median s':>10}"]
    for category in (*categories, None):
        train, validation = (ledger.count(fold, category) for fold in FOLDS)
        median = np.median(ledger.lengths(category)) / SAMPLE_RATE
        kits, name = ledger.kits(category), category or "all"
        lines.append(f"{name:<12}{train:>8}{validation:>12}{kits:>6}{median:>10.2f}")
    return lines


def _skip_lines(ledger: Ledger) -> list[str]:
    """Each reason with how many files it met and the first of them."""
    reasons = ledger.reasons()
    if not reasons:
        return []
    lines = [f"Left out: {sum(reasons.values())}"]
    for reason, count in reasons.items():
        more = ", …" if count > _EXAMPLES else ""
        lines.append(
            f"{count:>7}  {reason}: {', '.join(ledger.names_for(reason, _EXAMPLES))}{more}"
        )
    return lines


def _remarks(ledger: Ledger, categories: Sequence[str]) -> list[str]:
    """What the user should know about categories that are missing on either side."""
    remarks = []
    if absent := [category for category in CATEGORIES if category not in categories]:
        remarks.append(f"No sounds to train on, so not in the data set: {', '.join(absent)}.")
    if unheld := [c for c in categories if not ledger.count("validation", c)]:
        remarks.append(f"No sounds to validate on, and all in training: {', '.join(unheld)}.")
        remarks.append("A category needs two sounds for that, or two kits to split by folder.")
    return remarks
