package main

import (
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/iot"
	iottypes "github.com/aws/aws-sdk-go-v2/service/iot/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

func trust(service string) *string {
	return document(map[string]any{"Version": "2012-10-17", "Statement": []any{map[string]any{
		"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": map[string]any{"Service": service},
	}}})
}

var inline = document(map[string]any{"Version": "2012-10-17", "Statement": []any{map[string]any{
	"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*",
}}})

// role makes a role that goes with the run.
func (r *run) role() (string, error) {
	client := iam.NewFromConfig(r.cfg)
	made, err := client.CreateRole(r.ctx, &iam.CreateRoleInput{RoleName: &r.name, AssumeRolePolicyDocument: trust("lambda.amazonaws.com")})
	if err != nil {
		return "", err
	}
	r.defer_(did(func() (any, error) { return client.DeleteRole(r.ctx, &iam.DeleteRoleInput{RoleName: &r.name}) }))
	return *made.Role.Arn, nil
}

func iamRole(r *run) error {
	client := iam.NewFromConfig(r.cfg)
	boundary, err := client.CreatePolicy(r.ctx, &iam.CreatePolicyInput{PolicyName: &r.name, PolicyDocument: inline})
	if err != nil {
		return err
	}
	r.defer_(did(func() (any, error) {
		return client.DeletePolicy(r.ctx, &iam.DeletePolicyInput{PolicyArn: boundary.Policy.Arn})
	}))
	_, err = client.CreateRole(r.ctx, &iam.CreateRoleInput{
		RoleName: &r.name, AssumeRolePolicyDocument: trust("lambda.amazonaws.com"), PermissionsBoundary: boundary.Policy.Arn,
		Tags: []iamtypes.Tag{{Key: aws.String("a"), Value: aws.String("b")}},
	})
	if err != nil {
		return err
	}
	read := func() (*iam.GetRoleOutput, error) { return client.GetRole(r.ctx, &iam.GetRoleInput{RoleName: &r.name}) }
	return all(
		func() error {
			found, err := read()
			if err != nil {
				return err
			}
			return must(found.Role.PermissionsBoundary != nil, "the permissions boundary is lost")
		},
		did(func() (any, error) {
			return client.ListRolePolicies(r.ctx, &iam.ListRolePoliciesInput{RoleName: &r.name})
		}),
		did(func() (any, error) {
			return client.ListAttachedRolePolicies(r.ctx, &iam.ListAttachedRolePoliciesInput{RoleName: &r.name})
		}),
		did(func() (any, error) {
			return client.UpdateAssumeRolePolicy(r.ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: &r.name, PolicyDocument: trust("iot.amazonaws.com")})
		}),
		did(func() (any, error) {
			return client.TagRole(r.ctx, &iam.TagRoleInput{RoleName: &r.name, Tags: []iamtypes.Tag{{Key: aws.String("c"), Value: aws.String("d")}}})
		}),
		did(func() (any, error) {
			return client.DeleteRolePermissionsBoundary(r.ctx, &iam.DeleteRolePermissionsBoundaryInput{RoleName: &r.name})
		}),
		did(func() (any, error) {
			return client.ListInstanceProfilesForRole(r.ctx, &iam.ListInstanceProfilesForRoleInput{RoleName: &r.name})
		}),
		did(func() (any, error) { return client.DeleteRole(r.ctx, &iam.DeleteRoleInput{RoleName: &r.name}) }),
		gone(read, "NoSuchEntity", "NoSuchEntityException"),
	)
}

func iamRolePolicy(r *run) error {
	client := iam.NewFromConfig(r.cfg)
	if _, err := r.role(); err != nil {
		return err
	}
	read := func() (*iam.GetRolePolicyOutput, error) {
		return client.GetRolePolicy(r.ctx, &iam.GetRolePolicyInput{RoleName: &r.name, PolicyName: aws.String("it")})
	}
	return all(
		did(func() (any, error) {
			return client.PutRolePolicy(r.ctx, &iam.PutRolePolicyInput{RoleName: &r.name, PolicyName: aws.String("it"), PolicyDocument: inline})
		}),
		did(read),
		did(func() (any, error) {
			return client.DeleteRolePolicy(r.ctx, &iam.DeleteRolePolicyInput{RoleName: &r.name, PolicyName: aws.String("it")})
		}),
		gone(read, "NoSuchEntity", "NoSuchEntityException"),
	)
}

