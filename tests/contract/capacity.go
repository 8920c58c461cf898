package main

import (
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/applicationautoscaling"
	scalingtypes "github.com/aws/aws-sdk-go-v2/service/applicationautoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamotypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	kinesistypes "github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// stream makes a stream of one shard that goes with the run, and waits until it is there.
func (r *run) stream(client *kinesis.Client) (*string, error) {
	if _, err := client.CreateStream(r.ctx, &kinesis.CreateStreamInput{
		StreamName: &r.name, ShardCount: aws.Int32(1), StreamModeDetails: &kinesistypes.StreamModeDetails{StreamMode: kinesistypes.StreamModeProvisioned},
		Tags: map[string]string{"a": "b"},
	}); err != nil {
		return nil, err
	}
	r.defer_(absent(func() (any, error) {
		return client.DeleteStream(r.ctx, &kinesis.DeleteStreamInput{StreamName: &r.name, EnforceConsumerDeletion: aws.Bool(false)})
	}, "ResourceNotFoundException"))
	found, err := r.active(client)
	if err != nil {
		return nil, err
	}
	return found.StreamARN, nil
}

// active waits for a stream as the provider does: the SDK's waiter asks by DescribeStream, the provider by the summary.
func (r *run) active(client *kinesis.Client) (*kinesistypes.StreamDescriptionSummary, error) {
	for {
		found, err := client.DescribeStreamSummary(r.ctx, &kinesis.DescribeStreamSummaryInput{StreamName: &r.name})
		if err != nil {
			return nil, err
		}
		if found.StreamDescriptionSummary.StreamStatus == kinesistypes.StreamStatusActive {
			return found.StreamDescriptionSummary, nil
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func kinesisStream(r *run) error {
	client := kinesis.NewFromConfig(r.cfg)
	arn, err := r.stream(client)
	if err != nil {
		return err
	}
	settled := func() error { _, err := r.active(client); return err }
	tags := func(wanted int) func() error {
		return func() error {
			found, err := client.ListTagsForStream(r.ctx, &kinesis.ListTagsForStreamInput{StreamName: &r.name})
			if err != nil {
				return err
			}
			return must(len(found.Tags) == wanted, "there are %d tags, not %d", len(found.Tags), wanted)
		}
	}
	return all(
		// The provider always asks for it, and AWS takes the hours that are set already.
		did(func() (any, error) {
			return client.IncreaseStreamRetentionPeriod(r.ctx, &kinesis.IncreaseStreamRetentionPeriodInput{StreamName: &r.name, RetentionPeriodHours: aws.Int32(24)})
		}),
		settled,
		did(func() (any, error) {
			return client.StartStreamEncryption(r.ctx, &kinesis.StartStreamEncryptionInput{
				StreamName: &r.name, EncryptionType: kinesistypes.EncryptionTypeKms, KeyId: aws.String("alias/aws/kinesis"),
			})
		}),
		settled,
		tags(1),
		did(func() (any, error) {
			return client.UpdateShardCount(r.ctx, &kinesis.UpdateShardCountInput{StreamName: &r.name, TargetShardCount: aws.Int32(2), ScalingType: kinesistypes.ScalingTypeUniformScaling})
		}),
		func() error {
			found, err := r.active(client)
			if err != nil {
				return err
			}
			return must(aws.ToInt32(found.OpenShardCount) == 2 && found.EncryptionType == kinesistypes.EncryptionTypeKms && aws.ToInt32(found.RetentionPeriodHours) == 24,
				"%d open shards, encryption %q, %d hours", aws.ToInt32(found.OpenShardCount), found.EncryptionType, aws.ToInt32(found.RetentionPeriodHours))
		},
		did(func() (any, error) {
			return client.AddTagsToStream(r.ctx, &kinesis.AddTagsToStreamInput{StreamName: &r.name, Tags: map[string]string{"c": "d"}})
		}),
		tags(2),
		did(func() (any, error) {
			return client.RemoveTagsFromStream(r.ctx, &kinesis.RemoveTagsFromStreamInput{StreamName: &r.name, TagKeys: []string{"c"}})
		}),
		r.withoutStream(client),
		func() error {
			if _, err := r.stream(client); err != nil {
				return err
			}
			return r.onDemand(client, arn)
		},
	)
}

// withoutStream deletes the stream, and waits as the provider does.
func (r *run) withoutStream(client *kinesis.Client) func() error {
	steps := []func() error{
		did(func() (any, error) {
			return client.DeleteStream(r.ctx, &kinesis.DeleteStreamInput{StreamName: &r.name, EnforceConsumerDeletion: aws.Bool(false)})
		}),
		func() error {
			for {
				if _, err := client.DescribeStreamSummary(r.ctx, &kinesis.DescribeStreamSummaryInput{StreamName: &r.name}); err != nil {
					return gone(func() (any, error) { return nil, err }, "ResourceNotFoundException")()
				}
				time.Sleep(200 * time.Millisecond)
			}
		},
	}
	return func() error { return all(steps...) }
}

func (r *run) onDemand(client *kinesis.Client, arn *string) error {
	if _, err := client.UpdateStreamMode(r.ctx, &kinesis.UpdateStreamModeInput{
		StreamARN: arn, StreamModeDetails: &kinesistypes.StreamModeDetails{StreamMode: kinesistypes.StreamModeOnDemand},
	}); err != nil {
		return err
	}
	found, err := r.active(client)
	if err != nil {
		return err
	}
	return must(found.StreamModeDetails != nil && found.StreamModeDetails.StreamMode == kinesistypes.StreamModeOnDemand, "the mode is %v", found.StreamModeDetails)
}

// streamMapping makes, reads, changes and deletes a mapping from a stream: other arguments than a queue's.
func (r *run) streamMapping(client *lambda.Client, deadLetters string) error {
	arn, err := r.stream(kinesis.NewFromConfig(r.cfg))
	if err != nil {
		return err
	}
	made, err := client.CreateEventSourceMapping(r.ctx, &lambda.CreateEventSourceMappingInput{
		EventSourceArn: arn, FunctionName: &r.name, BatchSize: aws.Int32(1000), MaximumBatchingWindowInSeconds: aws.Int32(5), Enabled: aws.Bool(true),
		StartingPosition: lambdatypes.EventSourcePositionTrimHorizon, ParallelizationFactor: aws.Int32(2), BisectBatchOnFunctionError: aws.Bool(true),
		MaximumRetryAttempts: aws.Int32(-1), MaximumRecordAgeInSeconds: aws.Int32(43200),
		FunctionResponseTypes: []lambdatypes.FunctionResponseType{lambdatypes.FunctionResponseTypeReportBatchItemFailures},
		DestinationConfig:     &lambdatypes.DestinationConfig{OnFailure: &lambdatypes.OnFailure{Destination: &deadLetters}},
	})
	if err != nil {
		return err
	}
	read := func() (*lambda.GetEventSourceMappingOutput, error) {
		return client.GetEventSourceMapping(r.ctx, &lambda.GetEventSourceMappingInput{UUID: made.UUID})
	}
	return all(
		did(func() (any, error) {
			return client.UpdateEventSourceMapping(r.ctx, &lambda.UpdateEventSourceMappingInput{UUID: made.UUID, ParallelizationFactor: aws.Int32(4), MaximumRecordAgeInSeconds: aws.Int32(3600)})
		}),
		func() error {
			found, err := read()
			if err != nil {
				return err
			}
			return all(
				func() error {
					return must(aws.ToInt32(found.ParallelizationFactor) == 4, "ParallelizationFactor is %d", aws.ToInt32(found.ParallelizationFactor))
				},
				func() error {
					return must(aws.ToInt32(found.MaximumRecordAgeInSeconds) == 3600, "MaximumRecordAgeInSeconds is %d", aws.ToInt32(found.MaximumRecordAgeInSeconds))
				},
				func() error {
					return must(aws.ToInt32(found.MaximumRetryAttempts) == -1, "MaximumRetryAttempts is %d", aws.ToInt32(found.MaximumRetryAttempts))
				},
				func() error {
					return must(aws.ToBool(found.BisectBatchOnFunctionError), "BisectBatchOnFunctionError is not set")
				},
				func() error {
					return must(found.StartingPosition == lambdatypes.EventSourcePositionTrimHorizon, "StartingPosition is %q", found.StartingPosition)
				},
				func() error {
					return must(found.DestinationConfig != nil && found.DestinationConfig.OnFailure != nil && aws.ToString(found.DestinationConfig.OnFailure.Destination) == deadLetters,
						"DestinationConfig is %v", found.DestinationConfig)
				},
			)
		},
		r.unmapped(client, made.UUID),
	)
}

// provisionedTable makes a table with units that goes with the run.
func (r *run) provisionedTable() error {
	client := dynamodb.NewFromConfig(r.cfg)
	if _, err := client.CreateTable(r.ctx, &dynamodb.CreateTableInput{
		TableName: &r.name, BillingMode: dynamotypes.BillingModeProvisioned,
		ProvisionedThroughput: &dynamotypes.ProvisionedThroughput{ReadCapacityUnits: aws.Int64(5), WriteCapacityUnits: aws.Int64(5)},
		KeySchema:             []dynamotypes.KeySchemaElement{{AttributeName: aws.String("station_id"), KeyType: dynamotypes.KeyTypeHash}},
		AttributeDefinitions:  []dynamotypes.AttributeDefinition{{AttributeName: aws.String("station_id"), AttributeType: dynamotypes.ScalarAttributeTypeS}},
	}); err != nil {
		return err
	}
	r.defer_(did(func() (any, error) {
		return client.DeleteTable(r.ctx, &dynamodb.DeleteTableInput{TableName: &r.name})
	}))
	return dynamodb.NewTableExistsWaiter(client).Wait(r.ctx, &dynamodb.DescribeTableInput{TableName: &r.name}, time.Minute)
}

const (
	scaledService = scalingtypes.ServiceNamespaceDynamodb
	scaledWrites  = scalingtypes.ScalableDimensionDynamoDBTableWriteCapacityUnits
)

// scaled registers a table's write units, which the provider's two resource types begin with.
func (r *run) scaled(client *applicationautoscaling.Client) (table, arn *string, err error) {
	if err := r.provisionedTable(); err != nil {
		return nil, nil, err
	}
	table = aws.String("table/" + r.name)
	made, err := client.RegisterScalableTarget(r.ctx, &applicationautoscaling.RegisterScalableTargetInput{
		ServiceNamespace: scaledService, ResourceId: table, ScalableDimension: scaledWrites,
		MinCapacity: aws.Int32(5), MaxCapacity: aws.Int32(40), Tags: map[string]string{"a": "b"},
	})
	if err != nil {
		return nil, nil, err
	}
	return table, made.ScalableTargetARN, nil
}

func scalableTarget(r *run) error {
	client := applicationautoscaling.NewFromConfig(r.cfg)
	table, arn, err := r.scaled(client)
	if err != nil {
		return err
	}
	listed := func(wanted int) func() error {
		return func() error {
			found, err := client.DescribeScalableTargets(r.ctx, &applicationautoscaling.DescribeScalableTargetsInput{ServiceNamespace: scaledService, ResourceIds: []string{*table}, ScalableDimension: scaledWrites})
			if err != nil {
				return err
			}
			return must(len(found.ScalableTargets) == wanted, "there are %d targets, not %d", len(found.ScalableTargets), wanted)
		}
	}
	return all(
		listed(1),
		did(func() (any, error) {
			return client.ListTagsForResource(r.ctx, &applicationautoscaling.ListTagsForResourceInput{ResourceARN: arn})
		}),
		did(func() (any, error) {
			return client.DeregisterScalableTarget(r.ctx, &applicationautoscaling.DeregisterScalableTargetInput{ServiceNamespace: scaledService, ResourceId: table, ScalableDimension: scaledWrites})
		}),
		listed(0),
	)
}

func scalingPolicy(r *run) error {
	client := applicationautoscaling.NewFromConfig(r.cfg)
	table, _, err := r.scaled(client)
	if err != nil {
		return err
	}
	r.defer_(did(func() (any, error) {
		return client.DeregisterScalableTarget(r.ctx, &applicationautoscaling.DeregisterScalableTargetInput{ServiceNamespace: scaledService, ResourceId: table, ScalableDimension: scaledWrites})
	}))
	listed := func(wanted int) func() error {
		return func() error {
			found, err := client.DescribeScalingPolicies(r.ctx, &applicationautoscaling.DescribeScalingPoliciesInput{ServiceNamespace: scaledService, ResourceId: table, PolicyNames: []string{r.name}, ScalableDimension: scaledWrites})
			if err != nil {
				return err
			}
			return must(len(found.ScalingPolicies) == wanted, "there are %d policies, not %d", len(found.ScalingPolicies), wanted)
		}
	}
	return all(
		did(func() (any, error) {
			return client.PutScalingPolicy(r.ctx, &applicationautoscaling.PutScalingPolicyInput{
				PolicyName: &r.name, ServiceNamespace: scaledService, ResourceId: table, ScalableDimension: scaledWrites, PolicyType: scalingtypes.PolicyTypeTargetTrackingScaling,
				TargetTrackingScalingPolicyConfiguration: &scalingtypes.TargetTrackingScalingPolicyConfiguration{
					TargetValue:                   aws.Float64(70),
					PredefinedMetricSpecification: &scalingtypes.PredefinedMetricSpecification{PredefinedMetricType: scalingtypes.MetricTypeDynamoDBWriteCapacityUtilization},
				},
			})
		}),
		listed(1),
		did(func() (any, error) {
			return client.DeleteScalingPolicy(r.ctx, &applicationautoscaling.DeleteScalingPolicyInput{PolicyName: &r.name, ServiceNamespace: scaledService, ResourceId: table, ScalableDimension: scaledWrites})
		}),
		listed(0),
	)
}
