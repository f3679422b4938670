"""TLS by the C module under `ssl`.

Importing `ssl` itself costs five times as much CPU and 3 MB more, for its enumerations and for
modules that nothing else here needs.
"""

import _ssl
import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from typing import Any

    from lrap_otel.telemetry.settings import NetworkSettings

# Lambda's, Debian's, Alpine's.
_SYSTEM_FILES = (
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/cert.pem",
)
# A folder in which OpenSSL finds a certificate by the hash of its name, when it needs it.
_SYSTEM_FOLDER = "/etc/ssl/certs"
# The layer's own: this file is <root>/lrap_otel/telemetry/export/tls.py.
_OWN_FILE = f"{__file__.rsplit('/', 4)[0]}/lrap-otel/cacert.pem"
_TLS_1_2 = 0x0303


class Tls:
    """What to trust, and who we are. Both signals share one: reading certificates takes 30 ms."""

    __slots__ = ("_context",)

    def __init__(
        self,
        network: "NetworkSettings",
        certificate: str = "",
        client_certificate: str = "",
        client_key: str = "",
        own_file: str = _OWN_FILE,
    ) -> None:
        """`certificate` is a file with what to trust instead of the system's authorities.

        Raises OSError, with the file's name, if a file is not there or has no certificate or key.
        """
        self._context: Any = _ssl._SSLContext(_ssl.PROTOCOL_TLS_CLIENT)  # noqa: SLF001 - see above
        self._context.verify_mode = _ssl.CERT_REQUIRED
        self._context.check_hostname = True
        self._context.minimum_version = _TLS_1_2
        file, folder = (certificate, "") if certificate else authorities(network, own_file)
        if not file and not folder:
            raise OSError("there is no file with certificate authorities")
        try:
            self._context.load_verify_locations(file or None, folder or None, None)
        except OSError as error:
            raise OSError(f"{file or folder}: {reason(error)}") from error
        if client_certificate:
            try:
                self._context.load_cert_chain(client_certificate, client_key or None, None)
            except OSError as error:
                name = " and ".join(filter(None, (client_certificate, client_key)))
                raise OSError(f"{name}: {reason(error)}") from error

    def wrap(self, plain: "socket", host: str, session: "_ssl.SSLSession | None") -> "Any":
        """TLS over a connected socket, the handshake still to be made.

        It has the methods `do_handshake`, `read`, `write` and `pending`. A `session` of an earlier
        connection to the same host saves most of the handshake's CPU.
        """
        return self._context._wrap_socket(plain, False, host, owner=None, session=session)  # noqa: SLF001 - see above


def authorities(network: "NetworkSettings", own_file: str = _OWN_FILE) -> tuple[str, str]:
    """The file and the folder with the certificate authorities to trust; empty for none.

    First those of the user's ``SSL_CERT_FILE`` and ``SSL_CERT_DIR``, then the system's, last the
    layer's own. A folder with hashed names is preferred to a file with the same content: OpenSSL
    reads only what it needs from it, and that saves 30 ms.
    """
    if network.certificate_file or network.certificate_folder:
        return network.certificate_file, network.certificate_folder
    for file in (*_SYSTEM_FILES, own_file):
        if _is_readable(file):
            is_hashed = file.startswith(f"{_SYSTEM_FOLDER}/") and _is_hashed(_SYSTEM_FOLDER)
            return ("", _SYSTEM_FOLDER) if is_hashed else (file, "")
    return "", ""


def reason(error: OSError) -> str:
    """Why TLS, or reading its files, failed, in words."""
    if isinstance(error, _ssl.SSLCertVerificationError):
        return error.verify_message.rstrip(".")
    if isinstance(error, _ssl.SSLError):
        text = error.reason or error.strerror or type(error).__name__
        return text.replace("_", " ").lower()
    return error.strerror or type(error).__name__


def is_certificate_error(error: OSError) -> bool:
    """Whether the server's certificate was not accepted."""
    return isinstance(error, _ssl.SSLCertVerificationError)


def _is_readable(path: str) -> bool:
    return posix.access(path, posix.R_OK)


def _is_hashed(folder: str) -> bool:
    """Whether it has names like ``3513523f.0``."""
    try:
        names = posix.listdir(folder)
    except OSError:
        return False
    return any(len(name) == 10 and name.endswith(".0") for name in names)
