"""The process of one Lambda execution environment: takes invocations one by one, as AWS's Python runtime does.

It runs on the function's own Python, which has boto3 and nothing of LocalStack. Invocations come as JSON lines on one
descriptor and their answers leave on another, so standard output and standard error are the function's, as are those
of its child processes; the executor reads them as its log.
"""

import importlib
import json
import logging
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

# AWS's limit of a synchronous answer, in bytes.
_ANSWER_LIMIT = 6 * 1024 * 1024 + 100

Handler = Callable[[Any, "Context"], Any]


class Context:
    """The object that a handler gets as its second argument."""

    def __init__(self, invocation: dict[str, Any]) -> None:
        self.aws_request_id: str = invocation["invoke-id"]
        self.invoked_function_arn: str = invocation["invoked-function-arn"]
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = os.environ["AWS_LAMBDA_FUNCTION_VERSION"]
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        self.identity = None
        self.client_context = None
        self._deadline: float = invocation["deadline"]

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the time-out kills this process; never below 0."""
        return max(0, int(1000 * (self._deadline - time.time())))

    def log(self, message: object) -> None:
        """Write to the function's log."""
        sys.stdout.write(str(message))


class LogHandler(logging.Handler):
    """What AWS's runtime puts on the root logger: one event a record, with the request's id."""

    def __init__(self, *, as_json: bool) -> None:
        super().__init__()
        self.request_id = ""
        self._as_json = as_json
        self._text = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record as text with tabs, or as JSON where the function asks for it."""
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        if self._as_json:
            line = json.dumps(
                {
                    "timestamp": f"{seconds}Z",
                    "level": record.levelname,
                    "message": record.getMessage(),
                    "logger": record.name,
                    "requestId": self.request_id,
                }
                | ({"stackTrace": self._text.formatException(record.exc_info)} if record.exc_info else {})
            )
        else:
            message = self._text.format(record)
            line = f"[{record.levelname}]\t{seconds}.{int(record.msecs):03d}Z\t{self.request_id}\t{message}"
        # A line break would make two events of one record.
        sys.stderr.write(line.replace("\n", "\r") + "\n")


def load(path: str) -> Handler:
    """Return the handler that ``module.function`` names (slashes are allowed, as on AWS)."""
    module, dot, name = path.rpartition(".")
    if not dot:
        raise RuntimeFaultError(
            "Runtime.MalformedHandlerName", f"Bad handler '{path}': not enough values to unpack"
        )
    try:
        loaded = importlib.import_module(module.replace("/", "."))
    except ImportError as error:
        raise RuntimeFaultError(
            "Runtime.ImportModuleError", f"Unable to import module '{module}': {error}"
        ) from error
    except SyntaxError as error:
        raise RuntimeFaultError(
            "Runtime.UserCodeSyntaxError", f"Syntax error in module '{module}': {error}"
        ) from error
    handler: Handler | None = getattr(loaded, name, None)
    if handler is None:
        raise RuntimeFaultError("Runtime.HandlerNotFound", f"Handler '{name}' missing on module '{module}'")
    return handler


class RuntimeFaultError(Exception):
    """An error of the runtime itself, with the name that AWS gives it."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def describe(error: BaseException, request_id: str) -> dict[str, Any]:
    """Log an error as one event, and return it as AWS's runtime answers it."""
    kind = error.kind if isinstance(error, RuntimeFaultError) else type(error).__name__
    # Our own frames are none of the function's.
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
    trace = [] if isinstance(error, RuntimeFaultError) else traceback.format_list(frames)
    lines = [f"[ERROR] {kind}: {error}"]
    if trace:
        lines += ["Traceback (most recent call last):", *"".join(trace).rstrip().splitlines()]
    sys.stderr.write("\r".join(line.replace("\n", "\r") for line in lines) + "\n")
    return {"errorMessage": str(error), "errorType": kind, "requestId": request_id, "stackTrace": trace}


def marshal(value: Any) -> str:
    """Return what a handler returned, as JSON within AWS's limit."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise RuntimeFaultError("Runtime.MarshalError", f"Unable to marshal response: {error}") from error
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > _ANSWER_LIMIT:
        raise RuntimeFaultError(
            "Function.ResponseSizeTooLarge",
            f"Response payload size ({size} bytes) exceeded maximum allowed payload size ({_ANSWER_LIMIT} bytes).",
        )
    return text


def answer_of(handler: Handler, invocation: dict[str, Any]) -> dict[str, Any]:
    """Run one invocation: ``{"result": JSON text}`` or ``{"error": AWS's error object}``."""
    request_id = invocation["invoke-id"]
    try:
        event = json.loads(invocation["payload"] or "{}")
        result = marshal(handler(event, Context(invocation)))
    except Exception as error:  # the function's error is its caller's
        return {"error": describe(error, request_id)}
    return {"result": result}


def main(requests_descriptor: int, answers_descriptor: int) -> None:
    """Load the handler, say so, and serve invocations until the executor goes away."""
    # The function's own child processes must not hold these open.
    for descriptor in (requests_descriptor, answers_descriptor):
        os.set_inheritable(descriptor, False)
    requests = os.fdopen(requests_descriptor, "rb")
    answers = os.fdopen(answers_descriptor, "wb")
    # This file's own folder is not the function's.
    sys.path[0] = os.environ["LAMBDA_TASK_ROOT"]

    logs = LogHandler(as_json=os.environ.get("AWS_LAMBDA_LOG_FORMAT") == "JSON")
    logging.getLogger().addHandler(logs)
    if level := os.environ.get("AWS_LAMBDA_LOG_LEVEL"):
        logging.getLogger().setLevel(level.upper())

    def answer(document: dict[str, Any]) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        document["memory_kib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        answers.write(json.dumps(document).encode() + b"\n")
        answers.flush()

    handler: Handler | None = None
    failed: Exception | None = None
    try:
        handler = load(os.environ["_HANDLER"])
    except Exception as error:  # said when it is invoked, as AWS's runtime does
        failed = error
    answer({"ready": True})
    for line in requests:
        invocation = json.loads(line)
        logs.request_id = invocation["invoke-id"]
        os.environ["_X_AMZN_TRACE_ID"] = invocation.get("trace-id") or ""
        if handler is None:
            assert failed is not None  # noqa: S101  # one of the two is there
            # Not kept: the executor starts anew, as AWS initialises anew after a failed start.
            answer({"error": describe(failed, logs.request_id), "broken": True})
        else:
            answer(answer_of(handler, invocation))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
