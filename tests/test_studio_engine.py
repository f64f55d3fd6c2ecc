"""The studio's engine: one render at a time, the newest of a client, all clients in turn."""

import asyncio
import threading

import pytest

from drumjax.errors import ConfigError
from drumjax.studio.engine import MOST_CLIENTS, MOST_WAITING, Engine, Superseded


class Gate:
    """Work that lasts until it is let go, and that knows how much of it runs at once."""

    def __init__(self):
        self.open = threading.Event()
        self.order, self.running, self.most = [], 0, 0

    def work(self, name):
        def run(player):
            self.running += 1
            self.most = max(self.most, self.running)
            assert self.open.wait(30)
            self.order.append((player, name))
            self.running -= 1
            return name

        return run


def run(scenario):
    """Run scenario(engine, gate) on a loop that must see no error that nobody awaits."""
    unhandled = []

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda _, c: unhandled.append(c))
        engine, gate = Engine("player"), Gate()  # type: ignore[arg-type]
        try:
            await asyncio.wait_for(scenario(engine, gate), 60)
        finally:
            gate.open.set()
            await engine.close()

    asyncio.run(main())
    assert unhandled == []


async def begin(engine, kind, client, work, *channel):
    task = asyncio.create_task(getattr(engine, kind)(client, work, *channel))
    await asyncio.sleep(0)
    return task


def test_the_newest_of_a_client_takes_the_older_ones_place():
    async def scenario(engine, gate):
        tasks = [await begin(engine, "newest", "a", gate.work(i)) for i in range(5)]
        gate.open.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(r) for r in results] == [int, Superseded, Superseded, Superseded, int]
        assert gate.order == [("player", 0), ("player", 4)]
        assert (engine.done, engine.superseded, engine.busy) == (2, 3, False)

    run(scenario)


def test_clients_are_served_in_turn_one_at_a_time():
    async def scenario(engine, gate):
        tasks = [await begin(engine, "newest", c, gate.work(c)) for c in "abc"]
        for _ in range(100):  # who asks more often does not come sooner, nor later
            tasks.append(await begin(engine, "newest", "b", gate.work("b2")))
        assert engine.busy
        gate.open.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert [name for _, name in gate.order] == ["a", "b2", "c"]
        assert gate.most == 1

    run(scenario)


def test_who_was_just_served_waits_for_the_others():
    """A client that asks again while it is served does not come before one that asks after it."""

    async def scenario(engine, gate):
        tasks = [await begin(engine, "newest", "a", gate.work(name)) for name in ("a1", "a2")]
        tasks.append(await begin(engine, "newest", "b", gate.work("b")))
        gate.open.set()
        await asyncio.gather(*tasks)
        assert [name for _, name in gate.order] == ["a1", "b", "a2"]

    run(scenario)


def test_each_is_done_whatever_else_the_client_asks():
    async def scenario(engine, gate):
        tasks = [await begin(engine, "each", "a", gate.work(i)) for i in range(4)]
        tasks += [await begin(engine, "newest", "a", gate.work(9))]
        gate.open.set()
        assert await asyncio.gather(*tasks) == [0, 1, 2, 3, 9]
        assert engine.superseded == 0

    run(scenario)


def test_an_error_reaches_who_asked_and_the_next_is_served():
    def fail(player):
        raise ValueError("no")

    async def scenario(engine, gate):
        gate.open.set()
        with pytest.raises(ValueError, match="no"):
            await engine.newest("a", fail)
        assert await engine.newest("a", gate.work(1)) == 1

    run(scenario)


def test_a_caller_that_gives_up_leaves_the_queue():
    async def scenario(engine, gate):
        first = await begin(engine, "newest", "a", gate.work(1))
        waiting = [await begin(engine, "newest", "b", gate.work(2), i) for i in range(3)]
        for task in (first, waiting[1], waiting[2]):
            task.cancel()
        await asyncio.gather(first, *waiting[1:], return_exceptions=True)
        gate.open.set()
        assert await engine.newest("c", gate.work(3)) == 3
        assert [name for _, name in gate.order] == [1, 2, 3]
        assert engine._waiting == {}

    run(scenario)


def test_a_client_with_many_channels_has_one_turn_in_two():
    """As one with many requests that are all to be done; the newest of each channel is kept."""

    async def scenario(engine, gate):
        tasks = [await begin(engine, "newest", "page", gate.work(0), 0)]
        for n in (1, 2):
            for channel in "xyz":
                tasks.append(
                    await begin(engine, "newest", "page", gate.work(f"{channel}{n}"), channel)
                )
        tasks += [await begin(engine, "each", "kit", gate.work(f"kit{i}")) for i in range(3)]
        tasks += [await begin(engine, "newest", "osc", gate.work("osc"))]
        gate.open.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        order = [name for _, name in gate.order]
        assert order == [0, "kit0", "x2", "osc", "kit1", "y2", "kit2", "z2"]
        assert engine.superseded == 3

    run(scenario)


def test_who_asks_all_the_time_gets_one_turn_in_two_of_a_page_with_64_channels():
    async def scenario(engine, gate):
        gate.open.set()

        async def page():
            while True:
                each = (engine.newest("page", gate.work("page"), channel) for channel in range(64))
                await asyncio.gather(*each)

        playing = asyncio.create_task(page())
        while not gate.order:
            await asyncio.sleep(0.001)
        for _ in range(20):
            await engine.newest("osc", gate.work("osc"))
        names = [name for _, name in gate.order]
        since = names.index("osc")
        assert names[since:].count("page") <= 2 * 20
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)

    run(scenario)


def test_too_many_that_wait_are_refused_in_words():
    async def scenario(engine, gate):
        tasks = [await begin(engine, "newest", i, gate.work(i)) for i in range(MOST_CLIENTS + 1)]
        with pytest.raises(ConfigError, match="clients are waiting; ask again"):
            await engine.newest("one more", gate.work("x"))
        for i in range(MOST_WAITING - 1):  # one that waits may ask for more
            tasks.append(await begin(engine, "newest", 7, gate.work("more"), i))
        with pytest.raises(ConfigError, match="requests are waiting; ask again"):
            await engine.each(7, gate.work("x"))
        newer = await begin(engine, "newest", 5, gate.work("newer"))  # takes a place that is there
        gate.open.set()
        assert await newer == "newer"
        await asyncio.gather(*tasks, return_exceptions=True)
        assert engine.done == MOST_CLIENTS + 1 + MOST_WAITING - 1

    run(scenario)


def test_closing_waits_for_the_render_and_drops_the_rest():
    async def scenario(engine, gate):
        first = await begin(engine, "newest", "a", gate.work(1))
        second = await begin(engine, "newest", "b", gate.work(2))
        closing = asyncio.create_task(engine.close())
        await asyncio.sleep(0)
        gate.open.set()
        await closing
        assert await first == 1
        with pytest.raises(Superseded):
            await second
        with pytest.raises(ConfigError, match="ending"):
            await engine.newest("a", gate.work(3))

    run(scenario)
