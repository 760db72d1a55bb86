"""The TLS certificate of a server. An operator can replace the certificate while the server runs."""

from __future__ import annotations

import logging
import ssl
import stat
from pathlib import Path

from tickwire.errors import SettingsError

log = logging.getLogger(__name__)

# The status of a file: its inode number, its size, and the time of its last change. The inode number changes if another
# file gets this name, or if the name is a symbolic link that now points to another file.
_FileStatus = tuple[int, int, int]


class Certificate:
    """The PEM files of a certificate and of its private key, and a TLS context for the next connection.

    The constructor raises SettingsError if the files are unusable.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        self._certificate, self._key = certificate, key
        self._status = self._read_status()
        self.context = _create_context(certificate, key)

    def reload_if_changed(self) -> None:
        """If one of the two files has changed, read both files, and use them for the next connections.

        If the new files are unusable, log the reason and keep the old context. The new files can be unusable for a
        moment while another program replaces them, because the key then does not match the certificate.
        """
        try:
            status = self._read_status()
            if status == self._status:
                return
            # Store the status of the files first, so that the server logs unusable files only once.
            self._status = status
            self.context = _create_context(self._certificate, self._key)
        except SettingsError as error:
            log.warning("the new TLS certificate is unusable, so the server keeps the old certificate: %s", error)
        else:
            log.info("new connections use the new TLS certificate in %s", self._certificate)

    def _read_status(self) -> tuple[_FileStatus | None, _FileStatus | None]:
        return _file_status(self._certificate), _file_status(self._key)


def _file_status(path: Path) -> _FileStatus | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _create_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return a context for the TLS connections of a server. Raise SettingsError if the files are unusable."""
    _check_file(certificate, "tls_cert")
    _check_file(key, "tls_key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    try:
        _check_key_is_private(key)
        context.load_cert_chain(certificate, key, password=_refuse_password)
    except ssl.SSLError as error:
        raise SettingsError(_explain(error, certificate, key), field="tls_cert") from None
    except OSError as error:
        # Another program may have removed a file since the call of `_check_file`.
        raise SettingsError(f"{certificate} and {key} cannot be read: {error.strerror}", field="tls_cert") from None
    return context


def _check_file(path: Path, field: str) -> None:
    flag = f"--{field.replace('_', '-')}"
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise SettingsError(f"{flag} {path} cannot be read: {error.strerror}", field=field) from None


def _check_key_is_private(key: Path) -> None:
    """Raise SettingsError if every user can read the key file.

    The group of the file, such as Debian's ssl-cert, may read it.
    """
    mode = stat.S_IMODE(key.stat().st_mode)
    if mode & stat.S_IRWXO:
        raise SettingsError(
            f"all users can read the key {key} (mode {mode:04o}): run chmod o= on it, or, for a Secret of Kubernetes, "
            "set defaultMode: 0440 in the volume",
            field="tls_key",
        )


def _refuse_password() -> str:
    """Raise SettingsError instead of asking for a password on the terminal."""
    raise SettingsError(
        "the key in --tls-key is encrypted: store it without a password, such as with openssl pkey -in KEY -out NEW",
        field="tls_key",
    )


def _explain(error: ssl.SSLError, certificate: Path, key: Path) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"the key {key} does not belong to the first certificate in {certificate}"
    reason = (error.reason or str(error)).replace("_", " ").lower()
    return f"{certificate} and {key} do not contain a certificate chain and a key in PEM format: {reason}"
