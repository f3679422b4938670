"""Modules that come from one file in a layer are what they are from their own files."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from opt.layer import bytecode
from opt.layer.bundles import BUNDLES, LOADED_BEFORE, modules_of

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "lrap_otel"
# As a layer's processes load a bundle; `loaded` are the modules that came from it.
LOAD = """
import sys
sys.path.insert(0, sys.argv[1])
from lrap_otel.bundle import load
try:
    load("all")
except Exception as error:
    print(repr(error))
loaded = sorted(name for name in sys.modules if name.startswith("lrap_otel.made"))
"""
SOURCES = {
    "__init__.py": "",
    "first.py": "TYPE_CHECKING = False\nif TYPE_CHECKING:\n    import absent\ndef double(of: 'absent.Number') -> int:\n"
    "    return 2 * of\n",
    "second.py": "from lrap_otel.made import first\nfour = first.double(2)\n",
    "apart.py": "import lrap_otel.made.second as second\neight = 2 * second.four\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a package lrap_otel: the real loader, and modules of which all but `apart` are
    in a bundle.
    """
    made = tmp_path / "lrap_otel/made"
    made.mkdir(parents=True)
    shutil.copy(PACKAGE / "bundle.py", made.parent)
    (made.parent / "__init__.py").write_text("")
    for name, source in SOURCES.items():
        (made / name).write_text(source)
    write_bundle(tmp_path, "__init__", "first", "second")
    return tmp_path


def write_bundle(folder: Path, *names: str) -> None:
    """As opt/layer writes it, in the interpreter that loads it."""
    package = folder / "lrap_otel"
    lines = [
        "\t".join(
            (
                "package",
                str(package / f"made/{name}.py"),
                str(package / "all.bundle"),
                f"lrap_otel/made/{name}.py",
                f"lrap_otel.made.{name}".removesuffix(".__init__"),
            )
        )
        for name in names
    ]
    subprocess.run(
        [sys.executable, bytecode.__file__], input="\n".join(lines), text=True, check=True
    )


def run(folder: Path, program: str) -> str:
    """What a process prints that has loaded the bundle."""
    command = [sys.executable, "-I", "-S", "-B", "-c", LOAD + program, str(folder)]
    return subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=folder
    ).stdout.strip()


def test_modules_come_from_the_bundle_and_are_as_from_their_files(folder: Path) -> None:
    for name in SOURCES:
        (folder / "lrap_otel/made" / name).write_text("raise ImportError('its own file')\n")
    program = """
from lrap_otel.made import second
first = sys.modules["lrap_otel.made.first"]
print(*loaded, second.four, first.__package__, first.__spec__.name, first.__file__, sys.modules["lrap_otel"].made is first)
print(sys.modules["lrap_otel"].made.first is first, sys.modules["lrap_otel.made"].__path__)
"""
    made = folder / "lrap_otel/made"
    assert run(folder, program).splitlines() == [
        f"lrap_otel.made lrap_otel.made.first lrap_otel.made.second 4 lrap_otel.made lrap_otel.made.first {made}/first.py False",
        f"True ['{made}']",
    ]


def test_a_module_that_is_in_no_bundle_is_found_beside_those_that_are(folder: Path) -> None:
    assert run(folder, "from lrap_otel.made.apart import eight\nprint(*loaded, eight)").endswith(
        "second 8"
    )


def test_a_module_that_is_imported_already_is_not_run_again(folder: Path) -> None:
    program = "before = [id(sys.modules[name]) for name in loaded]\nload('all')\n"
    assert (
        run(folder, program + "print(before == [id(sys.modules[name]) for name in loaded])")
        == "True"
    )


def test_without_a_bundle_each_module_comes_from_its_file(folder: Path) -> None:
    (folder / "lrap_otel/all.bundle").unlink()
    assert run(folder, "from lrap_otel.made.apart import eight\nprint(loaded, eight)") == "[] 8"


def test_a_bundle_of_another_python_is_left_alone(folder: Path) -> None:
    bundle = folder / "lrap_otel/all.bundle"
    bundle.write_bytes(b"\0" + bundle.read_bytes()[1:])
    assert run(folder, "from lrap_otel.made.apart import eight\nprint(loaded, eight)") == "[] 8"


