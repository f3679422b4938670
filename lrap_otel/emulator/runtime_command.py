"""A function's handler as the command line of its runtime, with the interpreter and the runtime
client it needs.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lrap_otel.emulator.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

NODE_SUFFIXES = (".mjs", ".cjs", ".js")
NODE_CLIENT = "aws-lambda-ric"
PYTHON_CLIENT = "awslambdaric"
HAS_CLIENT = (
    f"import importlib.util, sys; sys.exit(importlib.util.find_spec({PYTHON_CLIENT!r}) is None)"
)


def is_handler(words: Sequence[str], folder: Path) -> bool:
    """Whether the positional words are a handler (``app.handler``) and not a command.

    A single word with a dot in its last part is a handler, unless it names an executable file or a
    program on PATH.
    """
    if len(words) != 1 or "." not in words[0].rpartition("/")[2].strip("."):
        return False
    path = folder / words[0]
    return not (path.is_file() and os.access(path, os.X_OK)) and shutil.which(words[0]) is None


def language(handler: str, folder: Path, runtime: str = "") -> str:
    """``python``, ``nodejs`` or ``provided``, by the runtime's name or else by the file that the
    handler names; StartError if it is none of them.
    """
    for known in ("python", "nodejs", "provided"):
        if runtime.startswith(known):
            return known
    if runtime:
        raise StartError(
            f"{runtime}: only Python and Node are started by a handler; give the runtime's command "
            f"after --"
        )
    module = folder / _module_path(handler)
    if _is_python(module):
        return "python"
    if any(module.with_name(module.name + suffix).is_file() for suffix in NODE_SUFFIXES):
        return "nodejs"
    if (folder / "bootstrap").is_file():
        return "provided"
    raise StartError(
        f"{handler}: {folder} has no {module.name}.py, .mjs, .cjs or .js; start in the code's "
        f"folder, or name it with --cwd"
    )


def command_for(
    handler: str,
    folder: Path,
    runtime: str = "",
    python: str = "",
    environment: Mapping[str, str] | None = None,
) -> list[str]:
    """The command line that runs ``handler``; StartError if something is missing, with what to
    install.

    ``python``: the interpreter to use; otherwise the function's own is looked for. ``environment``:
    the function's variables, which may lead to a runtime client in a layer.
    """
    which = language(handler, folder, runtime)
    if which == "python":
        return _python_command(handler, folder, runtime, python, environment or {})
    if which == "nodejs":
        return _node_command(handler, folder, environment or {})
    bootstrap = folder / "bootstrap"
    if not os.access(bootstrap, os.X_OK):
        raise StartError(f"{bootstrap} is not there or not executable; build the function first")
    return [str(bootstrap)]


def runtime_of(command: Sequence[str], handler: str) -> str:
    """The runtime's name as AWS_EXECUTION_ENV has it, such as ``python3.13``; this interpreter's if
    there is no handler.
    """
    if not handler:
        return f"python{sys.version_info.major}.{sys.version_info.minor}"
    if len(command) == 1:
        return "provided.al2023"
    if command[1] == "-m":
        asked = [command[0], "-c", "import sys; print('python%d.%d' % sys.version_info[:2])"]
    else:
        asked = [command[0], "-p", "'nodejs' + parseInt(process.versions.node) + '.x'"]
    found = subprocess.run(asked, capture_output=True, text=True, check=False)  # noqa: S603 - the function's interpreter
    return found.stdout.strip() or "provided.al2023"


def _module_path(handler: str) -> str:
    """``src/app`` of ``src/app.handler``; dots within are folders, as Python has them."""
    folder, slash, name = handler.rpartition("/")
    return folder + slash + name.rpartition(".")[0].replace(".", "/")


def _is_python(module: Path) -> bool:
    return module.with_name(module.name + ".py").is_file() or (module / "__init__.py").is_file()


def _python_command(
    handler: str, folder: Path, runtime: str, python: str, environment: Mapping[str, str]
) -> list[str]:
    own = [python] if python else [str(path) for path in _own_pythons(folder) if path.is_file()]
    candidates = own[:1] or [name for name in (runtime, "python3", sys.executable) if name]
    found = [path for name in candidates if (path := shutil.which(name))]
    if not found:
        raise StartError(
            f"there is no {candidates[0]}; name the function's interpreter with --python"
        )
    for path in found:
        if _has_client(path, folder, environment):
            return [path, "-m", PYTHON_CLIENT, handler]
    raise StartError(f"{found[0]} has no runtime client: {found[0]} -m pip install {PYTHON_CLIENT}")


def _own_pythons(folder: Path) -> Iterator[Path]:
    """Of the virtual environment beside the code, or the active one."""
    yield folder / ".venv/bin/python"
    yield folder / "venv/bin/python"
    if active := os.environ.get("VIRTUAL_ENV"):
        yield Path(active) / "bin/python"


def _has_client(python: str, folder: Path, environment: Mapping[str, str]) -> bool:
    variables = {"PATH": os.environ.get("PATH", os.defpath), **environment}
    asked = [python, "-c", HAS_CLIENT]
    try:
        done = subprocess.run(asked, cwd=folder, env=variables, capture_output=True, check=False)  # noqa: S603
    except OSError as error:
        raise StartError(
            f"{python} cannot be started: {error.strerror}; name another with --python"
        ) from error
    return done.returncode == 0


def _node_command(handler: str, folder: Path, environment: Mapping[str, str]) -> list[str]:
    local = folder / "node_modules/.bin/node"
    node = str(local) if local.exists() else shutil.which("node")
    if node is None:
        raise StartError(
            f"{handler} needs Node, and there is no node on PATH; install it from your distribution"
        )
    for modules in _node_modules(folder, node, environment):
        if script := _node_script(modules / NODE_CLIENT):
            return [node, script, handler]
    raise StartError(f"{folder} has no runtime client for Node: npm install {NODE_CLIENT}")


def _node_modules(folder: Path, node: str, environment: Mapping[str, str]) -> Iterator[Path]:
    """The folders in which Node looks for packages: upwards from the code, NODE_PATH, and npm's
    global one.
    """
    for above in (folder.absolute(), *folder.absolute().parents):
        yield above / "node_modules"
    for path in environment.get("NODE_PATH", os.environ.get("NODE_PATH", "")).split(":"):
        if path:
            yield Path(path)
    yield Path(node).resolve().parent.parent / "lib/node_modules"
    yield Path("/usr/local/lib/node_modules")


def _node_script(package: Path) -> str | None:
    try:
        described = json.loads((package / "package.json").read_text("utf-8"))
        scripts = described["bin"]
        script = scripts if isinstance(scripts, str) else scripts[NODE_CLIENT]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    path = package / str(script)
    return str(path) if path.is_file() else None
