"""Two things done at once, the second in a thread of its own."""

import _thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T")
    U = TypeVar("U")


def at_once(here: "Callable[[], T]", beside: "Callable[[], U]") -> "tuple[T, U]":
    """Call both at the same time and return what they return, once both have ended.

    An exception of either is raised when the other has ended, too. If no thread can be started
    (no memory, a limit on processes), they are called one after the other.
    """
    results: list[U] = []
    failures: list[BaseException] = []
    is_over = _thread.allocate_lock()

    def run() -> None:
        try:
            results.append(beside())
        except BaseException as error:  # noqa: BLE001 - raised below, in the thread that waits
            failures.append(error)
        finally:
            is_over.release()

    is_over.acquire()
    try:
        _thread.start_new_thread(run, ())
    except RuntimeError:
        is_over.release()
        return here(), beside()
    try:
        result = here()
    finally:
        is_over.acquire()
    if failures:
        raise failures[0]
    return result, results[0]
