"""Chunks as pieces of memory: the builders in Python and in C describe the chunks of the same bytes."""

from __future__ import annotations

import ctypes
import random

import numpy as np
import pytest
from numpy.typing import NDArray

from tickwire.server.transport.senders.chunk_pieces import ChunkBuilder, build_chunks
from tickwire.server.transport.senders.native_call import load_send_library
from tickwire.server.transport.senders.native_chunks import NativeChunkBuilder
from tickwire.server.transport.senders.send_call import SendCallUnavailable
from tickwire.sse.frame import encode_chunk


@pytest.fixture(params=["Python", "C"])
def builder(request: pytest.FixtureRequest) -> ChunkBuilder:
    if request.param == "Python":
        return build_chunks
    try:
        return NativeChunkBuilder()
    except SendCallUnavailable as error:
        pytest.skip(str(error))


def routes_of(rng: random.Random, frame_count: int, group_count: int) -> list[NDArray[np.int32]]:
    routes = [rng.sample(range(group_count), rng.randint(0, group_count)) for _ in range(frame_count)]
    routes[rng.randrange(frame_count)].append(rng.randrange(group_count))
    return [np.array([*dict.fromkeys(route)], np.int32) for route in routes]


def test_each_group_receives_one_chunk_of_its_frames(builder: ChunkBuilder) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for _ in range(100):
        frames = [rng.randbytes(rng.choice([1, 15, 16, 300, 5_000])) for _ in range(rng.randint(1, 30))]
        routes = routes_of(rng, len(frames), rng.choice([1, 3, 50]))
        expected = dict[int, bytes]()
        for frame, route in zip(frames, routes, strict=True):
            for group in route.tolist():
                expected[group] = expected.get(group, b"") + frame
        chunks = builder(frames, routes)
        assert chunks.group_numbers.tolist() == sorted(expected)
        for index, group in enumerate(chunks.group_numbers.tolist()):
            chunk = chunks.join(index)
            assert chunk == encode_chunk(expected[group])
            assert chunks.lengths[index] == len(chunk)
        assert chunks.frame_counts.sum() == sum(map(len, routes))


def test_the_order_of_frames_is_kept_for_group_numbers_above_16_bits(builder: ChunkBuilder) -> None:
    groups = np.array([70_000, 4_464, 1, 65_536], np.int32)
    chunks = builder([b"a", b"b"], [groups, groups[::-1].copy()])
    assert chunks.group_numbers.tolist() == [1, 4_464, 65_536, 70_000]
    assert [chunks.join(index) for index in range(4)] == [b"2\r\nab\r\n"] * 4


def test_the_function_in_c_rejects_arrays_that_contradict_each_other() -> None:
    try:
        build = load_send_library().tickwire_build_chunks
    except SendCallUnavailable as error:
        pytest.skip(str(error))
    memory = ctypes.create_string_buffer(4096)
    one = np.ones(2, np.uint64)
    for groups, route_sizes in (
        ([0, 2], [1, 1]),
        ([-1, 0], [1, 1]),
        ([0, 1], [3, 0]),
        ([0, 1], [1, 0]),
        ([0, 1], [-1, 3]),
    ):
        counts, sizes = np.zeros(2, np.int32), np.zeros(2, np.uint32)
        arrays = [one, one, np.array(route_sizes, np.int64), np.array(groups, np.int32), counts, sizes]
        first, second, third, fourth, fifth, sixth = [array.ctypes.data for array in arrays]
        begins, cursors = np.zeros(2, np.int64), np.zeros(2, np.int64)
        result = build(
            first, second, third, 2, fourth, 2, 2, fifth, begins.ctypes.data, sixth, cursors.ctypes.data,
            ctypes.addressof(memory), ctypes.addressof(memory) + 1024,
        )  # fmt: skip
        assert result == -1