// function makes a function that goes with the run, unless it is deleted before.
func (r *run) function(client *lambda.Client) (*lambda.CreateFunctionOutput, error) {
	role, err := r.role()
	if err != nil {
		return nil, err
	}
	made, err := client.CreateFunction(r.ctx, &lambda.CreateFunctionInput{
		FunctionName: &r.name, Role: &role, Runtime: lambdatypes.RuntimePython313, Handler: aws.String("telemetry_handler.app.handler"),
		Code: &lambdatypes.FunctionCode{ZipFile: r.zipped}, Architectures: []lambdatypes.Architecture{lambdatypes.ArchitectureX8664},
		MemorySize: aws.Int32(512), Timeout: aws.Int32(30), TracingConfig: &lambdatypes.TracingConfig{Mode: lambdatypes.TracingModePassThrough},
		Environment: &lambdatypes.Environment{Variables: map[string]string{"A": "b"}}, Tags: map[string]string{"a": "b"},
	})
	if err != nil {
		return nil, err
	}
	return made, lambda.NewFunctionActiveV2Waiter(client).Wait(r.ctx, &lambda.GetFunctionInput{FunctionName: &r.name}, time.Minute)
}

func lambdaFunction(r *run) error {
	client := lambda.NewFromConfig(r.cfg)
	made, err := r.function(client)
	if err != nil {
		return err
	}
	read := func() (*lambda.GetFunctionOutput, error) {
		return client.GetFunction(r.ctx, &lambda.GetFunctionInput{FunctionName: &r.name})
	}
	updated := func() error {
		return lambda.NewFunctionUpdatedV2Waiter(client).Wait(r.ctx, &lambda.GetFunctionInput{FunctionName: &r.name}, time.Minute)
	}
	return all(
		did(func() (any, error) {
			return client.PutFunctionConcurrency(r.ctx, &lambda.PutFunctionConcurrencyInput{FunctionName: &r.name, ReservedConcurrentExecutions: aws.Int32(2)})
		}),
		did(func() (any, error) {
			return client.ListVersionsByFunction(r.ctx, &lambda.ListVersionsByFunctionInput{FunctionName: &r.name})
		}),
		absent(func() (any, error) {
			return client.GetFunctionCodeSigningConfig(r.ctx, &lambda.GetFunctionCodeSigningConfigInput{FunctionName: &r.name})
		}, "ResourceNotFoundException"),
		did(func() (any, error) {
			return client.UpdateFunctionConfiguration(r.ctx, &lambda.UpdateFunctionConfigurationInput{FunctionName: &r.name, Timeout: aws.Int32(31)})
		}),
		updated,
		did(func() (any, error) {
			return client.UpdateFunctionCode(r.ctx, &lambda.UpdateFunctionCodeInput{FunctionName: &r.name, ZipFile: r.zipped})
		}),
		updated,
		func() error {
			found, err := read()
			if err != nil {
				return err
			}
			return must(aws.ToInt32(found.Configuration.Timeout) == 31 && found.Concurrency != nil && found.Tags["a"] == "b",
				"time-out, concurrency or tags are lost: %d, %v, %v", aws.ToInt32(found.Configuration.Timeout), found.Concurrency, found.Tags)
		},
		did(func() (any, error) {
			return client.TagResource(r.ctx, &lambda.TagResourceInput{Resource: made.FunctionArn, Tags: map[string]string{"c": "d"}})
		}),
		did(func() (any, error) { return client.ListTags(r.ctx, &lambda.ListTagsInput{Resource: made.FunctionArn}) }),
		did(func() (any, error) {
			return client.DeleteFunction(r.ctx, &lambda.DeleteFunctionInput{FunctionName: &r.name})
		}),
		gone(read, "ResourceNotFoundException"),
	)
}

