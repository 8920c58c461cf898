# LocalStack 4.14.0's code from PyPI where the published image has it, with DynamoDB Local from Maven Central, Debian's
# Java, and lambda-init in place of the init program that LocalStack puts into the containers of functions.
FROM python:3.13-slim-trixie
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends openjdk-21-jre-headless curl unzip \
    && rm -rf /var/lib/apt/lists/*
COPY uv.txt .
RUN python -m pip install --no-cache-dir --require-hashes -r uv.txt
COPY testbed /opt/source/testbed
RUN uv venv --quiet /opt/venv && uv pip install --quiet --python /opt/venv --require-hashes --no-deps \
        -r /opt/source/testbed/engines/requirements/localstack.txt \
    && rm -rf "$HOME/.cache"
COPY dynamodb-local /usr/lib/localstack/dynamodb-local
RUN cd /opt/source && python -c "from pathlib import Path; from testbed.engines.localstack_process import install; \
        install.install_dynamodb_local(Path('/usr/lib/localstack'), print)"
# Where LocalStack's installer would leave it: LAMBDA_RUNTIME_DEFAULT_VERSION and the architecture.
COPY lambda-init /usr/lib/localstack/lambda-runtime/v0.1.41-pre/x86_64/var/rapid/init
# The published image has these of its own, too.
ENV GATEWAY_LISTEN=0.0.0.0:4566 DYNAMODB_IN_MEMORY=1
ARG LAMBDA_IMAGE
# 3.8 too: that is what testbed/airgap's old Terraform provider creates a function with, before the API says 3.13.
ENV LAMBDA_RUNTIME_IMAGE_MAPPING="{\"python3.13\": \"${LAMBDA_IMAGE}\", \"python3.8\": \"${LAMBDA_IMAGE}\"}"
RUN mkdir -p /tmp/localstack && touch /usr/lib/localstack/.community-version
ENTRYPOINT ["/opt/venv/bin/localstack-supervisor"]
EXPOSE 4566
