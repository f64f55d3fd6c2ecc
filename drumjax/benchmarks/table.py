"""The benchmark's result as a table of plain text."""

from collections.abc import Mapping, Sequence
from typing import Any

HEAD = ("p50 ms", "p99 ms", "sounds/s", "runs", "error")


def show(result: Mapping[str, Any]) -> str:
    """The whole report: machine, contenders, limit, start, and what is not installed."""
    lines = [_machine(result["machine"]), f"instrument: {result['instrument']}", ""]
    for batch in sorted({row["batch"] for row in result["rows"] if "batch" in row}):
        rows = [row for row in result["rows"] if row.get("batch") == batch]
        lines += [*columns(HEAD, [_cells(row, batch) for row in rows], _title(batch)), ""]
    lines += [f"{row['contender']}: {row['failed']}" for row in result["rows"] if "failed" in row]
    lines += _conclusions(result)
    lines += [_start(row) for row in result.get("start", ())]
    lines += [
        f"{name} is not installed: pip install 'drumjax[bench]'" for name in result["missing"]
    ]
    return "\n".join(lines)


def columns(head: Sequence[str], rows: Sequence[Sequence[str]], title: str) -> list[str]:
    """Lay rows out under their heads: names to the left, numbers to the right."""
    table = [(title, *head), *rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    lines = []
    for name, *cells in table:
        numbers = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        lines.append("  ".join([name.ljust(widths[0]), *numbers]).rstrip())
    return lines


def _title(batch: int) -> str:
    return "one sound, z to WAV bytes" if batch == 1 else f"batches of {batch}"


def _cells(row: Mapping[str, Any], batch: int) -> list[str]:
    error = "" if row["error"] is None else f"{row['error']:.0e}"
    times = [f"{row[key]:.1f}" for key in ("p50_ms", "p99_ms", "sounds_per_second")]
    return [row["contender"], *times, str(row["runs"]), error]


def _machine(about: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in about["packages"].items())
    load = "" if about["load"] is None else f", load {about['load']:.1f} before the run"
    return f"{about['cpu']}, {about['cores']} cores{load}, {about['system']}; {versions}"


def _conclusions(result: Mapping[str, Any]) -> list[str]:
    limit = result["limit"]
    ratios = "; ".join(f"{ratio:.2f} × {name}" for name, ratio in result["ratios"].items())
    return [
        f"arithmetic limit: {limit['ms']:.1f} ms ({limit['gflop']['total']:.2f} GFLOP at "
        f"{limit['gflop_per_second']:.0f} GFLOP/s, a matrix product's)",
        f"the player's whole second takes {ratios} (the best of each)",
        f"natural length: {result['natural_seconds']:.2f} s on average",
    ]


def _start(row: Mapping[str, Any]) -> str:
    if "failed" in row:
        return f"start, {row['cache']} cache: {row['failed']}"
    memory = "" if row["peak_mb"] is None else f", {row['peak_mb']:.0f} MB at most"
    return (
        f"start, {row['cache']} cache: first WAV after {row['first_wav_s']:.2f} s, "
        f"end after {row['exit_s']:.2f} s{memory}"
    )
