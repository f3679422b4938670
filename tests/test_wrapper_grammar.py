"""Both sides of the wrapper read a variable alike: the extension in settings.py, the real wrapper
in any shell.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lrap_otel.settings import Settings

WRAPPER = Path(__file__).parents[1] / "opt/wrapper"
DEFAULT = 9009

# Bash by itself opens the connection; where it does not know what it is, it looks for a bash as any
# other shell does.
SHELLS = {
    "dash": ["dash", WRAPPER],
    "bash": ["bash", "--posix", "-c", 'unset BASH_VERSION; . "$0"', WRAPPER],
    "bash in a locale": ["bash", "-c", 'LC_ALL=C.UTF-8; unset BASH_VERSION; . "$0"', WRAPPER],
    "busybox": ["busybox", "sh", WRAPPER],
}
# Stands for the bash that asks, and says that the proxy answers: its arguments are -c, what to run,
# a name, the port, a process id.
ASKS = '#!/bin/sh\necho "$4" >"$ASKED"\n'

SPELLINGS = {
    b"": DEFAULT,
    b"   ": DEFAULT,
    b"9010": 9010,
    b" 9010": 9010,
    b"\t9010 \n": 9010,
    b"9010\n": 9010,
    b"1": 1,
    b"65535": 65_535,
    b"+9010": DEFAULT,
    b"-9010": DEFAULT,
    b"9_010": DEFAULT,
    b"0": DEFAULT,
    b"09010": DEFAULT,
    b"00009010": DEFAULT,
    b"65536": DEFAULT,
    b"99999": DEFAULT,
    b"100000": DEFAULT,
    b"99999999999999999999999999": DEFAULT,
    b"abc": DEFAULT,
    b"9010 9011": DEFAULT,
    b"9010\r": DEFAULT,
    b"\x0b9010": DEFAULT,
    b"9010\xc2\xa0": DEFAULT,
    "\uff19\uff10\uff11\uff10".encode(): DEFAULT,
    "\u0669\u0660\u0661\u0660".encode(): DEFAULT,
    b"9010.0": DEFAULT,
    b"0x2332": DEFAULT,
    b"*": DEFAULT,
    b"[9]": DEFAULT,
    b"$((9010))": DEFAULT,
    b"9010;echo": DEFAULT,
    b"-n 9010": DEFAULT,
    b"\xff": DEFAULT,
}


@pytest.fixture(
    scope="module",
    params=sorted(name for name, command in SHELLS.items() if shutil.which(str(command[0]))),
)
def shell(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[str], Path]:
    """The command that runs the wrapper, and the folder it runs in, whose only command is the one
    that asks.
    """
    folder = tmp_path_factory.mktemp("wrapper")
    (folder / "bash").write_text(ASKS)
    (folder / "bash").chmod(0o755)
    first, *rest = map(str, SHELLS[request.param])
    return [shutil.which(first) or "", *rest], folder


def asked_by_the_wrapper(shell: tuple[list[str], Path], value: bytes) -> tuple[int, str]:
    """The port that the wrapper asks at, and the address that it sends the runtime to."""
    command, folder = shell
    variables = {
        b"PATH": os.fsencode(folder),
        b"ASKED": os.fsencode(folder / "asked"),
        b"LRAP_LISTENER_PORT": value,
    }
    runtime = ["/bin/sh", "-c", 'echo "$AWS_LAMBDA_RUNTIME_API"']
    done = subprocess.run(
        [*command, *runtime], env=variables, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return int((folder / "asked").read_text()), done.stdout.strip()


def check_both_sides(shell: tuple[list[str], Path], value: bytes) -> int:
    """The port that both read; the extension has one warning, which names the variable, of what
    neither can use.
    """
    read = Settings({b"LRAP_LISTENER_PORT": value})
    port, address = asked_by_the_wrapper(shell, value)
    assert (read.listener_port, f"127.0.0.1:{read.listener_port}") == (port, address)
    is_usable = not value.strip(b" \t\n") or value.strip(b" \t\n") == b"%d" % port
    assert [warning.startswith("LRAP_LISTENER_PORT=") for warning in read.warnings] == (
        [] if is_usable else [True]
    )
    return port


@pytest.mark.parametrize("value", SPELLINGS, ids=ascii)
def test_a_port_is_read_alike_on_both_sides(shell: tuple[list[str], Path], value: bytes) -> None:
    assert check_both_sides(shell, value) == SPELLINGS[value]


likely = st.lists(
    st.one_of(
        st.integers(0, 100_000).map(lambda number: b"%d" % number),
        st.sampled_from(
            [
                b" ",
                b"\t",
                b"\n",
                b"\r",
                b"+",
                b"-",
                b"0",
                b"_",
                b"*",
                b"?",
                b"\\",
                b"'",
                b"$x",
                "٣".encode(),
            ]
        ),
        st.binary(max_size=3),
    ),
    max_size=4,
).map(lambda parts: b"".join(parts).replace(b"\0", b""))


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(value=likely)
def test_any_bytes_are_read_alike_on_both_sides(
    shell: tuple[list[str], Path], value: bytes
) -> None:
    check_both_sides(shell, value)
