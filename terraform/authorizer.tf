# The switch for OpenID Connect: with oidc_issuer set, callers show an access token beside their key.

locals {
  oidc = var.oidc_issuer != null

  authorizer_function_name = "${local.name_prefix}-api-authorizer"
}

resource "aws_cloudwatch_log_group" "api_authorizer" {
  count = local.oidc ? 1 : 0

  name              = "/aws/lambda/${local.authorizer_function_name}"
  retention_in_days = var.log_retention_days
}

resource "aws_iam_role" "api_authorizer" {
  count = local.oidc ? 1 : 0

  name                 = "${local.global_prefix}-api-authorizer"
  assume_role_policy   = data.aws_iam_policy_document.assume_lambda.json
  permissions_boundary = var.permissions_boundary_arn
}

data "aws_iam_policy_document" "api_authorizer" {
  count = local.oidc ? 1 : 0

  statement {
    sid       = "Logs"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.api_authorizer[0].arn}:*"]
  }
}

resource "aws_iam_role_policy" "api_authorizer" {
  count = local.oidc ? 1 : 0

  name   = "api-authorizer"
  role   = aws_iam_role.api_authorizer[0].id
  policy = data.aws_iam_policy_document.api_authorizer[0].json
}

resource "aws_lambda_function" "api_authorizer" {
  count = local.oidc ? 1 : 0

  function_name    = local.authorizer_function_name
  description      = "Tells API Gateway what the bearer of an access token may call"
  filename         = "${var.lambda_package_dir}/api_authorizer.zip"
  source_code_hash = filebase64sha256("${var.lambda_package_dir}/api_authorizer.zip")
  handler          = "api_authorizer.app.handler"
  runtime          = var.lambda_runtime
  architectures    = [var.lambda_architecture]
  role             = aws_iam_role.api_authorizer[0].arn
  memory_size      = 512
  timeout          = 20

  reserved_concurrent_executions = var.lambda_reserved_concurrency

  environment {
    variables = {
      OIDC_ISSUER       = var.oidc_issuer
      OIDC_AUDIENCE     = var.oidc_audience
      OIDC_SCOPE_PREFIX = var.oidc_scope_prefix
    }
  }

  depends_on = [aws_cloudwatch_log_group.api_authorizer, aws_iam_role_policy.api_authorizer]
}

resource "aws_lambda_permission" "api_authorizer" {
  count = local.oidc ? 1 : 0

  statement_id  = "AllowApiGateway"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.api_authorizer[0].function_name
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_api_gateway_rest_api.stations.execution_arn}/authorizers/*"
}

resource "aws_api_gateway_authorizer" "oidc" {
  count = local.oidc ? 1 : 0

  name            = "${local.name_prefix}-oidc"
  rest_api_id     = aws_api_gateway_rest_api.stations.id
  type            = "TOKEN"
  authorizer_uri  = aws_lambda_function.api_authorizer[0].invoke_arn
  identity_source = "method.request.header.Authorization"

  # What is no token never reaches the function.
  identity_validation_expression = "^[Bb]earer [-0-9A-Za-z._~+/]+=*$"

  # A token that expires is good for this much longer.
  authorizer_result_ttl_in_seconds = 60
}
