"""Rehearse the whole of `TARGET=aws` without an account: ministack with IAM enforced stands behind AWS's names and TLS.

Programs reach it through ``HTTPS_PROXY``, trust it through ``AWS_CA_BUNDLE``, and know nothing of it otherwise: what
runs is the code that runs on AWS.
"""
