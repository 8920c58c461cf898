package main

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamotypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

func document(value any) *string {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return aws.String(string(text))
}

// queue makes a queue that goes with the run.
func (r *run) queue() (url, arn string, err error) {
	client := sqs.NewFromConfig(r.cfg)
	made, err := client.CreateQueue(r.ctx, &sqs.CreateQueueInput{QueueName: &r.name})
	if err != nil {
		return "", "", err
	}
	r.defer_(did(func() (any, error) {
		return client.DeleteQueue(r.ctx, &sqs.DeleteQueueInput{QueueUrl: made.QueueUrl})
	}))
	found, err := client.GetQueueAttributes(r.ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: made.QueueUrl, AttributeNames: []sqstypes.QueueAttributeName{"QueueArn"},
	})
	if err != nil {
		return "", "", err
	}
	return *made.QueueUrl, found.Attributes["QueueArn"], nil
}

func sqsQueue(r *run) error {
	client := sqs.NewFromConfig(r.cfg)
	_, dead, err := r.queue()
	if err != nil {
		return err
	}
	name := r.name + "-live"
	made, err := client.CreateQueue(r.ctx, &sqs.CreateQueueInput{
		QueueName:  &name,
		Attributes: map[string]string{"MessageRetentionPeriod": "345600", "VisibilityTimeout": "180", "SqsManagedSseEnabled": "true"},
		Tags:       map[string]string{"Project": "contract"},
	})
	if err != nil {
		return err
	}
	url := made.QueueUrl
	redrive := *document(map[string]any{"deadLetterTargetArn": dead, "maxReceiveCount": 1000})
	read := func() (*sqs.GetQueueAttributesOutput, error) {
		return client.GetQueueAttributes(r.ctx, &sqs.GetQueueAttributesInput{
			QueueUrl: url, AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameAll},
		})
	}
	return all(
		did(func() (any, error) {
			return client.SetQueueAttributes(r.ctx, &sqs.SetQueueAttributesInput{QueueUrl: url, Attributes: map[string]string{"RedrivePolicy": redrive}})
		}),
		func() error {
			found, err := read()
			if err != nil {
				return err
			}
			return all(
				func() error {
					return must(found.Attributes["VisibilityTimeout"] == "180", "VisibilityTimeout is %q", found.Attributes["VisibilityTimeout"])
				},
				func() error {
					return must(strings.Contains(found.Attributes["RedrivePolicy"], "1000"), "RedrivePolicy is %q", found.Attributes["RedrivePolicy"])
				},
			)
		},
		did(func() (any, error) { return client.ListQueueTags(r.ctx, &sqs.ListQueueTagsInput{QueueUrl: url}) }),
		did(func() (any, error) {
			return client.TagQueue(r.ctx, &sqs.TagQueueInput{QueueUrl: url, Tags: map[string]string{"a": "b"}})
		}),
		did(func() (any, error) {
			return client.UntagQueue(r.ctx, &sqs.UntagQueueInput{QueueUrl: url, TagKeys: []string{"a"}})
		}),
		did(func() (any, error) { return client.DeleteQueue(r.ctx, &sqs.DeleteQueueInput{QueueUrl: url}) }),
		gone(read, "AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"),
	)
}

func snsTopic(r *run) error {
	client := sns.NewFromConfig(r.cfg)
	made, err := client.CreateTopic(r.ctx, &sns.CreateTopicInput{Name: &r.name, Tags: []snstypes.Tag{{Key: aws.String("a"), Value: aws.String("b")}}})
	if err != nil {
		return err
	}
	read := func() (*sns.GetTopicAttributesOutput, error) {
		return client.GetTopicAttributes(r.ctx, &sns.GetTopicAttributesInput{TopicArn: made.TopicArn})
	}
	return all(
		did(read),
		did(func() (any, error) {
			return client.SetTopicAttributes(r.ctx, &sns.SetTopicAttributesInput{TopicArn: made.TopicArn, AttributeName: aws.String("DisplayName"), AttributeValue: aws.String("Contract")})
		}),
		did(func() (any, error) {
			return client.ListTagsForResource(r.ctx, &sns.ListTagsForResourceInput{ResourceArn: made.TopicArn})
		}),
		did(func() (any, error) {
			return client.DeleteTopic(r.ctx, &sns.DeleteTopicInput{TopicArn: made.TopicArn})
		}),
		gone(read, "NotFound"),
	)
}

