"""What the pipeline costs on AWS, and the quotas it needs there."""
