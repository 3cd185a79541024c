"""The REST contract (tf_serving_rest.md) through HTTP, on toy models."""

import gzip
import http.client
import json
import urllib.parse

import pytest

from serving.options import ServerOptions
from serving.server.rest import Reply
from serving.server.service import Service
from tests.serving.http_service import running

PREDICT = "/v1/models/half:predict"
KINDS = "/v1/models/kinds:predict"


@pytest.fixture(scope="module")
def service(contract_store):
    service = Service(contract_store, ServerOptions(grpc_port=None))
    with running(service) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.address[1])
        yield connection
        connection.close()
    service.close()


def call(connection, method, path, body="", **headers):
    data = body if isinstance(body, bytes) else body.encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, data, named)
    answer = connection.getresponse()
    return Reply(answer.status, answer.read(), answer.headers["content-type"])


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


# --- types, shapes and names ----------------------------------------------------------


@pytest.mark.parametrize(
    ("signature", "body", "answer"),
    [
        ("same_float64", '{"inputs": [0.1, 1e-300, 1e300]}', '[0.1, 1e-300, 1e+300]'),
        ("same_float64", '{"inputs": 2}', "2.0"),
        ("same_float32", '{"inputs": [9000000, 0.1, 16777217]}', "[9e+06, 0.1, 16777216.0]"),
        ("same_int8", '{"inputs": [-128, 127]}', "[-128, 127]"),
        ("same_int16", '{"inputs": [[-32768], [32767]]}', "[[-32768], [32767]]"),
        ("same_uint8", '{"inputs": [0, 255]}', "[0, 255]"),
        ("same_int64", '{"inputs": [-9223372036854775808]}', "[-9223372036854775808]"),
        ("same_uint32", '{"inputs": [4294967295]}', "[4294967295]"),
        ("same_uint64", '{"inputs": [18446744073709551615]}', "[18446744073709551615]"),
        ("same_bool", '{"inputs": [[true], [false]]}', "[[true], [false]]"),
        ("same_string", '{"inputs": ["", "a\\"b", {"b64": "AP8="}]}', '["", "a\\"b", "\\u0000\xff"]'),
        ("same_string", '{"inputs": {"b64": "YQ=="}}', '"a"'),
        ("same_string", '{"inputs": {"x": {"b64": "YQ=="}}}', '"a"'),
        ("number_bytes", '{"inputs": [5]}', "[5]"),  # a number, whatever its name
        ("scalar", '{"inputs": 3}', "3"),
        ("fewer", '{"inputs": []}', "[]"),
    ],
)  # fmt: skip
def test_each_type_by_column(service, signature, body, answer):
    text = f'{{"signature_name": "{signature}", {body[1:]}'.encode("latin-1")
    found = call(service, "POST", KINDS, text)
    wanted = f'{{"outputs": {answer}}}'.encode("latin-1")
    assert (found.status, _spaceless(found.body)) == (200, _spaceless(wanted))


def _spaceless(text: bytes) -> bytes:
    return b"".join(text.split())


@pytest.mark.parametrize(
    ("signature", "rows", "answer"),
    [
        ("same_string", ["a", {"b64": "YQ=="}], ["a", "a"]),  # a value, no named input
        ("same_string", [{"b64": "YQ=="}, {"b64": "Yg=="}], ["a", "b"]),
        ("same_string", [{"x": {"b64": "YQ=="}}], ["a"]),
        ("same_uint64", [[2**64 - 1], [0]], [[2**64 - 1], [0]]),
        ("fewer", [1.0, 2.0, 3.0], [1.0]),  # nobody counts the rows of an answer
        (
            "pair",  # each input has a slice shape of its own
            [{"x": [[1, 2]], "text": "a"}, {"text": "b", "x": [[3, 4]]}],
            [{"x": [[1.0, 2.0]], "text": "a"}, {"x": [[3.0, 4.0]], "text": "b"}],
        ),
    ],
)
def test_rows(service, signature, rows, answer):
    found = post(service, {"instances": rows}, KINDS, signature)
    assert found == (200, {"predictions": answer})


