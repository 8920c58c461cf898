package main

import (
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/apigateway/types"
)

// api is a REST API with a resource, a method and an integration: what a deployment needs.
type api struct {
	client *apigateway.Client
	id     *string
	root   *string
	part   *string // resource /stations, with a method GET
}

// api makes a REST API that goes with the run.
func (r *run) api() (*api, error) {
	client := apigateway.NewFromConfig(r.cfg)
	made, err := client.CreateRestApi(r.ctx, &apigateway.CreateRestApiInput{
		Name: &r.name, EndpointConfiguration: &types.EndpointConfiguration{Types: []types.EndpointType{types.EndpointTypeRegional}},
	})
	if err != nil {
		return nil, err
	}
	r.defer_(did(func() (any, error) {
		return client.DeleteRestApi(r.ctx, &apigateway.DeleteRestApiInput{RestApiId: made.Id})
	}))
	root := made.RootResourceId
	if root == nil {
		found, err := client.GetResources(r.ctx, &apigateway.GetResourcesInput{RestApiId: made.Id})
		if err != nil {
			return nil, err
		}
		root = found.Items[0].Id
	}
	part, err := client.CreateResource(r.ctx, &apigateway.CreateResourceInput{RestApiId: made.Id, ParentId: root, PathPart: aws.String("stations")})
	if err != nil {
		return nil, err
	}
	return &api{client, made.Id, root, part.Id}, nil
}

func (a *api) withMethod(r *run) error {
	return all(
		did(func() (any, error) {
			return a.client.PutMethod(r.ctx, &apigateway.PutMethodInput{RestApiId: a.id, ResourceId: a.part, HttpMethod: aws.String("ANY"), AuthorizationType: aws.String("NONE"), ApiKeyRequired: true})
		}),
		did(func() (any, error) {
			return a.client.PutIntegration(r.ctx, &apigateway.PutIntegrationInput{RestApiId: a.id, ResourceId: a.part, HttpMethod: aws.String("ANY"), Type: types.IntegrationTypeMock,
				RequestTemplates: map[string]string{"application/json": `{"statusCode": 200}`}})
		}),
	)
}

func (a *api) stage(r *run) error {
	deployed, err := a.client.CreateDeployment(r.ctx, &apigateway.CreateDeploymentInput{RestApiId: a.id})
	if err != nil {
		return err
	}
	_, err = a.client.CreateStage(r.ctx, &apigateway.CreateStageInput{RestApiId: a.id, DeploymentId: deployed.Id, StageName: aws.String("dev"), Tags: map[string]string{"a": "b"}})
	return err
}

func gatewayRestApi(r *run) error {
	a, err := r.api()
	if err != nil {
		return err
	}
	return all(
		did(func() (any, error) { return a.client.GetRestApi(r.ctx, &apigateway.GetRestApiInput{RestApiId: a.id}) }),
		did(func() (any, error) {
			return a.client.GetResources(r.ctx, &apigateway.GetResourcesInput{RestApiId: a.id})
		}),
		did(func() (any, error) {
			return a.client.UpdateRestApi(r.ctx, &apigateway.UpdateRestApiInput{RestApiId: a.id, PatchOperations: []types.PatchOperation{
				{Op: types.OpReplace, Path: aws.String("/description"), Value: aws.String("It")},
			}})
		}),
	)
}

func gatewayResource(r *run) error {
	a, err := r.api()
	if err != nil {
		return err
	}
	read := func() (*apigateway.GetResourceOutput, error) {
		return a.client.GetResource(r.ctx, &apigateway.GetResourceInput{RestApiId: a.id, ResourceId: a.part})
	}
	return all(
		did(read),
		did(func() (any, error) {
			return a.client.DeleteResource(r.ctx, &apigateway.DeleteResourceInput{RestApiId: a.id, ResourceId: a.part})
		}),
		gone(read, "NotFoundException"),
	)
}

func gatewayMethod(r *run) error {
	a, err := r.api()
	if err != nil {
		return err
	}
	read := func() (*apigateway.GetMethodOutput, error) {
		return a.client.GetMethod(r.ctx, &apigateway.GetMethodInput{RestApiId: a.id, ResourceId: a.part, HttpMethod: aws.String("ANY")})
	}
	return all(
		func() error { return a.withMethod(r) },
		func() error {
			found, err := read()
			if err != nil {
				return err
			}
			return must(aws.ToBool(found.ApiKeyRequired), "the method needs no key")
		},
		did(func() (any, error) {
			return a.client.UpdateMethod(r.ctx, &apigateway.UpdateMethodInput{RestApiId: a.id, ResourceId: a.part, HttpMethod: aws.String("ANY"), PatchOperations: []types.PatchOperation{
				{Op: types.OpReplace, Path: aws.String("/apiKeyRequired"), Value: aws.String("false")},
			}})
		}),
		did(func() (any, error) {
			return a.client.DeleteMethod(r.ctx, &apigateway.DeleteMethodInput{RestApiId: a.id, ResourceId: a.part, HttpMethod: aws.String("ANY")})
		}),
		gone(read, "NotFoundException"),
	)
}

