"""Lambda: tells API Gateway what the bearer of an OIDC access token may call."""
