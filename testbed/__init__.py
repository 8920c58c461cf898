"""Starts and stops an AWS-like cloud, deploys to it, and checks what it did."""
