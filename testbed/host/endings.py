"""A program that is told to end cleans up first, whoever tells it."""

import signal
from types import FrameType


class TerminatedError(SystemExit):
    """SIGTERM or SIGHUP has come; uncaught, it ends the program with the status that a shell gives such an end."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)


def clean_up_when_terminated() -> None:
    """Raise `TerminatedError` in the main thread at SIGTERM and SIGHUP, as Python does with Ctrl-C.

    Context managers and ``finally`` end what was started then; by default both signals end a program at once, and its
    child processes stay behind.
    """

    def end(number: int, _frame: FrameType | None) -> None:
        raise TerminatedError(number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        # Whoever started us with `nohup` wants the second one ignored.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, end)
