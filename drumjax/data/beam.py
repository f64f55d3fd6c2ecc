"""Runs jobs through Apache Beam, for sound collections that one machine is too small or slow for.

Every machine needs drumjax, and must find the input and the output folder where this one does.
"""

import json
import os
import shlex
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from drumjax.data.parts import told
from drumjax.errors import ConfigError

RUNNERS = ("DirectRunner", "DataflowRunner", "FlinkRunner")


def run_jobs(
    work: Callable[[Any], None], jobs: Iterable[Any], runner: str, options: str, folder: Path
) -> Iterator[Any]:
    """Do all jobs in one pipeline, then yield them, in order.

    Args:
        work: a function of a module of drumjax.
        jobs: NamedTuples of one type, which JSON can hold.
        runner: one of RUNNERS.
        options: further flags for Beam, as they would stand on a command line.
        folder: where the jobs are listed, for all machines to read.

    Raises:
        ConfigError: Beam is not installed.
        DataError: Beam cannot run, or the work fails.
    """
    listed, kind = folder / "jobs.jsonl", None
    with listed.open("w", encoding="ascii") as file:
        for job in jobs:
            kind = type(job)
            file.write(json.dumps(job) + "\n")
    if kind is None:
        return
    _run(lambda line: work(kind(*json.loads(line))), os.fspath(listed), runner, options)
    with listed.open(encoding="ascii") as file:
        yield from (kind(*json.loads(line)) for line in file)


def _run(work: Callable[[str], None], lines: str, runner: str, options: str) -> None:
    try:
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ModuleNotFoundError as error:
        raise ConfigError(
            "--runner needs Apache Beam: pip install 'drumjax[beam]', or leave --runner out."
        ) from error
    with (
        told(f"{runner} of Apache Beam stopped", "see its messages"),
        beam.Pipeline(
            options=PipelineOptions([f"--runner={runner}", *shlex.split(options)])
        ) as pipeline,
    ):
        listed = pipeline | "Jobs" >> beam.io.ReadFromText(lines)
        _ = listed | "Share" >> beam.Reshuffle() | "Work" >> beam.Map(work)
