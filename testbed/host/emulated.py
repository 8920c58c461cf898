"""Sessions for AWS APIs that an emulator plays: nothing of the user's real account is read for them."""

import os

import boto3
import botocore.loaders
import botocore.session

# botocore's description of a service takes 60 ms and more to read, and each session reads it anew by itself.
_DESCRIPTIONS = botocore.loaders.create_loader()


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
    below = botocore.session.Session(session_vars=nowhere)
    below.register_component("data_loader", _DESCRIPTIONS)
    made = boto3.Session("test", "test", region_name=region, botocore_session=below)
    # Each boto3 session adds its folder once more.
    _DESCRIPTIONS.search_paths[:] = dict.fromkeys(_DESCRIPTIONS.search_paths)
    return made