func gatewayIntegration(r *run) error {
	a, err := r.api()
	if err != nil {
		return err
	}
	read := func() (*apigateway.GetIntegrationOutput, error) {
		return a.client.GetIntegration(r.ctx, &apigateway.GetIntegrationInput{RestApiId: a.id, ResourceId: a.part, HttpMethod: aws.String("ANY")})
	}
	return all(
		func() error { return a.withMethod(r) },
		did(read),
		did(func() (any, error) {
			return a.client.DeleteIntegration(r.ctx, &apigateway.DeleteIntegrationInput{RestApiId: a.id, ResourceId: a.part, HttpMethod: aws.String("ANY")})
		}),
		gone(read, "NotFoundException"),
	)
}

func gatewayMethodResponse(r *run) error {
	a, err := r.api()
	if err != nil {
		return err
	}
	read := func() (*apigateway.GetMethodResponseOutput, error) {
		return a.client.GetMethodResponse(r.ctx, &apigateway.GetMethodResponseInput{RestApiId: a.id, ResourceId: a.part, HttpMethod: aws.String("ANY"), StatusCode: aws.String("204")})
	}
	return all(
		func() error { return a.withMethod(r) },
		did(func() (any, error) {
			return a.client.PutMethodResponse(r.ctx, &apigateway.PutMethodResponseInput{RestApiId: a.id, ResourceId: a.part, HttpMethod: aws.String("ANY"), StatusCode: aws.String("204"),
				ResponseParameters: map[string]bool{"method.response.header.Vary": true}})
		}),
		did(read),
		did(func() (any, error) {
			return a.client.DeleteMethodResponse(r.ctx, &apigateway.DeleteMethodResponseInput{RestApiId: a.id, ResourceId: a.part, HttpMethod: aws.String("ANY"), StatusCode: aws.String("204")})
		}),
		gone(read, "NotFoundException"),
	)
}

func gatewayIntegrationResponse(r *run) error {
	a, err := r.api()
	if err != nil {
		return err
	}
	read := func() (*apigateway.GetIntegrationResponseOutput, error) {
		return a.client.GetIntegrationResponse(r.ctx, &apigateway.GetIntegrationResponseInput{RestApiId: a.id, ResourceId: a.part, HttpMethod: aws.String("ANY"), StatusCode: aws.String("204")})
	}
	return all(
		func() error { return a.withMethod(r) },
		did(func() (any, error) {
			return a.client.PutMethodResponse(r.ctx, &apigateway.PutMethodResponseInput{RestApiId: a.id, ResourceId: a.part, HttpMethod: aws.String("ANY"), StatusCode: aws.String("204"),
				ResponseParameters: map[string]bool{"method.response.header.Vary": true}})
		}),
		did(func() (any, error) {
			return a.client.PutIntegrationResponse(r.ctx, &apigateway.PutIntegrationResponseInput{RestApiId: a.id, ResourceId: a.part, HttpMethod: aws.String("ANY"), StatusCode: aws.String("204"),
				ResponseParameters: map[string]string{"method.response.header.Vary": "'Origin'"}})
		}),
		did(read),
		did(func() (any, error) {
			return a.client.DeleteIntegrationResponse(r.ctx, &apigateway.DeleteIntegrationResponseInput{RestApiId: a.id, ResourceId: a.part, HttpMethod: aws.String("ANY"), StatusCode: aws.String("204")})
		}),
		gone(read, "NotFoundException"),
	)
}

func gatewayDeployment(r *run) error {
	a, err := r.api()
	if err != nil {
		return err
	}
	if err := a.withMethod(r); err != nil {
		return err
	}
	made, err := a.client.CreateDeployment(r.ctx, &apigateway.CreateDeploymentInput{RestApiId: a.id})
	if err != nil {
		return err
	}
	read := func() (*apigateway.GetDeploymentOutput, error) {
		return a.client.GetDeployment(r.ctx, &apigateway.GetDeploymentInput{RestApiId: a.id, DeploymentId: made.Id})
	}
	return all(
		did(read),
		did(func() (any, error) {
			return a.client.DeleteDeployment(r.ctx, &apigateway.DeleteDeploymentInput{RestApiId: a.id, DeploymentId: made.Id})
		}),
		gone(read, "NotFoundException"),
	)
}

