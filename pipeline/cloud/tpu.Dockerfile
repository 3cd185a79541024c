# Trailrank's image with TensorFlow's build for TPUs: --image of `trailrank job submit`.
#   docker build -f pipeline/cloud/Dockerfile -t TRAILRANK_IMAGE .
#   docker build -f pipeline/cloud/tpu.Dockerfile --build-arg IMAGE=TRAILRANK_IMAGE -t IMAGE .
# TensorFlow must be the version in the slice's tpu_vm_runtime, libtpu the one of that
# TensorFlow (cloud.google.com/tpu/docs/supported-tpu-versions).
# Not built where this was written: no Docker engine was at hand. The addresses follow
# those on Vertex AI's page for TensorFlow 2.15 and libtpu 1.9.0.
ARG IMAGE
FROM ${IMAGE}
ARG TENSORFLOW=2.16.1
ARG LIBTPU=1.10.1
ARG ARTIFACTS=https://storage.googleapis.com/cloud-tpu-tpuvm-artifacts
RUN pip install --no-cache-dir --no-deps --force-reinstall \
    ${ARTIFACTS}/tensorflow/tf-${TENSORFLOW}/tensorflow-${TENSORFLOW}-cp310-cp310-manylinux_2_17_x86_64.manylinux2014_x86_64.whl
ADD ${ARTIFACTS}/libtpu/${LIBTPU}/libtpu.so /lib/libtpu.so
RUN chmod 755 /lib/libtpu.so
