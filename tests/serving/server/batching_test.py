"""Request batching: TensorFlow Serving's rules, on functions of arrays."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import httpx
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from serving.options import BatchingOptions, ServerOptions
from serving.server.batching import Batcher
from serving.server.metrics import Metrics
from serving.server.service import Call, Service, ServingError
from serving.store.versions import ModelStore

MINUTE = 60_000_000
PATIENCE_S = 60


class Twice:
    """A signature: doubles `x`, and notes what it was called with."""

    def __init__(self):
        self.calls = []

    def __call__(self, arrays, wanted=()):
        self.calls.append({name: array.copy() for name, array in arrays.items()})
        x = arrays["x"]
        if (x == 13).any():
            raise tf.errors.InvalidArgumentError(None, None, "13 is refused")
        outputs = {"twice": x * 2, "row": x}
        return {name: outputs[name] for name in wanted or outputs}

    @property
    def sizes(self):
        return sorted(len(call["x"]) for call in self.calls)


@pytest.fixture
def start():
    """Makes batchers, and closes them."""
    made = []

    def make(**options):
        made.append(Batcher(BatchingOptions(**{"num_batch_threads": 1, **options})))
        return made[-1]

    yield make
    for batcher in made:
        batcher.close()


def until(condition):
    """Waits for what another thread brings about."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def column(*values):
    return {"x": np.array(values, np.int64)}


def together(batcher, function, requests, **kwargs):
    """Answers (or errors) of requests that are sent at once."""

    def one(arrays):
        try:
            return batcher.run("serve", function, arrays, **kwargs)
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(requests)) as pool:
        return list(pool.map(one, requests))


def test_requests_that_wait_together_run_at_once_and_each_gets_its_own_rows(start):
    twice = Twice()
    batcher = start(max_batch_size=6, batch_timeout_micros=MINUTE)
    answers = together(batcher, twice, [column(1), column(2, 3), column(4, 5, 6)])
    assert [a["twice"].tolist() for a in answers] == [[2], [4, 6], [8, 10, 12]]
    assert twice.sizes == [6]  # full, so nobody waited for the minute to pass


def test_a_batch_that_does_not_fill_runs_when_its_time_is_over(start):
    twice = Twice()
    batcher = start(max_batch_size=100, batch_timeout_micros=1000)
    assert batcher.run("serve", twice, column(1))["twice"].tolist() == [2]


def test_a_request_without_room_closes_the_batch_before_it(start):
    twice = Twice()
    batcher = start(max_batch_size=4, batch_timeout_micros=MINUTE)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(batcher.run, "serve", twice, column(1, 2, 3))
        until(lambda: batcher._waiting)
        answer = batcher.run("serve", twice, column(4, 5, 6, 7))
        assert answer["twice"].tolist() == [8, 10, 12, 14]
        assert first.result()["twice"].tolist() == [2, 4, 6]
    assert twice.sizes == [3, 4]


def test_batches_are_padded_to_an_allowed_size_by_a_row_of_the_last_request(start):
    twice = Twice()
    batcher = start(max_batch_size=8, allowed_batch_sizes=(2, 4, 8))
    answer = batcher.run("serve", twice, column(5, 6, 7))
    assert answer["twice"].tolist() == [10, 12, 14]
    assert twice.calls[0]["x"].tolist() == [5, 6, 7, 5]


def test_of_different_rows_outputs_or_signatures_no_batch_is_made(start):
    one, other = Twice(), Twice()
    batcher = start(max_batch_size=2, batch_timeout_micros=100_000)
    table = {"x": np.ones((1, 2), np.int64)}
    floats = {"x": np.ones(1, np.float32)}
    requests = [
        (one, column(1), ()),
        (one, table, ()),
        (one, floats, ()),
        (one, column(1), ["twice"]),
        (other, column(1), ()),
    ]
    with ThreadPoolExecutor(len(requests)) as pool:
        answers = list(
            pool.map(lambda r: batcher.run("serve", r[0], r[1], r[2]), requests)
        )
    assert one.sizes == [1, 1, 1, 1] and other.sizes == [1]
    assert answers[3].keys() == {"twice"}


def test_a_request_that_fails_does_not_fail_the_others(start):
    twice = Twice()
    batcher = start(max_batch_size=3, batch_timeout_micros=MINUTE)
    answers = together(batcher, twice, [column(1), column(13), column(3)])
    assert [a["twice"].tolist() for a in (answers[0], answers[2])] == [[2], [6]]
    assert isinstance(answers[1], tf.errors.InvalidArgumentError)
    assert twice.sizes == [1, 1, 1, 3]


