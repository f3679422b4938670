"""Compile sources to bytecode, in the interpreter that will load it: a script that the build runs in the layer's own.

Reads lines ``OPTIMIZE <tab> SOURCE <tab> TARGET <tab> NAME`` from stdin; NAME stands in the bytecode as the file's. The bytecode is
hash-based and unchecked: no source is looked at, so that no time of a file matters.
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
