# What is off by default, on: `scripts/policy` looks at all of it (.checkov.yaml). No deployment reads this.
dashboard_enabled  = true
archive_compaction = true
enable_waf         = true
enable_xray        = true
oidc_issuer        = "https://issuer.example"
monthly_budget_usd = 50
alarm_email        = "ops@example.com"
