"""Make a release: ``python -m opt.release [--python SOURCE] [--tag TAG] [--allow-dirty]``.

Writes dist/ anew: the layer, the image, the wheel, the source distribution, a bill of materials, a
table of sizes, what CHANGELOG.md says of the version, and the checksums of all of them. The same
commit gives the same bytes.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

from opt.layer import archive, content, image
from opt.layer import sizes as layer_sizes
from opt.layer.sources import ARCHITECTURES, SourceError, find
from opt.release import checks, distributions, sbom, sizes
from opt.release.checks import ReleaseError

ROOT = content.ROOT
_FLAVOUR = "default"


def main(arguments: list[str]) -> int:
    """Make what the command line asks for. Returns the exit status."""
    args = _parser().parse_args(arguments)
    try:
        _release(args)
    except (ReleaseError, SourceError, OSError) as error:
        _say(f"error: {error}")
        return 1
    return 0


def _release(args: argparse.Namespace) -> None:
    version = content.version()
    if args.tag:
        checks.check_tag(args.tag, version)
    if not args.allow_dirty:
        checks.check_tree(ROOT)
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    notes = checks.notes(changelog, version, is_trial=args.allow_dirty)
    epoch_s = checks.commit_time_s(ROOT)

    work = args.build / "release"
    shutil.rmtree(work, ignore_errors=True)
    dist = work / "dist"
    distributions.build(ROOT, epoch_s, dist)
    layer = dist / f"lrap-otel-{version}-layer.zip"
    source = find(args.python, list(ARCHITECTURES), _say, is_whole=content.has_packages(_FLAVOUR))
    built = content.build(source, list(ARCHITECTURES), _FLAVOUR, work, _say)
    table = layer_sizes.measure(built, archive.write_zip(built.opt, layer, source.deflate))
    _say("\n".join(sizes.lines(table)))
    if not table.is_within_limits():
        raise ReleaseError("the layer is larger than it may be")
    image.write(built, list(ARCHITECTURES), work / "image")
    (dist / f"lrap-otel-{version}-image.tar").write_bytes(
        archive.tar(archive.entries(work / "image"))
    )
    materials = sbom.bill(
        built.parts, version, archive.checksum(layer), epoch_s, sbom.of_this_machine()
    )
    _write_json(dist / f"lrap-otel-{version}.cdx.json", materials)
    _write_json(dist / "sizes.json", sizes.in_bytes(table))
    (dist / "NOTES.md").write_text(f"{notes}\n", encoding="utf-8")
    names = sorted(path.name for path in dist.iterdir())
    sums = "".join(f"{archive.checksum(dist / name)}  {name}\n" for name in names)
    (dist / "SHA256SUMS").write_text(sums)

    # Only now: a release that fails leaves the one before as it was.
    shutil.rmtree(args.dist, ignore_errors=True)
    shutil.move(dist, args.dist)
    _say(
        f"{args.dist}, "
        f"{'to try, not to publish' if args.allow_dirty else f'lrap-otel {version}'}:\n"
        f"{sums}".rstrip()
    )


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m opt.release", description=__doc__, allow_abbrev=False
    )
    parser.add_argument(
        "--python", default="", metavar="SOURCE", help="as `python -m opt.layer` has it"
    )
    parser.add_argument(
        "--tag", default="", help="refuse unless it is the version's: v and the version"
    )
    parser.add_argument(
        "--allow-dirty",
        action="store_true",
        help="to try: from what is not committed, without a section in CHANGELOG.md",
    )
    parser.add_argument(
        "--build", type=Path, default=Path("build"), help="a folder to work in; default: build"
    )
    parser.add_argument(
        "--dist", type=Path, default=Path("dist"), help="the folder to write; default: dist"
    )
    return parser


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
