"""Looks for secrets with detect-secrets: keys, tokens and passwords by their form, in files and in git's history."""

import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from detect_secrets.core.secrets_collection import SecretsCollection
from detect_secrets.settings import transient_settings

# All of its detectors but those by entropy: digests, ids and base64 payloads are what these files are full of.
_DETECTORS = (
    "ArtifactoryDetector",
    "AWSKeyDetector",
    "AzureStorageKeyDetector",
    "BasicAuthDetector",
    "CloudantDetector",
    "DiscordBotTokenDetector",
    "GitHubTokenDetector",
    "GitLabTokenDetector",
    "IbmCloudIamDetector",
    "IbmCosHmacDetector",
    "JwtTokenDetector",
    "KeywordDetector",
    "MailchimpDetector",
    "NpmDetector",
    "OpenAIDetector",
    "PrivateKeyDetector",
    "PypiTokenDetector",
    "SendGridDetector",
    "SlackDetector",
    "SoftlayerDetector",
    "SquareOAuthDetector",
    "StripeDetector",
    "TelegramBotTokenDetector",
    "TwilioKeyDetector",
)

# What stands after a word like "secret" and is none: the local engines' public password, a key that Terraform must
# refuse, and prose.
_KNOWN = {
    "test",
    "test}",
    "short",
    "make policy",
    "scripts/policy",
    "it reads Secrets Manager",
    # Names of a variable and of an output, in testbed.toml.
    "api_key",
    "api_key_value",
    # What a test gives where nobody looks at it.
    "nothing",
    # The id of a key, as API Gateway tells it.
    "k1",
    # A key id that a test makes up, for a caller whom nobody knows.
    "ASIAUNKNOWN000000000",
    # What a test's custom authorizer lets in.
    "let me in",
}

# Digests of packages and nothing else.
_LOCKS = {"uv.lock", "package-lock.json"}


def secrets_in(files: Mapping[str, bytes]) -> list[str]:
    """List what looks like a secret, as ``<kind> in <name>, line <n>``, never with the secret itself.

    Args:
        files: name -> content.
    """
    plugins = {"plugins_used": [{"name": name} for name in _DETECTORS], "filters_used": []}
    with tempfile.TemporaryDirectory() as folder, transient_settings(plugins):
        collection = SecretsCollection()
        places: dict[str, list[tuple[str, int]]] = {}
        for suffix, lines in _distinct_lines(files).items():
            # The ending decides how a file is read.
            path = Path(folder) / f"lines{suffix}"
            path.write_bytes(b"\n".join(lines))
            places[str(path)] = list(lines.values())
            collection.scan_file(str(path))
        found = [
            (secret.type, *places[path][secret.line_number - 1])
            for path, secret in collection
            if secret.secret_value not in _KNOWN
        ]
    return sorted(f"{kind} in {name}, line {line}" for kind, name, line in found)


def _distinct_lines(files: Mapping[str, bytes]) -> dict[str, dict[bytes, tuple[str, int]]]:
    """Return each line once for each ending of names, with the name and line number where it is first.

    The detectors look at single lines, and files that were moved share most of theirs.
    """
    lines: dict[str, dict[bytes, tuple[str, int]]] = {}
    for name, content in files.items():
        of_kind = lines.setdefault(Path(name).suffix, {})
        for number, line in enumerate(content.replace(b"\r", b"").split(b"\n"), 1):
            of_kind.setdefault(line, (name, number))
    return lines


def history(repository: Path) -> dict[str, bytes]:
    """Collect every line that a file of a git repository ever had, by the file's name; locks of packages are left out.

    Versions share most lines, and each is looked at once; `git log -S` tells when one came and went.
    """

    def git(*arguments: str, given: bytes = b"") -> bytes:
        command = ["git", *arguments]
        return subprocess.run(command, cwd=repository, input=given, capture_output=True, check=True).stdout

    listed = git("rev-list", "--objects", "HEAD").decode().splitlines()
    named = [tuple(line.split(" ", 1)) for line in listed if " " in line]
    wanted = [(oid, name) for oid, name in named if Path(name).name not in _LOCKS]
    lines: dict[str, dict[bytes, None]] = {}
    for name, content in _blobs(
        git("cat-file", "--batch", given="\n".join(oid for oid, _ in wanted).encode()), wanted
    ):
        lines.setdefault(name, {}).update(dict.fromkeys(content.splitlines()))
    return {name: b"\n".join(distinct) for name, distinct in lines.items()}


def _blobs(batch: bytes, objects: Iterable[tuple[str, str]]) -> Iterator[tuple[str, bytes]]:
    """Yield the files in what ``git cat-file --batch`` says: for each a header line, content, a newline."""
    start = 0
    for _, name in objects:
        end = batch.index(b"\n", start)
        _, kind, size = batch[start:end].split()
        content = batch[end + 1 : end + 1 + int(size)]
        start = end + 2 + int(size)
        if kind == b"blob":
            yield name, content
