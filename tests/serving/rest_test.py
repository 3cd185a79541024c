"""The REST contract (tf_serving_rest.md), on upstream's half_plus_two model."""

import gzip
import json
import urllib.parse

import pytest

from serving import rest
from serving.service import Service
from serving.versions import ModelStore

PREDICT = "/v1/models/half:predict"


@pytest.fixture(scope="module")
def service(tmp_path_factory, save_half_plus_two):
    models = tmp_path_factory.mktemp("half_plus_two")
    save_half_plus_two(models / "half" / "00000123")
    (models / "half" / "124.tmp").mkdir()  # no version: not a number
    (models / "half" / "notes").mkdir()
    (models / "empty").mkdir()  # no model: no version
    found = ModelStore(str(models))
    found.refresh()
    service = Service(found)
    yield service
    service.close()


def call(service, method, path, body="", **headers):
    data = body if isinstance(body, bytes) else body.encode()
    return rest.handle(service, rest.Request(method, path, headers, data))


def post(service, body, path=PREDICT, signature=None):
    if signature:
        body = {"signature_name": signature, **body}
    text = body if isinstance(body, (str, bytes)) else json.dumps(body)
    answer = call(service, "POST", path, text)
    return answer.status, json.loads(answer.body)


# --- answers --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ({"instances": [1.0, 2.0, 5.0]}, {"predictions": [2.5, 3.0, 4.5]}),
        ({"instances": [{"x": 1}, {"x": 2}]}, {"predictions": [2.5, 3.0]}),
        ({"inputs": [1.0, 2.0, 5.0]}, {"outputs": [2.5, 3.0, 4.5]}),
        ({"inputs": {"x": [1.0]}}, {"outputs": [2.5]}),
        ({"inputs": {"x": [1.0], "other": "ignored"}}, {"outputs": [2.5]}),
        # declared shapes bind nobody
        ({"instances": [[1.0, 2.0], [3.0, 4.0]]}, {"predictions": [[2.5, 3.0], [3.5, 4.0]]}),
        ({"inputs": 4.0}, {"outputs": 4.0}),
        ({"inputs": []}, {"outputs": []}),
        ({"signature_name": "", "other": None, "inputs": [1]}, {"outputs": [2.5]}),
        ('{"inputs": [1.0]} trailing', {"outputs": [2.5]}),
        ('{"inputs": [1.0], "inputs": [2.0]}', {"outputs": [2.5]}),  # the first wins
        ('{"inputs": [1435774380]}', {"outputs": [717887168.0]}),  # float32(x) / 2 + 2
        ('{"inputs": [1e300, -1e300, 1e-300]}', {"outputs": [float("inf"), -float("inf"), 2.0]}),
        ('{"inputs": [Infinity, -Infinity]}', {"outputs": [float("inf"), -float("inf")]}),
        ('{"inputs": [Inf, -Inf]}', {"outputs": [float("inf"), -float("inf")]}),
    ],
)  # fmt: skip
def test_half_plus_two(service, body, answer):
    assert post(service, body) == (200, answer)


def test_nan_goes_in_and_comes_out_as_a_bare_token(service):
    answer = call(service, "POST", PREDICT, '{"inputs": [NaN, 2]}')
    assert answer.status == 200
    assert b"NaN" in answer.body and b'"NaN"' not in answer.body


def test_whole_floats_keep_their_point_and_no_noise_digits_are_added(service):
    answer = call(service, "POST", PREDICT, '{"instances": [2, 0.4]}')
    assert b"3.0" in answer.body and b"2.2" in answer.body
    assert b"2.2000" not in answer.body


def test_several_outputs_are_objects_and_bytes_are_base64(service):
    rows = [{"count": 3, "text": "a\u00e9"}, {"count": 2**62, "text": {"b64": "YQ=="}}]
    status, answer = post(service, {"instances": rows}, signature="mixed")
    assert status == 200
    assert answer["predictions"] == [
        {"twice": 6, "raw_bytes": {"b64": "YcOp"}, "text": "a\u00e9"},
        {"twice": -(2**63), "raw_bytes": {"b64": "YQ=="}, "text": "a"},
    ]