// topic makes a topic that goes with the run.
func (r *run) topic(client *sns.Client) (*string, error) {
	made, err := client.CreateTopic(r.ctx, &sns.CreateTopicInput{Name: &r.name})
	if err != nil {
		return nil, err
	}
	r.defer_(did(func() (any, error) {
		return client.DeleteTopic(r.ctx, &sns.DeleteTopicInput{TopicArn: made.TopicArn})
	}))
	return made.TopicArn, nil
}

func snsTopicPolicy(r *run) error {
	client := sns.NewFromConfig(r.cfg)
	arn, err := r.topic(client)
	if err != nil {
		return err
	}
	policy := document(map[string]any{"Version": "2012-10-17", "Statement": []any{map[string]any{
		"Effect": "Allow", "Action": "sns:Publish", "Resource": *arn, "Principal": map[string]any{"Service": "cloudwatch.amazonaws.com"},
	}}})
	return all(
		did(func() (any, error) {
			return client.SetTopicAttributes(r.ctx, &sns.SetTopicAttributesInput{TopicArn: arn, AttributeName: aws.String("Policy"), AttributeValue: policy})
		}),
		func() error {
			found, err := client.GetTopicAttributes(r.ctx, &sns.GetTopicAttributesInput{TopicArn: arn})
			if err != nil {
				return err
			}
			return must(strings.Contains(found.Attributes["Policy"], "cloudwatch.amazonaws.com"), "the policy is %q", found.Attributes["Policy"])
		},
	)
}

func snsTopicSubscription(r *run) error {
	client := sns.NewFromConfig(r.cfg)
	arn, err := r.topic(client)
	if err != nil {
		return err
	}
	_, queueArn, err := r.queue()
	if err != nil {
		return err
	}
	made, err := client.Subscribe(r.ctx, &sns.SubscribeInput{TopicArn: arn, Protocol: aws.String("sqs"), Endpoint: &queueArn, ReturnSubscriptionArn: true})
	if err != nil {
		return err
	}
	read := func() (*sns.GetSubscriptionAttributesOutput, error) {
		return client.GetSubscriptionAttributes(r.ctx, &sns.GetSubscriptionAttributesInput{SubscriptionArn: made.SubscriptionArn})
	}
	return all(
		did(read),
		did(func() (any, error) {
			return client.Unsubscribe(r.ctx, &sns.UnsubscribeInput{SubscriptionArn: made.SubscriptionArn})
		}),
		gone(read, "NotFound"),
	)
}

