"""Start the extension: `opt/entrypoint` runs this file by its path, `python -m lrap_otel` by hand.

A few lines, because a script is compiled at each start and a module is not.
"""

import posix
import sys

if __name__ == "__main__":
    if sys.flags.no_site:
        _, root, script, dependencies = sys.argv
        sys.path.insert(0, root)
    else:
        import sysconfig

        script, dependencies = sys.argv[0], sysconfig.get_path("purelib")
    from lrap_otel.boot import main

    # Not sys.exit: taking an interpreter apart is up to 100 ms at 7 % of a CPU, in the two seconds that SHUTDOWN leaves.
    posix._exit(main(script, dependencies))  # noqa: SLF001 - `os` is not loaded
