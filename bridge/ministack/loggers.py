"""Give Python functions the logger that AWS's runtime gives them.

In ministack 1.5.33 the root logger of a function has no handler, so ``logger.info(...)`` of a function that sets
nothing but a level, as most do, goes nowhere. AWS's runtime hands records to the log as
``[INFO]\\t2026-11-25T14:09:37.868Z\\t<request id>\\t<message>`` ("Log and monitor Python Lambda functions", Lambda
developer guide).

A function whose ``logging_config`` says JSON gets its records as JSON, from the level on that it says, by the
variables that AWS's runtime reads (awslambdaric, ``lambda_runtime_log_utils.py``). ministack keeps that setting and
does nothing with it. The lines START, END and REPORT stay text.
"""

from typing import Any

from ministack.core import lambda_runtime

_BEGIN = "    init = json.loads(sys.stdin.readline())\n"
_REQUEST = '        event = _ms_msg["event"]\n'

_HANDLER = """
    import logging
    _ms_request = [""]

    class _MsFormatter(logging.Formatter):
        converter = time.gmtime

        def format(self, record):
            record.aws_request_id = _ms_request[0]
            return super().format(record)

    class _MsJsonFormatter(logging.Formatter):
        _known = {*vars(logging.makeLogRecord({})), "taskName"}

        def format(self, record):
            seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            said = {
                "timestamp": "%s.%03dZ" % (seconds, record.msecs),
                "level": record.levelname,
                "message": record.getMessage(),
                "logger": record.name,
                "requestId": _ms_request[0] or None,
            }
            if record.exc_info:
                kind, error, trace = record.exc_info
                said["stackTrace"] = traceback.format_tb(trace)
                said["errorType"], said["errorMessage"] = kind.__name__, str(error)
                said["location"] = "%s:%s:%s" % (record.pathname, record.funcName, record.lineno)
            extra = {name: value for name, value in vars(record).items() if name not in self._known}
            return json.dumps(
                {name: value for name, value in {**extra, **said}.items() if value is not None},
                ensure_ascii=False,
                default=str,
            )

    _ms_handler = logging.StreamHandler(sys.stderr)
    _ms_format = "[%(levelname)s]\\t%(asctime)s.%(msecs)03dZ\\t%(aws_request_id)s\\t%(message)s"
    _ms_as_json = os.environ.get("AWS_LAMBDA_LOG_FORMAT") == "JSON"
    _ms_handler.setFormatter(
        _MsJsonFormatter() if _ms_as_json else _MsFormatter(_ms_format, "%Y-%m-%dT%H:%M:%S")
    )
    logging.getLogger().addHandler(_ms_handler)
    if _ms_as_json:
        _ms_level = os.environ.get("AWS_LAMBDA_LOG_LEVEL", "INFO")
        logging.getLogger().setLevel({"TRACE": "DEBUG", "FATAL": "CRITICAL"}.get(_ms_level, _ms_level))
"""


_credentials = lambda_runtime.execution_credentials


def _settings(config: dict[str, Any]) -> dict[str, str]:
    """Return what a function's process is given beside its own variables: credentials, and how it logs."""
    found: dict[str, str] = dict(_credentials(config))
    logs = config.get("LoggingConfig") or {}
    if logs.get("LogFormat") == "JSON":
        found["AWS_LAMBDA_LOG_FORMAT"] = "JSON"
        found["AWS_LAMBDA_LOG_LEVEL"] = str(logs.get("ApplicationLogLevel") or "INFO")
    return found


def patch() -> None:
    """Put the handler into the program that runs Python functions, and tell it what they chose."""
    script = lambda_runtime._PYTHON_WORKER_SCRIPT
    for place in (_BEGIN, _REQUEST):
        assert script.count(place) == 1, "the worker of another ministack"  # noqa: S101
    lambda_runtime.execution_credentials = _settings
    script = script.replace(_BEGIN, f"{_HANDLER}\n{_BEGIN}")
    request = '        _ms_request[0] = (_ms_msg.get("ctx") or {}).get("request_id", "")\n'
    lambda_runtime._PYTHON_WORKER_SCRIPT = script.replace(_REQUEST, f"{_REQUEST}{request}")
