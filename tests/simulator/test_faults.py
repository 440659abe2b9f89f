import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorouter.simulator.codec import DEFAULT_CHUNKING
from autorouter.simulator.faults.bodies import COMMENT, HUGE_BYTES, ResponseBody
from autorouter.simulator.faults.catalog import FAULTS, TOLERATED
from autorouter.simulator.faults.spec import ALIASES, FAMILIES, fault_by_name, parse_faults

JSON_EVENTS = [b"data: " + orjson.dumps({"n": n, "text": "schön 漢字"}) + b"\n\n" for n in range(5)]
EVENTS = (*JSON_EVENTS, b"data: [DONE]\n\n")
STREAM = ResponseBody(pieces=EVENTS, stream=True, error=b'data: {"error":{}}\n\n')
WHOLE = ResponseBody(pieces=(orjson.dumps({"text": "schön", "choices": []}),), stream=False, error=b'{"error":{}}')


def reshaped(name, flow):
    return FAULTS[name].transform_body(flow)


def name_at(spec, attempt, candidate="a"):
    fault = parse_faults(spec).fault_for(attempt, candidate)
    return fault and fault.name


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("500", ["500", None, None]),
        ("500*2", ["500", "500", None]),
        ("cut-stream*all", ["cut-stream"] * 3),
        ("429-no-header,500*2", ["429-no-header", "500", None]),
        (" 503 , reset*all ", ["503", "reset", "reset"]),
    ],
)
def test_a_spec_says_which_attempts_fail(spec, expected):
    assert [name_at(spec, attempt) for attempt in (1, 2, 3)] == expected


def test_a_candidates_fault_hits_it_at_any_attempt_and_no_other():
    assert [name_at("503@openai/x:free", n, "openai/x:free") for n in (1, 2, 3)] == ["503"] * 3
    assert name_at("503@openai/x", 1, "openai/y") is None
    assert [name_at("503*1@x", n, "x") for n in (1, 2)] == ["503", None]
    assert name_at("503@x,500*all", 2, "y") == "500"


def test_a_fault_can_be_aimed_at_a_role():
    spec = parse_faults("half-json@judge,503*1@verifier")
    assert [spec.fault_for(n, "a", "judge").name for n in (1, 2)] == ["half-json", "half-json"]
    assert spec.fault_for(1, "a", "verifier").name == "503"
    assert spec.fault_for(2, "a", "verifier") is None
    assert spec.fault_for(1, "a") is None


def test_one_fault_of_the_content_and_one_of_its_way_go_together():
    both = parse_faults("crlf,empty,503").fault_for(1, "a")
    assert both.transform_body is FAULTS["crlf"].transform_body
    assert both.answer_override is FAULTS["empty"].answer_override
    assert both.error_response is None


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("429-retry-aftr", "`429-retry-after`"),
        ("cutstream", "`cut-stream`"),
        ("utf8", "`split-utf8`"),
        ("", "known: "),
        ("500,", "unknown fault ``"),
        ("500*0", "at least 1"),
        ("500*-1", "at least 1"),
        ("500*", "at least 1"),
        ("500@", "a candidate's id is missing"),
    ],
)
def test_a_wrong_spec_is_refused_with_the_nearest_names(spec, words):
    with pytest.raises(ValueError, match="fault") as caught:
        parse_faults(spec)
    assert words in str(caught.value)


@given(st.text(max_size=30))
def test_any_text_is_a_spec_or_a_value_error(text):
    try:
        spec = parse_faults(text)
    except ValueError:
        return
    assert spec.rules


def test_every_fault_says_one_thing_that_happens():
    for name, fault in FAULTS.items():
        said = [
            fault.error_response,
            fault.connection_failure,
            fault.first_byte_delay_s,
            fault.event_delay_s,
            fault.served_model,
            fault.usage_factor != 1,
        ]
        said += [
            fault.ignores_stream,
            fault.argument_chunking != DEFAULT_CHUNKING,
            fault.transform_body,
            fault.answer_override,
        ]
        assert sum(map(bool, said)) == (2 if name == "half-json" else 1), name
        assert fault.name == name
        assert fault.summary
        assert fault.advice
        assert fault_by_name(name) is fault
        assert "\n" not in fault.summary
    assert set(FAULTS) > TOLERATED