@pytest.mark.parametrize(
    ("signature", "body", "status", "fragment"),
    [
        ("pair", {"instances": [{"x": 1}]}, 400, "text"),
        ("pair", {"instances": [{"x": 1, "text": "a", "z": 1}]}, 400, "must only have keys"),
        ("pair", {"inputs": {"x": [1]}}, 400, "Missing named input: text"),
        ("pair", {"inputs": "a"}, 400, "as multiple input tensors"),
        ("scalar", {"instances": [3]}, 400, "expected shape []"),  # rank 0 cannot be a row
        ("product", {"inputs": {"a": [[1.0]], "b": [[1.0], [2.0]]}}, 400, "Matrix size-incompatible"),
        ("uneven", {"instances": [1, 2]}, 400, "inconsistent batch size: "),
        ("halves", {"inputs": [1.0]}, 400, "float16"),
        ("halves", {"instances": [1.0]}, 400, "float16"),
        ("same_bfloat16", {"inputs": [1.0]}, 501, "bfloat16"),
        ("same_complex64", {"inputs": [1.0]}, 501, "complex64"),
        ("same_complex64", {"instances": [1.0]}, 400, "complex64"),
        ("same_uint32", {"inputs": [-1]}, 400, "is not of expected type: uint32"),
        ("same_uint32", {"inputs": [2**32]}, 400, "is not of expected type: uint32"),
        ("same_uint64", {"inputs": [-1]}, 400, "is not of expected type: uint64"),
        ("same_int8", {"inputs": [2**31]}, 400, "is not of expected type: int8"),
        ("same_int8", {"inputs": [True]}, 400, "is not of expected type: int8"),
        ("same_float64", {"inputs": ["1"]}, 400, "is not of expected type: float64"),
        ("same_float64", {"inputs": [{"b64": "YQ=="}]}, 400, "is not of expected type"),
        ("same_bool", {"inputs": [1]}, 400, "is not of expected type: bool"),
        ("same_bool", {"inputs": ["true"]}, 400, "is not of expected type: bool"),
        ("same_string", {"inputs": [{"b64": 1}]}, 400, "base64"),
        ("same_string", {"inputs": [[None]]}, 400, "is not of expected type: string"),
        ("same_string", {"inputs": [[["a"]], [["a", "b"]]]}, 400, "at unexpected size"),
    ],
)  # fmt: skip
def test_refused_types_shapes_and_names(service, signature, body, status, fragment):
    found, answer = post(service, body, KINDS, signature)
    assert found == status
    assert set(answer) == {"error"}
    assert fragment in answer["error"]


def test_columns_of_an_answer_need_no_common_dimension(service):
    found = post(service, {"inputs": [1, 2]}, KINDS, "uneven")
    assert found == (200, {"outputs": {"first": [1.0], "all": [1.0, 2.0]}})


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
        ({"signature_name": None, "inputs": [1]}, "key must be a string value"),
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
        ("POST", "/v1/models/half/labels/other:predict", "{}", 400, "Unrecognized servable version label: other"),
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
        ("PATCH", "/v1/models/half", "", 400, "Malformed request"),
        ("PUT", "/v1/models/half/metadata", "", 400, "Malformed request"),
        ("GET", "/v1/models/half/label/x", "", 400, "Malformed request"),
        ("GET", "/v1/models/half/versions/-1", "", 400, "Malformed request"),
        ("GET", "/v1/models/half/versions/", "", 400, "Malformed request"),
        ("GET", "/v1/models/half/versions/1/", "", 400, "Malformed request"),
        ("GET", "/v1/models/a/b", "", 400, "Malformed request"),
        ("GET", "/v1/models/", "", 400, "Malformed request"),
        ("POST", "/v1/models:predict", "{}", 400, "Missing model name"),
        ("POST", "/v1/models/half/versions/1/labels/x:predict", "{}", 400, "Malformed request"),
        ("POST", "/v1/models/half/version/1:predict", "{}", 400, "Malformed request"),
        ("POST", "/v1/models/half/metadata:predict", "{}", 400, "Malformed request"),
        ("POST", "/v1/models/none/labels/stable:predict", "{}", 400, "Unrecognized servable version label: stable"),
        ("POST", "/v1/models/half/labels/gone:predict", "{}", 404, "Specific(half, 9)"),
        ("POST", "/v1/models/none:predict", '{"signature_name": 5}', 400, "key must be a string value"),
        ("POST", "/v1/models/x:predict", '{"signature_name": "S", "inputs": 1, "instances": 1}', 400, "not found in signature def"),
        ("GET", "/v1/models/half/versions/9/metadata", "", 404, "Specific(half, 9)"),
        ("GET", "/v1/models/a%2Fb%3Ac", "", 404, "a/b:c"),
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


