"""The programs of docs/format.md read backups as the library does, and its tables are those of the code."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from asyncrestore.history.catalog import StoredSegment, find_backup, list_backup
from asyncrestore.model.log import LogChunk, t_to_tx
from asyncrestore.model.schema import snapshot_digest
from asyncrestore.model.values import KINDS, NUMERIC_KINDS, double_from_bits, float_from_bits
from asyncrestore.segments import arrow
from asyncrestore.segments.document import _FIELDS, SegmentRange
from asyncrestore.segments.lineage import digest_of
from asyncrestore.segments.segment import Segment
from asyncrestore.stores.base import folder_of
from asyncrestore.stores.encrypted import encrypted
from asyncrestore.stores.filesystem import FilesystemStore
from asyncrestore.stores.memory import MemoryStore
from asyncrestore.stores.signed import SigningKey
from tests.docs.test_readme import table
from tests.support import forged

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncrestore.model.log import Transaction
    from asyncrestore.stores.encrypted import Encryption

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/format.md").read_text()
PROGRAMS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
DATA = ROOT / "tests/data"
KEY = bytes(range(32))
OBJECT = "0000000000007-0000000000009.parquet"
SEGMENT = (DATA / "format-2" / "shop" / OBJECT).read_bytes()
SOUND = forged.sound()


def function(name: str) -> Callable[..., Any]:
    """A function of the page."""
    (program,) = [each for each in PROGRAMS if f"def {name}(" in each]
    names: dict[str, Any] = {}
    exec(program, names)  # noqa: S102 - what is tested is the page's text
    found: Callable[..., Any] = names[name]
    return found


def read(folder: Path) -> list[dict[str, Any]]:
    """What the page's reader prints of a backup."""
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as printed:
        patch.setattr(sys, "argv", ["read.py", str(folder)])
        exec(PROGRAMS[0], {})  # noqa: S102 - what is tested is the page's text
    return [json.loads(line) for line in printed.getvalue().splitlines()]


def value_of(kind: str, raw: Any) -> Any:
    """A raw value as the reader prints it."""
    of_kind: dict[str, Callable[[Any], Any]] = {
        "b": bool, "d": double_from_bits, "f": float_from_bits, "t": json.dumps
    }  # fmt: skip
    return of_kind.get(kind, lambda same: same)(raw)


def shown(transaction: Transaction) -> dict[str, Any]:
    """A transaction as the reader prints it, without idents."""
    rows = [[e, a, KINDS[kind], value_of(kind, raw), added] for e, a, kind, raw, added in transaction.datoms]
    return {"t": transaction.t, "datoms": rows}


async def read_by_the_library(folder: Path) -> list[dict[str, Any]]:
    backup = await find_backup(FilesystemStore(folder.parent), folder.name)
    found: dict[int, dict[str, Any]] = {}
    for stored in backup.chain():
        for chunk in (await backup.read(stored)).chunks():
            for transaction in chunk.transactions():
                found.setdefault(transaction.t, shown(transaction))
    return list(found.values())


def without_idents(transactions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**each, "datoms": [[*d[:2], *d[3:]] for d in each["datoms"]]} for each in transactions]


def written(folder: Path, objects: dict[str, bytes]) -> Path:
    """A backup of these objects."""
    folder.mkdir()
    for key, data in objects.items():
        (folder / key).write_bytes(data)
    return folder


def objects_of(folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (DATA / folder / "shop").iterdir()}


@pytest.mark.parametrize("folder", ["format-1", "format-2"])
async def test_the_reader_reads_what_the_library_reads(folder: str) -> None:
    place = DATA / folder / "shop"
    transactions = read(place)
    assert [each["t"] for each in transactions] == list(range(14))
    assert without_idents(transactions) == await read_by_the_library(place)
    names = Segment((place / OBJECT).read_bytes()).table().column("attribute").to_pylist()
    assert [d[2] for each in transactions[7:9] for d in each["datoms"]] == names


