package main

import (
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/athena"
	athenatypes "github.com/aws/aws-sdk-go-v2/service/athena/types"
	"github.com/aws/aws-sdk-go-v2/service/budgets"
	budgettypes "github.com/aws/aws-sdk-go-v2/service/budgets/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudfront"
	cftypes "github.com/aws/aws-sdk-go-v2/service/cloudfront/types"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/glue"
	gluetypes "github.com/aws/aws-sdk-go-v2/service/glue/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/wafv2"
	waftypes "github.com/aws/aws-sdk-go-v2/service/wafv2/types"
)

func callerIdentity(r *run) error {
	_, err := sts.NewFromConfig(r.cfg).GetCallerIdentity(r.ctx, &sts.GetCallerIdentityInput{})
	return err
}

func glueDatabase(r *run) error {
	client := glue.NewFromConfig(r.cfg)
	name := strings.ReplaceAll(r.name, "-", "_")
	read := func() (*glue.GetDatabaseOutput, error) {
		return client.GetDatabase(r.ctx, &glue.GetDatabaseInput{Name: &name})
	}
	return all(
		did(func() (any, error) {
			return client.CreateDatabase(r.ctx, &glue.CreateDatabaseInput{DatabaseInput: &gluetypes.DatabaseInput{Name: &name}})
		}),
		did(read),
		did(func() (any, error) { return client.DeleteDatabase(r.ctx, &glue.DeleteDatabaseInput{Name: &name}) }),
		gone(read, "EntityNotFoundException"),
	)
}

func glueTable(r *run) error {
	client := glue.NewFromConfig(r.cfg)
	name := strings.ReplaceAll(r.name, "-", "_")
	if _, err := client.CreateDatabase(r.ctx, &glue.CreateDatabaseInput{DatabaseInput: &gluetypes.DatabaseInput{Name: &name}}); err != nil {
		return err
	}
	r.defer_(did(func() (any, error) { return client.DeleteDatabase(r.ctx, &glue.DeleteDatabaseInput{Name: &name}) }))
	table := &gluetypes.TableInput{
		Name: aws.String("telemetry"), TableType: aws.String("EXTERNAL_TABLE"), Parameters: map[string]string{"projection.enabled": "true"},
		PartitionKeys: []gluetypes.Column{{Name: aws.String("dt"), Type: aws.String("string")}},
		StorageDescriptor: &gluetypes.StorageDescriptor{
			Location: aws.String("s3://b/telemetry/"), Columns: []gluetypes.Column{{Name: aws.String("station_id"), Type: aws.String("string")}},
			InputFormat: aws.String("org.apache.hadoop.mapred.TextInputFormat"), OutputFormat: aws.String("org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"),
			SerdeInfo: &gluetypes.SerDeInfo{SerializationLibrary: aws.String("org.openx.data.jsonserde.JsonSerDe")},
		},
	}
	read := func() (*glue.GetTableOutput, error) {
		return client.GetTable(r.ctx, &glue.GetTableInput{DatabaseName: &name, Name: table.Name})
	}
	return all(
		did(func() (any, error) {
			return client.CreateTable(r.ctx, &glue.CreateTableInput{DatabaseName: &name, TableInput: table})
		}),
		did(read),
		absent(func() (any, error) {
			return client.GetPartitionIndexes(r.ctx, &glue.GetPartitionIndexesInput{DatabaseName: &name, TableName: table.Name})
		}, "EntityNotFoundException"),
		did(func() (any, error) {
			return client.UpdateTable(r.ctx, &glue.UpdateTableInput{DatabaseName: &name, TableInput: table})
		}),
		did(func() (any, error) {
			return client.DeleteTable(r.ctx, &glue.DeleteTableInput{DatabaseName: &name, Name: table.Name})
		}),
		gone(read, "EntityNotFoundException"),
	)
}