func lambdaPermission(r *run) error {
	client := lambda.NewFromConfig(r.cfg)
	if _, err := r.function(client); err != nil {
		return err
	}
	r.defer_(did(func() (any, error) {
		return client.DeleteFunction(r.ctx, &lambda.DeleteFunctionInput{FunctionName: &r.name})
	}))
	id := aws.String("AllowApiGateway")
	read := func() (*lambda.GetPolicyOutput, error) {
		return client.GetPolicy(r.ctx, &lambda.GetPolicyInput{FunctionName: &r.name})
	}
	return all(
		did(func() (any, error) {
			return client.AddPermission(r.ctx, &lambda.AddPermissionInput{
				FunctionName: &r.name, StatementId: id, Action: aws.String("lambda:InvokeFunction"), Principal: aws.String("apigateway.amazonaws.com"),
				SourceArn: aws.String("arn:aws:execute-api:" + r.cfg.Region + ":000000000000:abc/*"),
			})
		}),
		did(read),
		did(func() (any, error) {
			return client.RemovePermission(r.ctx, &lambda.RemovePermissionInput{FunctionName: &r.name, StatementId: id})
		}),
		func() error { // the provider looks for its statement: a policy without it will do
			found, err := read()
			if err != nil {
				return gone(func() (any, error) { return nil, err }, "ResourceNotFoundException")()
			}
			return must(!strings.Contains(aws.ToString(found.Policy), *id), "the permission is still there")
		},
	)
}

func lambdaEventSourceMapping(r *run) error {
	client := lambda.NewFromConfig(r.cfg)
	if _, err := r.function(client); err != nil {
		return err
	}
	r.defer_(did(func() (any, error) {
		return client.DeleteFunction(r.ctx, &lambda.DeleteFunctionInput{FunctionName: &r.name})
	}))
	_, arn, err := r.queue()
	if err != nil {
		return err
	}
	made, err := client.CreateEventSourceMapping(r.ctx, &lambda.CreateEventSourceMappingInput{
		EventSourceArn: &arn, FunctionName: &r.name, BatchSize: aws.Int32(1000), MaximumBatchingWindowInSeconds: aws.Int32(5), Enabled: aws.Bool(true),
		FunctionResponseTypes: []lambdatypes.FunctionResponseType{lambdatypes.FunctionResponseTypeReportBatchItemFailures},
		ScalingConfig:         &lambdatypes.ScalingConfig{MaximumConcurrency: aws.Int32(5)},
	})
	if err != nil {
		return err
	}
	read := func() (*lambda.GetEventSourceMappingOutput, error) {
		return client.GetEventSourceMapping(r.ctx, &lambda.GetEventSourceMappingInput{UUID: made.UUID})
	}
	return all(
		did(func() (any, error) {
			return client.UpdateEventSourceMapping(r.ctx, &lambda.UpdateEventSourceMappingInput{UUID: made.UUID, BatchSize: aws.Int32(100)})
		}),
		func() error {
			found, err := read()
			if err != nil {
				return err
			}
			return must(aws.ToInt32(found.BatchSize) == 100 && len(found.FunctionResponseTypes) == 1, "batch size %d, %v",
				aws.ToInt32(found.BatchSize), found.FunctionResponseTypes)
		},
		r.unmapped(client, made.UUID),
		func() error { return r.streamMapping(client, arn) },
	)
}

// unmapped deletes a mapping, and waits as the provider does: there is no waiter.
func (r *run) unmapped(client *lambda.Client, id *string) func() error {
	steps := []func() error{
		did(func() (any, error) {
			return client.DeleteEventSourceMapping(r.ctx, &lambda.DeleteEventSourceMappingInput{UUID: id})
		}),
		func() error {
			for {
				found, err := client.GetEventSourceMapping(r.ctx, &lambda.GetEventSourceMappingInput{UUID: id})
				if err != nil {
					return gone(func() (any, error) { return nil, err }, "ResourceNotFoundException")()
				}
				if r.ctx.Err() != nil {
					return must(false, "the mapping is still %s", aws.ToString(found.State))
				}
				time.Sleep(200 * time.Millisecond)
			}
		},
	}
	return func() error { return all(steps...) }
}

