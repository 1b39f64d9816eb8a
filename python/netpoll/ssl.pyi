"""What type checkers see of netpoll.ssl: what it replaces, the names that every program needs, and
Any for the rest."""

import ssl as _std
from collections.abc import Callable
from socket import socket as _AnySocket
from ssl import (
    CERT_NONE as CERT_NONE,
    CERT_OPTIONAL as CERT_OPTIONAL,
    CERT_REQUIRED as CERT_REQUIRED,
    PROTOCOL_TLS_CLIENT as PROTOCOL_TLS_CLIENT,
    PROTOCOL_TLS_SERVER as PROTOCOL_TLS_SERVER,
    CertificateError as CertificateError,
    Purpose as Purpose,
    SSLCertVerificationError as SSLCertVerificationError,
    SSLEOFError as SSLEOFError,
    SSLError as SSLError,
    SSLSession as SSLSession,
    SSLSyscallError as SSLSyscallError,
    SSLWantReadError as SSLWantReadError,
    SSLWantWriteError as SSLWantWriteError,
    SSLZeroReturnError as SSLZeroReturnError,
    TLSVersion as TLSVersion,
    VerifyMode as VerifyMode,
)
from typing import Any

from netpoll import socket as _sockets

class SSLSocket(_std.SSLSocket, _sockets.socket):
    def accept(self) -> tuple[SSLSocket, Any]: ...

class SSLContext(_std.SSLContext):
    def wrap_socket(
        self,
        sock: _AnySocket,
        server_side: bool = False,
        do_handshake_on_connect: bool = True,
        suppress_ragged_eofs: bool = True,
        server_hostname: str | bytes | None = None,
        session: SSLSession | None = None,
    ) -> SSLSocket: ...

create_default_context: Callable[..., SSLContext]

def __getattr__(name: str) -> Any: ...