func gatewayStage(r *run) error {
	a, err := r.api()
	if err != nil {
		return err
	}
	read := func() (*apigateway.GetStageOutput, error) {
		return a.client.GetStage(r.ctx, &apigateway.GetStageInput{RestApiId: a.id, StageName: aws.String("dev")})
	}
	return all(
		func() error { return a.withMethod(r) },
		func() error { return a.stage(r) },
		did(func() (any, error) {
			return a.client.UpdateStage(r.ctx, &apigateway.UpdateStageInput{RestApiId: a.id, StageName: aws.String("dev"), PatchOperations: []types.PatchOperation{
				{Op: types.OpReplace, Path: aws.String("/accessLogSettings/destinationArn"), Value: aws.String("arn:aws:logs:" + r.cfg.Region + ":000000000000:log-group:contract")},
				{Op: types.OpReplace, Path: aws.String("/accessLogSettings/format"), Value: aws.String(`{"requestId":"$context.requestId"}`)},
				{Op: types.OpReplace, Path: aws.String("/tracingEnabled"), Value: aws.String("true")},
			}})
		}),
		did(read),
		did(func() (any, error) {
			return a.client.DeleteStage(r.ctx, &apigateway.DeleteStageInput{RestApiId: a.id, StageName: aws.String("dev")})
		}),
		gone(read, "NotFoundException"),
	)
}

func gatewayMethodSettings(r *run) error {
	a, err := r.api()
	if err != nil {
		return err
	}
	return all(
		func() error { return a.withMethod(r) },
		func() error { return a.stage(r) },
		did(func() (any, error) {
			return a.client.UpdateStage(r.ctx, &apigateway.UpdateStageInput{RestApiId: a.id, StageName: aws.String("dev"), PatchOperations: []types.PatchOperation{
				{Op: types.OpReplace, Path: aws.String("/*/*/throttling/rateLimit"), Value: aws.String("100")},
				{Op: types.OpReplace, Path: aws.String("/*/*/throttling/burstLimit"), Value: aws.String("200")},
			}})
		}),
		did(func() (any, error) {
			return a.client.GetStage(r.ctx, &apigateway.GetStageInput{RestApiId: a.id, StageName: aws.String("dev")})
		}),
	)
}

func gatewayResponse(r *run) error {
	a, err := r.api()
	if err != nil {
		return err
	}
	kind := types.GatewayResponseTypeAccessDenied
	return all(
		did(func() (any, error) {
			return a.client.PutGatewayResponse(r.ctx, &apigateway.PutGatewayResponseInput{RestApiId: a.id, ResponseType: kind, StatusCode: aws.String("403"),
				ResponseTemplates: map[string]string{"application/json": `{"title": "Forbidden"}`}})
		}),
		did(func() (any, error) {
			return a.client.GetGatewayResponse(r.ctx, &apigateway.GetGatewayResponseInput{RestApiId: a.id, ResponseType: kind})
		}),
		did(func() (any, error) {
			return a.client.DeleteGatewayResponse(r.ctx, &apigateway.DeleteGatewayResponseInput{RestApiId: a.id, ResponseType: kind})
		}),
	)
}

func gatewayAuthorizer(r *run) error {
	a, err := r.api()
	if err != nil {
		return err
	}
	made, err := a.client.CreateAuthorizer(r.ctx, &apigateway.CreateAuthorizerInput{
		RestApiId: a.id, Name: &r.name, Type: types.AuthorizerTypeToken, IdentitySource: aws.String("method.request.header.Authorization"),
		AuthorizerUri: aws.String("arn:aws:apigateway:" + r.cfg.Region + ":lambda:path/2015-03-31/functions/arn:aws:lambda:" + r.cfg.Region +
			":000000000000:function:f/invocations"), AuthorizerResultTtlInSeconds: aws.Int32(60),
	})
	if err != nil {
		return err
	}
	read := func() (*apigateway.GetAuthorizerOutput, error) {
		return a.client.GetAuthorizer(r.ctx, &apigateway.GetAuthorizerInput{RestApiId: a.id, AuthorizerId: made.Id})
	}
	return all(
		did(read),
		did(func() (any, error) {
			return a.client.UpdateAuthorizer(r.ctx, &apigateway.UpdateAuthorizerInput{RestApiId: a.id, AuthorizerId: made.Id, PatchOperations: []types.PatchOperation{
				{Op: types.OpReplace, Path: aws.String("/authorizerResultTtlInSeconds"), Value: aws.String("30")},
			}})
		}),
		did(func() (any, error) {
			return a.client.DeleteAuthorizer(r.ctx, &apigateway.DeleteAuthorizerInput{RestApiId: a.id, AuthorizerId: made.Id})
		}),
		gone(read, "NotFoundException"),
	)
}

