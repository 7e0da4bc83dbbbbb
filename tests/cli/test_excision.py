"""What `backup`, `restore` and `verify` say about excision."""

from __future__ import annotations

from asyncrestore import BackupReport, CacheStatistics, Excised, RestoreReport, VerifyReport
from asyncrestore.cli.commands import backup, restore, verify


def test_what_was_left_out_is_counted() -> None:
    cache = CacheStatistics(0, 0, 0, 0)
    excised, note = Excised(requests=2, left_out=1), "TARGET had everything up to source t 5 before"
    restored = RestoreReport(
        source="S",
        target="T",
        first_t=5,
        last_t=9,
        transactions=4,
        id_cache=cache,
        excised=excised,
        notes=[note],
    )
    verified = VerifyReport(checked="S", against="T", end=10, excised=excised, notes=[note])

    for text in (restore._text(restored), verify._text(verified)):
        assert "  excised       2 requests, not replayed; 1 assertion left out\n" in text
        assert text.endswith(f"\n  note: {note}")
    nothing = RestoreReport(source="S", target="T", first_t=5, last_t=9, transactions=4, id_cache=cache)
    assert "excised" not in restore._text(nothing)
    again = RestoreReport(source="S", target="T", first_t=9, last_t=9, id_cache=cache, notes=[note])
    assert restore._text(again).endswith(f"note: {note}")


def test_segments_of_before_a_request_are_named() -> None:
    note = "the source was asked to excise: 1 segment was written before that"
    report = BackupReport(source="S", name="n", store="/b", end=10, notes=[note])

    assert backup._text(report).endswith(f"\n  note: {note}")