@pytest.mark.parametrize("digits", [str(2**63), "1" * 5000])
def test_a_version_beyond_int64_has_no_body(service, digits):
    for method, end in (("GET", ""), ("GET", "/metadata"), ("POST", ":predict")):
        path = f"/v1/models/half/versions/{digits}{end}"
        answer = call(service, method, path)
        assert (answer.status, answer.body) == (400, b"")


def test_leading_zeros_make_no_version_large(service):
    path = f"/v1/models/half/versions/{'0' * 5000}123"
    assert call(service, "GET", path).status == 200


def test_a_head_request_is_refused_without_a_body(service):
    answer = call(service, "HEAD", "/v1/models/half")
    assert (answer.status, answer.body) == (400, b"")


def test_errors_are_printed_as_upstream_does(service):
    body = call(service, "GET", "/v1/models").body.decode()
    assert body.startswith("{\n") and body.endswith("\n}")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-protobuf", ""])
def test_nobody_looks_at_the_content_type(service, kind):
    answer = call(service, "POST", PREDICT, '{"inputs": 1}', content_type=kind)
    assert answer.status == 200


def test_answers_are_never_compressed(service):
    answer = call(service, "POST", PREDICT, '{"inputs": 1}', accept_encoding="gzip")
    assert json.loads(answer.body) == {"outputs": 2.5}


def test_options(service):
    assert call(service, "OPTIONS", PREDICT, origin="https://a.b").status == 200
    refused = call(service, "OPTIONS", PREDICT)
    assert (refused.status, refused.body) == (400, b"")


def test_gzip_requests_are_inflated_and_corrupt_ones_are_empty(service):
    packed = gzip.compress(b'{"inputs": [1.0]}')
    headers = {"content_encoding": "gzip"}
    answer = call(service, "POST", PREDICT, packed, **headers)
    assert json.loads(answer.body) == {"outputs": [2.5]}
    for corrupt in (packed[:-9], b"no gzip", packed[:4] + b"\0" * 20):
        answer = call(service, "POST", PREDICT, corrupt, **headers)
        assert answer.status == 400
        assert b"The document is empty" in answer.body


# --- classify and regress -------------------------------------------------------------

TWO = [{"x": 0.25}, {"x": [0.75]}]


def examples(service, verb, signature, rows, version=""):
    body = {"signature_name": signature, "examples": rows}
    path = f"/v1/models/x{version}:{verb}"
    answer = call(service, "POST", path, json.dumps(body))
    return answer.status, json.loads(answer.body)


@pytest.mark.parametrize(
    ("signature", "results"),
    [
        ("both", [[["lo\u00e9", 0.75], ["high", 0.25]], [["lo\u00e9", 0.25], ["high", 0.75]]]),
        ("scores_only", [[["", 0.25]], [["", 0.75]]]),
        ("classes_only", [[["0.25", 0.0]], [["0.75", 0.0]]]),
    ],
)  # fmt: skip
def test_classify(service, signature, results):
    found = examples(service, "classify", signature, TWO)
    assert found == (200, {"results": results})


