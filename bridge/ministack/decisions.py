"""Write down what IAM is asked by calls: who, which action, which resource, a JSON object a line, each once.

A deployer's policy can be held against that, and each action be taken from it that nobody asked for. Without
``QUESTIONS_FILE`` in the environment nothing is written.
"""

import json
import os
import threading
from pathlib import Path
from typing import Any

from ministack.core import iam_evaluator


def patch() -> None:
    """Note each question where the policies are asked."""
    path = os.environ.get("QUESTIONS_FILE")
    if not path:
        return
    evaluate, known, lock = iam_evaluator.evaluate, set[str](), threading.Lock()

    def noted(context: Any, *policies: Any) -> Any:
        line = json.dumps(
            {"principal": context.principal_arn, "action": context.action, "resource": context.resource_arn}
        )
        # Only a call has keys of its request: `SimulatePrincipalPolicy` asks in its own name for nobody's call.
        if "aws:tagkeys" in context.service_context:
            with lock:
                if line not in known:
                    known.add(line)
                    with Path(path).open("a") as file:
                        file.write(f"{line}\n")
        return evaluate(context, *policies)

    iam_evaluator.evaluate = noted
