"""gRPC with real stubs over a real port: the contract's sec. 11, classify, regress,
status, metadata and health; and what a hostile tensor gets."""

from __future__ import annotations

import contextlib
import socket

import grpc
import numpy as np
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from serving.options import Limits, ServerOptions
from serving.server.grpc_server import GrpcPortError, grpc_serving
from serving.server.service import Service
from serving.wire import grpc_tensors
from tests.serving.http_service import (
    PREDICT,
    busy,
    post,
    read_reply,
    status,
    until,
)

_STATE = get_model_status_pb2.ModelVersionStatus.State


@contextlib.contextmanager
def _channel(store, **options):
    service = Service(store, ServerOptions(grpc_port=0, **options))
    try:
        with (
            grpc_serving(service) as served,
            grpc.insecure_channel(served.address) as channel,
        ):
            yield channel
    finally:
        service.close()


@pytest.fixture(scope="module")
def channel(contract_store):
    with _channel(contract_store, limits=Limits(max_elements=1000)) as found:
        yield found


@pytest.fixture(scope="module")
def predictions(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


def _request(model="half", signature="", wanted=(), version=None, label=None, **inputs):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    if version is not None:
        request.model_spec.version.value = version
    if label is not None:
        request.model_spec.version_label = label
    request.output_filter.extend(wanted)
    for name, value in inputs.items():
        proto = value
        if not isinstance(value, tensor_pb2.TensorProto):
            proto = tf.make_tensor_proto(value)
        request.inputs[name].CopyFrom(proto)
    return request


def _floats(*values):
    return np.array(values, np.float32)


_UNFIT = {"a": np.ones([1, 1], np.float32), "b": np.ones([2, 1], np.float32)}


def _refusal(call, request):
    with pytest.raises(grpc.RpcError) as error:
        call(request, timeout=30)
    return error.value.code(), error.value.details()


# --- predict --------------------------------------------------------------------------


def test_predict_tells_the_version_that_answered(predictions):
    answer = predictions.Predict(_request(x=_floats(1, 2, 5)))
    (name,) = answer.outputs
    assert tf.make_ndarray(answer.outputs[name]).tolist() == [2.5, 3.0, 4.5]
    spec = answer.model_spec
    assert (spec.name, spec.version.value) == ("half", 123)
    assert spec.signature_name == "serving_default"


def test_numbers_stand_in_the_field_of_their_type(predictions):
    """As upstream answers: clients in other languages read no tensor_content."""
    (proto,) = predictions.Predict(_request(x=_floats(1, 2))).outputs.values()
    assert list(proto.float_val) == [2.5, 3.0] and not proto.tensor_content
    given = _request(signature="half", x=np.float16([[1.5, -2]]))
    (proto,) = predictions.Predict(given).outputs.values()
    assert list(proto.half_val) == [0x3E00, 0xC000]  # bits of 1.5 and -2
    assert [dim.size for dim in proto.tensor_shape.dim] == [1, 2]
    assert tf.make_ndarray(proto).tolist() == [[1.5, -2]]


def test_strings_and_scalars_come_back_as_they_are(predictions):
    answer = predictions.Predict(
        _request(signature="joined", s=np.array([b"a\xff", b"b"], object))
    )
    (proto,) = answer.outputs.values()
    assert proto.dtype == tf.string.as_datatype_enum and not proto.tensor_shape.dim
    assert list(proto.string_val) == [b"a\xffb"]


@pytest.mark.parametrize(
    ("changes", "code", "details"),
    [
        ({"model": ""}, "INVALID_ARGUMENT", "Missing ModelSpec"),
        (
            {"model": "none"},
            "NOT_FOUND",
            "Servable not found for request: Latest(none)",
        ),
        (
            {"version": 7},
            "NOT_FOUND",
            "Servable not found for request: Specific(half, 7)",
        ),
        ({"label": "no"}, "INVALID_ARGUMENT", "Unrecognized servable version label"),
        (
            {"signature": "no"},
            "FAILED_PRECONDITION",
            'Serving signature name: "no" not found in signature def',
        ),
        ({"x": None}, "INVALID_ARGUMENT", "Missing: ['x']"),
        ({"y": _floats(1)}, "INVALID_ARGUMENT", "Not in the signature: ['y']"),
        ({"wanted": ["no"]}, "INVALID_ARGUMENT", "no"),
        ({"x": np.int64([1])}, "INVALID_ARGUMENT", "'x' must be float32. Got int64"),
        ({"label": "gone"}, "NOT_FOUND", "Specific(half, 9)"),
        ({"version": -1}, "NOT_FOUND", "Specific(half, -1)"),
        (
            {"model": "kinds", "signature": "product", "x": None} | _UNFIT,
            "INVALID_ARGUMENT",
            "Matrix size-incompatible",
        ),
        (
            {"model": "kinds", "signature": "scalar", "x": None}
            | {"number": np.int64([3])},
            "INVALID_ARGUMENT",
            "expected shape []",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_upstreams_code(
    predictions, changes, code, details
):
    asked = {"x": _floats(1)} | changes
    request = _request(**{name: v for name, v in asked.items() if v is not None})
    found, told = _refusal(predictions.Predict, request)
    assert found == grpc.StatusCode[code]
    assert details in told


def test_an_output_is_sent_once_or_refused(predictions):
    answer = predictions.Predict(_request(x=_floats(1)))
    (name,) = answer.outputs
    request = _request(x=_floats(1), wanted=[name, name])
    code, told = _refusal(predictions.Predict, request)
    assert code == grpc.StatusCode.INVALID_ARGUMENT and name in told


def test_only_what_is_asked_for_is_sent(predictions):
    request = _request("kinds", "uneven", ["first"], x=_floats(1, 2))
    answer = predictions.Predict(request)
    assert {n: list(p.float_val) for n, p in answer.outputs.items()} == {"first": [1.0]}


def test_inputs_and_outputs_need_no_common_dimension(predictions):
    request = _request("kinds", "pair", x=_floats(1, 2, 3), text=np.array(b"a", object))
    outputs = predictions.Predict(request).outputs
    assert tf.make_ndarray(outputs["x"]).tolist() == [1.0, 2.0, 3.0]
    assert tf.make_ndarray(outputs["text"]).shape == ()
    outputs = predictions.Predict(_request("kinds", "uneven", x=_floats(4, 5))).outputs
    assert [tf.make_ndarray(outputs[n]).tolist() for n in ("first", "all")] == [
        [4.0],
        [4.0, 5.0],
    ]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("float32", [0.1, -np.inf]),
        ("float64", [0.1, 1e-320]),
        ("float16", [1.5, -2.0]),
        ("bfloat16", [1.5, -2.0]),
        ("int8", [-128, 127]),
        ("int16", [-(2**15), 2**15 - 1]),
        ("int32", [-(2**31), 2**31 - 1]),
        ("int64", [-(2**63), 2**63 - 1]),
        ("uint8", [0, 2**8 - 1]),
        ("uint16", [0, 2**16 - 1]),
        ("uint32", [0, 2**32 - 1]),
        ("uint64", [0, 2**64 - 1]),
        ("bool", [True, False]),
        ("string", [b"", b"\x00\xff"]),
        ("complex64", [1 + 2j, -1j]),
    ],
)
def test_each_type_comes_back_as_it_was_sent(predictions, kind, values):
    dtype = tf.as_dtype(kind)
    for shape in ([2], [2, 1], [1, 2, 1]):
        sent = np.array(values, dtype.as_numpy_dtype).reshape(shape)
        request = _request("kinds", f"same_{kind}", x=sent)
        (proto,) = predictions.Predict(request).outputs.values()
        assert proto.dtype == dtype.as_datatype_enum
        found = tf.make_ndarray(proto)
        assert found.shape == sent.shape and found.tolist() == sent.tolist()
    empty = np.empty([0, 3], dtype.as_numpy_dtype)
    request = _request("kinds", f"same_{kind}", x=empty)
    (proto,) = predictions.Predict(request).outputs.values()
    assert tf.make_ndarray(proto).shape == (0, 3)


def test_what_a_client_wrote_makes_no_text_that_it_cannot_take(predictions):
    name = "\U0001f600" * 3000  # 12,000 bytes, and three times as many in a header
    code, told = _refusal(predictions.Predict, _request(name, x=_floats(1)))
    assert code == grpc.StatusCode.NOT_FOUND
    assert told.startswith("Servable not found for request: Latest(\U0001f600")
    assert 1900 < len(told.encode()) <= 2000


# --- tensors --------------------------------------------------------------------------


def _tensor(shape, dtype=1, **fields):
    proto = tensor_pb2.TensorProto(dtype=dtype, **fields)
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    return proto


def _unknown_rank():
    proto = _tensor([])
    proto.tensor_shape.unknown_rank = True
    return proto


@pytest.mark.parametrize(
    ("proto", "told"),
    [
        (_tensor([1 << 40], float_val=[1.0]), "more than the 1000 that are allowed"),
        (_tensor([1 << 40, 1 << 40], float_val=[1.0]), "more than the 1000"),
        (_tensor([-1], float_val=[1.0]), "has no whole shape"),
        (_unknown_rank(), "has no whole shape"),
        (_tensor([1] * 33, float_val=[1.0]), "33 dimensions"),
        (_tensor([2], tensor_content=b"1234567"), "must have 8 bytes. Got 7"),
        (_tensor([2], float_val=[1.0, 2.0, 3.0]), "must have 2 values. Got 3"),
        (_tensor([2]), "must have 2 values. Got 0"),
        (_tensor([2], int_val=[1, 2]), "must have 2 values. Got 0"),
        (_tensor([1], dtype=6, int_val=[300]), "a value that is no int8"),
        (_tensor([1], dtype=4, int_val=[-1]), "a value that is no uint8"),
        (_tensor([1], dtype=7, tensor_content=b"abcd"), "stand in string_val"),
        (_tensor([1], dtype=20), "which is no type"),  # a resource
        (_tensor([1], dtype=999), "which is no type"),
        (_tensor([1], dtype=0), "which is no type"),
    ],
)
def test_a_tensor_that_is_none_is_refused(predictions, proto, told):
    code, details = _refusal(predictions.Predict, _request(x=proto))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert told in details


def test_the_last_value_fills_a_tensor_as_upstream_has_it(predictions):
    answer = predictions.Predict(_request(x=_tensor([3], float_val=[4.0])))
    (proto,) = answer.outputs.values()
    assert tf.make_ndarray(proto).tolist() == [4.0, 4.0, 4.0]


def test_a_message_that_is_too_large_is_refused(contract_store):
    with _channel(
        contract_store, max_body_bytes=1000, max_inflated_bytes=1000
    ) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        code, _ = _refusal(stub.Predict, _request(x=np.zeros(500, np.float32)))
        assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert stub.Predict(_request(x=_floats(1))).outputs


# --- examples -------------------------------------------------------------------------


def _fill_examples(request, signature, *values, version=None):
    request.model_spec.name = "x"
    request.model_spec.signature_name = signature
    if version:
        request.model_spec.version.value = version
    for value in values:
        example = request.input.example_list.examples.add()
        example.features.feature["x"].float_list.value.append(value)
    return request


def test_classify(predictions):
    request = classification_pb2.ClassificationRequest()
    answer = predictions.Classify(_fill_examples(request, "both", 0.25, 1.0))
    found = [
        [(c.label, c.score) for c in one.classes]
        for one in answer.result.classifications
    ]
    assert found == [
        [("lo\u00e9", 0.75), ("high", 0.25)],
        [("lo\u00e9", 0.0), ("high", 1.0)],
    ]
    assert answer.model_spec.version.value == 2


@pytest.mark.parametrize(("version", "bias"), [(1, 10.0), (2, 20.0)])
def test_regress(predictions, version, bias):
    request = regression_pb2.RegressionRequest()
    request = _fill_examples(request, "value", 0.5, 3.0, version=version)
    found = [r.value for r in predictions.Regress(request).result.regressions]
    assert found == [0.5 + bias, 3.0 + bias]


def test_a_context_counts_where_an_example_says_nothing(predictions):
    request = regression_pb2.RegressionRequest()
    request.model_spec.name, request.model_spec.signature_name = "x", "value"
    given = request.input.example_list_with_context
    given.context.features.feature["x"].float_list.value.append(7.0)
    given.examples.add()
    given.examples.add().features.feature["x"].float_list.value.append(1.0)
    answer = predictions.Regress(request)
    assert [r.value for r in answer.result.regressions] == [27.0, 21.0]


def test_no_example_is_refused(predictions):
    request = _fill_examples(regression_pb2.RegressionRequest(), "value")
    code, told = _refusal(predictions.Regress, request)
    assert code == grpc.StatusCode.INVALID_ARGUMENT and "empty" in told


@pytest.mark.parametrize(
    ("call", "signature", "code", "told"),
    [
        ("Classify", "value", "INVALID_ARGUMENT", "for classification"),
        ("Regress", "both", "INVALID_ARGUMENT", "for regression"),
        ("Classify", "flat_scores", "INVALID_ARGUMENT", "[1 num_classes]"),
        ("Classify", "whole_scores", "INVALID_ARGUMENT", "DT_FLOAT"),
        ("Regress", "pair", "INVALID_ARGUMENT", "[1] or [1, 1]"),
        ("Regress", "none", "FAILED_PRECONDITION", '"none" not found in signature def'),
    ],
)
def test_what_is_no_class_and_no_value_is_refused(
    predictions, call, signature, code, told
):
    kinds = {
        "Classify": classification_pb2.ClassificationRequest,
        "Regress": regression_pb2.RegressionRequest,
    }
    request = _fill_examples(kinds[call](), signature, 0.5)
    found, details = _refusal(getattr(predictions, call), request)
    assert found == grpc.StatusCode[code]
    assert told in details
    request.model_spec.name = "none"
    found, details = _refusal(getattr(predictions, call), request)
    assert found == grpc.StatusCode.NOT_FOUND and "Latest(none)" in details


@pytest.mark.parametrize(
    ("label", "version", "bias"), [("stable", 1, 10.0), ("canary", 2, 20.0)]
)
def test_a_label_names_a_version(predictions, label, version, bias):
    request = _fill_examples(regression_pb2.RegressionRequest(), "value", 0.5)
    request.model_spec.version_label = label
    answer = predictions.Regress(request)
    assert answer.result.regressions[0].value == 0.5 + bias
    assert answer.model_spec.version.value == version


# --- status, metadata, health ---------------------------------------------------------


def _status(channel, **spec):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = spec.pop("name", "x")
    if "version" in spec:
        request.model_spec.version.value = spec["version"]
    if "label" in spec:
        request.model_spec.version_label = spec["label"]
    stub = model_service_pb2_grpc.ModelServiceStub(channel)
    return stub.GetModelStatus(request, timeout=30).model_version_status


def test_status_tells_every_version_and_why_one_failed(channel):
    found = {status.version: status for status in _status(channel)}
    assert [status.version for status in _status(channel)] == [3, 2, 1]
    assert found[1].state == found[2].state == _STATE.Value("AVAILABLE")
    assert found[3].state == _STATE.Value("END")
    assert "is no SavedModel" in found[3].status.error_message
    assert found[3].status.error_code == tf.errors.UNKNOWN
    assert found[1].status.error_code == tf.errors.OK
    assert [status.version for status in _status(channel, version=1)] == [1]
    assert [status.version for status in _status(channel, label="stable")] == [1]


@pytest.mark.parametrize(
    ("spec", "code", "told"),
    [
        ({"name": "none"}, "NOT_FOUND", "Could not find any versions of model none"),
        ({"name": "empty"}, "NOT_FOUND", "Could not find any versions of model empty"),
        ({"version": 9}, "NOT_FOUND", "Could not find version 9 of model x"),
        ({"label": "any"}, "INVALID_ARGUMENT", "Unrecognized servable version label"),
        ({"name": ""}, "INVALID_ARGUMENT", "Missing ModelSpec"),
    ],
)
def test_status_of_what_nobody_knows_is_refused(channel, spec, code, told):
    with pytest.raises(grpc.RpcError) as error:
        _status(channel, **spec)
    assert error.value.code() == grpc.StatusCode[code]
    assert told in error.value.details()


def test_metadata_are_the_signatures(predictions):
    request = get_model_metadata_pb2.GetModelMetadataRequest()
    request.model_spec.name = "half"
    request.metadata_field.append("signature_def")
    answer = predictions.GetModelMetadata(request)
    assert answer.model_spec.version.value == 123
    found = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(found)
    definition = found.signature_def["serving_default"]
    assert definition.inputs["x"].dtype == tf.float32.as_datatype_enum
    assert definition.method_name == "tensorflow/serving/predict"


@pytest.mark.parametrize(
    ("name", "version", "fields", "code", "told"),
    [
        ("half", None, ["other"], "INVALID_ARGUMENT", "metadata_field must be"),
        ("half", None, [], "INVALID_ARGUMENT", "metadata_field must be"),
        ("", None, ["signature_def"], "INVALID_ARGUMENT", "Missing ModelSpec"),
        ("none", None, ["signature_def"], "NOT_FOUND", "Latest(none)"),
        ("half", 9, ["signature_def"], "NOT_FOUND", "Specific(half, 9)"),
    ],
)
def test_refused_metadata(predictions, name, version, fields, code, told):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
    request.model_spec.name = name
    if version is not None:
        request.model_spec.version.value = version
    found, details = _refusal(predictions.GetModelMetadata, request)
    assert found == grpc.StatusCode[code]
    assert told in details


def test_what_is_not_built_says_so(channel, predictions, caplog):
    """Upstream's calls that no ranker's client makes."""
    request = inference_pb2.MultiInferenceRequest()
    code, _ = _refusal(predictions.MultiInference, request)
    assert code == grpc.StatusCode.UNIMPLEMENTED
    stub = model_service_pb2_grpc.ModelServiceStub(channel)
    request = model_management_pb2.ReloadConfigRequest()
    code, _ = _refusal(stub.HandleReloadConfigRequest, request)
    assert code == grpc.StatusCode.UNIMPLEMENTED
    assert not caplog.records  # a trace for each would fill a disk


def test_health_is_told(channel):
    stub = health_pb2_grpc.HealthStub(channel)
    for name in ("", "tensorflow.serving.PredictionService"):
        found = stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=30)
        assert found.status == health_pb2.HealthCheckResponse.SERVING
    unknown = health_pb2.HealthCheckRequest(service="other")
    code, _ = _refusal(stub.Check, unknown)
    assert code == grpc.StatusCode.NOT_FOUND


# --- load -----------------------------------------------------------------------------


def test_requests_are_counted_beside_those_of_rest(contract_store):
    service = Service(contract_store, ServerOptions(grpc_port=0))
    with (
        contextlib.closing(service),
        grpc_serving(service) as served,
        grpc.insecure_channel(served.address) as channel,
    ):
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        for _ in range(3):
            stub.Predict(_request(x=_floats(1)))
        _refusal(stub.Predict, _request(y=_floats(1)))
        text = service.metrics.text().decode()
    count = ':tensorflow:serving:request_count{model_name="half",status='
    assert f'{count}"OK"}} 3.0' in text
    assert f'{count}"INVALID_ARGUMENT"}} 1.0' in text


def test_a_taken_port_is_told(contract_store):
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        service = Service(contract_store, ServerOptions(grpc_port=port))
        with (
            contextlib.closing(service),
            pytest.raises(GrpcPortError, match=f"port {port} on 127.0.0.1"),
            grpc_serving(service),
        ):
            pass


@pytest.mark.parametrize("name", [*grpc_tensors._FIELDS])
def test_tensors_of_every_type_are_read_as_tensorflow_reads_them(name):
    dtype = tf.as_dtype(name)
    for values in ([1], [0, 1, 1], []):
        texts = [b"\0a\0"] * len(values)
        array = np.array(texts, object) if name == "string" else np.array(values, dtype.as_numpy_dtype)  # fmt: skip
        # As our client sends them, as bytes or in a field, and as others do.
        for proto in (tf.make_tensor_proto(array, dtype), grpc_tensors.proto_of(array)):
            found = grpc_tensors.arrays_of({"x": proto}, Limits())["x"]
            expected = tf.make_ndarray(proto)
            assert found.dtype == expected.dtype and found.shape == array.shape
            assert found.tolist() == expected.tolist() == array.tolist()


# --- limits beside REST's -------------------------------------------------------------


@pytest.mark.parametrize("name", ["Predict", "Classify", "Regress", "GetModelMetadata"])
def test_bytes_that_are_no_message_are_the_clients_fault(channel, name):
    path = f"/tensorflow.serving.PredictionService/{name}"
    code, told = _refusal(channel.unary_unary(path), b"\xff\xff\xff")
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "is no message" in told


def test_bytes_of_both_apis_have_one_limit_and_are_given_back(serve_half):
    server = serve_half(grpc_port=0, max_buffered_bytes=300, workers=1)
    request = _request(x=np.zeros(50, np.float32))  # 200 bytes and some
    with grpc.insecure_channel(server.grpc_address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        with busy(server.service) as go_on, server.connect() as rest:
            rest.sendall(post(PREDICT, b'{"inputs": [1.0]}'.ljust(150)))
            until(lambda: server.service.workers.load() == (1, 1))
            with pytest.raises(grpc.RpcError) as error:
                stub.Predict(request, timeout=30)
            assert error.value.code() == grpc.StatusCode.UNAVAILABLE
            assert "too many bytes of requests" in error.value.details()
            assert ("retry-after", "1") in tuple(error.value.trailing_metadata())
            go_on.set()
            assert status(read_reply(rest)) == 200
        for _ in range(5):  # a loan that stayed would fill it
            assert stub.Predict(request, timeout=30).outputs


def test_both_apis_begin_to_drain_at_once(serve_half):
    server = serve_half(grpc_port=0, workers=1)
    with grpc.insecure_channel(server.grpc_address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        stub.Predict(_request(x=_floats(1)), timeout=30)
        with busy(server.service) as go_on, server.connect() as rest:
            rest.sendall(post(PREDICT, b'{"inputs": [1.0]}'))
            until(lambda: server.service.workers.load() == (1, 1))
            waits = stub.Predict.future(_request(x=_floats(1)), timeout=30)
            until(lambda: server.service.workers.load() == (1, 2))
            server.stop()  # while REST still has something to answer
            until(lambda: _is_refused(stub))
            go_on.set()
            assert status(read_reply(rest)) == 200
            assert waits.result().outputs


def _is_refused(stub) -> bool:
    late = stub.Predict.future(_request(x=_floats(1)), timeout=0.2)
    return late.exception() and late.code() == grpc.StatusCode.UNAVAILABLE
