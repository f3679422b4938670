"""Import many modules of ours at once from one file, as a layer has it.

To find, open and read a module's own file is most of what its import costs. A bundle is the code
of modules in the order in which they import each other (opt/layer/bundles.py writes it). Without
it, as in a checkout, each module is loaded from its own file as usual.
"""

import marshal
import posix
import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import MAGIC_NUMBER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType

_FOLDER = __file__.rpartition("/")[0]
_LENGTH_BYTES = 4
_Module = type(sys)
_Code = type((lambda: None).__code__)


def load(name: str) -> None:
    """Import all modules of ``lrap_otel/<name>.bundle`` that are not imported yet.

    Nothing happens if the file is not there or is another Python's; if it cannot be read or is
    damaged, the rest of it is left to be imported as usual. What a module raises while it is
    imported is raised.
    """
    try:
        file = posix.open(f"{_FOLDER}/{name}.bundle", posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return
    try:
        for module_name, file_name, length in _contents(file):
            code = _unmarshalled(_read(file, length))
            if not isinstance(code, _Code) or not _has_parent(module_name):
                return
            if module_name not in sys.modules:
                _import(module_name, f"{_FOLDER}/{file_name}", code)
    finally:
        posix.close(file)


def _contents(file: int) -> "list[tuple[str, str, int]]":
    """Module name, file name within the package, and length of the code, of each module; empty if
    that is not what the file begins with.
    """
    head = _read(file, len(MAGIC_NUMBER) + _LENGTH_BYTES)
    if not head.startswith(MAGIC_NUMBER):
        return []
    contents = _unmarshalled(_read(file, int.from_bytes(head[-_LENGTH_BYTES:], "little")))
    return contents if isinstance(contents, list) and all(map(_is_entry, contents)) else []


def _is_entry(entry: object) -> bool:
    types = [type(part) for part in entry] if isinstance(entry, tuple) else []
    return types == [str, str, int]


def _has_parent(name: str) -> bool:
    parent = name.rpartition(".")[0]
    return not parent or parent in sys.modules


def _read(file: int, length: int) -> bytes:
    """Empty if it cannot be read, as a folder cannot, or not so much of it."""
    try:
        return posix.read(file, length)
    except (OSError, OverflowError, MemoryError):
        return b""


def _unmarshalled(marshalled: bytes) -> object:
    """None if it is no such thing."""
    try:
        return marshal.loads(marshalled)  # noqa: S302 - of the layer, as its modules' own files are
    except (EOFError, ValueError, TypeError, MemoryError):
        return None


def _import(name: str, path: str, code: "CodeType") -> None:
    module = _Module(name)
    is_package = path.endswith("/__init__.py")
    spec = module.__spec__ = ModuleSpec(name, None, origin=path, is_package=is_package)
    module.__file__ = path
    module.__package__ = spec.parent
    if is_package:
        # For modules that are not in a bundle.
        module.__path__ = spec.submodule_search_locations = [path.rpartition("/")[0]]
    sys.modules[name] = module
    try:
        exec(code, module.__dict__)  # noqa: S102 - how the interpreter's own loaders run a module
    except BaseException:
        del sys.modules[name]
        raise
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, module)
