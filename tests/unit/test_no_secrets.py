"""No secret is in the repository, in any version of any file that was ever committed."""

import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from testbed.paths import REPOSITORY
from tests.secret_scan import history, secrets_in


def a_private_key() -> bytes:
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (a_private_key(), "Private Key"),
        (b"aws_access_key_id = " + b"AKIA" + b"ABCDEFGHIJKLMNOP" + b"\n", "AWS Access Key"),
        (b"https://admin:" + b"hunter22" + b"@broker.example/\n", "Basic Auth"),
        (b"password = '" + b"correct horse" + b"'\n", "Secret Keyword"),
    ],
)
def test_a_secret_is_found_and_not_told(content: bytes, kind: str) -> None:
    found = secrets_in({"settings.py": content, "good.py": b"x = 1\n"})
    assert found
    assert any(kind in line and "settings.py" in line for line in found)
    assert not any("hunter22" in line or "ABCDEFGH" in line for line in found)


def test_a_secret_that_was_removed_again_is_found(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        who = ("-c", "user.name=t", "-c", "user.email=t@example.com")
        subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init", "--quiet")
    (tmp_path / "device.key").write_bytes(a_private_key())
    git("add", ".")
    git("commit", "--quiet", "-m", "one")
    (tmp_path / "device.key").unlink()
    git("commit", "--quiet", "-a", "-m", "two")
    assert [line for line in secrets_in(history(tmp_path)) if "Private Key in device.key" in line]


def test_no_version_of_any_file_holds_a_secret() -> None:
    if not (REPOSITORY / ".git").exists():
        pytest.skip("no git repository: a source archive has no history")
    versions = history(REPOSITORY)
    assert len(versions) > 100
    assert not secrets_in(versions)
