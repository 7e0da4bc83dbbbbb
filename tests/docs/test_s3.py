"""The policies in docs/s3.md are JSON that S3 can read, and its options those that there are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from asyncrestore.errors import UsageError
from asyncrestore.redact import redacted_uri
from asyncrestore.stores.s3.uri import parse_s3_uri

TEXT = (Path(__file__).parents[2] / "docs" / "s3.md").read_text()


def test_policies() -> None:
    allowing, denying = (json.loads(block) for block in re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL))
    statements: list[dict[str, Any]] = allowing["Statement"]
    assert [each["Action"] for each in statements] == ["s3:ListBucket", "s3:GetObject", "s3:PutObject"]
    assert {each["Effect"] for each in statements} == {"Allow"}
    assert {each["Effect"] for each in denying["Statement"]} == {"Deny"}


def test_options() -> None:
    options = re.findall(r"^\| `([a-z-]+)` \|", TEXT, re.MULTILINE)
    assert len(options) == 10
    for option in options:
        with pytest.raises(UsageError, match=f"{option} must be"):
            parse_s3_uri(f"s3://bucket/prefix?{option}=")
        assert redacted_uri(f"s3://bucket/prefix?{option}=x").endswith("x"), "it is no secret"