async def test_the_reader_reads_values_of_all_types(tmp_path: Path) -> None:
    place = written(tmp_path / "shop", {forged.RANGE.key: SOUND})
    transactions = without_idents(read(place))
    assert str(transactions) == str(await read_by_the_library(place)), "as text: NaN is not equal to itself"
    types = {d[2] for each in transactions for d in each["datoms"]}
    assert types == set(KINDS.values()) - {"fn"}


async def test_the_reader_chooses_segments_as_the_library_does(tmp_path: Path) -> None:
    """Of t 7 and 8 a damaged segment is put aside, and another one is of a later generation."""
    whole = objects_of("format-2")
    ninth = "0000000000009-0000000000010.parquet"
    again = OBJECT.replace(".parquet", ".1.parquet")
    objects = {
        **whole,
        OBJECT: b"damaged",
        f"{OBJECT}.aside": b"it is damaged",
        again: whole[OBJECT],
        "0000000000000-0000000000003.parquet": b"superseded",
        ninth: b"superseded by a later generation",
        ninth.replace(".parquet", ".10.parquet"): whole[ninth],
        ninth.replace(".parquet", ".9.parquet"): b"superseded by a later generation",
        "backup.json": b"{}",
        "notes.txt": b"foreign",
    }
    place = written(tmp_path / "shop", objects)
    assert without_idents(read(place)) == await read_by_the_library(place)
    assert read(place) == read(DATA / "format-2" / "shop")

    (place / again).unlink()
    with pytest.raises(SystemExit, match="no segment holds t 7 to 8"):
        read(place)
    assert (await find_backup(FilesystemStore(tmp_path), "shop")).gaps()[0].start == 7


async def test_transactions_of_segments_that_overlap_are_read_once(tmp_path: Path) -> None:
    log = LogChunk.join(forged.log())
    until_20 = forged.sound(SegmentRange(0, 21), [log.until(t_to_tx(20))])
    from_20 = forged.sound(SegmentRange(20, 40), [log.after(t_to_tx(19))])
    objects = {Segment(data).info.range.key: data for data in (until_20, from_20)}
    transactions = without_idents(read(written(tmp_path / "shop", objects)))
    assert [each["t"] for each in transactions] == [*range(6, 12), 20, 21]
    assert str(transactions) == str(await read_by_the_library(tmp_path / "shop"))


