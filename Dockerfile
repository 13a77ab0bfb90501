# The workflow as an image; README.md says how to use it. GPU libraries come with torch, so it is several GB large.
#   docker build --tag roftmol .
#   docker run --rm --volume "$PWD:/data" roftmol recommend mine.csv
FROM python:3.11-slim
RUN apt-get update && apt-get install --yes --no-install-recommends make libexpat1 && rm -rf /var/lib/apt/lists/*
WORKDIR /roftmol
COPY Makefile Snakefile config.yaml LICENSE pyproject.toml requirements.txt requirements-torch.txt ./
COPY envs envs
COPY profiles profiles
COPY rules rules
COPY workflow workflow
# Compiled here: who runs the image may not write into it.
RUN make install COMPILE=
ENV PATH=/roftmol/.venv/bin:$PATH
WORKDIR /data
ENTRYPOINT ["roftmol"]
