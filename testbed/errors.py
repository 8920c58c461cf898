"""What the testbed says when it cannot go on."""


class TestbedError(Exception):
    """One line that says what is wrong, and one that says what to do about it.

    The command line prints both and exits with 1; a traceback is shown only with ``--debug``.
    """

    __test__ = False  # its name starts with Test, and pytest would collect it

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.problem}\n  {self.remedy}" if self.remedy else self.problem