func dynamodbTable(r *run) error {
	client := dynamodb.NewFromConfig(r.cfg)
	made, err := client.CreateTable(r.ctx, &dynamodb.CreateTableInput{
		TableName: &r.name, BillingMode: dynamotypes.BillingModePayPerRequest,
		KeySchema: []dynamotypes.KeySchemaElement{
			{AttributeName: aws.String("station_id"), KeyType: dynamotypes.KeyTypeHash},
			{AttributeName: aws.String("interval"), KeyType: dynamotypes.KeyTypeRange},
		},
		AttributeDefinitions: []dynamotypes.AttributeDefinition{
			{AttributeName: aws.String("station_id"), AttributeType: dynamotypes.ScalarAttributeTypeS},
			{AttributeName: aws.String("interval"), AttributeType: dynamotypes.ScalarAttributeTypeN},
		},
		Tags: []dynamotypes.Tag{{Key: aws.String("a"), Value: aws.String("b")}},
	})
	if err != nil {
		return err
	}
	read := func() (*dynamodb.DescribeTableOutput, error) {
		return client.DescribeTable(r.ctx, &dynamodb.DescribeTableInput{TableName: &r.name})
	}
	return all(
		func() error {
			return dynamodb.NewTableExistsWaiter(client).Wait(r.ctx, &dynamodb.DescribeTableInput{TableName: &r.name}, time.Minute)
		},
		did(func() (any, error) {
			return client.UpdateTimeToLive(r.ctx, &dynamodb.UpdateTimeToLiveInput{TableName: &r.name, TimeToLiveSpecification: &dynamotypes.TimeToLiveSpecification{AttributeName: aws.String("expires_at"), Enabled: aws.Bool(true)}})
		}),
		did(func() (any, error) {
			return client.DescribeTimeToLive(r.ctx, &dynamodb.DescribeTimeToLiveInput{TableName: &r.name})
		}),
		did(func() (any, error) {
			return client.UpdateContinuousBackups(r.ctx, &dynamodb.UpdateContinuousBackupsInput{TableName: &r.name, PointInTimeRecoverySpecification: &dynamotypes.PointInTimeRecoverySpecification{PointInTimeRecoveryEnabled: aws.Bool(true)}})
		}),
		did(func() (any, error) {
			return client.DescribeContinuousBackups(r.ctx, &dynamodb.DescribeContinuousBackupsInput{TableName: &r.name})
		}),
		did(func() (any, error) {
			return client.ListTagsOfResource(r.ctx, &dynamodb.ListTagsOfResourceInput{ResourceArn: made.TableDescription.TableArn})
		}),
		did(func() (any, error) {
			return client.TagResource(r.ctx, &dynamodb.TagResourceInput{ResourceArn: made.TableDescription.TableArn, Tags: []dynamotypes.Tag{{Key: aws.String("c"), Value: aws.String("d")}}})
		}),
		did(func() (any, error) {
			return client.UpdateTable(r.ctx, &dynamodb.UpdateTableInput{
				TableName: &r.name, BillingMode: dynamotypes.BillingModeProvisioned,
				ProvisionedThroughput: &dynamotypes.ProvisionedThroughput{ReadCapacityUnits: aws.Int64(5), WriteCapacityUnits: aws.Int64(10)},
			})
		}),
		func() error {
			found, err := read()
			if err != nil {
				return err
			}
			return must(aws.ToInt64(found.Table.ProvisionedThroughput.WriteCapacityUnits) == 10, "the units are %v", found.Table.ProvisionedThroughput)
		},
		did(func() (any, error) {
			return client.UpdateTable(r.ctx, &dynamodb.UpdateTableInput{TableName: &r.name, BillingMode: dynamotypes.BillingModePayPerRequest})
		}),
		r.replicas(client),
		did(func() (any, error) {
			return client.DeleteTable(r.ctx, &dynamodb.DeleteTableInput{TableName: &r.name})
		}),
		func() error {
			return dynamodb.NewTableNotExistsWaiter(client).Wait(r.ctx, &dynamodb.DescribeTableInput{TableName: &r.name}, time.Minute)
		},
		gone(read, "ResourceNotFoundException"),
	)
}

