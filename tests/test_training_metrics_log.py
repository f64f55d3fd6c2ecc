"""metrics.jsonl of a run that goes on: nothing is lost but what comes again, or cannot be read."""

import json
import os

import pytest

from drumjax.training.metrics_log import MetricsLog

ROW = '{{"step": {}, "split": "train", "loss": 1.0}}\n'
ROWS = [ROW.format(step) for step in range(1, 6)]


def reopened(folder, text, step):
    """What is left of a log after a run went on from a step."""
    (folder / "metrics.jsonl").write_bytes(text if isinstance(text, bytes) else text.encode())
    with MetricsLog(folder, step):
        pass
    return (folder / "metrics.jsonl").read_text().splitlines(keepends=True)


def test_steps_that_come_again_are_dropped_without_a_word(tmp_path, capfd):
    assert reopened(tmp_path, "".join(ROWS), 3) == ROWS[:3]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "spoilt",
    [b"\0" * 40, b"", b"\xff\xfe{", b"{", b"[1]", b"7", b'{"loss": 1}', b"[" * 100_000]
    + [b'{"step": %s}' % value for value in (b"null", b'"2"', b"2.0", b"true", b"9" * 5000)],
)
def test_spoilt_rows_are_dropped_and_counted(tmp_path, capfd, spoilt):
    rows = [row.encode() for row in ROWS]
    text = b"".join([*rows[:2], spoilt + b"\n", *rows[2:], b"\0" + spoilt])
    assert reopened(tmp_path, text, 9) == ROWS
    told = f"{tmp_path / 'metrics.jsonl'}: dropped 2 rows that could not be read.\n"
    assert capfd.readouterr().err == told


def test_a_last_row_without_its_end_of_line_stays_if_it_is_whole(tmp_path, capfd):
    text = "".join(ROWS)
    assert reopened(tmp_path, text[:-1], 9) == ROWS
    assert capfd.readouterr().err == ""
    assert reopened(tmp_path, text[:-2], 9) == ROWS[:4]
    assert "dropped 1 row that" in capfd.readouterr().err


def test_a_log_that_is_right_is_not_written_anew(tmp_path, monkeypatch):
    def refuse(*_):
        raise AssertionError

    monkeypatch.setattr(os, "replace", refuse)
    assert reopened(tmp_path, "".join(ROWS), 5) == ROWS


def test_a_disk_that_refuses_leaves_the_log_as_it_was(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="No space left") as caught:
        reopened(tmp_path, "".join(ROWS), 3)
    assert caught.value.filename == str(tmp_path / "metrics.jsonl")
    assert [p.read_text() for p in tmp_path.iterdir()] == ["".join(ROWS)]


def test_what_is_written_comes_after_what_was_kept(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("".join(ROWS))
    with MetricsLog(tmp_path, 2) as log:
        log.write(3, "train", {"loss": 0.5})
    rows = [json.loads(row) for row in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(row["step"], row["loss"]) for row in rows] == [(1, 1.0), (2, 1.0), (3, 0.5)]