def test_errors_of_another_kind_reach_all_that_wait(start):
    def broken(arrays, wanted):
        raise KeyError("no such table")

    batcher = start(max_batch_size=2, batch_timeout_micros=MINUTE)
    answers = together(batcher, broken, [column(1), column(2)])
    assert [type(a) for a in answers] == [KeyError, KeyError]
    assert batcher.run("serve", Twice(), column(1, 2))["twice"].tolist() == [2, 4]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.array(1)}, "must have at least one dimension"),
        ({"x": np.ones(2), "y": np.ones(3)}, "must have equal 0th-dimension size"),
        (column(*range(5)), "Task size 5 is larger than maximum batch size 4"),
    ],
)
def test_what_cannot_be_batched_is_refused(start, arrays, message):
    batcher = start(max_batch_size=4)
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        batcher.run("serve", Twice(), arrays)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (np.float32(1), "has 0 dimensions: y"),
        (np.ones(3), "0th dimension does not equal .* y has 3, not 2"),
    ],
)
def test_outputs_need_a_row_a_row(start, output, message):
    batcher = start(max_batch_size=4)
    with pytest.raises(tf.errors.FailedPreconditionError, match=message):
        batcher.run("serve", lambda arrays, wanted: {"y": output}, column(1, 2))


def test_a_signature_may_be_left_out(start):
    batcher = start(max_batch_size=2)  # `rank` is, by default
    scalar = {"x": np.array(3)}
    assert batcher.run("rank", Twice(), scalar)["twice"] == 6
    assert len(batcher.run("rank", Twice(), column(1, 2, 3))["twice"]) == 3


def test_no_rows_run_alone(start):
    twice = Twice()
    batcher = start(max_batch_size=2, batch_timeout_micros=MINUTE)
    assert batcher.run("serve", twice, column())["twice"].tolist() == []


def test_large_requests_are_split_where_that_is_on(start):
    twice = Twice()
    batcher = start(
        max_batch_size=10, max_execution_batch_size=4, enable_large_batch_splitting=True
    )
    answer = batcher.run("serve", twice, column(*range(11)))
    assert answer["twice"].tolist() == list(range(0, 22, 2))
    assert twice.sizes == [3, 4, 4]


def test_inputs_of_unequal_lengths_are_filled_by_their_first_value(start):
    twice = Twice()
    batcher = start(
        max_batch_size=2, batch_timeout_micros=MINUTE, pad_variable_length_inputs=True
    )
    short = {"x": np.array([[7, 8]]), "s": np.array([[b"a"]], object)}
    long = {"x": np.array([[1, 2, 3]]), "s": np.array([[b"b", b"c"]], object)}
    answers = together(batcher, twice, [short, long])
    assert answers[0]["row"].tolist() == [[7, 8, 7]]
    assert answers[1]["row"].tolist() == [[1, 2, 3]]
    assert sorted(twice.calls[0]["s"].tolist()) == [[b"a", b"a"], [b"b", b"c"]]


def test_an_empty_input_among_filled_ones_runs_alone(start):
    twice = Twice()
    batcher = start(
        max_batch_size=2, batch_timeout_micros=MINUTE, pad_variable_length_inputs=True
    )
    requests = [{"x": np.ones((1, 0))}, {"x": np.ones((1, 2))}]
    answers = together(batcher, twice, requests)
    assert [a["row"].shape for a in answers] == [(1, 0), (1, 2)]


def test_more_batches_than_may_wait_are_refused(start):
    begun, go_on = threading.Event(), threading.Event()

    def slow(arrays, wanted):
        begun.set()
        assert go_on.wait(PATIENCE_S)
        return dict(arrays)

    batcher = start(max_batch_size=2, max_enqueued_batches=1)
    with ThreadPoolExecutor(3) as pool:
        runs = pool.submit(batcher.run, "serve", slow, column(1, 2))
        assert begun.wait(PATIENCE_S)
        waits = [pool.submit(batcher.run, "serve", slow, column(i)) for i in (3, 4)]
        until(lambda: [len(b.tasks) for b in batcher._waiting] == [2])
        with pytest.raises(tf.errors.UnavailableError, match="queue .* is full"):
            batcher.run("serve", slow, column(5))
        go_on.set()
        assert [f.result()["x"].tolist() for f in (runs, *waits)] == [[1, 2], [3], [4]]


def test_what_waits_is_run_before_the_threads_end(start):
    twice = Twice()
    batcher = start(max_batch_size=100, batch_timeout_micros=MINUTE)
    with ThreadPoolExecutor(1) as pool:
        waits = pool.submit(batcher.run, "serve", twice, column(1))
        until(lambda: batcher._waiting)
        batcher.close()
        assert waits.result()["twice"].tolist() == [2]
    with pytest.raises(tf.errors.UnavailableError, match="is stopping"):
        batcher.run("serve", twice, column(1))