// replicas gives a table a replica in another region, as a second region wants it, and takes it away.
func (r *run) replicas(client *dynamodb.Client) func() error {
	update := func(change dynamotypes.ReplicationGroupUpdate) func() error {
		return did(func() (any, error) {
			return client.UpdateTable(r.ctx, &dynamodb.UpdateTableInput{TableName: &r.name, ReplicaUpdates: []dynamotypes.ReplicationGroupUpdate{change}})
		})
	}
	// The provider waits by the table's own list of replicas.
	listed := func(wanted int) func() error {
		return func() error {
			for {
				found, err := client.DescribeTable(r.ctx, &dynamodb.DescribeTableInput{TableName: &r.name})
				if err != nil {
					return err
				}
				active := 0
				for _, one := range found.Table.Replicas {
					if one.ReplicaStatus == dynamotypes.ReplicaStatusActive {
						active++
					}
				}
				if active == wanted && len(found.Table.Replicas) == wanted {
					return nil
				}
				if r.ctx.Err() != nil {
					return must(false, "the replicas are %v", found.Table.Replicas)
				}
				time.Sleep(200 * time.Millisecond)
			}
		}
	}
	other := aws.String("eu-west-1")
	steps := []func() error{
		did(func() (any, error) {
			return client.UpdateTable(r.ctx, &dynamodb.UpdateTableInput{TableName: &r.name, StreamSpecification: &dynamotypes.StreamSpecification{
				StreamEnabled: aws.Bool(true), StreamViewType: dynamotypes.StreamViewTypeNewAndOldImages,
			}})
		}),
		update(dynamotypes.ReplicationGroupUpdate{Create: &dynamotypes.CreateReplicationGroupMemberAction{RegionName: other}}),
		listed(1),
		update(dynamotypes.ReplicationGroupUpdate{Delete: &dynamotypes.DeleteReplicationGroupMemberAction{RegionName: other}}),
		listed(0),
	}
	return func() error { return all(steps...) }
}

func (r *run) s3() *s3.Client {
	return s3.NewFromConfig(r.cfg, func(o *s3.Options) { o.UsePathStyle = true })
}

// bucket makes a bucket that goes with the run.
func (r *run) bucket(client *s3.Client) error {
	_, err := client.CreateBucket(r.ctx, &s3.CreateBucketInput{
		Bucket: &r.name, CreateBucketConfiguration: &s3types.CreateBucketConfiguration{LocationConstraint: s3types.BucketLocationConstraint(r.cfg.Region)},
	})
	if err == nil {
		r.defer_(did(func() (any, error) { return client.DeleteBucket(r.ctx, &s3.DeleteBucketInput{Bucket: &r.name}) }))
	}
	return err
}

func s3Bucket(r *run) error {
	client := r.s3()
	if _, err := client.CreateBucket(r.ctx, &s3.CreateBucketInput{
		Bucket: &r.name, CreateBucketConfiguration: &s3types.CreateBucketConfiguration{LocationConstraint: s3types.BucketLocationConstraint(r.cfg.Region)},
	}); err != nil {
		return err
	}
	b := &r.name
	// What is not set, the provider reads as not set: by these codes.
	unset := []string{"NotImplemented", "MethodNotAllowed", "UnsupportedOperation"}
	with := func(code string) []string { return append([]string{code}, unset...) }
	return all(
		did(func() (any, error) { return client.HeadBucket(r.ctx, &s3.HeadBucketInput{Bucket: b}) }),
		did(func() (any, error) {
			return client.PutBucketTagging(r.ctx, &s3.PutBucketTaggingInput{Bucket: b, Tagging: &s3types.Tagging{TagSet: []s3types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}}})
		}),
		did(func() (any, error) { return client.GetBucketTagging(r.ctx, &s3.GetBucketTaggingInput{Bucket: b}) }),
		absent(func() (any, error) { return client.GetBucketPolicy(r.ctx, &s3.GetBucketPolicyInput{Bucket: b}) }, with("NoSuchBucketPolicy")...),
		absent(func() (any, error) { return client.GetBucketAcl(r.ctx, &s3.GetBucketAclInput{Bucket: b}) }, unset...),
		absent(func() (any, error) { return client.GetBucketCors(r.ctx, &s3.GetBucketCorsInput{Bucket: b}) }, with("NoSuchCORSConfiguration")...),
		absent(func() (any, error) { return client.GetBucketWebsite(r.ctx, &s3.GetBucketWebsiteInput{Bucket: b}) }, with("NoSuchWebsiteConfiguration")...),
		did(func() (any, error) { return client.GetBucketVersioning(r.ctx, &s3.GetBucketVersioningInput{Bucket: b}) }),
		absent(func() (any, error) {
			return client.GetBucketAccelerateConfiguration(r.ctx, &s3.GetBucketAccelerateConfigurationInput{Bucket: b})
		}, unset...),
		absent(func() (any, error) {
			return client.GetBucketRequestPayment(r.ctx, &s3.GetBucketRequestPaymentInput{Bucket: b})
		}, unset...),
		absent(func() (any, error) { return client.GetBucketLogging(r.ctx, &s3.GetBucketLoggingInput{Bucket: b}) }, unset...),
		absent(func() (any, error) {
			return client.GetBucketLifecycleConfiguration(r.ctx, &s3.GetBucketLifecycleConfigurationInput{Bucket: b})
		}, with("NoSuchLifecycleConfiguration")...),
		absent(func() (any, error) {
			return client.GetBucketReplication(r.ctx, &s3.GetBucketReplicationInput{Bucket: b})
		}, with("ReplicationConfigurationNotFoundError")...),
		absent(func() (any, error) { return client.GetBucketEncryption(r.ctx, &s3.GetBucketEncryptionInput{Bucket: b}) }, with("ServerSideEncryptionConfigurationNotFoundError")...),
		absent(func() (any, error) {
			return client.GetObjectLockConfiguration(r.ctx, &s3.GetObjectLockConfigurationInput{Bucket: b})
		}, with("ObjectLockConfigurationNotFoundError")...),
		did(func() (any, error) {
			return client.ListObjectVersions(r.ctx, &s3.ListObjectVersionsInput{Bucket: b})
		}),
		did(func() (any, error) { return client.DeleteBucket(r.ctx, &s3.DeleteBucketInput{Bucket: b}) }),
		gone(func() (any, error) { return client.HeadBucket(r.ctx, &s3.HeadBucketInput{Bucket: b}) }, "NotFound", "NoSuchBucket"),
	)
}

