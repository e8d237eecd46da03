"""Processes that help this one, and end when it ends, however that happens."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from types import FrameType
from typing import Any

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
MANAGER_SECONDS = 1.0  # that a pool's own thread may take to see that its processes have ended


def start_pool(
    count: int, start: Callable[..., None] | None = None, arguments: Sequence[Any] = (), method: str | None = None
) -> ProcessPoolExecutor:
    """Processes that work side by side, until `end_pool`.

    Args:
        count: of processes, at the most.
        start: called in every process before its first task, with ``arguments``.
        method: how processes are started, as in `multiprocessing.get_context`.
    """
    return ProcessPoolExecutor(count, multiprocessing.get_context(method), _begin, (start, tuple(arguments)))


def end_pool(pool: ProcessPoolExecutor) -> None:
    """End the processes of a pool, whatever they are at."""
    processes = list((pool._processes or {}).values())
    manager: Any = pool._executor_manager_thread
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.kill()
    for process in processes:
        process.join()
    if manager is not None:  # else it may close its pipes while the interpreter, ending, writes to them
        manager.join(MANAGER_SECONDS)


def _begin(start: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    """In a new process of a pool: Ctrl-C and the end of the command are the parent's affair."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    assert parent is not None
    _end_with(parent.join)
    if start is not None:
        start(*arguments)


def background(module: str) -> None:
    """Run ``python -m module`` beside this process, silent, until it is done or this process ends.

    The module calls `end_with_starter` first.
    """
    with contextlib.suppress(OSError):  # it only saves time
        process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        _BACKGROUND.append(process)


#: Kept, since the pipe to a process closes with its object.
_BACKGROUND: list[subprocess.Popen[bytes]] = []


def end_with_starter() -> None:
    """In a process of `background`: end when the one that started it does, which closes the pipe on stdin."""
    _end_with(sys.stdin.buffer.read)


def _end_with(wait: Callable[[], Any]) -> None:
    """End this process when another ends.

    Args:
        wait: returns when that other process, its parent, has ended.

    A thread waits; where it may have to wait for the interpreter, which compiled code holds for seconds, Linux itself
    ends the process.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    def follow() -> None:
        wait()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


@contextlib.contextmanager
def interrupt_ends() -> Iterator[None]:
    """Ctrl-C in the block ends what goes on after it, even where the block takes it as a wish to stop early.

    Raises:
        KeyboardInterrupt: at the end of the block, where one came.
    """
    before = signal.getsignal(signal.SIGINT)
    if not callable(before) or threading.current_thread() is not threading.main_thread():
        yield
        return
    came = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal came
        came = True
        before(number, frame)

    signal.signal(signal.SIGINT, note)
    try:
        yield
    except Exception:  # what compiled code makes of an interrupt
        if not came:
            raise
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        raise KeyboardInterrupt