def test_a_bundle_that_is_cut_short_anywhere_costs_nothing_but_time(folder: Path) -> None:
    bundle = folder / "lrap_otel/all.bundle"
    whole = bundle.read_bytes()
    for length in (0, 3, 6, 8, 40, len(whole) // 2, len(whole) - 1):
        bundle.write_bytes(whole[:length])
        assert run(folder, "from lrap_otel.made.apart import eight\nprint(eight)") == "8", length


def test_a_folder_in_the_bundles_place_costs_nothing_but_time(folder: Path) -> None:
    (folder / "lrap_otel/all.bundle").unlink()
    (folder / "lrap_otel/all.bundle").mkdir()
    assert run(folder, "from lrap_otel.made.apart import eight\nprint(loaded, eight)") == "[] 8"


@pytest.mark.parametrize(
    "index",
    [
        "7",
        "[7]",
        "[('lrap_otel.made.first', 'made/first.py')]",
        "[('lrap_otel.made.first', 7, 20)]",
        "[('lrap_otel.made.first', 'made/first.py', -1)]",
        "[('lrap_otel.made.first', 'made/first.py', 1 << 62)]",
        "[('lrap_otel.made.first', 'made/first.py', 1 << 99)]",
        # What comes after it is no code.
        "[('lrap_otel.made.first', 'made/first.py', len(text))]",
        "[('lrap_otel.absent.first', 'made/first.py', len(code))]",
    ],
)
def test_a_bundle_with_a_wrong_index_costs_nothing_but_time(folder: Path, index: str) -> None:
    program = f"""
import marshal, sys
from _frozen_importlib_external import MAGIC_NUMBER
text, code = marshal.dumps("text"), marshal.dumps(compile("", "", "exec"))
index = {index}
body = text if "len(text)" in {index!r} else code
index = marshal.dumps(index)
open(sys.argv[1], "wb").write(MAGIC_NUMBER + len(index).to_bytes(4, "little") + index + body)
"""
    bundle = folder / "lrap_otel/all.bundle"
    subprocess.run([sys.executable, "-c", program, str(bundle)], check=True)
    assert run(folder, "from lrap_otel.made.apart import eight\nprint(loaded, eight)") == "[] 8"


def test_what_a_module_raises_is_raised_and_it_counts_as_not_imported(folder: Path) -> None:
    (folder / "lrap_otel/made/second.py").write_text(
        "import lrap_otel.made.first\nraise OSError('as it is imported')\n"
    )
    write_bundle(folder, "__init__", "first", "second")
    assert run(folder, "print(*loaded)").splitlines() == [
        "OSError('as it is imported')",
        "lrap_otel.made lrap_otel.made.first",
    ]


def test_annotations_and_what_is_for_type_checkers_are_not_in_the_bytecode(folder: Path) -> None:
    program = "first = sys.modules['lrap_otel.made.first']\nprint(first.double.__annotations__, first.double.__code__.co_consts)"
    assert run(folder, program) == "{} (None, 2)"
    assert b"absent" not in (folder / "lrap_otel/all.bundle").read_bytes()


@pytest.mark.parametrize("bundle", BUNDLES)
def test_a_bundle_holds_what_its_entries_import_and_no_process_loads_twice(bundle: str) -> None:
    names = list(modules_of(bundle, PACKAGE))
    program = """
import sys
sys.path.insert(0, sys.argv[1])
before, names = (part.split() for part in sys.argv[2:4])
import lrap_otel.bundle
for name in before:
    __import__(name)
known = set(sys.modules)
for name in names:
    __import__(name)
    # Each comes after what it imports, so that nothing is looked for.
    assert set(sys.modules) - known <= {*names[: names.index(name) + 1]} | set(sys.stdlib_module_names), name
print(*sorted(name for name in set(sys.modules) - known if name.startswith("lrap_otel")))
"""
    before = [entry for earlier in LOADED_BEFORE[bundle] for entry in BUNDLES[earlier]]
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, str(ROOT), " ".join(before), " ".join(names)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == sorted(names)