func s3Lifecycle(r *run) error {
	client := r.s3()
	if err := r.bucket(client); err != nil {
		return err
	}
	b := &r.name
	read := func() (*s3.GetBucketLifecycleConfigurationOutput, error) {
		return client.GetBucketLifecycleConfiguration(r.ctx, &s3.GetBucketLifecycleConfigurationInput{Bucket: b})
	}
	return all(
		did(func() (any, error) {
			return client.PutBucketLifecycleConfiguration(r.ctx, &s3.PutBucketLifecycleConfigurationInput{
				Bucket: b, TransitionDefaultMinimumObjectSize: s3types.TransitionDefaultMinimumObjectSizeAllStorageClasses128k,
				LifecycleConfiguration: &s3types.BucketLifecycleConfiguration{Rules: []s3types.LifecycleRule{{
					ID: aws.String("cold"), Status: s3types.ExpirationStatusEnabled, Filter: &s3types.LifecycleRuleFilter{Prefix: aws.String("telemetry/")},
					Transitions:                    []s3types.Transition{{Days: aws.Int32(90), StorageClass: s3types.TransitionStorageClassGlacierIr}},
					AbortIncompleteMultipartUpload: &s3types.AbortIncompleteMultipartUpload{DaysAfterInitiation: aws.Int32(7)},
				}}},
			})
		}),
		func() error {
			found, err := read()
			if err != nil {
				return err
			}
			return must(len(found.Rules) == 1 && len(found.Rules[0].Transitions) == 1 &&
				found.Rules[0].Transitions[0].StorageClass == s3types.TransitionStorageClassGlacierIr, "the rules are %v", found.Rules)
		},
		did(func() (any, error) {
			return client.DeleteBucketLifecycle(r.ctx, &s3.DeleteBucketLifecycleInput{Bucket: b})
		}),
		gone(read, "NoSuchLifecycleConfiguration"),
	)
}

