package main

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	ebtypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
)

func eventRule(r *run) error {
	client := eventbridge.NewFromConfig(r.cfg)
	read := func() (*eventbridge.DescribeRuleOutput, error) {
		return client.DescribeRule(r.ctx, &eventbridge.DescribeRuleInput{Name: &r.name})
	}
	put := func(rate string, tags []ebtypes.Tag) func() error {
		return did(func() (any, error) {
			return client.PutRule(r.ctx, &eventbridge.PutRuleInput{
				Name: &r.name, ScheduleExpression: &rate, State: ebtypes.RuleStateEnabled, Tags: tags,
			})
		})
	}
	return all(
		put("rate(1 hour)", []ebtypes.Tag{{Key: aws.String("a"), Value: aws.String("b")}}),
		put("rate(2 hours)", nil),
		func() error {
			found, err := read()
			if err != nil {
				return err
			}
			if err := must(aws.ToString(found.ScheduleExpression) == "rate(2 hours)", "the schedule is %q", aws.ToString(found.ScheduleExpression)); err != nil {
				return err
			}
			tags, err := client.ListTagsForResource(r.ctx, &eventbridge.ListTagsForResourceInput{ResourceARN: found.Arn})
			if err != nil {
				return err
			}
			return must(len(tags.Tags) == 1, "the tags are %v", tags.Tags)
		},
		did(func() (any, error) { return client.DeleteRule(r.ctx, &eventbridge.DeleteRuleInput{Name: &r.name}) }),
		gone(read, "ResourceNotFoundException"),
	)
}

func eventTarget(r *run) error {
	client := eventbridge.NewFromConfig(r.cfg)
	if _, err := client.PutRule(r.ctx, &eventbridge.PutRuleInput{Name: &r.name, ScheduleExpression: aws.String("rate(1 hour)")}); err != nil {
		return err
	}
	r.defer_(did(func() (any, error) { return client.DeleteRule(r.ctx, &eventbridge.DeleteRuleInput{Name: &r.name}) }))
	target := ebtypes.Target{Id: aws.String("function"), Arn: aws.String("arn:aws:lambda:" + r.cfg.Region + ":000000000000:function:" + r.name)}
	listed := func(wanted int) func() error {
		return func() error {
			found, err := client.ListTargetsByRule(r.ctx, &eventbridge.ListTargetsByRuleInput{Rule: &r.name})
			if err != nil {
				return err
			}
			return must(len(found.Targets) == wanted, "there are %d targets, not %d", len(found.Targets), wanted)
		}
	}
	return all(
		func() error {
			done, err := client.PutTargets(r.ctx, &eventbridge.PutTargetsInput{Rule: &r.name, Targets: []ebtypes.Target{target}})
			if err != nil {
				return err
			}
			return must(done.FailedEntryCount == 0, "the target was not taken: %v", done.FailedEntries)
		},
		listed(1),
		did(func() (any, error) {
			return client.RemoveTargets(r.ctx, &eventbridge.RemoveTargetsInput{Rule: &r.name, Ids: []string{*target.Id}})
		}),
		listed(0),
	)
}
