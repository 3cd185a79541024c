# The image in which Beam's workers run on Dataflow, Flink or Spark: Trailrank's own and
# the program that Beam starts in a container. IMAGE is built from ./Dockerfile beside it.
#   docker build -f pipeline/cloud/beam_worker.Dockerfile --build-arg IMAGE=... -t ... .
# Not built where this was written: no Docker engine was at hand.
ARG IMAGE
FROM apache/beam_python3.10_sdk:2.74.0 AS beam
FROM ${IMAGE}
COPY --from=beam /opt/apache/beam /opt/apache/beam
# The packages are there: no environment of its own for each worker.
ENV RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1
# One worker process a core, so each needs one thread.
ENV POLARS_MAX_THREADS=1
ENTRYPOINT ["/opt/apache/beam/boot"]