func s3Encryption(r *run) error {
	client := r.s3()
	if err := r.bucket(client); err != nil {
		return err
	}
	return all(
		did(func() (any, error) {
			return client.PutBucketEncryption(r.ctx, &s3.PutBucketEncryptionInput{Bucket: &r.name, ServerSideEncryptionConfiguration: &s3types.ServerSideEncryptionConfiguration{
				Rules: []s3types.ServerSideEncryptionRule{{ApplyServerSideEncryptionByDefault: &s3types.ServerSideEncryptionByDefault{SSEAlgorithm: s3types.ServerSideEncryptionAes256}}},
			}})
		}),
		did(func() (any, error) {
			return client.GetBucketEncryption(r.ctx, &s3.GetBucketEncryptionInput{Bucket: &r.name})
		}),
		did(func() (any, error) {
			return client.DeleteBucketEncryption(r.ctx, &s3.DeleteBucketEncryptionInput{Bucket: &r.name})
		}),
	)
}

func s3PublicAccess(r *run) error {
	client := r.s3()
	if err := r.bucket(client); err != nil {
		return err
	}
	yes := aws.Bool(true)
	read := func() (*s3.GetPublicAccessBlockOutput, error) {
		return client.GetPublicAccessBlock(r.ctx, &s3.GetPublicAccessBlockInput{Bucket: &r.name})
	}
	return all(
		did(func() (any, error) {
			return client.PutPublicAccessBlock(r.ctx, &s3.PutPublicAccessBlockInput{Bucket: &r.name, PublicAccessBlockConfiguration: &s3types.PublicAccessBlockConfiguration{
				BlockPublicAcls: yes, BlockPublicPolicy: yes, IgnorePublicAcls: yes, RestrictPublicBuckets: yes,
			}})
		}),
		did(read),
		did(func() (any, error) {
			return client.DeletePublicAccessBlock(r.ctx, &s3.DeletePublicAccessBlockInput{Bucket: &r.name})
		}),
		gone(read, "NoSuchPublicAccessBlockConfiguration"),
	)
}

func s3Policy(r *run) error {
	client := r.s3()
	if err := r.bucket(client); err != nil {
		return err
	}
	policy := document(map[string]any{"Version": "2012-10-17", "Statement": []any{map[string]any{
		"Effect": "Deny", "Action": "s3:*", "Principal": "*", "Resource": "arn:aws:s3:::" + r.name + "/*",
		"Condition": map[string]any{"Bool": map[string]any{"aws:SecureTransport": "false"}},
	}}})
	read := func() (*s3.GetBucketPolicyOutput, error) {
		return client.GetBucketPolicy(r.ctx, &s3.GetBucketPolicyInput{Bucket: &r.name})
	}
	return all(
		did(func() (any, error) {
			return client.PutBucketPolicy(r.ctx, &s3.PutBucketPolicyInput{Bucket: &r.name, Policy: policy})
		}),
		did(read),
		did(func() (any, error) {
			return client.DeleteBucketPolicy(r.ctx, &s3.DeleteBucketPolicyInput{Bucket: &r.name})
		}),
		gone(read, "NoSuchBucketPolicy"),
	)
}

func s3Object(r *run) error {
	client := r.s3()
	if err := r.bucket(client); err != nil {
		return err
	}
	key := aws.String("page.html")
	read := func() (*s3.HeadObjectOutput, error) {
		return client.HeadObject(r.ctx, &s3.HeadObjectInput{Bucket: &r.name, Key: key, ChecksumMode: s3types.ChecksumModeEnabled})
	}
	return all(
		did(func() (any, error) {
			return client.PutObject(r.ctx, &s3.PutObjectInput{Bucket: &r.name, Key: key, Body: strings.NewReader("<html>"), ContentType: aws.String("text/html"), Tagging: aws.String("a=b")})
		}),
		func() error {
			found, err := read()
			if err != nil {
				return err
			}
			return must(aws.ToString(found.ContentType) == "text/html", "the content type is %q", aws.ToString(found.ContentType))
		},
		did(func() (any, error) {
			return client.GetObjectTagging(r.ctx, &s3.GetObjectTaggingInput{Bucket: &r.name, Key: key})
		}),
		did(func() (any, error) {
			return client.DeleteObject(r.ctx, &s3.DeleteObjectInput{Bucket: &r.name, Key: key})
		}),
		gone(read, "NotFound", "NoSuchKey"),
	)
}
