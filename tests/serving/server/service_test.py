"""The service that REST and gRPC share."""

import numpy as np
import pytest
import tensorflow as tf

from serving.options import ServerOptions
from serving.server.service import Call, Overloaded, Service, ServingError, code_name
from tests.serving.http_service import busy

HALF = Call("half")
MIXED = Call("half", signature="mixed", api="gRPC")


@pytest.fixture
def service(half_store):
    found = Service(half_store, ServerOptions(workers=1, max_waiting=0))
    yield found
    found.close()


def mixed_arrays(**changed):
    arrays = {"count": np.array([1, 2]), "text": np.array([b"a", b"b"], object)}
    return arrays | changed


def refused(function, *args):
    with pytest.raises(ServingError) as error:
        function(*args)
    return error.value.name, error.value.message


def test_an_answer_tells_its_version_and_signature(service):
    answer = service.predict(HALF, {"x": np.float32([1.0])})
    assert (answer.version, answer.signature_name) == (1, "serving_default")
    assert list(answer.outputs) == ["y"]
    np.testing.assert_array_equal(answer.outputs["y"], np.float32([2.5]))


def test_only_wanted_outputs_are_computed(service):
    answer = service.predict(MIXED, mixed_arrays(), ["twice"])
    assert {n: a.tolist() for n, a in answer.outputs.items()} == {"twice": [2, 4]}


@pytest.mark.parametrize(
    ("arrays", "wanted", "fragment"),
    [
        ({"count": np.array([1])}, (), "Missing: ['text']"),
        (mixed_arrays(z=np.array([1])), (), "Not in the signature: ['z']"),
        (mixed_arrays(count=np.array([1.0])), (), "'count' must be int64. Got float64"),
        (mixed_arrays(count=np.int32([1])), (), "'count' must be int64. Got int32"),
        (mixed_arrays(), ("none",), "not found in signature: none"),
        (mixed_arrays(), ("twice", "text", "twice"), "duplicate output tensor alias: twice"),
    ],
)  # fmt: skip
def test_inputs_and_outputs_are_those_of_the_signature(
    service, arrays, wanted, fragment
):
    code, message = refused(service.predict, MIXED, arrays, wanted)
    assert code == "INVALID_ARGUMENT"
    assert fragment in message


@pytest.mark.parametrize(
    ("call", "code", "message"),
    [
        (Call("none"), "NOT_FOUND", "Servable not found for request: Latest(none)"),
        (Call("half", version=9), "NOT_FOUND", "Servable not found for request: Specific(half, 9)"),
        (Call("half", label="a"), "INVALID_ARGUMENT", "Unrecognized servable version label: a"),
        (Call("half", signature="S"), "FAILED_PRECONDITION", 'Serving signature name: "S" not found in signature def'),
    ],
)  # fmt: skip
def test_what_is_not_there(service, call, code, message):
    assert refused(service.predict, call, {}) == (code, message)
    assert refused(service.regress, call, []) == (code, message)


def test_who_has_left_costs_no_run_of_the_model(service):
    call = Call("half", is_wanted=lambda: False)
    arrays = {"x": np.float32([1.0])}
    assert refused(service.predict, call, arrays)[0] == "CANCELLED"
    assert b"runtime_latency_count{" not in service.metrics.text()
    assert b"request_count{" not in service.metrics.text()  # whoever gave it up counts


def test_a_full_server_takes_no_more(service):
    with busy(service), pytest.raises(Overloaded, match="0 requests wait") as error:
        service.submit(int)
    assert error.value.name == "UNAVAILABLE"


def test_large_requests_do_not_wait_for_small_ones_nor_these_for_them(service):
    with busy(service):
        assert service.submit_large(int, "7").result() == 7


def test_requests_are_counted_by_api_and_status(service):
    service.predict(MIXED, mixed_arrays())
    refused(service.predict, MIXED, {})
    for name in ("a", "b"):  # a client's words are no labels
        refused(service.predict, Call(name), {})
    text = service.metrics.text().decode()
    count = ":tensorflow:serving:request_count"
    assert f'{count}{{model_name="half",status="OK"}} 1.0' in text
    assert f'{count}{{model_name="half",status="INVALID_ARGUMENT"}} 1.0' in text
    assert f'{count}{{model_name="(unknown)",status="NOT_FOUND"}} 2.0' in text
    labels = 'API="gRPC",entrypoint="Predict",model_name="half"'
    assert f":tensorflow:serving:request_latency_count{{{labels}}} 1.0" in text
    assert 'le="10.0"' in text and 'le="18.0"' in text  # upstream's buckets
    assert "_created" not in text


def test_a_surprise_is_an_internal_error_and_logged(service, caplog):
    def fail():
        with service.measured(HALF, "Predict"):
            raise ZeroDivisionError("surprise")

    code, message = refused(fail)
    assert code == "INTERNAL"
    assert message == "Internal error: ZeroDivisionError: surprise"
    assert "Predict of model 'half' failed" in caplog.text


def test_names_of_codes():
    assert code_name(tf.errors.RESOURCE_EXHAUSTED) == "RESOURCE_EXHAUSTED"
