"""LocalStack's Lambda executor without containers: each execution environment is a child process.

This file is copied into LocalStack's own environment and loaded there through its plugin point
``localstack.lambda.runtime_executor`` (4.14.0); nothing of ours can be imported from it. LocalStack decides how many
environments there are, and which one takes an invocation; an environment takes one at a time.
"""

import contextlib
import json
import os
import selectors
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from localstack import config
from localstack.services.lambda_.invocation.lambda_models import InvocationResult
from localstack.services.lambda_.invocation.plugins import RuntimeExecutorPlugin
from localstack.services.lambda_.invocation.runtime_executor import RuntimeExecutor

_WORKER = Path(__file__).with_name("testbed_lambda_worker.py")
# Written by the installer: the Python that functions run on, which has boto3 and nothing of LocalStack.
_PYTHON = Path(__file__).with_name("testbed_lambda_python")
_HOST = "127.0.0.1"
# What a child gets of our environment: nothing that belongs to LocalStack.
_KEPT = ("PATH", "LC_ALL", "SSL_CERT_FILE", "LD_LIBRARY_PATH")
# What LocalStack sets for the init program of its containers.
_FOR_CONTAINERS = ("LOCALSTACK_", "EDGE_PORT")
# AWS gives the start of a function this long; what takes longer starts again within the invocation's own time.
_INIT_SECONDS = 10.0
_READ_BYTES = 65536


class Worker:
    """A worker process and the descriptors that lead to it."""

    def __init__(self, environment: dict[str, str], code: str) -> None:
        self.started = time.perf_counter()
        requests, self.requests = os.pipe()
        self.answers, answers = os.pipe()
        self.logs, logs = os.pipe()
        try:
            self.process = subprocess.Popen(
                [_PYTHON.read_text().strip(), str(_WORKER), str(requests), str(answers)],
                stdin=subprocess.DEVNULL,
                stdout=logs,
                stderr=logs,
                env=environment,
                cwd=code,
                pass_fds=(requests, answers),
                # A group of its own, so that what the function starts ends with it.
                start_new_session=True,
            )
        except BaseException:
            for descriptor in (self.requests, self.answers, self.logs):
                os.close(descriptor)
            raise
        finally:
            for descriptor in (requests, answers, logs):
                os.close(descriptor)
        for descriptor in (self.requests, self.answers, self.logs):
            os.set_blocking(descriptor, False)
        self.output = bytearray()
        self._pending = bytearray()
        # Milliseconds until it was ready; None while it is not.
        self.init_milliseconds: float | None = None
        self.init_told = False

    def exchange(self, request: bytes, deadline: float) -> dict[str, Any]:
        """Send a request (or none) and wait for one answer, gathering output meanwhile.

        Raises:
            TimeoutError: ``deadline`` (of `time.perf_counter`) passed.
            EOFError: the process ended.
        """
        left = memoryview(request)
        with selectors.DefaultSelector() as selector:
            selector.register(self.answers, selectors.EVENT_READ)
            selector.register(self.logs, selectors.EVENT_READ)
            if left:
                selector.register(self.requests, selectors.EVENT_WRITE)
            while True:
                if b"\n" in self._pending:
                    line, _, rest = bytes(self._pending).partition(b"\n")
                    self._pending = bytearray(rest)
                    self.gather()
                    answer: dict[str, Any] = json.loads(line)
                    return answer
                remaining = deadline - time.perf_counter()
                if remaining <= 0:
                    raise TimeoutError
                for key, _ in selector.select(remaining):
                    if key.fd == self.requests:
                        left = left[self._send(left) :]
                        if not left:
                            selector.unregister(self.requests)
                    elif key.fd == self.logs:
                        if not self._take(self.logs, self.output):
                            selector.unregister(self.logs)
                    elif not self._take(self.answers, self._pending):
                        raise EOFError

    def gather(self) -> None:
        """Read the output that is there."""
        try:
            while self._take(self.logs, self.output):
                pass
        except BlockingIOError:
            pass

    def end(self) -> int:
        """Kill it with all that it started.

        Returns:
            Its exit status, which is its own if it had ended before.
        """
        # Not `poll` first: a group may outlive its leader.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        return self.process.wait()

    def close(self) -> None:
        """Give the descriptors back."""
        for descriptor in (self.requests, self.answers, self.logs):
            os.close(descriptor)

    def _send(self, data: memoryview) -> int:
        try:
            return os.write(self.requests, data)
        except BrokenPipeError:
            raise EOFError from None

    @staticmethod
    def _take(descriptor: int, into: bytearray) -> bool:
        chunk = os.read(descriptor, _READ_BYTES)
        into += chunk
        return bool(chunk)


