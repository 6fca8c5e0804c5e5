"""Threads of a flow: work that waits for other work holds none of them."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any
from uuid import uuid4

import pytest
from prefect.futures import PrefectConcurrentFuture
from pycytominer_transform.common.thread_runner import QuickThreadTaskRunner, _SuccessionExecutor

PATIENCE = 20


@pytest.fixture
def pool() -> Iterator[_SuccessionExecutor]:
    with _SuccessionExecutor(2) as executor:
        yield executor


def awaited(future: Future[Any]) -> list[PrefectConcurrentFuture[Any]]:
    return [PrefectConcurrentFuture(task_run_id=uuid4(), wrapped_future=future)]


def thread_of(wait_for: object) -> int:
    return threading.get_ident()


def test_two_threads_work_on_two_parts(pool: _SuccessionExecutor) -> None:
    both, all_submitted = threading.Barrier(2), threading.Event()

    def extract() -> int:
        both.wait(PATIENCE)
        all_submitted.wait(PATIENCE)
        return threading.get_ident()

    extracted, joined = [], []
    for _ in range(2):
        extracted.append(pool.submit(extract))
        joined.append(pool.submit(thread_of, wait_for=awaited(extracted[-1])))
    all_submitted.set()
    threads = [future.result(PATIENCE) for future in extracted]
    assert len(set(threads)) == 2
    assert [future.result(PATIENCE) for future in joined] == threads


def test_what_is_done_already_is_not_waited_for(pool: _SuccessionExecutor) -> None:
    done = pool.submit(int)
    assert done.result(PATIENCE) == 0
    assert pool.submit(lambda wait_for: len(wait_for), wait_for=awaited(done)).result(PATIENCE) == 1


def test_whoever_waits_for_what_failed_finds_that_out_by_itself(pool: _SuccessionExecutor) -> None:
    go_on = threading.Event()

    def fail() -> None:
        go_on.wait(PATIENCE)
        raise ValueError("no")

    failed = pool.submit(fail)
    after = pool.submit(lambda wait_for: repr(failed.exception()), wait_for=awaited(failed))
    worse = pool.submit(lambda wait_for: failed.result(), wait_for=awaited(failed))
    go_on.set()
    assert after.result(PATIENCE) == "ValueError('no')"
    assert isinstance(worse.exception(PATIENCE), ValueError)


def test_what_waits_for_what_is_cancelled_is_cancelled_too(pool: _SuccessionExecutor) -> None:
    go_on = threading.Event()
    busy = [pool.submit(go_on.wait, PATIENCE) for _ in range(2)]
    never = pool.submit(int)
    after = pool.submit(thread_of, wait_for=awaited(never))
    pool.shutdown(wait=False, cancel_futures=True)
    go_on.set()
    assert [future.result(PATIENCE) for future in busy] == [True, True]
    assert never.cancelled()
    assert after.cancelled()


@pytest.mark.parametrize("before", [0.005, 0.0001])
def test_threads_give_way_to_each_other_sooner_while_it_runs(before: float) -> None:
    def ending() -> None:
        with QuickThreadTaskRunner(max_workers=2):
            during.append(sys.getswitchinterval())
            raise ZeroDivisionError

    during: list[float] = []
    usual = sys.getswitchinterval()
    try:
        sys.setswitchinterval(before)
        with pytest.raises(ZeroDivisionError):
            ending()
        after = sys.getswitchinterval()
    finally:
        sys.setswitchinterval(usual)
    assert during == [pytest.approx(min(before, 0.0005), abs=1e-5)]
    assert after == pytest.approx(before, abs=1e-5)