func athenaWorkgroup(r *run) error {
	client := athena.NewFromConfig(r.cfg)
	read := func() (*athena.GetWorkGroupOutput, error) {
		return client.GetWorkGroup(r.ctx, &athena.GetWorkGroupInput{WorkGroup: &r.name})
	}
	return all(
		did(func() (any, error) {
			return client.CreateWorkGroup(r.ctx, &athena.CreateWorkGroupInput{Name: &r.name, Configuration: &athenatypes.WorkGroupConfiguration{
				BytesScannedCutoffPerQuery: aws.Int64(10 << 30), EnforceWorkGroupConfiguration: aws.Bool(true),
				ResultConfiguration: &athenatypes.ResultConfiguration{OutputLocation: aws.String("s3://b/query-results/")},
			}, Tags: []athenatypes.Tag{{Key: aws.String("a"), Value: aws.String("b")}}})
		}),
		func() error {
			found, err := read()
			if err != nil {
				return err
			}
			return must(aws.ToInt64(found.WorkGroup.Configuration.BytesScannedCutoffPerQuery) == 10<<30, "the limit of a scan is lost")
		},
		did(func() (any, error) {
			return client.UpdateWorkGroup(r.ctx, &athena.UpdateWorkGroupInput{WorkGroup: &r.name, Description: aws.String("It")})
		}),
		did(func() (any, error) {
			return client.DeleteWorkGroup(r.ctx, &athena.DeleteWorkGroupInput{WorkGroup: &r.name, RecursiveDeleteOption: aws.Bool(true)})
		}),
		gone(read, "InvalidRequestException"),
	)
}

func budget(r *run) error {
	client := budgets.NewFromConfig(r.cfg)
	account := aws.String("000000000000")
	read := func() (*budgets.DescribeBudgetOutput, error) {
		return client.DescribeBudget(r.ctx, &budgets.DescribeBudgetInput{AccountId: account, BudgetName: &r.name})
	}
	topic := []budgettypes.Subscriber{{SubscriptionType: budgettypes.SubscriptionTypeSns, Address: aws.String("arn:aws:sns:" + r.cfg.Region + ":000000000000:alarms")}}
	return all(
		did(func() (any, error) {
			return client.CreateBudget(r.ctx, &budgets.CreateBudgetInput{AccountId: account, Budget: &budgettypes.Budget{
				BudgetName: &r.name, BudgetType: budgettypes.BudgetTypeCost, TimeUnit: budgettypes.TimeUnitMonthly,
				BudgetLimit: &budgettypes.Spend{Amount: aws.String("50"), Unit: aws.String("USD")},
			}})
		}),
		did(func() (any, error) {
			return client.CreateNotification(r.ctx, &budgets.CreateNotificationInput{AccountId: account, BudgetName: &r.name, Subscribers: topic, Notification: &budgettypes.Notification{
				ComparisonOperator: budgettypes.ComparisonOperatorGreaterThan, NotificationType: budgettypes.NotificationTypeActual, Threshold: 80, ThresholdType: budgettypes.ThresholdTypePercentage,
			}})
		}),
		did(read),
		did(func() (any, error) {
			return client.DescribeNotificationsForBudget(r.ctx, &budgets.DescribeNotificationsForBudgetInput{AccountId: account, BudgetName: &r.name})
		}),
		did(func() (any, error) {
			return client.DeleteBudget(r.ctx, &budgets.DeleteBudgetInput{AccountId: account, BudgetName: &r.name})
		}),
		gone(read, "NotFoundException"),
	)
}

func ecsCluster(r *run) error {
	client := ecs.NewFromConfig(r.cfg)
	return all(
		did(func() (any, error) {
			return client.CreateCluster(r.ctx, &ecs.CreateClusterInput{ClusterName: &r.name, Settings: []ecstypes.ClusterSetting{{Name: ecstypes.ClusterSettingNameContainerInsights, Value: aws.String("enabled")}}})
		}),
		func() error {
			found, err := client.DescribeClusters(r.ctx, &ecs.DescribeClustersInput{Clusters: []string{r.name}, Include: []ecstypes.ClusterField{ecstypes.ClusterFieldTags, ecstypes.ClusterFieldSettings}})
			if err != nil {
				return err
			}
			return must(len(found.Clusters) == 1 && aws.ToString(found.Clusters[0].Status) == "ACTIVE", "the clusters are %v", found.Clusters)
		},
		did(func() (any, error) { return client.DeleteCluster(r.ctx, &ecs.DeleteClusterInput{Cluster: &r.name}) }),
	)
}

