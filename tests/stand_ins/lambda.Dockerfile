# In place of public.ecr.aws/lambda/python:3.13: AWS's own runtime client from PyPI, and the packages AWS's image has.
FROM python:3.13-slim-trixie
COPY runtime.txt lambda.txt ./
RUN python -m pip install --no-cache-dir --require-hashes --no-deps --target /var/runtime -r runtime.txt \
    && python -m pip install --no-cache-dir --require-hashes --no-deps --target /var/runtime -r lambda.txt \
    && mkdir -p /var/task /var/rapid /opt
WORKDIR /var/task
