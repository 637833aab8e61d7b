"""The log of a service: on stderr, without secrets, and with what ends the process or a thread."""

import logging
import sys
import threading
from collections.abc import Mapping
from types import TracebackType

from pydantic import SecretStr

from common.redaction import redact

log = logging.getLogger(__name__)


class _Redacting(logging.Formatter):
    """Masks the secrets in everything that is written, tracebacks included."""

    def __init__(self, secrets: tuple[SecretStr | None, ...]) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record), self._secrets)


def start_logging(*secrets: SecretStr | None, libraries: Mapping[str, int] | None = None) -> None:
    """Log to stderr, without the secrets; log what ends the process or one of its threads.

    `libraries` are the levels from which other loggers are heard. Call it again when more secrets are known.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(_Redacting(secrets))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name, level in (libraries or {}).items():
        logging.getLogger(name).setLevel(level)
    sys.excepthook = _log_process_end
    threading.excepthook = _log_thread_end


def _log_process_end(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    log.critical("The process ended by an error.", exc_info=(kind, error, traceback))


def _log_thread_end(ended: threading.ExceptHookArgs) -> None:
    name = ended.thread.name if ended.thread else "(unknown)"
    error = (ended.exc_type, ended.exc_value or ended.exc_type(), ended.exc_traceback)
    log.critical("The thread %s ended by an error.", name, exc_info=error)
