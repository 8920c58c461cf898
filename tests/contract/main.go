// Contract makes the calls that hashicorp/aws makes for each resource type of terraform/, by the newest SDK.
//
// Usage: contract -list | contract -package FUNCTION.zip (with AWS_ENDPOINT_URL, AWS_REGION and credentials set).
// It prints a JSON object a line: first the versions, then {"resource", "calls", "error"} for each resource type.
// It ends with 1 if any failed. Nothing that it makes stays.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	awsbase "github.com/hashicorp/aws-sdk-go-base/v2"
)

// A run is what the calls for one resource type share.
type run struct {
	ctx     context.Context
	cfg     aws.Config
	name    string // of what is made; no other resource type's
	zipped  []byte // a Lambda package
	tagged  bool   // whether alarms have tags
	cleanup []func() error
	calls   []string
}

// defer_ notes what removes a thing that others need only while this resource type is tried.
func (r *run) defer_(remove func() error) { r.cleanup = append(r.cleanup, remove) }

// all makes calls one after the other, and stops at the first that fails.
func all(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// did turns a call's two results into a step.
func did[T any](call func() (T, error)) func() error {
	return func() error {
		_, err := call()
		return err
	}
}

// gone is the call by which the provider sees that a thing is deleted: it must fail with one of these codes.
func gone[T any](call func() (T, error), codes ...string) func() error {
	return func() error {
		_, err := call()
		var found smithy.APIError
		if err == nil {
			return fmt.Errorf("what was deleted is still there, where the provider waits for %v", codes)
		}
		if errors.As(err, &found) {
			for _, code := range codes {
				if found.ErrorCode() == code {
					return nil
				}
			}
		}
		return fmt.Errorf("the provider waits for %v: %w", codes, err)
	}
}

// absent is a call that may say with one of these codes that nothing is set; the provider takes that as an answer.
func absent[T any](call func() (T, error), codes ...string) func() error {
	return func() error {
		_, err := call()
		var found smithy.APIError
		if errors.As(err, &found) {
			for _, code := range codes {
				if found.ErrorCode() == code {
					return nil
				}
			}
		}
		return err
	}
}

// must holds an answer against what was set: a drift that the provider would plan again for ever.
func must(true_ bool, format string, arguments ...any) error {
	if true_ {
		return nil
	}
	return fmt.Errorf(format, arguments...)
}

type resource struct {
	kind string
	try  func(*run) error
}

type result struct {
	Resource string   `json:"resource"`
	Calls    []string `json:"calls"`
	Error    string   `json:"error"`
}

func try(base aws.Config, one resource, zipped []byte, tagged bool) result {
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	r := &run{ctx: ctx, zipped: zipped, tagged: tagged, name: "contract-" + strings.ReplaceAll(strings.TrimPrefix(one.kind, "aws_"), "_", "-")}
	r.cfg = base.Copy()
	r.cfg.APIOptions = append(r.cfg.APIOptions, func(stack *middleware.Stack) error {
		return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("contract", func(
			ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler,
		) (middleware.InitializeOutput, middleware.Metadata, error) {
			r.calls = append(r.calls, awsmiddleware.GetServiceID(ctx)+" "+awsmiddleware.GetOperationName(ctx))
			return next.HandleInitialize(ctx, in)
		}), middleware.After)
	})
	err := one.try(r)
	for i := len(r.cleanup) - 1; i >= 0; i-- {
		if cleaned := r.cleanup[i](); err == nil {
			err = cleaned
		}
	}
	found := result{Resource: one.kind, Calls: r.calls}
	if err != nil {
		found.Error = err.Error()
	}
	return found
}

func versions() map[string]string {
	found := map[string]string{}
	if info, ok := debug.ReadBuildInfo(); ok {
		found["go"] = info.GoVersion
		for _, module := range info.Deps {
			name := strings.TrimPrefix(strings.TrimPrefix(module.Path, "github.com/aws/"), "github.com/hashicorp/")
			if strings.HasPrefix(module.Path, "github.com/aws/aws-sdk-go-v2") && !strings.Contains(name, "internal") ||
				strings.HasSuffix(module.Path, "aws-sdk-go-base/v2") || strings.HasSuffix(module.Path, "smithy-go") {
				found[name] = module.Version
			}
		}
	}
	return found
}

func main() {
	list := flag.Bool("list", false, "print the resource types and call nothing")
	packed := flag.String("package", "", "a zip that Lambda takes: telemetry_handler.zip")
	untagged := flag.Bool("untagged", false, "make alarms without tags, as the local engines that tag_resources is false on")
	flag.Parse()
	resources := resources()
	if *list {
		for _, one := range resources {
			fmt.Println(one.kind)
		}
		return
	}
	zipped, err := os.ReadFile(*packed)
	if err != nil {
		fmt.Fprintln(os.Stderr, "-package:", err)
		os.Exit(2)
	}
	// As the provider does it: its HTTP client, its retries, its user agent.
	_, cfg, diagnostics := awsbase.GetAwsConfig(context.Background(), &awsbase.Config{
		Region: os.Getenv("AWS_REGION"), MaxRetries: 3, SuppressDebugLog: true,
		EC2MetadataServiceEnableState: 1, // disabled: this is no instance
	})
	if diagnostics.HasError() {
		fmt.Fprintln(os.Stderr, diagnostics)
		os.Exit(2)
	}
	out := json.NewEncoder(os.Stdout)
	_ = out.Encode(versions())
	status := 0
	for _, one := range resources {
		found := try(cfg, one, zipped, !*untagged)
		if found.Error != "" {
			status = 1
		}
		_ = out.Encode(found)
	}
	os.Exit(status)
}