def test_the_reader_is_short_and_no_program_needs_this_one() -> None:
    assert len([line for line in PROGRAMS[0].splitlines() if line.strip()]) <= 26
    modules = set(
        re.findall(r"^(?:import|from) ([\w, ]+?)(?:\.| import| as|$)", "\n".join(PROGRAMS), re.MULTILINE)
    )
    names = {name for each in modules for name in each.split(", ")}
    assert names - sys.stdlib_module_names == {"pyarrow", "cryptography"}
    # As on a machine that has nothing else.
    command = [sys.executable, "-I", "-W", "error", "-c", PROGRAMS[0], DATA / "format-2" / "shop"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert len(done.stdout.splitlines()) == 14


async def test_the_example_of_names_is_read_in_the_order_that_is_said() -> None:
    listed = re.findall(r"^    shop/(\S+)", PAGE.split("\n## Names\n")[1], re.MULTILINE)
    store = MemoryStore()
    for key in listed:
        await store.publish("shop", key, b"")
    backup = await list_backup(store, "shop")
    assert (len(backup.segments), len(backup.aside), backup.foreign) == (5, 1, ())
    said = re.search(r"^Read are `(\S+)` and `(\S+)`", PAGE, re.MULTILINE)
    assert said
    assert [f"{name}.parquet" for name in said.groups()] == [stored.key for stored in backup.chain()]
    order = sorted(backup.segments, key=lambda s: (s.range.start, -s.range.end, -s.generation))
    texts = [f"{s.range.start} to {s.range.end}{', generation 1' * s.generation}" for s in order]
    assert f"    {' | '.join(texts)}\n" in PAGE
    assert StoredSegment.from_key("0000000000007-0000000000009.01.parquet") is None
    assert folder_of("a b/ü.~+,@=()[]{}") == "a b%2F%C3%BC.~+,@=()[]{}"
    assert folder_of("..") == "%2E%2E"


@pytest.mark.parametrize("folder", ["format-1", "format-2"])
def test_the_metadata_is_as_it_is_said(folder: str) -> None:
    for path in (DATA / folder / "shop").iterdir():
        document, segment = function("document_of")(path), Segment(path.read_bytes())
        assert document["schema"] == segment.snapshot
        digest = document.get("schema_sha256")
        if digest and "attributes" in document["schema"]:
            assert snapshot_digest(document["schema"]) == digest
        for name in document.keys() - {"schema", "largest"}:
            assert document[name] == getattr(segment.info, name)
        assert document["largest"] == list(segment.info.largest)


def test_the_digest_of_a_transaction_is_as_it_is_said() -> None:
    for transaction in next(Segment(SOUND).chunks()).transactions():
        assert function("digest_of")(transaction.tx, transaction.datoms) == digest_of(transaction)


def test_the_digest_of_a_segment_is_as_it_is_said() -> None:
    is_whole = function("is_whole")
    for data in (*objects_of("format-1").values(), *objects_of("format-2").values(), SOUND):
        assert is_whole(data)
    assert not is_whole(SEGMENT[:99] + b"!" + SEGMENT[100:])


async def protected(key: Encryption, name: str, data: bytes) -> bytes:
    """An object as a store with a key keeps it."""
    inner = MemoryStore()
    async with encrypted(inner, key) as store:
        await store.publish("shöp", name, data)
    return await inner.read("shöp", name)


async def test_a_mac_is_as_it_is_said() -> None:
    signed = await protected(SigningKey(KEY), OBJECT, SOUND)
    mac = function("mac_of")(KEY, "shöp", OBJECT, signed)
    assert signed != SOUND
    assert mac.encode() in signed
    assert function("is_whole")(signed)
    line = (await protected(SigningKey(KEY), "backup.json", b"{}")).splitlines()[-1]
    assert re.fullmatch(rf"asyncrestore\.mac {mac[:16]}[0-9a-f]{{64}}", line.decode())


async def test_encryption_is_as_it_is_said() -> None:
    decrypted = function("decrypted")
    assert decrypted(KEY, "shöp", OBJECT, await protected(KEY, OBJECT, SOUND)) == SOUND
    for key, data in objects_of("encrypted-1").items():
        assert Segment(decrypted(KEY, "anything", key, data)).info.range.key == key


def cells(heading: str, first: str) -> dict[str, list[str]]:
    """The rows of the table whose first row begins so; each under what its first cell names."""
    rows = table(heading, PAGE)
    start = next(n for n, row in enumerate(rows) if row[0] == f"`{first}`")
    width = len(rows[start])
    end = next((n for n, row in enumerate(rows) if n > start and len(row) != width), len(rows))
    return {name: row[1:] for row in rows[start:end] for name in re.findall(r"`(\w+)`", row[0])}


def test_the_columns_are_those_of_the_code() -> None:
    rows = [row for row in table("Columns", PAGE) if row[0].strip("`") in arrow.SCHEMA.names]
    assert [row[0].strip("`") for row in rows] == arrow.SCHEMA.names
    for row, field in zip(rows, arrow.SCHEMA, strict=True):
        type_ = getattr(field.type, "value_type", field.type)
        assert row[1] == f"{type_}{' or null' if field.nullable else ''}"


def test_the_types_are_those_of_the_code() -> None:
    rows = [row for row in table("Columns", PAGE) if row[0].strip("`") in KINDS.values()]
    assert {row[1].strip("`"): row[0].strip("`") for row in rows} == KINDS
    own = {row[1].strip("`") for row in rows if row[2] == f"`value_{row[0].strip('`')}`"}
    assert own == NUMERIC_KINDS


def test_the_fields_are_those_of_the_code() -> None:
    assert list(cells("Metadata", "format")) == list(_FIELDS)
    text = re.search(r"^```json\n(\{\"format.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    assert text
    example = json.loads(text[1])
    assert list(example) == list(_FIELDS)
    assert [name for name, value in example.items() if not _FIELDS[name](value)] == []
    real = Segment(SEGMENT).info
    for name in ("source", "start", "end", "first_t", "last_t", "datoms", "schema_sha256", "bootstrap_t"):
        assert example[name] == getattr(real, name)
