"""Streams open and catch up for a limited time in each turn of the event loop, and in order."""

from __future__ import annotations

import asyncio

from tickwire.hub.catchup import step_queue
from tickwire.hub.catchup.step_queue import StepQueue


class ManualClock:
    """A clock that advances only when a test says so."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


async def run_steps(steps: StepQueue, clock: ManualClock, step_s: float, count: int, done: list[int], id_: int) -> None:
    """Perform `count` steps of the reader `id_`, as a new stream does."""
    for _ in range(count):
        await steps.enter()
        clock.now_s += step_s
        done.append(id_)


async def steps_of_each_turn(done: list[int], total: int) -> list[list[int]]:
    """Let the event loop run until `total` steps are done. Return the steps of each turn that performed any."""
    turns, begin = list[list[int]](), len(done)
    while len(done) < total:
        await asyncio.sleep(0)
        turns += [done[begin:]] if len(done) > begin else []
        begin = len(done)
    return turns


async def test_a_turn_begins_no_step_after_its_time_and_readers_continue_in_order() -> None:
    clock, done = ManualClock(), list[int]()
    steps = StepQueue(clock)
    step_s = step_queue._MAX_TURN_S / 3
    tasks = [asyncio.ensure_future(run_steps(steps, clock, step_s, 2, done, number)) for number in range(200)]
    turns = await steps_of_each_turn(done, 400)
    # A turn of this test can begin within a turn of the queue, and end within the next one.
    assert max(map(len, turns)) <= 2 * 3
    assert sorted(done) == sorted([*range(200), *range(200)])
    first_steps = [*dict.fromkeys(done)]
    assert first_steps == [*range(200)]
    await asyncio.gather(*tasks)


async def test_each_turn_has_time_for_a_step_even_if_each_step_is_too_long() -> None:
    clock, done = ManualClock(), list[int]()
    steps = StepQueue(clock)
    tasks = [
        asyncio.ensure_future(run_steps(steps, clock, 2 * step_queue._MAX_TURN_S, 3, done, number))
        for number in range(10)
    ]
    turns = await steps_of_each_turn(done, 30)
    assert max(map(len, turns)) <= 2
    await asyncio.gather(*tasks)


async def test_a_cancelled_reader_does_not_stop_the_others() -> None:
    clock, done = ManualClock(), list[int]()
    steps = StepQueue(clock)
    tasks = [
        asyncio.ensure_future(run_steps(steps, clock, step_queue._MAX_TURN_S, 1, done, number)) for number in range(100)
    ]
    await asyncio.sleep(0)
    for task in tasks[50:60]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert done == [*range(50), *range(60, 100)]
    assert not steps.has_waiting


async def test_a_single_reader_never_waits() -> None:
    steps = StepQueue(ManualClock())
    for _ in range(100):
        assert steps.has_time()
    assert not steps.has_waiting


async def test_readers_that_are_ready_in_every_turn_do_not_stop_new_readers() -> None:
    """Slow readers drain their sockets in each turn. The time of a turn is enough for only a third of their steps."""
    clock, done = ManualClock(), list[int]()
    steps, step_s = StepQueue(clock), step_queue._MAX_TURN_S / 20

    async def drain_and_step() -> None:
        while len(done) < 50:
            await asyncio.sleep(0)
            await steps.enter()
            clock.now_s += step_s

    slow = [asyncio.ensure_future(drain_and_step()) for _ in range(60)]
    await asyncio.sleep(0)
    new = [asyncio.ensure_future(run_steps(steps, clock, step_s, 1, done, number)) for number in range(50)]
    turns = 0
    while len(done) < 50:
        await asyncio.sleep(0)
        turns += 1
    assert done == [*range(50)]
    # The 110 steps take six turns of the queue. A turn of this test may be only a part of a turn of the queue.
    assert turns < 40
    await asyncio.gather(*slow, *new)


async def test_new_readers_do_not_pass_waiting_readers() -> None:
    """In each turn, more readers arrive than the turn has time for."""
    clock, done = ManualClock(), list[int]()
    steps, tasks = StepQueue(clock), list[asyncio.Future[None]]()
    step_s = step_queue._MAX_TURN_S / 100
    for first in range(0, 1_280, 128):
        tasks += [
            asyncio.ensure_future(run_steps(steps, clock, step_s, 1, done, number))
            for number in range(first, first + 128)
        ]
        await asyncio.sleep(0)
    turns = await steps_of_each_turn(done, 1_280)
    assert done == [*range(1_280)]
    # The turns have time for 100 steps each, and none of them is wasted for long.
    assert len(turns) < 40
    await asyncio.gather(*tasks)