@pytest.mark.parametrize("signature", ["value", "column", ""])
def test_regress(service, signature):
    found = examples(service, "regress", signature, TWO)
    assert found == (200, {"results": [20.25, 20.75]})


def test_numbers_of_results_keep_their_point_and_may_be_infinite(service):
    body = b'{"examples": [{"x": 1.0}, {"x": Infinity}, {"x": NaN}]}'
    answer = call(service, "POST", "/v1/models/x:regress", body)
    assert (answer.status, answer.body) == (200, b'{"results": [21.0, Infinity, NaN]}')


def test_context_is_added_to_each_example(service):
    body = {"context": {"x": 0.5}, "examples": [{}, {"x": 0.25}]}
    answer = call(service, "POST", "/v1/models/x:regress", json.dumps(body))
    assert json.loads(answer.body) == {"results": [20.5, 20.25]}


@pytest.mark.parametrize(
    ("verb", "signature", "rows", "fragment"),
    [
        ("classify", "value", TWO, "for classification"),
        ("regress", "both", TWO, "for regression"),
        ("classify", "flat_scores", TWO, "Expected Tensor shape: [2 num_classes]"),
        ("classify", "whole_scores", TWO, "Expected scores Tensor of DT_FLOAT"),
        ("regress", "pair", TWO, "Expected Tensor shape: [2] or [2, 1]"),
        ("regress", "rows_lost", TWO, "Expected Tensor shape: [2] or [2, 1]"),
        ("regress", "none", TWO, 'Serving signature name: "none" not found'),
        ("regress", "", 1, "'examples'"),
        ("regress", "", [], "'examples'"),
        ("regress", "", [1], "expected an object"),
        ("regress", "", [{"x": [1, 1.5]}], "values of one kind"),
        ("regress", "", [{"x": 1}], "Data types don't match"),  # an int64 feature
        ("classify", 5, TWO, "key must be a string value"),
        ("classify", "both", [], "'examples'"),
        ("regress", "", [{"x": None}], "must be a number"),
        ("regress", "", [{"x": [[1.0]]}], "must be a number"),
        ("regress", "", [{"x": {"y": 1.0}}], "must be a number"),
        ("regress", "", [{"x": 2**63}], "does not fit into int64"),
        ("regress", "", [{"x": True}], "Data types don't match"),  # an int64 feature
        ("regress", "", [{"x": {"b64": "YQ=="}}], "Data types don't match"),
        ("regress", "", [{"x": {"b64": "&"}}], "Unable to base64 decode"),
    ],
)
def test_refused_examples(service, verb, signature, rows, fragment):
    status, answer = examples(service, verb, signature, rows)
    assert status == 400
    assert fragment in answer["error"]


# --- versions and labels --------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "value"),
    [
        ("", 20.5),  # the highest that is loaded
        ("/versions/1", 10.5),
        ("/versions/2", 20.5),
        ("/labels/stable", 10.5),
        ("/labels/canary", 20.5),
        ("/labels/%73table", 10.5),
    ],
)
def test_versions_and_labels(service, version, value):
    found = examples(service, "regress", "", [{"x": 0.5}], version)
    assert found == (200, {"results": [value]})


@pytest.mark.parametrize(("of", "version"), [("", 2), ("/labels/stable", 1)])
def test_metadata_tells_the_version(service, of, version):
    found = json.loads(call(service, "GET", f"/v1/models/x{of}/metadata").body)
    assert found["model_spec"]["version"] == str(version)


def test_the_status_has_every_version_the_highest_first(service):
    answer = call(service, "GET", "/v1/models/x/labels/any")
    found = json.loads(answer.body)["model_version_status"]
    assert [(s["version"], s["state"]) for s in found] == [
        ("3", "END"),
        ("2", "AVAILABLE"),
        ("1", "AVAILABLE"),
    ]
    assert found[0]["status"]["error_code"] == "UNKNOWN"
    assert "is no SavedModel" in found[0]["status"]["error_message"]
    assert found[1]["status"] == {"error_code": "OK", "error_message": ""}


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