func ecsTaskDefinition(r *run) error {
	client := ecs.NewFromConfig(r.cfg)
	made, err := client.RegisterTaskDefinition(r.ctx, &ecs.RegisterTaskDefinitionInput{
		Family: &r.name, NetworkMode: ecstypes.NetworkModeAwsvpc, RequiresCompatibilities: []ecstypes.Compatibility{ecstypes.CompatibilityFargate},
		Cpu: aws.String("1024"), Memory: aws.String("2048"), ContainerDefinitions: []ecstypes.ContainerDefinition{{Name: aws.String("simulator"), Image: aws.String("image"), Essential: aws.Bool(true)}},
	})
	if err != nil {
		return err
	}
	arn := made.TaskDefinition.TaskDefinitionArn
	return all(
		did(func() (any, error) {
			return client.DescribeTaskDefinition(r.ctx, &ecs.DescribeTaskDefinitionInput{TaskDefinition: arn, Include: []ecstypes.TaskDefinitionField{ecstypes.TaskDefinitionFieldTags}})
		}),
		did(func() (any, error) {
			return client.DeregisterTaskDefinition(r.ctx, &ecs.DeregisterTaskDefinitionInput{TaskDefinition: arn})
		}),
	)
}

func originAccessControl(r *run) error {
	client := cloudfront.NewFromConfig(r.cfg)
	made, err := client.CreateOriginAccessControl(r.ctx, &cloudfront.CreateOriginAccessControlInput{OriginAccessControlConfig: &cftypes.OriginAccessControlConfig{
		Name: &r.name, OriginAccessControlOriginType: cftypes.OriginAccessControlOriginTypesS3, SigningBehavior: cftypes.OriginAccessControlSigningBehaviorsAlways,
		SigningProtocol: cftypes.OriginAccessControlSigningProtocolsSigv4,
	}})
	if err != nil {
		return err
	}
	id := made.OriginAccessControl.Id
	read := func() (*cloudfront.GetOriginAccessControlOutput, error) {
		return client.GetOriginAccessControl(r.ctx, &cloudfront.GetOriginAccessControlInput{Id: id})
	}
	return all(
		did(read),
		did(func() (any, error) {
			return client.DeleteOriginAccessControl(r.ctx, &cloudfront.DeleteOriginAccessControlInput{Id: id, IfMatch: made.ETag})
		}),
		gone(read, "NoSuchOriginAccessControl"),
	)
}

func responseHeadersPolicy(r *run) error {
	client := cloudfront.NewFromConfig(r.cfg)
	made, err := client.CreateResponseHeadersPolicy(r.ctx, &cloudfront.CreateResponseHeadersPolicyInput{ResponseHeadersPolicyConfig: &cftypes.ResponseHeadersPolicyConfig{
		Name: &r.name, SecurityHeadersConfig: &cftypes.ResponseHeadersPolicySecurityHeadersConfig{
			ContentTypeOptions: &cftypes.ResponseHeadersPolicyContentTypeOptions{Override: aws.Bool(true)},
		},
	}})
	if err != nil {
		return err
	}
	id := made.ResponseHeadersPolicy.Id
	read := func() (*cloudfront.GetResponseHeadersPolicyOutput, error) {
		return client.GetResponseHeadersPolicy(r.ctx, &cloudfront.GetResponseHeadersPolicyInput{Id: id})
	}
	return all(
		did(read),
		did(func() (any, error) {
			return client.DeleteResponseHeadersPolicy(r.ctx, &cloudfront.DeleteResponseHeadersPolicyInput{Id: id, IfMatch: made.ETag})
		}),
		gone(read, "NoSuchResponseHeadersPolicy"),
	)
}

