# Debian's registry, for LocalStack to pull the image of functions from. It asks for no password: it is on loopback.
FROM python:3.13-slim-trixie
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends docker-registry \
    && rm -rf /var/lib/apt/lists/*
RUN printf 'version: 0.1\nstorage: {filesystem: {rootdirectory: /var/lib/docker-registry}}\nhttp: {addr: ":5000"}\n' \
    > /etc/registry.yml
EXPOSE 5000
ENTRYPOINT ["docker-registry", "serve", "/etc/registry.yml"]
