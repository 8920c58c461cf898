"""LocalStack 4.14.0 without Docker: how it is installed, and what stands in for its Lambda containers.

The code that runs is LocalStack's own, from PyPI, with two things put in place: DynamoDB Local from Maven Central
(LocalStack downloads it from elsewhere), and an executor that runs functions as child processes.
"""
