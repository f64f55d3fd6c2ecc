"""A failed try holds on to nothing, even while its error is still known."""

import contextlib
import sqlite3

import pytest

from drumjax.data import builder
from drumjax.data.ledger import Ledger
from drumjax.errors import DataError


def test_a_ledger_that_cannot_be_made_lets_go_of_the_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite3, "connect", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError) as caught:
        Ledger(tmp_path)
    monkeypatch.undo()
    Ledger(tmp_path).close()
    assert caught.tb


def test_who_writes_has_ended_before_the_folder_is_free(tmp_path, monkeypatch):
    ended = []

    def run(_, shards):
        try:
            yield from shards
        finally:
            ended.append(True)

    monkeypatch.setattr(builder, "_checked", lambda shard: 1 / 0)
    monkeypatch.setattr(builder, "_shards", lambda *_: iter("ab"))
    monkeypatch.setattr(Ledger, "count", lambda *_: 2)
    with contextlib.closing(Ledger(tmp_path)) as ledger:
        with pytest.raises(DataError, match="division by zero") as caught:
            builder.write_dataset(tmp_path / "out", ledger, ["kick"], {}, print, run)
        assert ended
    assert caught.tb
