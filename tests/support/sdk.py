"""The AWS SDK, made quicker."""

from __future__ import annotations

from functools import cache

import botocore.session


def share_models() -> None:
    """Lets all sessions share what describes the services.

    Else each reads it again, which takes longer than most tests.
    """
    botocore.session.create_loader = cache(botocore.session.create_loader)
