"""The port to which Lambda delivers what the Telemetry API has to say.

The proxy process opens it, since it has to name it when it subscribes; the telemetry process, and
each one that takes over from it, inherits it. Until that one accepts, deliveries wait in the
kernel's queue.
"""

import _socket
import posix

SANDBOX = "sandbox.localdomain"
_HOSTS = "/etc/hosts"
_HOSTS_LIMIT_BYTES = 65_536
# While the telemetry process is paused each delivery waits there, one that is tried again as well.
_BACKLOG = 128


def open_port(own_address: str, hosts: str = _HOSTS) -> _socket.socket | None:
    """A socket that listens where `SANDBOX` leads by the file `hosts`; on `own_address` if that is
    not known here. None if it cannot.
    """
    for address in dict.fromkeys((_address_of_sandbox(hosts) or own_address, own_address)):
        listener = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        try:
            listener.bind((address, 0))
            listener.listen(_BACKLOG)
        except OSError:
            listener.close()
        else:
            return listener
    return None


def _address_of_sandbox(hosts: str) -> str:
    """As the sandbox's own table has it, empty if it does not: a resolver might ask a server, for
    seconds.
    """
    try:
        table = posix.open(hosts, posix.O_RDONLY | posix.O_CLOEXEC)
        try:
            lines = posix.read(table, _HOSTS_LIMIT_BYTES).decode("utf-8", "replace").split("\n")
        finally:
            posix.close(table)
    except OSError:
        return ""
    for line in lines:
        address, *names = line.partition("#")[0].split() or [""]
        if SANDBOX in names and "." in address:
            return address
    return ""