def test_columns_need_no_common_dimension(service):
    body = {"inputs": {"count": [[1, 2], [3, 4]], "text": "one"}}
    status, answer = post(service, body, signature="mixed")
    assert status == 200
    assert answer["outputs"]["twice"] == [[2, 4], [6, 8]]
    assert answer["outputs"]["text"] == "one"


def test_bytes_that_are_no_text_pass_unchanged(service):
    raw = b'{"signature_name": "mixed", "inputs": {"count": [1], "text": ["\xff"]}}'
    answer = call(service, "POST", PREDICT, raw)
    assert answer.status == 200
    assert b'"text": ["\xff"]' in answer.body


def test_a_scalar_output_is_fine_by_column_only(service):
    assert post(service, {"inputs": [1, 2]}, signature="total") == (200, {"outputs": 3})
    status, answer = post(service, {"instances": [1, 2]}, signature="total")
    assert status == 400 and "no shape information" in answer["error"]


def test_so_is_a_scalar_string(service):
    answer = post(service, {"inputs": ["a", "b"]}, signature="joined")
    assert answer == (200, {"outputs": "ab"})
    status, answer = post(service, {"instances": ["a", "b"]}, signature="joined")
    assert status == 400 and "no shape information" in answer["error"]


def test_bools(service):
    answer = post(service, {"instances": [True, False]}, signature="inverted")
    assert answer == (200, {"predictions": [False, True]})


@pytest.mark.parametrize(
    "path",
    [
        "/V1/MODELS/half:predict",
        "/v1/models/half/versions/123:predict",
        "/v1/models/half/versions/000123:predict",
        "/v1/models/h%61lf:predict",
    ],
)
def test_ways_to_name_the_model(service, path):
    assert post(service, {"inputs": [1.0]}, path)[0] == 200


# --- refusals -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "fragment"),
    [
        ("", "JSON Parse error: The document is empty"),
        (" \n", "JSON Parse error: The document is empty"),
        ("{", "JSON Parse error: "),
        ("this is not json", "JSON Parse error: Invalid value"),
        ("[1]", "Is not object"),
        ('{"inputs": [1e400]}', "JSON Parse error"),
        ('{"inputs": [1' + "0" * 400 + "]}", "JSON Parse error"),
        ('{"inputs": [1' + "0" * 320 + ".0]}", "JSON Parse error"),
        ('{"inputs": [1' + "0" * 250 + "e99]}", "JSON Parse error"),
        ('{"inputs": [nan]}', "JSON Parse error"),
        ('{"inputs": [infinity]}', "JSON Parse error"),
        ("{}", "Missing 'inputs' or 'instances' key"),
        ({"instances": [1], "inputs": [1]}, "only one of"),
        ({"signature_name": 5, "inputs": [1]}, "key must be a string value"),
        ({"instances": 1}, "list"),
        ({"instances": []}, "No values in 'instances' array"),
        ({"instances": [1, {"x": 1}]}, "Expecting value/list but got object"),
        ({"instances": [{"x": 1}, 1]}, "Expecting object but got list"),
        ({"instances": [{"x": 1, "z": 1}]}, "must only have keys: x"),
        ({"instances": [{"z": 1}]}, "must only have keys: x"),
        ({"instances": [[1, 2], [1]]}, "Expecting tensor size: 2 but got: 1"),
        (
            {"instances": [[[1, 2]], [[1], [2]]]},
            "Expecting shape [1, 2] but got: [2, 1]",
        ),
        ({"instances": ["1"]}, "is not of expected type: float"),
        ({"instances": [None]}, "is not of expected type: float"),
        ({"instances": [True]}, "is not of expected type: float"),
        ({"instances": [{"b64": "YQ=="}]}, "is not of expected type: float"),
        ({"inputs": [[1, 2], [3]]}, "Encountered list at unexpected size"),
        ({"inputs": [[1], 2]}, "Encountered list at unexpected level"),
        ({"inputs": {"y": [1]}}, "Missing named input: x"),
    ],
)
def test_bad_bodies(service, body, fragment):
    status, answer = post(service, body)
    assert status == 400
    assert set(answer) == {"error"}
    assert fragment in answer["error"]


