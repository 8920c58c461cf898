# The second stage, in the same account or another. Its rule hears the same topics as dev's: two deployments of one
# account want two regions (docs/limitations.md).
log_retention_days = 90
monthly_budget_usd = 1500
enable_waf         = true
enable_xray        = true
