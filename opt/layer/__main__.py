"""Build the layer: ``python -m opt.layer [zip|image] [--python SOURCE] [--arch ARCH] [--flavour
FLAVOUR]``.

Writes build/lrap-otel.zip and build/opt/, its content; ``image`` writes build/image/ as well, an
OCI image index.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from opt.layer import archive, content, image, sizes
from opt.layer.sources import ARCHITECTURES, SourceError, find

BUILD = Path("build")


def main(arguments: list[str]) -> int:
    """Build what the command line asks for. Returns the exit status."""
    args = _parser().parse_args(arguments)
    architectures = [args.arch] if args.arch else list(ARCHITECTURES)
    try:
        source = find(args.python, architectures, _say, is_whole=content.has_packages(args.flavour))
        built = content.build(source, architectures, args.flavour, args.build, _say)
    except SourceError as error:
        _say(f"error: {error}")
        return 1
    zipped = archive.write_zip(built.opt, args.build / "lrap-otel.zip", source.deflate)
    table = sizes.measure(built, zipped)
    table.save(args.build / "sizes.json")
    _say("\n".join(table.lines()))
    _say(f"{args.build / 'lrap-otel.zip'}: sha256 {archive.checksum(args.build / 'lrap-otel.zip')}")
    if not table.is_within_limits():
        _say("error: the layer is larger than it may be")
        return 1
    if args.what == "image":
        digest = image.write(built, architectures, args.build / "image")
        _say(f"{args.build / 'image'}: an OCI image index, {digest}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m opt.layer", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("what", nargs="?", choices=("zip", "image"), default="zip")
    parser.add_argument(
        "--python",
        default="",
        metavar="SOURCE",
        help="where the interpreters come from: debian, uv, or two folders, X86_64:AARCH64; "
        "default: the first that works",
    )
    parser.add_argument("--arch", choices=ARCHITECTURES, help="one architecture; default: both")
    parser.add_argument(
        "--flavour",
        choices=content.FLAVOURS,
        default="default",
        help="sdk: with the SDK and its exporters",
    )
    parser.add_argument(
        "--build", type=Path, default=BUILD, help="the folder to write to; default: build"
    )
    return parser


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
