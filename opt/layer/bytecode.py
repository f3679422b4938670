"""Compile sources to bytecode. The build runs this script in the interpreter that will load the
bytecode.

Reads lines ``OPTIMIZE <tab> SOURCE <tab> TARGET <tab> NAME`` from stdin; NAME is the file name in
the bytecode. The bytecode is hash-based and unchecked: the interpreter does not look at sources, so
their times do not matter.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    import py_compile

    for line in sys.stdin:
        optimize, source, target, name = line.rstrip("\n").split("\t")
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        py_compile.compile(
            source,
            cfile=target,
            dfile=name,
            doraise=True,
            optimize=int(optimize),
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
    print(sys.implementation.cache_tag)  # noqa: T201 - the build reads it