// key makes an API key that goes with the run.
func (r *run) key(client *apigateway.Client) (*apigateway.CreateApiKeyOutput, error) {
	made, err := client.CreateApiKey(r.ctx, &apigateway.CreateApiKeyInput{Name: &r.name, Enabled: true, Value: aws.String(strings.Repeat("k", 30))})
	if err == nil {
		r.defer_(did(func() (any, error) {
			return client.DeleteApiKey(r.ctx, &apigateway.DeleteApiKeyInput{ApiKey: made.Id})
		}))
	}
	return made, err
}

func gatewayApiKey(r *run) error {
	client := apigateway.NewFromConfig(r.cfg)
	made, err := r.key(client)
	if err != nil {
		return err
	}
	found, err := client.GetApiKey(r.ctx, &apigateway.GetApiKeyInput{ApiKey: made.Id, IncludeValue: aws.Bool(true)})
	if err != nil {
		return err
	}
	return must(len(aws.ToString(found.Value)) == 30, "the key's value is lost")
}

// plan makes a usage plan that goes with the run.
func (r *run) plan(client *apigateway.Client) (*apigateway.CreateUsagePlanOutput, error) {
	a, err := r.api()
	if err != nil {
		return nil, err
	}
	if err := all(func() error { return a.withMethod(r) }, func() error { return a.stage(r) }); err != nil {
		return nil, err
	}
	made, err := client.CreateUsagePlan(r.ctx, &apigateway.CreateUsagePlanInput{
		Name: &r.name, ApiStages: []types.ApiStage{{ApiId: a.id, Stage: aws.String("dev")}},
		Quota: &types.QuotaSettings{Limit: 1000, Period: types.QuotaPeriodTypeDay}, Throttle: &types.ThrottleSettings{RateLimit: 100, BurstLimit: 200},
	})
	if err != nil {
		return nil, err
	}
	r.defer_(did(func() (any, error) {
		_, err := client.UpdateUsagePlan(r.ctx, &apigateway.UpdateUsagePlanInput{UsagePlanId: made.Id, PatchOperations: []types.PatchOperation{
			{Op: types.OpRemove, Path: aws.String("/apiStages"), Value: aws.String(*a.id + ":dev")},
		}})
		if err != nil {
			return nil, err
		}
		return client.DeleteUsagePlan(r.ctx, &apigateway.DeleteUsagePlanInput{UsagePlanId: made.Id})
	}))
	return made, nil
}

func gatewayUsagePlan(r *run) error {
	client := apigateway.NewFromConfig(r.cfg)
	made, err := r.plan(client)
	if err != nil {
		return err
	}
	found, err := client.GetUsagePlan(r.ctx, &apigateway.GetUsagePlanInput{UsagePlanId: made.Id})
	if err != nil {
		return err
	}
	return must(found.Quota != nil && found.Quota.Limit == 1000, "the quota is lost")
}

func gatewayUsagePlanKey(r *run) error {
	client := apigateway.NewFromConfig(r.cfg)
	key, err := r.key(client)
	if err != nil {
		return err
	}
	plan, err := r.plan(client)
	if err != nil {
		return err
	}
	read := func() (*apigateway.GetUsagePlanKeyOutput, error) {
		return client.GetUsagePlanKey(r.ctx, &apigateway.GetUsagePlanKeyInput{UsagePlanId: plan.Id, KeyId: key.Id})
	}
	return all(
		did(func() (any, error) {
			return client.CreateUsagePlanKey(r.ctx, &apigateway.CreateUsagePlanKeyInput{UsagePlanId: plan.Id, KeyId: key.Id, KeyType: aws.String("API_KEY")})
		}),
		did(read),
		did(func() (any, error) {
			return client.DeleteUsagePlanKey(r.ctx, &apigateway.DeleteUsagePlanKeyInput{UsagePlanId: plan.Id, KeyId: key.Id})
		}),
		gone(read, "NotFoundException"),
	)
}