func distribution(r *run) error {
	client := cloudfront.NewFromConfig(r.cfg)
	config := func(enabled bool) *cftypes.DistributionConfig {
		return &cftypes.DistributionConfig{
			CallerReference: &r.name, Comment: &r.name, Enabled: &enabled, DefaultRootObject: aws.String("index.html"),
			Origins: &cftypes.Origins{Quantity: aws.Int32(1), Items: []cftypes.Origin{{Id: aws.String("page"), DomainName: aws.String("b.s3.amazonaws.com"),
				S3OriginConfig: &cftypes.S3OriginConfig{OriginAccessIdentity: aws.String("")}}}},
			DefaultCacheBehavior: &cftypes.DefaultCacheBehavior{TargetOriginId: aws.String("page"), ViewerProtocolPolicy: cftypes.ViewerProtocolPolicyRedirectToHttps,
				CachePolicyId: aws.String("658327ea-f89d-4fab-a63d-7e88639e58f6")},
			ViewerCertificate: &cftypes.ViewerCertificate{CloudFrontDefaultCertificate: aws.Bool(true)},
		}
	}
	made, err := client.CreateDistributionWithTags(r.ctx, &cloudfront.CreateDistributionWithTagsInput{DistributionConfigWithTags: &cftypes.DistributionConfigWithTags{
		DistributionConfig: config(true), Tags: &cftypes.Tags{Items: []cftypes.Tag{{Key: aws.String("a"), Value: aws.String("b")}}},
	}})
	if err != nil {
		return err
	}
	id, etag := made.Distribution.Id, made.ETag
	read := func() (*cloudfront.GetDistributionOutput, error) {
		return client.GetDistribution(r.ctx, &cloudfront.GetDistributionInput{Id: id})
	}
	return all(
		did(read),
		did(func() (any, error) {
			return client.ListTagsForResource(r.ctx, &cloudfront.ListTagsForResourceInput{Resource: made.Distribution.ARN})
		}),
		func() error {
			updated, err := client.UpdateDistribution(r.ctx, &cloudfront.UpdateDistributionInput{Id: id, IfMatch: etag, DistributionConfig: config(false)})
			if err == nil {
				etag = updated.ETag
			}
			return err
		},
		did(func() (any, error) {
			return client.DeleteDistribution(r.ctx, &cloudfront.DeleteDistributionInput{Id: id, IfMatch: etag})
		}),
		gone(read, "NoSuchDistribution"),
	)
}

func acl(r *run, client *wafv2.Client) (*waftypes.WebACLSummary, error) {
	shown := &waftypes.VisibilityConfig{CloudWatchMetricsEnabled: true, MetricName: &r.name, SampledRequestsEnabled: true}
	made, err := client.CreateWebACL(r.ctx, &wafv2.CreateWebACLInput{
		Name: &r.name, Scope: waftypes.ScopeRegional, DefaultAction: &waftypes.DefaultAction{Allow: &waftypes.AllowAction{}}, VisibilityConfig: shown,
		Rules: []waftypes.Rule{{Name: aws.String("rate"), Priority: 1, Action: &waftypes.RuleAction{Block: &waftypes.BlockAction{}}, VisibilityConfig: shown,
			Statement: &waftypes.Statement{RateBasedStatement: &waftypes.RateBasedStatement{Limit: aws.Int64(1000), AggregateKeyType: waftypes.RateBasedStatementAggregateKeyTypeIp}}}},
	})
	if err != nil {
		return nil, err
	}
	return made.Summary, nil
}

func webAcl(r *run) error {
	client := wafv2.NewFromConfig(r.cfg)
	made, err := acl(r, client)
	if err != nil {
		return err
	}
	read := func() (*wafv2.GetWebACLOutput, error) {
		return client.GetWebACL(r.ctx, &wafv2.GetWebACLInput{Id: made.Id, Name: made.Name, Scope: waftypes.ScopeRegional})
	}
	return all(
		func() error {
			found, err := read()
			if err != nil {
				return err
			}
			made.LockToken = found.LockToken
			return must(len(found.WebACL.Rules) == 1, "the rules are %s", strconv.Itoa(len(found.WebACL.Rules)))
		},
		did(func() (any, error) {
			return client.ListTagsForResource(r.ctx, &wafv2.ListTagsForResourceInput{ResourceARN: made.ARN})
		}),
		did(func() (any, error) {
			return client.DeleteWebACL(r.ctx, &wafv2.DeleteWebACLInput{Id: made.Id, Name: made.Name, Scope: waftypes.ScopeRegional, LockToken: made.LockToken})
		}),
		gone(read, "WAFNonexistentItemException"),
	)
}

