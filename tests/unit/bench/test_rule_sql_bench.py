"""The rule SQL benchmarks, in short: every rule has a rate, and both engines are asked the same cases."""

from bench import rule_sql, rule_sql_peers


def test_every_rule_has_a_rate() -> None:
    said: list[str] = []
    rates = rule_sql.run(0.01, said.append)
    assert len(rates) == len(said) == 3
    assert min(rates.values()) > 0


def test_both_engines_are_asked_every_case() -> None:
    """A case that ministack gets wrong is printed, so a score cannot be low by a mistake of ours unseen."""
    said: list[str] = []
    found = rule_sql_peers.run(said.append, verbose=True)
    assert found["bridge"] == found["cases"] > 900
    wrong = [line for line in said if ", ministack {" in line]
    assert len(wrong) == found["cases"] - found["ministack"]
