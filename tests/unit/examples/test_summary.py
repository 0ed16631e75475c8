"""What the demo says at its end."""

from examples.demo.backend import Outcome, Tally
from examples.demo.corpus import Passage
from examples.demo.nearest import Neighbour
from examples.demo.service_page import ProviderCalls, parse_provider_calls
from examples.demo.summary import error_lines, proof_lines, result_lines

PASSAGE = Passage("tea", "All true tea comes from one shrub.")
METRICS = """
# TYPE openai_requests_total counter
openai_requests_total{model="small",status="ok"} 3.0
openai_requests_total{model="large",status="ok"} 1.0
# TYPE openai_batch_size histogram
openai_batch_size_bucket{model="small",le="+Inf"} 4.0
openai_batch_size_sum{model="small"} 320.0
openai_batch_size_count{model="small"} 4.0
# TYPE other gauge
other 9.0
"""


def test_results_tell_time_rate_and_counts() -> None:
    lines = list(result_lines(Tally(succeeded=30, failed=2), 4.0, ProviderCalls(4, 8.0)))
    assert lines[0].startswith("time         4.0 s")
    assert lines[1:] == [
        "throughput   8 tasks/s",
        "tasks        30 succeeded, 2 failed, 0 processing, 0 pending",
        "model calls  4, 8 texts each on average",
    ]


def test_model_calls_are_left_out_where_they_are_not_known() -> None:
    assert not any("model calls" in line for line in result_lines(Tally(succeeded=1), 1.0, None))


def test_calls_are_summed_over_models() -> None:
    assert parse_provider_calls(METRICS) == ProviderCalls(4, 80.0)


def test_metrics_without_calls_tell_nothing() -> None:
    assert parse_provider_calls("# TYPE other gauge\nother 9.0\n") is None


def test_equal_errors_are_counted_and_rare_ones_cut() -> None:
    errors = ["slow\nmodel", "slow model", "a", "b", "c", "d", None]
    outcomes = [Outcome(PASSAGE, None, error) for error in errors]
    assert list(error_lines(outcomes)) == [
        "2 failed: slow model",
        "1 failed: a",
        "1 failed: b",
        "... and 2 other errors",
        "",
    ]


def test_no_errors_need_no_lines() -> None:
    assert list(error_lines([Outcome(PASSAGE, [1.0], None)])) == []


def test_proof_names_question_cosine_subject_and_opening() -> None:
    lines = list(proof_lines({"What is tea?": [Neighbour(PASSAGE, 0.625)]}, compared=320))
    assert "320 stored vectors" in lines[0]
    assert '  "What is tea?"' in lines
    assert lines[-1].split() == ["0.62", "tea", *PASSAGE.wording.split()]
