"""Sessions for AWS APIs that an emulator plays: nothing of the user's real account is read for them."""

import os

import boto3
import botocore.session


def session(region: str) -> boto3.Session:
    """Return a session with the emulators' common credentials, whatever AWS profile and files there are.

    A profile that does not exist (``AWS_PROFILE``) or a broken ``~/.aws/config`` would end every boto3 session
    otherwise, those with credentials of their own included.
    """
    # Each: where botocore looks (setting in a file, environment variable), and the default in place of that.
    nowhere = {
        "profile": (None, None, None, None),
        "config_file": (None, None, os.devnull, None),
        "credentials_file": (None, None, os.devnull, None),
    }
    return boto3.Session(
        "test", "test", region_name=region, botocore_session=botocore.session.Session(session_vars=nowhere)
    )
