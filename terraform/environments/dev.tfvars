# The first stage: small, and cheap to throw away.
log_retention_days    = 7
force_destroy_archive = false
monthly_budget_usd    = 50
operate_with_key      = true
