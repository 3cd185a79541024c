"""Messages that are nearly right, and bytes that are none, for each call of gRPC."""

import random

from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
    regression_pb2,
)

from tests.serving.fuzzer import SIGNATURES

_SERVICE = "/tensorflow.serving.PredictionService/"
METHODS = {
    f"{_SERVICE}Predict": predict_pb2.PredictRequest,
    f"{_SERVICE}Classify": classification_pb2.ClassificationRequest,
    f"{_SERVICE}Regress": regression_pb2.RegressionRequest,
    f"{_SERVICE}GetModelMetadata": get_model_metadata_pb2.GetModelMetadataRequest,
    f"{_SERVICE}MultiInference": predict_pb2.PredictRequest,
    f"{_SERVICE}None": predict_pb2.PredictRequest,
    "/tensorflow.serving.ModelService/GetModelStatus": (
        get_model_status_pb2.GetModelStatusRequest
    ),
    "/grpc.health.v1.Health/Check": get_model_status_pb2.GetModelStatusRequest,
}
_LIKELY = 0.6
_SIZES = (-1, 0, 1, 2, 3, 2**31, 2**62)
_VALUES = {
    "float_val": (0.0, 1.5, float("nan"), float("inf")),
    "double_val": (0.0, 1e300),
    "int_val": (0, -1, 2**31 - 1),
    "int64_val": (0, -(2**63), 2**63 - 1),
    "half_val": (0, 0x7C00, 2**31 - 1),
    "bool_val": (True, False),
    "string_val": (b"", b"a", b"\xff\x00"),
    "uint64_val": (0, 2**64 - 1),
    "scomplex_val": (0.5,),
}
NOISE = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 5000,
    b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
)


def call(draw: random.Random) -> tuple[str, bytes]:
    """A method, and what is sent to it."""
    method = draw.choice(list(METHODS))
    if draw.random() < 0.15:
        return method, draw.randbytes(draw.choice((0, 1, 30, 3000)))
    raw = bytearray(_request(draw, method).SerializeToString())
    for _ in range(draw.choice((0, 0, 1, 4)) if raw else 0):
        raw[draw.randrange(len(raw))] = draw.randrange(256)
    if draw.random() < 0.1:
        del raw[draw.randrange(len(raw) + 1) :]
    return method, bytes(raw)


def _request(draw: random.Random, method: str):
    request = METHODS[method]()
    spec = request.model_spec
    spec.name = draw.choice(("half", "half", "half", "none", "", "\u00e9" * 2000))
    spec.signature_name = draw.choice(("", *SIGNATURES))
    if draw.random() > _LIKELY:
        spec.version.value = draw.choice((1, 0, -1, 2**63 - 1))
    elif draw.random() > _LIKELY:
        spec.version_label = "any"
    if hasattr(request, "metadata_field"):
        request.metadata_field.extend(draw.choice((["signature_def"], [], ["x"] * 500)))
    if hasattr(request, "input"):
        for _ in range(draw.choice((0, 1, 5, 2000))):
            example = request.input.example_list.examples.add()
            example.features.feature["x"].float_list.value.append(1.0)
    if hasattr(request, "inputs"):
        for name in draw.sample(
            ("x", "count", "text", "n", "s", "z"), draw.randrange(4)
        ):
            request.inputs[name].CopyFrom(_tensor(draw))
        request.output_filter.extend(["y"] * draw.choice((0, 0, 1, 2, 5000)))
    return request


def _tensor(draw: random.Random) -> tensor_pb2.TensorProto:
    """A dtype, a shape and values, which go together by luck."""
    proto = tensor_pb2.TensorProto(
        dtype=draw.choice((1, 3, 7, 9, 10, 19, 0, 20, 21, 101))
    )
    for _ in range(draw.choice((0, 1, 1, 1, 2, 40))):
        proto.tensor_shape.dim.add(size=draw.choice(_SIZES))
    proto.tensor_shape.unknown_rank = draw.random() < 0.1
    field = draw.choice(list(_VALUES))
    values = draw.choices(_VALUES[field], k=draw.choice((0, 1, 2, 3, 1000)))
    getattr(proto, field).extend(values)
    if draw.random() < 0.2:
        proto.tensor_content = draw.randbytes(draw.choice((1, 4, 8, 5000)))
    return proto
