"""Nothing of the user's real account reaches what works with an emulator."""

import os
import subprocess
import sys
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ProfileNotFound

from testbed.host import emulated, processes


def test_an_unknown_profile_and_a_broken_file_do_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(ProfileNotFound):
        boto3.Session("test", "test", region_name="eu-central-1").client("sqs")
    broken = tmp_path / "config"
    broken.write_text("[[[ this is no configuration\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(broken))
    session = emulated.session("eu-central-1")
    client = session.client("sqs", endpoint_url="http://127.0.0.1:9")
    assert client.meta.region_name == "eu-central-1"
    assert session.get_credentials().access_key == "test"


def test_a_child_finds_no_credentials_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bridge takes credentials where it finds some; those of a file in the home directory are the user's."""
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text(
        "[default]\naws_access_key_id = of-the-user\naws_secret_access_key = x\n"
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    asks = "import boto3; print(boto3.Session().get_credentials())"
    done = subprocess.run(
        [sys.executable, "-c", asks],
        env=processes.clean_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "None"
    assert os.environ["AWS_PROFILE"] == "nobody"
