"""The counters file: one writer a block, any number of readers."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from blocker.errors import StoreError
from blocker.resolver.counters import COUNTER_NAMES, Count, Counters, read

if TYPE_CHECKING:
    from pathlib import Path


def test_every_count_is_a_field_of_the_value_that_readers_get() -> None:
    assert tuple(count.name.lower() for count in Count) == COUNTER_NAMES


def test_a_reader_sees_what_each_worker_counted(tmp_path: Path) -> None:
    counters = Counters(tmp_path / "counters", 2)
    counters.block(0)[Count.QUERIES] += 3
    counters.block(1)[Count.BLOCKED] += 1
    first, second = read(tmp_path / "counters")
    assert (first.worker, first.queries, first.blocked) == (0, 3, 0)
    assert (second.worker, second.queries, second.blocked) == (1, 0, 1)


def test_what_a_forked_worker_counts_is_seen_outside(tmp_path: Path) -> None:
    counters = Counters(tmp_path / "counters", 1)
    pid = os.fork()
    if pid == 0:
        counters.block(0)[Count.QUERIES] += 7
        os._exit(0)
    os.waitpid(pid, 0)
    assert read(tmp_path / "counters")[0].queries == 7


def test_a_new_start_counts_from_zero_and_leaves_old_maps_alone(tmp_path: Path) -> None:
    old = Counters(tmp_path / "counters", 1)
    old.block(0)[Count.QUERIES] = 5
    Counters(tmp_path / "counters", 3)
    assert [one.queries for one in read(tmp_path / "counters")] == [0, 0, 0]
    assert old.block(0)[Count.QUERIES] == 5


def test_others_may_not_read_the_file(tmp_path: Path) -> None:
    Counters(tmp_path / "counters", 1)
    assert stat.S_IMODE((tmp_path / "counters").stat().st_mode) & 0o137 == 0


@pytest.mark.parametrize("content", [b"", b"x" * 4096, b"blk", None])
def test_what_is_no_counters_file_is_refused_with_its_path(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "counters"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StoreError, match="counters"):
        read(path)


def test_a_cut_off_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "counters"
    Counters(path, 2)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(StoreError, match="cut off"):
        read(path)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nowhere"):
        Counters(tmp_path / "nowhere" / "counters", 1)


@pytest.mark.parametrize("workers", [0, -1, 100_000])
def test_an_odd_number_of_workers_is_refused(tmp_path: Path, workers: int) -> None:
    with pytest.raises(ValueError, match="workers"):
        Counters(tmp_path / "counters", workers)


def test_a_worker_has_no_block_beyond_the_last(tmp_path: Path) -> None:
    with pytest.raises(IndexError):
        Counters(tmp_path / "counters", 1).block(1)