func logGroup(r *run) error {
	client := cloudwatchlogs.NewFromConfig(r.cfg)
	find := func() (*cloudwatchlogs.DescribeLogGroupsOutput, error) {
		return client.DescribeLogGroups(r.ctx, &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: &r.name})
	}
	return all(
		did(func() (any, error) {
			return client.CreateLogGroup(r.ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &r.name, Tags: map[string]string{"a": "b"}})
		}),
		did(func() (any, error) {
			return client.PutRetentionPolicy(r.ctx, &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: &r.name, RetentionInDays: aws.Int32(7)})
		}),
		func() error {
			found, err := find()
			if err != nil {
				return err
			}
			if len(found.LogGroups) != 1 || aws.ToInt32(found.LogGroups[0].RetentionInDays) != 7 {
				return must(false, "the log groups are %v", found.LogGroups)
			}
			arn := found.LogGroups[0].LogGroupArn
			if arn == nil { // older answers have the one with ":*" alone
				arn = found.LogGroups[0].Arn
			}
			_, err = client.ListTagsForResource(r.ctx, &cloudwatchlogs.ListTagsForResourceInput{ResourceArn: arn})
			return err
		},
		did(func() (any, error) {
			return client.DeleteLogGroup(r.ctx, &cloudwatchlogs.DeleteLogGroupInput{LogGroupName: &r.name})
		}),
		func() error {
			found, err := find()
			if err != nil {
				return err
			}
			return must(len(found.LogGroups) == 0, "the log group is still there")
		},
	)
}

func metricAlarm(r *run) error {
	var tags []cwtypes.Tag
	if r.tagged {
		tags = []cwtypes.Tag{{Key: aws.String("a"), Value: aws.String("b")}}
	}
	client := cloudwatch.NewFromConfig(r.cfg)
	find := func() (*cloudwatch.DescribeAlarmsOutput, error) {
		return client.DescribeAlarms(r.ctx, &cloudwatch.DescribeAlarmsInput{AlarmNames: []string{r.name}, AlarmTypes: []cwtypes.AlarmType{cwtypes.AlarmTypeMetricAlarm}})
	}
	return all(
		did(func() (any, error) {
			return client.PutMetricAlarm(r.ctx, &cloudwatch.PutMetricAlarmInput{
				AlarmName: &r.name, Namespace: aws.String("AWS/SQS"), MetricName: aws.String("ApproximateAgeOfOldestMessage"),
				Dimensions: []cwtypes.Dimension{{Name: aws.String("QueueName"), Value: aws.String("q")}}, Statistic: cwtypes.StatisticMaximum,
				Period: aws.Int32(60), EvaluationPeriods: aws.Int32(3), Threshold: aws.Float64(300), ComparisonOperator: cwtypes.ComparisonOperatorGreaterThanThreshold,
				TreatMissingData: aws.String("breaching"), ActionsEnabled: aws.Bool(true), Tags: tags,
			})
		}),
		func() error {
			found, err := find()
			if err != nil {
				return err
			}
			if len(found.MetricAlarms) != 1 || aws.ToFloat64(found.MetricAlarms[0].Threshold) != 300 {
				return must(false, "the alarms are %v", found.MetricAlarms)
			}
			_, err = client.ListTagsForResource(r.ctx, &cloudwatch.ListTagsForResourceInput{ResourceARN: found.MetricAlarms[0].AlarmArn})
			return err
		},
		did(func() (any, error) {
			return client.DeleteAlarms(r.ctx, &cloudwatch.DeleteAlarmsInput{AlarmNames: []string{r.name}})
		}),
		func() error {
			found, err := find()
			if err != nil {
				return err
			}
			return must(len(found.MetricAlarms) == 0, "the alarm is still there")
		},
	)
}

func cloudwatchDashboard(r *run) error {
	client := cloudwatch.NewFromConfig(r.cfg)
	body := document(map[string]any{"widgets": []any{map[string]any{
		"type": "text", "x": 0, "y": 0, "width": 6, "height": 6, "properties": map[string]any{"markdown": "contract"},
	}}})
	read := func() (*cloudwatch.GetDashboardOutput, error) {
		return client.GetDashboard(r.ctx, &cloudwatch.GetDashboardInput{DashboardName: &r.name})
	}
	return all(
		did(func() (any, error) {
			return client.PutDashboard(r.ctx, &cloudwatch.PutDashboardInput{DashboardName: &r.name, DashboardBody: body})
		}),
		did(read),
		did(func() (any, error) {
			return client.DeleteDashboards(r.ctx, &cloudwatch.DeleteDashboardsInput{DashboardNames: []string{r.name}})
		}),
		gone(read, "ResourceNotFound", "DashboardNotFoundError"),
	)
}

