"""Starts LocalStack, and waits until it works."""

from collections.abc import Mapping
from pathlib import Path

from botocore.config import Config

from testbed.engines.localstack_process.install import LocalStackInstall
from testbed.host import emulated, processes
from testbed.host.processes import ChildProcess

# What the testbed uses; the rest of LocalStack is off, so a call to it fails at once and by name.
SERVICES = ",".join(  # one a line reads better
    [
        "apigateway",
        "cloudwatch",
        "dynamodb",
        "dynamodbstreams",
        "events",
        "firehose",
        "iam",
        "kinesis",
        "kms",
        "lambda",
        "logs",
        "s3",
        "sns",
        "sqs",
        "ssm",
        "sts",
    ]
)

_START_SECONDS = 120


def start(
    install: LocalStackInstall,
    *,
    port: int,
    data_dir: Path,
    log_file: Path,
    env: Mapping[str, str] | None = None,
) -> ChildProcess:
    """Start LocalStack on a loopback port; returns at once.

    Args:
        install: What `install` returned.
        port: Of the gateway, for all services.
        data_dir: For all that it keeps and unpacks; nothing is written elsewhere.
        log_file: Its output; functions' logs are in CloudWatch Logs.
        env: LocalStack's own settings, over ours.

    Raises:
        TestbedError: the program cannot be started.
    """
    root = data_dir / "root"
    libraries = root / "usr" / "lib" / "localstack"
    libraries.parent.mkdir(parents=True, exist_ok=True)
    if libraries.is_symlink():
        libraries.unlink()
    libraries.symlink_to(install.libraries)
    temporary = data_dir / "tmp"
    temporary.mkdir(exist_ok=True)
    return processes.start(
        "localstack",
        [str(install.venv / "bin" / "localstack-supervisor")],
        log=log_file,
        folder=data_dir,
        environment=processes.clean_environment(
            **(_settings(install, port, root, temporary) | dict(env or {}))
        ),
    )


def _settings(install: LocalStackInstall, port: int, root: Path, temporary: Path) -> dict[str, str]:
    """Return LocalStack's environment variables."""
    return {
        "FILESYSTEM_ROOT": str(root),
        # Within any container it would take itself for its own image, and write to /var/lib.
        "OVERRIDE_IN_DOCKER": "0",
        "GATEWAY_LISTEN": f"127.0.0.1:{port}",
        # URLs that it answers with, of queues above all, must work without a name server.
        "LOCALSTACK_HOST": f"127.0.0.1:{port}",
        "SQS_ENDPOINT_STRATEGY": "off",
        "LAMBDA_RUNTIME_EXECUTOR": "process",
        # By default a second passes between two batches, and up to ten before the first after a quiet time.
        "LAMBDA_EVENT_SOURCE_MAPPING_POLL_INTERVAL_SEC": "0.05",
        "LAMBDA_EVENT_SOURCE_MAPPING_MAX_BACKOFF_ON_EMPTY_POLL_SEC": "0.5",
        "LAMBDA_EVENT_SOURCE_MAPPING_MAX_BACKOFF_ON_ERROR_SEC": "5",
        "SERVICES": SERVICES,
        "STRICT_SERVICE_LOADING": "1",
        # No network but loopback is needed, and none is used. A stream with no `install_kinesis` before it fails, where
        # LocalStack would have npm fetch the server, by version and without a hash.
        "NPM_CONFIG_OFFLINE": "true",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "DISABLE_EVENTS": "1",
        "DNS_ADDRESS": "0",
        "ALLOW_NONSTANDARD_REGIONS": "0",
        # Nothing outlives LocalStack without its paid persistence: files would only cost time.
        "DYNAMODB_IN_MEMORY": "1",
        "TMPDIR": str(temporary),
        # plux keeps its list of plugins there: one of our own never misses the executor.
        "XDG_CACHE_HOME": str(install.root / "cache"),
    }


def wait_ready(process: ChildProcess, *, port: int, region: str, seconds: float = _START_SECONDS) -> None:
    """Wait until SQS, Lambda and DynamoDB do what they are for: a health page alone proves nothing.

    DynamoDB Local starts with the first table, and takes longer than everything else.

    Raises:
        TestbedError: it died, or did not answer in time.
    """
    session = emulated.session(region)
    url = f"http://127.0.0.1:{port}"
    settings = Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=30)

    def answers() -> bool:
        session.client("sqs", endpoint_url=url, config=settings).list_queues()
        session.client("lambda", endpoint_url=url, config=settings).list_functions()
        dynamodb = session.client("dynamodb", endpoint_url=url, config=settings)
        name = "testbed-readiness"
        if name not in dynamodb.list_tables()["TableNames"]:
            dynamodb.create_table(
                TableName=name,
                KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
                BillingMode="PAY_PER_REQUEST",
            )
        dynamodb.put_item(TableName=name, Item={"id": {"S": "ready"}})
        dynamodb.delete_table(TableName=name)
        return True

    processes.wait_until(answers, what="LocalStack", seconds=seconds, process=process)
