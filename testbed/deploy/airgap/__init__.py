"""The air-gapped mode: Terraform where its registry cannot be reached.

``terraform/`` is written for hashicorp/aws 6. The one real AWS provider that a package registry carries
is 3.39.0, so this package derives a configuration for it (`derive`), lends the old provider what it
misses at run time (`tf_cmd`, `iot_proxy`), and sets by the AWS API what the old provider cannot
(`finish`). What is deployed is the same. Nothing outside this package knows of 3.39.0.
"""
