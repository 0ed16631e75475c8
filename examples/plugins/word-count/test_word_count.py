from word_count import WordCountProcessor

from workers.testing import ProcessorKit

kit = ProcessorKit(WordCountProcessor)


def test_it_does_its_work() -> None:
    assert kit.run({"text": "one two\nthree"}) == {"characters": 13, "words": 3, "lines": 2}


def test_an_input_that_is_wrong_is_refused_in_words() -> None:
    assert kit.refusal({}) == 'input: "text" is missing'


def test_it_keeps_the_contract() -> None:
    kit.check({"text": "one"}, "a bare string")


def test_no_input_breaks_it() -> None:
    kit.fuzz({"text": "one"})
