"""Give Python functions the logger that AWS's runtime gives them.

In ministack 1.5.33 the root logger of a function has no handler, so ``logger.info(...)`` of a function that sets
nothing but a level, as most do, goes nowhere. AWS's runtime hands records to the log as
``[INFO]\\t2026-11-25T14:09:37.868Z\\t<request id>\\t<message>`` ("Log and monitor Python Lambda functions", Lambda
developer guide).
"""

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

    _ms_handler = logging.StreamHandler(sys.stderr)
    _ms_format = "[%(levelname)s]\\t%(asctime)s.%(msecs)03dZ\\t%(aws_request_id)s\\t%(message)s"
    _ms_handler.setFormatter(_MsFormatter(_ms_format, "%Y-%m-%dT%H:%M:%S"))
    logging.getLogger().addHandler(_ms_handler)
"""


def patch() -> None:
    """Put the handler into the program that runs Python functions."""
    script = lambda_runtime._PYTHON_WORKER_SCRIPT
    for place in (_BEGIN, _REQUEST):
        assert script.count(place) == 1, "the worker of another ministack"  # noqa: S101
    script = script.replace(_BEGIN, f"{_HANDLER}\n{_BEGIN}")
    request = '        _ms_request[0] = (_ms_msg.get("ctx") or {}).get("request_id", "")\n'
    lambda_runtime._PYTHON_WORKER_SCRIPT = script.replace(_REQUEST, f"{_REQUEST}{request}")
