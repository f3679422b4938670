"""Start the extension: `opt/entrypoint` runs this file by its path, `python -m lrap_otel` by hand.

Few lines, because a script is compiled at each start and a module is not. Older Pythons read them
too.
"""

import posix
import sys

if __name__ == "__main__":
    # From the entrypoint. `how` it started us: in the place of its shell (layer), or as its child
    # (other).
    root, script, how, skipped = sys.argv[1:] if sys.flags.no_site else ("", sys.argv[0], "", "")
    # The statuses 64 to 66 send opt/entrypoint to the next interpreter. The proxy's threads rely on
    # the interpreter lock.
    status = 64 if sys.version_info < (3, 10) else 0
    if hasattr(sys, "_is_gil_enabled") and not sys._is_gil_enabled():  # noqa: SLF001 - there is no other way to ask
        status = 65
    if not status:
        try:
            if root:
                sys.path.insert(0, root)
            from lrap_otel.bundle import load

            load("boot")
            from lrap_otel.boot import main

            status = main(script, skipped, posix.getppid() if how == "other" else 0)
        except BaseException as error:  # noqa: BLE001 - nothing has registered yet, and something must
            status = 66
            print("lrap-otel: error:", repr(error), file=sys.stderr)  # noqa: T201 - `log` may be what is broken
    if how == "layer" and status >= 64:
        posix.execv("/bin/sh", ["sh", script, str(status)])
    # Not sys.exit: taking an interpreter apart is up to 100 ms at 7 % of a CPU, in the two seconds
    # that SHUTDOWN leaves.
    posix._exit(status)  # noqa: SLF001 - `os` is not loaded
