"""The commands."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

import asyncrestore
from asyncrestore.cli.options import Settings, talking_options
from asyncrestore.cli.output import Output, document, send_logs
from asyncrestore.errors import HistoryDiffers, UsageError

if TYPE_CHECKING:
    from pathlib import Path