class ProcessExecutor(RuntimeExecutor):  # type: ignore[misc]  # LocalStack is not in the checker's environment
    """One execution environment: a worker that is kept warm, and replaced when it dies."""

    def __init__(self, id: str, function_version: Any) -> None:  # noqa: A002  # LocalStack's signature
        super().__init__(id, function_version)
        self._worker: Worker | None = None
        self._environment: dict[str, str] = {}
        self._temporary = ""
        self._stopped = False
        # Held while the worker is in use; `stop` may come from another thread.
        self._in_use = threading.Lock()

    def start(self, env_vars: dict[str, Any]) -> None:
        """Start the worker and let it load the function."""
        self._temporary = tempfile.mkdtemp(prefix="lambda-")
        self._environment = {name: os.environ[name] for name in _KEPT if name in os.environ} | {
            "LANG": "C.UTF-8",
            "TMPDIR": self._temporary,
            "HOME": self._temporary,
        }
        runtime = self.function_version.config.runtime
        env_vars |= {"LAMBDA_TASK_ROOT": self._code(), "AWS_EXECUTION_ENV": f"AWS_Lambda_{runtime}"}
        self._environment |= {
            name: str(value) for name, value in env_vars.items() if not name.startswith(_FOR_CONTAINERS)
        }
        with self._in_use:
            worker = self._worker = self._new_worker()
            try:
                self._initialise(worker, worker.started + _INIT_SECONDS)
            except (TimeoutError, EOFError):
                # As on AWS: it starts again with the invocation, whose caller then learns what is wrong.
                self._discard(worker)

    def stop(self) -> None:
        """End the worker, in the middle of an invocation too."""
        self._stopped = True
        if worker := self._worker:
            worker.end()
        with self._in_use:
            if worker := self._worker:
                self._discard(worker)
        shutil.rmtree(self._temporary, ignore_errors=True)

    def invoke(self, payload: dict[str, str]) -> InvocationResult:
        """Run one invocation to its answer, its time-out or its process's end."""
        with self._in_use:
            if self._stopped:
                raise RuntimeError(f"execution environment {self.id} was stopped")
            return self._invoke(payload)

    def _invoke(self, payload: dict[str, str]) -> InvocationResult:
        request_id = payload["invoke-id"]
        timeout = self.function_version.config.timeout
        begun = time.perf_counter()
        worker = self._worker
        if worker is None:
            worker = self._worker = self._new_worker()
        status = ""
        note = ""
        try:
            if worker.init_milliseconds is None:
                self._initialise(worker, begun + timeout)
            request = json.dumps(payload | {"deadline": time.time() + begun + timeout - time.perf_counter()})
            answer = worker.exchange(request.encode() + b"\n", begun + timeout)
        except TimeoutError:
            reason = f"Task timed out after {timeout:.2f} seconds"
            answer = _failure("Sandbox.Timedout", f"RequestId: {request_id} Error: {reason}")
            note = f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {request_id} {reason}\n"
            status = "\tStatus: timeout"
        except EOFError:
            # Its end of the pipe closes a moment before the process is over: let it tell its status.
            worker.gather()
            note = f"RequestId: {request_id} Error: {_why(_ended(worker))}\n"
            answer = _failure("Runtime.ExitError", note.strip())
            status = "\tStatus: error\tError Type: Runtime.ExitError"
        broken = bool(status) or answer.get("broken", False)
        if broken:
            worker.end()
            worker.gather()
        duration = 1000 * (time.perf_counter() - begun)
        logs = self._logs(worker, request_id, duration, answer.get("memory_kib", 0), note, status)
        if broken:
            self._discard(worker)
        failed = "error" in answer
        body = json.dumps(answer["error"]) if failed else answer["result"]
        return InvocationResult(request_id, body.encode("utf-8", "replace"), is_error=failed, logs=logs)

    def _code(self) -> str:
        return str(self.function_version.config.code.get_unzipped_code_location())

    def _new_worker(self) -> Worker:
        return Worker(self._environment, self._code())

    @staticmethod
    def _initialise(worker: Worker, deadline: float) -> None:
        worker.exchange(b"", deadline)
        worker.init_milliseconds = 1000 * (time.perf_counter() - worker.started)

    def _discard(self, worker: Worker) -> None:
        worker.end()
        self._worker = None
        worker.close()

    def _logs(
        self, worker: Worker, request_id: str, duration: float, kibibytes: int, note: str, status: str
    ) -> str:
        """Return what AWS writes around the function's own lines, and those."""
        said = worker.output.decode("utf-8", "replace")
        worker.output.clear()
        if said and not said.endswith("\n"):
            said += "\n"
        start = init = ""
        billed = duration
        if worker.init_milliseconds is not None and not worker.init_told:
            worker.init_told = True
            start = f"INIT_START Runtime Version: {self.function_version.config.runtime} (process)\n"
            init = f"\tInit Duration: {worker.init_milliseconds:.2f} ms"
            # Since 2025-08 the start is billed too.
            billed += worker.init_milliseconds
        size = self.function_version.config.memory_size
        return (
            f"{start}START RequestId: {request_id} Version: {self.function_version.id.qualifier}\n"
            f"{said}{note}END RequestId: {request_id}\n"
            f"REPORT RequestId: {request_id}\tDuration: {duration:.2f} ms\tBilled Duration: {int(billed) + 1} ms"
            f"\tMemory Size: {size} MB\tMax Memory Used: {-(-kibibytes // 1024)} MB{init}{status}\n"
        )

    def get_address(self) -> str:
        """Loopback."""
        return _HOST

    def get_endpoint_from_executor(self) -> str:
        """Return where a function finds LocalStack: `AWS_ENDPOINT_URL` is made of it."""
        return _HOST

    def get_runtime_endpoint(self) -> str:
        """Not used here: an answer comes through a pipe."""
        return f"http://{_HOST}:{config.GATEWAY_LISTEN[0].port}/_localstack_lambda/{self.id}"

    def get_logs(self) -> str:
        """Output that belongs to no invocation yet."""
        worker = self._worker
        return worker.output.decode("utf-8", "replace") if worker else ""

    @classmethod
    def prepare_version(cls, function_version: Any) -> None:
        """Unzip the code; refuse what this executor cannot run, so the function becomes ``Failed`` and says why."""
        settings = function_version.config
        if settings.code is None:
            raise ValueError("the process executor runs zip packages only, no container images")
        if not (settings.runtime or "").startswith("python3"):
            raise ValueError(f"the process executor runs Python only, not {settings.runtime}")
        if settings.layers:
            raise ValueError("the process executor has no layers: put their content into the package")
        settings.code.prepare_for_execution()

    @classmethod
    def cleanup_version(cls, function_version: Any) -> None:
        """Nothing was made that LocalStack does not remove."""

    @classmethod
    def validate_environment(cls) -> bool:
        """Return whether the Python of functions is there."""
        return Path(_PYTHON.read_text().strip()).exists()


class ProcessExecutorPlugin(RuntimeExecutorPlugin):  # type: ignore[misc]  # as above
    """What plux finds under ``localstack.lambda.runtime_executor``."""

    name = "process"

    def load(self, *args: Any, **kwargs: Any) -> type[ProcessExecutor]:  # noqa: ARG002  # plux's signature
        """Return the executor's class."""
        return ProcessExecutor


def _failure(kind: str, message: str) -> dict[str, Any]:
    return {"error": {"errorType": kind, "errorMessage": message}}


def _ended(worker: Worker) -> int:
    try:
        return worker.process.wait(timeout=1)
    except subprocess.TimeoutExpired:
        return worker.end()


def _why(status: int) -> str:
    if status == 0:
        return "Runtime exited without providing a reason"
    if status < 0:
        return (
            f"Runtime exited with error: signal: {signal.Signals(-status).name.removeprefix('SIG').lower()}"
        )
    return f"Runtime exited with error: exit status {status}"