@pytest.mark.parametrize("count", [4, 5, 6, 40])
@pytest.mark.parametrize("name", ["stall", "cut-stream", "clean-eof", "error-event"])
def test_broken_streams_begin_well_and_never_reach_their_finish(name, count):
    flow = ResponseBody(pieces=tuple(b"data: %d\n\n" % n for n in range(count)), stream=True, error=b"data: error\n\n")
    kept = [piece for piece in reshaped(name, flow).pieces if piece != flow.error]
    assert 1 <= len(kept) <= count - 2
    assert tuple(kept) == flow.pieces[: len(kept)]


def test_how_broken_answers_end():
    endings = {name: reshaped(name, STREAM).ending for name in ("stall", "cut-stream", "clean-eof", "half-body")}
    assert endings == {"stall": "timeout", "cut-stream": "cut", "clean-eof": None, "half-body": None}
    assert reshaped("error-event", STREAM).pieces[-1] == STREAM.error
    assert reshaped("error-event", WHOLE).pieces == (WHOLE.error,)


@pytest.mark.parametrize("name", ["stall", "cut-stream", "clean-eof", "half-body", "malformed-chunk"])
def test_broken_whole_answers_are_no_json(name):
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(b"".join(reshaped(name, WHOLE).pieces))


def test_a_malformed_chunk_is_one_event_among_good_ones():
    pieces = reshaped("malformed-chunk", STREAM).pieces
    broken = [index for index, (a, b) in enumerate(zip(pieces, EVENTS, strict=True)) if a != b]
    assert len(broken) == 1
    piece = pieces[broken[0]]
    assert piece.endswith(b"\n\n")
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(piece.removeprefix(b"data: "))


def test_split_pieces_join_to_the_answer_and_cut_characters():
    pieces = reshaped("split-utf8", STREAM).pieces
    assert b"".join(pieces).endswith(b"".join(EVENTS))
    assert sum(1 for piece in pieces if piece[0] & 0xC0 == 0x80) > 10
    assert b"".join(reshaped("split-utf8", WHOLE).pieces) == WHOLE.pieces[0]


def test_legal_oddities_keep_the_content():
    assert b"".join(reshaped("crlf", STREAM).pieces).replace(b"\r\n", b"\n") == b"".join(EVENTS)
    assert b"".join(reshaped("comments", STREAM).pieces).replace(COMMENT, b"") == b"".join(EVENTS)
    assert reshaped("comments", WHOLE) == WHOLE
    for flow in (STREAM, WHOLE):
        first = orjson.loads(reshaped("huge-line", flow).pieces[0].removeprefix(b"data: "))
        assert len(first.pop("padding")) == HUGE_BYTES
        assert first == orjson.loads(flow.pieces[0].removeprefix(b"data: "))


def test_other_names_lead_to_faults_and_are_none_themselves():
    assert {fault_by_name(name).name for name in ALIASES} <= set(FAULTS)
    assert not set(ALIASES) & set(FAULTS)
    assert fault_by_name("404-model") is FAULTS["404"]


def test_names_with_a_number():
    for family in FAMILIES:
        fault = fault_by_name(family.example)
        assert fault.name == family.example
        assert fault.advice == FAULTS[family.base_fault].advice
    assert fault_by_name("429-retry-after-30").error_response.headers == {"retry-after": "30"}
    assert fault_by_name("slow-first-byte-0.5").first_byte_delay_s == 0.5
    assert fault_by_name("slow-stream-0.2").event_delay_s == 0.2
    for bad in ("stall-after-0", "stall-after-x", "cut-after--1", "stall-after", "slow-stream-"):
        assert fault_by_name(bad) is None


@pytest.mark.parametrize(("number", "kept"), [(1, 1), (3, 3), (5, 5), (6, 5), (99, 5)])
def test_a_stream_breaks_behind_its_nth_event_and_never_behind_its_last(number, kept):
    for kind, ending in (("stall", "timeout"), ("cut", "cut")):
        flow = fault_by_name(f"{kind}-after-{number}").transform_body(STREAM)
        assert (flow.pieces, flow.ending) == (EVENTS[:kept], ending)


@pytest.mark.parametrize("flow", [STREAM, WHOLE], ids=["stream", "whole"])
def test_an_answer_breaks_behind_its_nth_byte(flow):
    whole = b"".join(flow.pieces)
    for number in (1, 10, 10_000):
        assert (
            b"".join(fault_by_name(f"cut-after-{number}b").transform_body(flow).pieces)
            == whole[: min(number, len(whole) - 1)]
        )
