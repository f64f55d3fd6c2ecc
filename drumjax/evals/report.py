"""Writes an evaluation: JSON for programs, Markdown for people, a page to listen through."""

import json
from pathlib import Path
from typing import Any

from drumjax.atomic import write_files
from drumjax.evals.report_page import page
from drumjax.evals.report_tables import Numbers, Table, headlines, subtitle, tables
from drumjax.evals.run import Results

FILES = ("report.json", "report.md", "report.html")
_PUNCTUATION = str.maketrans({c: f"\\{c}" for c in "\\`*_{}[]<>#|~"})


def write_report(folder: str | Path, results: Results) -> list[str]:
    """Write report.json, report.md and report.html into a folder, which is made: all or none.

    Returns their names.

    Raises:
      DataError: the folder cannot be written to.
    """
    numbers = results.numbers
    told = {**numbers, "headline": [line._asdict() for line in headlines(numbers)]}
    text = json.dumps(told, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    contents = (text, markdown(numbers), page(results))
    write_files(folder, ((n, c.encode()) for n, c in zip(FILES, contents, strict=True)))
    return list(FILES)


def markdown(numbers: Numbers) -> str:
    """The report as Markdown."""
    lines = [f"# {_escaped(numbers['subject']['name'])}", "", _escaped(subtitle(numbers)), ""]
    lines += ["| | | |", "|---|---|---|"]
    for line in headlines(numbers):
        words = f"{line.words} {line.beside[:1].upper()}{line.beside[1:]}"
        lines.append(f"| {line.title} | **{line.value}** | {words} |")
    for table in tables(numbers):
        lines += ["", f"## {table.title}", "", table.words, "", *_rows(table)]
    if numbers["notes"]:
        lines += ["", "## To know", "", *(f"- {_escaped(note)}" for note in numbers["notes"])]
    return "\n".join(lines) + "\n"


def summary(numbers: Numbers) -> str:
    """The headlines as plain lines for a terminal."""
    lines: list[Any] = []
    for line in headlines(numbers):
        lines += [f"{line.title}: {line.value}", f"    {line.beside}"]
    return "\n".join(lines)


def _rows(table: Table) -> list[str]:
    """A table's lines; its text comes from this package, but for the categories' names."""
    head = [f"| {' | '.join(table.header)} |", "|" + "---|" * len(table.header)]
    return [*head, *(f"| {' | '.join(row)} |" for row in table.rows)]


def _escaped(text: str) -> str:
    """A stranger's words, which may steer Markdown."""
    return " ".join(text.split()).translate(_PUNCTUATION)