def test_the_service_batches_a_loaded_model(tmp_path, save_half_plus_two):
    save_half_plus_two(tmp_path / "half" / "1")
    store = ModelStore(str(tmp_path))
    store.refresh()
    options = BatchingOptions(max_batch_size=3, batch_timeout_micros=MINUTE)
    service = Service(store, ServerOptions(batching=options))

    def predict(values, signature=""):
        name = "n" if signature else "x"
        array = np.array(values, np.int32 if signature else np.float32)
        return service.predict(Call("half", signature=signature), {name: array})

    with ThreadPoolExecutor(2) as pool:  # three rows: each waits for the other
        answers = list(pool.map(predict, [[1], [2, 4]]))
    assert [a.outputs["y"].tolist() for a in answers] == [[2.5], [3, 4]]
    with pytest.raises(ServingError, match="at least one dimension") as refused:
        predict(1)
    assert refused.value.code == tf.errors.INVALID_ARGUMENT
    with pytest.raises(ServingError, match="0 dimensions: sum") as refused:
        predict([1, 2, 3], "total")
    assert refused.value.code == tf.errors.FAILED_PRECONDITION
    service.close()


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({"count": [1, 2], "text": ["a", "b"]}, 200, "twice"),
        ({"count": [1, 2], "text": ["a"]}, 400, "must have equal 0th-dimension size"),
        ({"count": 1, "text": ["a"]}, 400, "must have at least one dimension"),
        (
            {"count": [1] * 3, "text": ["a"] * 3},
            400,
            "larger than maximum batch size 2",
        ),
    ],
)
def test_what_batching_changes_is_told_over_http(serve_half, body, status, told):
    server = serve_half(batching=BatchingOptions(max_batch_size=2))
    request = {"signature_name": "mixed", "inputs": body}
    answer = httpx.post(f"{server.url}/v1/models/half:predict", json=request)
    assert answer.status_code == status
    assert told in answer.text


def test_batches_are_counted_under_upstreams_names():
    metrics = Metrics()
    options = BatchingOptions(
        max_batch_size=4, batch_timeout_micros=MINUTE, allowed_batch_sizes=(3, 4)
    )
    batcher = Batcher(options, metrics.batching())
    twice = Twice()
    answers = together(batcher, twice, [column(1, 2), column(3, 4)])
    assert [a["twice"].tolist() for a in answers] == [[2, 4], [6, 8]]
    with ThreadPoolExecutor(1) as pool:  # two rows alone, padded to three
        waits = pool.submit(batcher.run, "serve", twice, column(5, 6))
        until(lambda: batcher._waiting)
        batcher.close()
        assert waits.result()["twice"].tolist() == [10, 12]
    lines = metrics.text().decode().splitlines()
    prefix = ":tensorflow:serving:batching_session:"
    for line in (
        "wrapped_run_count 2.0",
        "input_batch_size_count 3.0",
        "input_batch_size_sum 6.0",
        "processed_batch_size_sum 7.0",  # 4 + 3
        'padding_size_sum{execution_batch_size="4"} 0.0',
        'padding_size_sum{execution_batch_size="3"} 1.0',
        'queuing_latency_count{thread_pool_name="batch_threads"} 3.0',
    ):
        assert prefix + line in lines
    assert f"# TYPE {prefix}wrapped_run_count counter" in lines


def test_who_finds_the_queue_full_is_told_when_to_come_back(serve_half):
    options = BatchingOptions(
        max_batch_size=2,
        batch_timeout_micros=MINUTE,
        max_enqueued_batches=1,
        num_batch_threads=1,
    )
    server = serve_half(batching=options, grpc_port=0, retry_after_s=9)
    url = f"{server.url}/v1/models/half:predict"
    with ThreadPoolExecutor(1) as pool:
        waits = pool.submit(httpx.post, url, json={"inputs": [1.0]})
        until(lambda: server.service._batcher._waiting)
        body = {"signature_name": "total", "inputs": [1]}  # of another batch
        refused = httpx.post(url, json=body)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "9")
        request = predict_pb2.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = "half", "total"
        request.inputs["n"].CopyFrom(tf.make_tensor_proto(np.int32([1])))
        with grpc.insecure_channel(server.grpc_address) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            with pytest.raises(grpc.RpcError) as error:
                stub.Predict(request, timeout=30)
        assert error.value.code() == grpc.StatusCode.UNAVAILABLE
        assert ("retry-after", "9") in tuple(error.value.trailing_metadata())
        filled = httpx.post(url, json={"inputs": [3.0]})
        assert waits.result().json() == {"outputs": [2.5]}
        assert filled.json() == {"outputs": [3.5]}
