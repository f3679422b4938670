"""Start the extension: `opt/entrypoint` runs this file by its path, `python -m lrap_otel` by hand.

Few lines, because a script is compiled at each start and a module is not. Older Pythons read them too, to say that they are too old.
"""

import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# What opt/entrypoint goes on with the next interpreter for.
TOO_OLD, FREE_THREADED, CANNOT_LOAD = 64, 65, 66


def unfit(version: "tuple[int, int]", is_gil_enabled: "Callable[[], bool]") -> int:
    """Why an interpreter will not do, 0 where it will: the proxy's threads rely on the interpreter lock."""
    if version < (3, 10):
        return TOO_OLD
    return 0 if is_gil_enabled() else FREE_THREADED


if __name__ == "__main__":
    # Arguments of the entrypoint. `how` it started us: in the place of its shell (layer), or as its child (other).
    root, script, dependencies, how, skipped = sys.argv[1:] if sys.flags.no_site else ("", sys.argv[0], "", "", "")
    status = unfit(sys.version_info[:2], getattr(sys, "_is_gil_enabled", lambda: True))
    if not status:
        try:
            if root:
                sys.path.insert(0, root)
            else:
                import sysconfig

                dependencies = sysconfig.get_path("purelib")
            from lrap_otel.boot import main

            status = main(script, dependencies, skipped, posix.getppid() if how == "other" else 0)
        except BaseException as error:  # noqa: BLE001 - nothing has registered yet, and something must
            status = CANNOT_LOAD
            posix.write(2, ascii("lrap-otel: error: %s: %s" % (type(error).__name__, error))[1:-1].encode() + b"\n")  # noqa: UP031
    if how == "layer" and status in {TOO_OLD, FREE_THREADED, CANNOT_LOAD}:
        posix.execv("/bin/sh", ["sh", script, str(status)])
    # Not sys.exit: taking an interpreter apart is up to 100 ms at 7 % of a CPU, in the two seconds that SHUTDOWN leaves.
    posix._exit(status)  # noqa: SLF001 - `os` is not loaded
