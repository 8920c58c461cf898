"""Take every topic rule that AWS's reference allows.

ministack 1.5.33 refuses a rule whose WHERE its own engine cannot read, whose topic filter stands in double quotes,
and one that begins with SET. Here the bridge runs the rules: it compiles the statement by the whole reference, and
refuses by name what it cannot run (log, ``/health``).
"""

import re

from ministack.services import iot

_BEGINS = re.compile(r"\s*(SELECT|SET)\s+\S", re.IGNORECASE)


def patch() -> None:
    """Check no more of a statement than how it begins."""
    iot._validate_rule_sql = _fault


def _fault(sql: str | None) -> str | None:
    return None if _BEGINS.match(sql or "") else "Rule SQL begins with SELECT or SET"
