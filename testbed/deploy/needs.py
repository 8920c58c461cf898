"""What an apply needs of an account: services in the region, and rights; more of both for what is switched on.

An action stands for the others of its statement in ``terraform/policies``, at the resource that is made. On other
resources the deployer may do nothing, so IAM must be asked for these.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from string import Template


@dataclass(frozen=True)
class Need:
    """A right, and the service of boto3's that must be in the region (empty: it is in every region, or global).

    ``resource`` is the end of an ARN behind service, region and account, with ``${name}`` for project and
    environment; ``context`` is what the call itself says of these condition keys.
    """

    action: str
    resource: str
    service: str = ""
    context: dict[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Site:
    """Where an apply is to be made, and under which names."""

    account: str
    region: str
    project: str
    environment: str
    boundary: str | None = None
    partition: str = "aws"

    def arn(self, need: Need) -> str:
        """Return the ARN of what a need is for."""
        name = f"{self.project}-{self.environment}"
        resource = Template(need.resource).substitute(
            name=name, rule=name.replace("-", "_"), account=self.account
        )
        if resource == "*":
            return resource
        service = need.action.partition(":")[0]
        where = {
            "s3": ":",
            "apigateway": f"{self.region}:",
            "iam": f":{self.account}",
            "budgets": f":{self.account}",
        }.get(service, f"{self.region}:{self.account}")
        return f"arn:{self.partition}:{service}:{where}:{resource}"


_BOUNDED = "iam:PermissionsBoundary"
_ROLE = "role/${name}-telemetry-handler"

ALWAYS = (
    Need("apigateway:POST", "/restapis", "apigateway"),
    Need("cloudwatch:PutMetricAlarm", "alarm:${name}-dead-letters", "cloudwatch"),
    Need("dynamodb:CreateTable", "table/${name}-stations", "dynamodb"),
    Need("iam:CreateRole", _ROLE, context={_BOUNDED: ""}),
    Need("iam:PassRole", _ROLE, context={"iam:PassedToService": "lambda.amazonaws.com"}),
    Need("iam:PutRolePolicy", _ROLE, context={_BOUNDED: ""}),
    Need("iot:CreateTopicRule", "rule/${rule}_telemetry_rule", "iot"),
    Need("iot:RegisterCertificateWithoutCA", "*", "iot"),
    Need("lambda:CreateEventSourceMapping", "*", "lambda"),
    Need("lambda:CreateFunction", "function:${name}-telemetry-handler", "lambda"),
    Need("logs:CreateLogGroup", "log-group:/aws/lambda/${name}-telemetry-handler", "logs"),
    Need("s3:CreateBucket", "${name}-telemetry-${account}", "s3"),
    Need("sns:CreateTopic", "${name}-alarms", "sns"),
    Need("sqs:CreateQueue", "${name}-telemetry", "sqs"),
)

# By what switches it on.
SWITCHED = {
    "analytics": (
        Need("athena:CreateWorkGroup", "workgroup/${name}-archive", "athena"),
        Need("glue:CreateTable", "*", "glue"),
    ),
    "api_domain": (Need("route53:ChangeResourceRecordSets", "*", "route53"),),
    "archive_compaction": (Need("events:PutRule", "rule/${name}-archive-compaction", "events"),),
    "dashboard_enabled": (Need("cloudfront:CreateDistribution", "*"),),
    "enable_waf": (Need("wafv2:CreateWebACL", "regional/webacl/${name}-api/*", "wafv2"),),
    "ingest": (Need("kinesis:CreateStream", "stream/${name}-telemetry", "kinesis"),),
    "load_test": (
        Need("ecs:CreateCluster", "cluster/${name}-load-test", "ecs"),
        Need("ec2:CreateSecurityGroup", "*", "ec2"),
    ),
    "monthly_budget_usd": (Need("budgets:ModifyBudget", "budget/${name}-monthly"),),
    "replica_regions": (Need("dynamodb:CreateTableReplica", "table/${name}-stations", "dynamodb"),),
    "table_capacity": (
        Need("application-autoscaling:RegisterScalableTarget", "*", "application-autoscaling"),
    ),
}


def needs(switched_on: Iterable[str]) -> Iterator[Need]:
    """Yield what an apply needs with these switches on."""
    yield from ALWAYS
    for switch in sorted(switched_on):
        yield from SWITCHED[switch]
