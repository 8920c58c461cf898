# LocalStack 4.14.0's code from PyPI, with DynamoDB Local from Maven Central and Debian's Java. Functions run as child
# processes (testbed/localstack_process): the init program of LocalStack's container executor is not to be had.
FROM python:3.13-slim-trixie
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends openjdk-21-jre-headless curl util-linux \
    && rm -rf /var/lib/apt/lists/*
RUN python -m pip install --no-cache-dir uv
ENV TESTBED_HOME=/opt/testbed
COPY dynamodb-local /opt/testbed/localstack/usr/lib/localstack/dynamodb-local
COPY testbed /opt/source/testbed
RUN cd /opt/source && python -c "from testbed.localstack_process.install import install; install()"
COPY localstack-entrypoint /usr/local/bin/
ENTRYPOINT ["localstack-entrypoint"]
EXPOSE 4566
