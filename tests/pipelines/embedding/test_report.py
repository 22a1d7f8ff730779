"""What an embedding run says of itself."""

from types import SimpleNamespace

from lookalike.embedding.report import EmbedSummary, count_lines, embed_report
from tests.support.small_stores import a_note

COUNTS = {"read": 1_004, "embedded": 1_000, "reused": 2, "rejected": 1, "duplicates": 1}


def summary(*notes, shards=3, counts=COUNTS) -> EmbedSummary:
    return EmbedSummary(SimpleNamespace(shards=(SimpleNamespace(name="x"),) * shards), notes, counts, 2.0)


def test_counts_add_up_in_one_line_with_the_reasons_below():
    lines = count_lines(COUNTS, [a_note(), a_note(reasons={"decode": 1_200})])
    assert lines == [
        "records      1,004 read = 1,000 embedded + 2 reused + 1 rejected + 1 duplicate",
        "rejects      1,201 at decode, 1 at duplicate",
    ]


def test_a_damaged_shard_is_named_with_its_reason():
    (_, _, line) = count_lines(COUNTS, [a_note(damaged="cut in record 2"), a_note(reasons={})])
    assert line == "DAMAGED      a.tar: cut in record 2"


def test_a_run_tells_its_speed_and_the_work_of_all_shards():
    text = embed_report(summary(a_note(), a_note()), "store/embeddings/e")
    assert "shards       2 embedded, 1 finished before" in text
    assert (
        "seconds      2.0 in all, 500 images/s; of work: read 1.0, decode 2.0, network 4.0, write 0.5" in text
    )
    assert text.endswith("embeddings   store/embeddings/e\nrejected     store/embeddings/e/rejects/")


def test_where_nothing_was_rejected_no_list_of_rejects_is_named():
    text = embed_report(summary(a_note(rejected=0, duplicates=0, reasons={})), "e")
    assert text.splitlines()[-1] == "embeddings   e"


def test_a_run_with_nothing_to_do_tells_only_that():
    assert embed_report(summary(), "e") == "shards       0 embedded, 3 finished before\nembeddings   e"
