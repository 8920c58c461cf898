# The second stage, in the same account or another. In dev's account and region one of the two wants a topic_root of its
# own, or each hears the other's stations (docs/limitations.md).
log_retention_days = 90
monthly_budget_usd = 1500
enable_waf         = true
enable_xray        = true