@pytest.mark.parametrize(
    ("count", "text", "fragment"),
    [
        ("[1.0]", '["a"]', "is not of expected type: int64"),
        ("[1e3]", '["a"]', "is not of expected type: int64"),
        ("[true]", '["a"]', "is not of expected type: int64"),
        ("[9223372036854775808]", '["a"]', "is not of expected type: int64"),
        ("[1]", "[1]", "is not of expected type: string"),
        ("[1]", "[null]", "is not of expected type: string"),
        ("[1]", '[{"b64": "&"}]', "Unable to base64 decode"),
        ("[1]", '[{"b64": "YQ==", "x": 1}]', "base64"),
    ],
)
def test_bad_values(service, count, text, fragment):
    body = (
        f'{{"signature_name": "mixed", "inputs": {{"count": {count}, "text": {text}}}}}'
    )
    status, answer = post(service, body)
    assert status == 400
    assert fragment in answer["error"]


def test_int32_is_a_token_within_its_range(service):
    assert post(service, {"inputs": [2**31 - 1]}, signature="total")[0] == 200
    for value in (2**31, -(2**31) - 1, 1.0):
        assert post(service, {"inputs": [value]}, signature="total")[0] == 400


def test_a_list_without_names_is_refused_for_several_inputs(service):
    for body in ({"inputs": [1]}, {"instances": [1]}):
        status, answer = post(service, body, signature="mixed")
        assert status == 400 and "as multiple input tensors" in answer["error"]


def test_half_precision_is_501_by_column_and_400_by_row(service):
    assert post(service, {"inputs": [1.0]}, signature="half")[0] == 501
    assert post(service, {"instances": [1.0]}, signature="half")[0] == 400


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "fragment"),
    [
        ("POST", "/v1/models/none:predict", '{"inputs": 1}', 404, "Servable not found for request: Latest(none)"),
        ("POST", "/v1/models/none:predict", "{}", 404, "Servable not found"),
        ("POST", "/v1/models/none:predict", "{", 400, "JSON Parse error"),
        ("POST", "/v1/models/HALF:predict", "{}", 404, "Latest(HALF)"),
        ("POST", "/v1/models/half/versions/9:predict", "{}", 404, "Specific(half, 9)"),
        ("POST", "/v1/models/half/labels/stable:predict", "{}", 400, "Unrecognized servable version label"),
        ("POST", PREDICT, '{"signature_name": "S"}', 400, 'Serving signature name: "S" not found in signature def'),
        ("GET", "/v1/models/none", "", 404, "Could not find any versions of model"),
        ("GET", "/v1/models/empty", "", 404, "Could not find any versions of model"),
        ("GET", "/v1/models/half/versions/9", "", 404, "Could not find version"),
        ("GET", "/v1/models/none/metadata", "", 404, "Servable not found"),
        ("GET", "/v1/models/half/labels/x/metadata", "", 400, "Unrecognized servable version label"),
        ("GET", "/v1/models", "", 400, "Missing model name"),
        ("GET", "/v1/models/half?k=v", "", 404, "half?k=v"),
        ("GET", "/v1/models/half/metadata?k=v", "", 400, "Malformed request"),
        ("POST", PREDICT + "?k=v", "{}", 400, "Malformed request"),
        ("POST", "/v1/models/half:PREDICT", "{}", 400, "Malformed request"),
        ("POST", "/v1/models/half:explain", "{}", 400, "Malformed request"),
        ("GET", PREDICT, "", 400, "Malformed request"),
        ("POST", "/v1/models/half", "", 400, "Malformed request"),
        ("POST", "/v1/models/half/metadata", "", 400, "Malformed request"),
        ("PUT", PREDICT, "{}", 400, "Malformed request"),
        ("DELETE", "/v1/models/half", "", 400, "Malformed request"),
        ("HEAD", "/v1/models/half", "", 400, "Malformed request"),
        ("GET", "/v1/models/half/", "", 400, "Malformed request"),
        ("GET", "/v1/models/half/version/123", "", 400, "Malformed request"),
        ("GET", "/v1/models/half/versions/x", "", 400, "Malformed request"),
        ("GET", "/v1/models/half/versions/1/labels/x", "", 400, "Malformed request"),
        ("GET", "/v1/", "", 400, "Malformed request"),
        ("POST", "/v1/models/half:classify", "{", 400, "JSON Parse error"),
        ("POST", "/v1/models/none:regress", "{}", 400, "'examples'"),
        ("POST", "/v1/models/none:regress", '{"examples": [{"x": 1}]}', 404, "Latest(none)"),
        ("POST", "/v1/models/half:regress", '{"examples": [{"x": 1}]}', 400, "'inputs'"),
    ],
)  # fmt: skip
def test_routes(service, method, path, body, status, fragment):
    answer = call(service, method, path, body)
    assert (answer.status, answer.content_type) == (status, "application/json")
    message = json.loads(answer.body)
    assert set(message) == {"error"}
    assert fragment in message["error"]