func iotPolicy(r *run) error {
	client := iot.NewFromConfig(r.cfg)
	read := func() (*iot.GetPolicyOutput, error) {
		return client.GetPolicy(r.ctx, &iot.GetPolicyInput{PolicyName: &r.name})
	}
	body := document(map[string]any{"Version": "2012-10-17", "Statement": []any{map[string]any{"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"}}})
	var versions []iottypes.PolicyVersion
	return all(
		did(func() (any, error) {
			return client.CreatePolicy(r.ctx, &iot.CreatePolicyInput{PolicyName: &r.name, PolicyDocument: body, Tags: []iottypes.Tag{{Key: aws.String("a"), Value: aws.String("b")}}})
		}),
		did(read),
		did(func() (any, error) {
			return client.CreatePolicyVersion(r.ctx, &iot.CreatePolicyVersionInput{PolicyName: &r.name, PolicyDocument: body, SetAsDefault: true})
		}),
		func() error {
			found, err := client.ListPolicyVersions(r.ctx, &iot.ListPolicyVersionsInput{PolicyName: &r.name})
			if err == nil {
				versions = found.PolicyVersions
			}
			return err
		},
		func() error {
			for _, version := range versions {
				if version.IsDefaultVersion {
					continue
				}
				if _, err := client.DeletePolicyVersion(r.ctx, &iot.DeletePolicyVersionInput{PolicyName: &r.name, PolicyVersionId: version.VersionId}); err != nil {
					return err
				}
			}
			return nil
		},
		did(func() (any, error) {
			return client.DeletePolicy(r.ctx, &iot.DeletePolicyInput{PolicyName: &r.name})
		}),
		gone(read, "ResourceNotFoundException"),
	)
}

func iotTopicRule(r *run) error {
	client := iot.NewFromConfig(r.cfg)
	url, _, err := r.queue()
	if err != nil {
		return err
	}
	name := "contract_topic_rule"
	action := iottypes.Action{Sqs: &iottypes.SqsAction{QueueUrl: &url, RoleArn: aws.String("arn:aws:iam::000000000000:role/r"), UseBase64: aws.Bool(false)}}
	payload := &iottypes.TopicRulePayload{
		Sql: aws.String("SELECT encode(*, 'base64') AS payload_base64, topic() AS topic FROM 'contract/+/telemetry'"), Actions: []iottypes.Action{action},
		ErrorAction: &action, AwsIotSqlVersion: aws.String("2016-03-23"), Description: aws.String("It"), RuleDisabled: aws.Bool(false),
	}
	read := func() (*iot.GetTopicRuleOutput, error) {
		return client.GetTopicRule(r.ctx, &iot.GetTopicRuleInput{RuleName: &name})
	}
	return all(
		did(func() (any, error) {
			return client.CreateTopicRule(r.ctx, &iot.CreateTopicRuleInput{RuleName: &name, TopicRulePayload: payload, Tags: aws.String("a=b")})
		}),
		func() error {
			found, err := read()
			if err != nil {
				return err
			}
			if _, err := client.ListTagsForResource(r.ctx, &iot.ListTagsForResourceInput{ResourceArn: found.RuleArn}); err != nil {
				return err
			}
			return must(found.Rule.ErrorAction != nil && aws.ToString(found.Rule.Sql) == *payload.Sql, "the rule is %v", found.Rule)
		},
		did(func() (any, error) {
			return client.ReplaceTopicRule(r.ctx, &iot.ReplaceTopicRuleInput{RuleName: &name, TopicRulePayload: payload})
		}),
		did(func() (any, error) {
			return client.DeleteTopicRule(r.ctx, &iot.DeleteTopicRuleInput{RuleName: &name})
		}),
		gone(read, "ResourceNotFoundException", "UnauthorizedException"), // AWS has the second
	)
}

func iotEndpoint(r *run) error {
	client := iot.NewFromConfig(r.cfg)
	found, err := client.DescribeEndpoint(r.ctx, &iot.DescribeEndpointInput{EndpointType: aws.String("iot:Data-ATS")})
	if err != nil {
		return err
	}
	return must(aws.ToString(found.EndpointAddress) != "", "the endpoint has no address")
}
