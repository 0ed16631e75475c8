"""The demo's texts are real, distinct and enough."""

from collections import Counter
from pathlib import Path

from examples.demo.corpus import Passage, first_passages, load_corpus

SUBJECTS = 20
A_SUBJECT = 16


def test_corpus_has_twenty_subjects_of_at_least_sixteen_passages() -> None:
    counts = Counter(passage.subject for passage in load_corpus())
    assert len(counts) == SUBJECTS
    assert min(counts.values()) >= A_SUBJECT


def test_no_wording_appears_twice() -> None:
    wordings = [passage.wording.casefold() for passage in load_corpus()]
    assert len(wordings) >= SUBJECTS * A_SUBJECT
    assert len(set(wordings)) == len(wordings)


def test_no_sentence_appears_twice() -> None:
    sentences = Counter(part for passage in load_corpus() for part in passage.wording.split(". "))
    assert [sentence for sentence, count in sentences.items() if count > 1] == []


def test_passages_are_paragraphs_and_share_few_words_with_one_another() -> None:
    words = [set(passage.wording.casefold().split()) for passage in load_corpus()]
    lengths = [len(passage.wording.split()) for passage in load_corpus()]
    assert min(lengths) >= 25
    assert max(lengths) <= 90
    alike = max(
        len(one & other) / len(one | other) for place, one in enumerate(words) for other in words[:place]
    )
    assert alike < 0.3  # a template with swapped words would share most of them


def test_any_beginning_of_the_corpus_has_every_subject() -> None:
    assert len({passage.subject for passage in first_passages(SUBJECTS)}) == SUBJECTS


def test_more_tasks_than_passages_still_have_texts_of_their_own() -> None:
    corpus = load_corpus()
    passages = first_passages(2 * len(corpus) + 5)
    assert len({passage.text for passage in passages}) == len(passages)
    assert passages[len(corpus)] == Passage(corpus[0].subject, corpus[0].wording, copy=2)
    assert passages[len(corpus)].text == f"No. 2. {corpus[0].wording}"


def test_a_subject_file_is_split_at_blank_lines_and_unwrapped(tmp_path: Path) -> None:
    (tmp_path / "hot_air.txt").write_text("One line\nand the next.\n\n\nAnother passage.\n", encoding="utf-8")
    (tmp_path / "cold_air.txt").write_text("Only one.\n", encoding="utf-8")
    assert load_corpus(tmp_path) == (
        Passage("cold air", "Only one."),
        Passage("hot air", "One line and the next."),
        Passage("hot air", "Another passage."),
    )