func webAclAssociation(r *run) error {
	client := wafv2.NewFromConfig(r.cfg)
	made, err := acl(r, client)
	if err != nil {
		return err
	}
	r.defer_(did(func() (any, error) {
		return client.DeleteWebACL(r.ctx, &wafv2.DeleteWebACLInput{Id: made.Id, Name: made.Name, Scope: waftypes.ScopeRegional, LockToken: made.LockToken})
	}))
	stage := aws.String("arn:aws:apigateway:" + r.cfg.Region + "::/restapis/abc/stages/dev")
	return all(
		did(func() (any, error) {
			return client.AssociateWebACL(r.ctx, &wafv2.AssociateWebACLInput{ResourceArn: stage, WebACLArn: made.ARN})
		}),
		did(func() (any, error) {
			return client.GetWebACLForResource(r.ctx, &wafv2.GetWebACLForResourceInput{ResourceArn: stage})
		}),
		did(func() (any, error) {
			return client.DisassociateWebACL(r.ctx, &wafv2.DisassociateWebACLInput{ResourceArn: stage})
		}),
	)
}

// resources are the resource types of terraform/, and its two data sources that call AWS.
func resources() []resource {
	return []resource{
		{"data.aws_caller_identity", callerIdentity},
		{"data.aws_iot_endpoint", iotEndpoint},
		{"aws_sqs_queue", sqsQueue},
		{"aws_sns_topic", snsTopic},
		{"aws_cloudwatch_event_rule", eventRule},
		{"aws_cloudwatch_event_target", eventTarget},
		{"aws_sns_topic_policy", snsTopicPolicy},
		{"aws_sns_topic_subscription", snsTopicSubscription},
		{"aws_dynamodb_table", dynamodbTable},
		{"aws_appautoscaling_target", scalableTarget},
		{"aws_appautoscaling_policy", scalingPolicy},
		{"aws_kinesis_stream", kinesisStream},
		{"aws_s3_bucket", s3Bucket},
		{"aws_s3_bucket_lifecycle_configuration", s3Lifecycle},
		{"aws_s3_bucket_server_side_encryption_configuration", s3Encryption},
		{"aws_s3_bucket_public_access_block", s3PublicAccess},
		{"aws_s3_bucket_policy", s3Policy},
		{"aws_s3_object", s3Object},
		{"aws_iam_role", iamRole},
		{"aws_iam_role_policy", iamRolePolicy},
		{"aws_lambda_function", lambdaFunction},
		{"aws_lambda_permission", lambdaPermission},
		{"aws_lambda_event_source_mapping", lambdaEventSourceMapping},
		{"aws_cloudwatch_log_group", logGroup},
		{"aws_cloudwatch_metric_alarm", metricAlarm},
		{"aws_cloudwatch_dashboard", cloudwatchDashboard},
		{"aws_iot_policy", iotPolicy},
		{"aws_iot_topic_rule", iotTopicRule},
		{"aws_api_gateway_rest_api", gatewayRestApi},
		{"aws_api_gateway_resource", gatewayResource},
		{"aws_api_gateway_method", gatewayMethod},
		{"aws_api_gateway_integration", gatewayIntegration},
		{"aws_api_gateway_method_response", gatewayMethodResponse},
		{"aws_api_gateway_integration_response", gatewayIntegrationResponse},
		{"aws_api_gateway_deployment", gatewayDeployment},
		{"aws_api_gateway_stage", gatewayStage},
		{"aws_api_gateway_method_settings", gatewayMethodSettings},
		{"aws_api_gateway_gateway_response", gatewayResponse},
		{"aws_api_gateway_authorizer", gatewayAuthorizer},
		{"aws_api_gateway_api_key", gatewayApiKey},
		{"aws_api_gateway_usage_plan", gatewayUsagePlan},
		{"aws_api_gateway_usage_plan_key", gatewayUsagePlanKey},
		{"aws_glue_catalog_database", glueDatabase},
		{"aws_glue_catalog_table", glueTable},
		{"aws_athena_workgroup", athenaWorkgroup},
		{"aws_budgets_budget", budget},
		{"aws_ecs_cluster", ecsCluster},
		{"aws_ecs_task_definition", ecsTaskDefinition},
		{"aws_cloudfront_origin_access_control", originAccessControl},
		{"aws_cloudfront_response_headers_policy", responseHeadersPolicy},
		{"aws_cloudfront_distribution", distribution},
		{"aws_wafv2_web_acl", webAcl},
		{"aws_wafv2_web_acl_association", webAclAssociation},
	}
}
