"""The log of a service: on stderr, without secrets, and with what ends the process or a thread."""

import json
import logging
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType

from pydantic import SecretStr

from common.redaction import redact
from common.settings import LogSettings, SettingsError

log = logging.getLogger(__name__)


class _Redacting(logging.Formatter):
    """Masks the secrets in everything that is written, tracebacks included."""

    def __init__(self, secrets: tuple[SecretStr | None, ...]) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record), self._secrets)


class _Json(_Redacting):
    """Writes one object a line: time, level, logger, message and traceback."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps({name: redact(text, self._secrets) for name, text in entry.items()})


def start_logging(*secrets: SecretStr | None, libraries: Mapping[str, int] | None = None) -> None:
    """Log to stderr, without the secrets; log what ends the process or one of its threads.

    The lines are text, or JSON where `MARKET_LOG_FORMAT` says so.
    `libraries` are the levels from which other loggers are heard. Call it again when more secrets are known.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(_Json(secrets) if _is_json() else _Redacting(secrets))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name, level in (libraries or {}).items():
        logging.getLogger(name).setLevel(level)
    sys.excepthook = _log_process_end
    threading.excepthook = _log_thread_end


def _is_json() -> bool:
    try:
        return LogSettings.load().market_log_format == "json"
    except SettingsError:  # the service's own settings say so, too
        return False


def _log_process_end(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    log.critical("The process ended by an error.", exc_info=(kind, error, traceback))


def _log_thread_end(ended: threading.ExceptHookArgs) -> None:
    name = ended.thread.name if ended.thread else "(unknown)"
    error = (ended.exc_type, ended.exc_value or ended.exc_type(), ended.exc_traceback)
    log.critical("The thread %s ended by an error.", name, exc_info=error)
