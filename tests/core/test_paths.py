"""What is at a path."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from asyncrestore.paths import status

if TYPE_CHECKING:
    from pathlib import Path


def test_only_what_is_not_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"four")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("nothing")
    found = status(tmp_path / "file")
    assert found is not None
    assert found.st_size == 4
    for name in ("nothing", "file/below", "loop", "dangling"):
        assert status(tmp_path / name) is None
    with pytest.raises(OSError, match="name too long") as caught:
        status(tmp_path / ("long" * 100))
    assert caught.value.errno == errno.ENAMETOOLONG