@pytest.mark.parametrize("path", ["/v1", "/", "/v2/models/half", "/monitoring"])
def test_other_paths_get_a_page_and_no_json(service, path):
    answer = call(service, "GET", path)
    assert (answer.status, answer.content_type) == (404, "text/html")


def test_a_version_beyond_int64_has_no_body(service):
    answer = call(service, "GET", f"/v1/models/half/versions/{2**63}")
    assert (answer.status, answer.body) == (400, b"")


def test_options(service):
    assert call(service, "OPTIONS", PREDICT, origin="https://a.b").status == 200
    refused = call(service, "OPTIONS", PREDICT)
    assert (refused.status, refused.body) == (400, b"")


def test_gzip_requests_are_inflated_and_corrupt_ones_are_empty(service):
    packed = gzip.compress(b'{"inputs": [1.0]}')
    headers = {"content-encoding": "gzip"}
    answer = rest.handle(service, rest.Request("POST", PREDICT, headers, packed))
    assert json.loads(answer.body) == {"outputs": [2.5]}
    for corrupt in (packed[:-9], b"no gzip", packed[:4] + b"\0" * 20):
        answer = rest.handle(service, rest.Request("POST", PREDICT, headers, corrupt))
        assert answer.status == 400
        assert b"The document is empty" in answer.body


# --- status and metadata --------------------------------------------------------------


@pytest.mark.parametrize("path", ["", "/versions/123", "/labels/unknown"])
def test_status(service, path):
    answer = call(service, "GET", f"/v1/models/half{path}")
    assert json.loads(answer.body) == {
        "model_version_status": [
            {
                "version": "123",
                "state": "AVAILABLE",
                "status": {"error_code": "OK", "error_message": ""},
            }
        ]
    }


def test_metadata(service):
    path = f"/v1/models/{urllib.parse.quote('half')}/metadata"
    found = json.loads(call(service, "GET", path).body)
    assert found["model_spec"] == {
        "name": "half",
        "signature_name": "",
        "version": "123",
    }
    signatures = found["metadata"]["signature_def"]["signature_def"]
    assert {"serving_default", "mixed", "__saved_model_init_op"} <= set(signatures)
    default = signatures["serving_default"]
    assert default["method_name"] == "tensorflow/serving/predict"
    assert default["inputs"]["x"] == {
        "dtype": "DT_FLOAT",
        "tensor_shape": {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False},
        "name": "serving_default_x:0",
    }
