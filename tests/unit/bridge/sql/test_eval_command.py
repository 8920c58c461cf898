"""`python -m bridge eval`: output, stderr and exit codes."""

import json
import subprocess
import sys

import pytest


def _eval(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "bridge", "eval", *arguments],
        input=stdin,
        capture_output=True,
        timeout=60,
        check=False,
    )


def test_it_prints_the_outgoing_payload():
    """A rule that fires prints JSON on stdout and exits 0, with the message's context taken from the options."""
    sql = "SELECT *, clientid() AS c, timestamp() AS t FROM 'a/+'"
    done = _eval(
        "--sql", sql, "--topic", "a/b", "--payload", '{"x": "é"}', "--client-id", "c1", "--timestamp", "5"
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"x": "é", "c": "c1", "t": 5}


@pytest.mark.parametrize("sql", ["SELECT * FROM 'other'", "SELECT * FROM 'a/b' WHERE x > 1"])
def test_it_says_that_the_rule_does_not_fire(sql):
    """A rule that does not fire prints nothing on stdout and exits 1."""
    done = _eval("--sql", sql, "--topic", "a/b", "--payload", '{"x": 1}')
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"does not fire" in done.stderr


def test_errors_are_one_line_and_exit_2():
    """A rule that is refused exits 2 with one line that names the reason."""
    done = _eval("--sql", "SELECT nosuch() FROM 'a'", "--topic", "a", "--payload", "{}")
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode().splitlines() == ["error: unknown function nosuch() (at character 8)"]


def test_bytes_come_from_stdin_or_base64():
    """Any payload can be given, and a binary one that goes through is shown in base64."""
    piped = _eval("--sql", "SELECT * FROM 'a'", "--topic", "a", "--payload", "-", stdin=b"\xff\x00")
    assert (piped.returncode, json.loads(piped.stdout)) == (0, "/wA=")
    given = _eval(
        "--sql", "SELECT encode(*, 'base64') AS p FROM 'a'", "--topic", "a", "--payload-base64", "/wA="
    )
    assert json.loads(given.stdout) == {"p": "/wA="}
    assert _eval("--sql", "SELECT * FROM 'a'", "--topic", "a").returncode == 2
