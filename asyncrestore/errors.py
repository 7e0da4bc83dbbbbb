"""Every error that this package raises on purpose, and the exit code of each kind.

```
AsyncRestoreError                1   failed
  UsageError                     2   the request itself is wrong, or a history has code that is not allowed
                                     or what the target's edition lacks; nothing was done (but where the
                                     history hid its code)
  StoppedEarly                   3   stopped on request; run again to continue
  DamageError                    4   a segment, jar or history is not what it should be
    SegmentDamaged                     unreadable, or its digest does not match
      NewerFormat                        written by a newer version of this program
      SegmentMisplaced                   whole, but under another segment's name
    SegmentGap                         transactions are missing between segments
    HistoryDiffers                     verify found differences
  NotFound                      10   no such store, backup or database
  Overtaken                     11   another restore moved the marker
  NotAuthorized                 12   the store or database refused the credentials
    OtherKey                           an object is encrypted or signed, and not with the key that was given
  Conflict                      13   another database's data, or other content under the same range
    Unprotected                        an object is not encrypted or signed, and a key was given
  Unavailable                   14   no answer, or not there (yet), after retries
    BridgeDied                         the JVM process ended
    OutcomeUnknown                     a transaction was sent and no answer came back
  TransactionRejected           15   the target refused a transaction for good
  RewriteFailed                  1   a value cannot be rewritten as requested
  SetupFailed                    1   Java, Datomic's jars or the bridge is not available
  StoreFailed                    1   reading or writing a store failed (disk full, permissions, ...)
  DatabaseFailed                 1   the files of a database cannot be written or read (disk full, ...)
```

An error says what failed, on which object and why; `hint` says what to do next. Where a hint names an
argument, it is in backticks, as `until_t=7`; the command line spells it as its option.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self

OPEN_FILES_HINT = "Raise the limit of open files, as `ulimit -n 4096` does, and run the same command again."
"""What to do where `has_too_many_open_files` is true."""


def has_too_many_open_files(error: BaseException | None) -> bool:
    """Whether an error, or one that caused it, says that the process or machine has too many open files."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in {errno.EMFILE, errno.ENFILE}:
            return True
        error = error.__cause__ or error.__context__
    return False


class AsyncRestoreError(Exception):
    """Base of all errors raised on purpose.

    Attributes:
        exit_code: the exit code of the command line.
        hint: what to do next, in one sentence or more, or an empty string.
        place: the backup or database that it is about, as a URI and a name; None if that is not one.
        segment: key of the segment that it is about, if it is one.
        t: source t that it is about, if it is one.
    """

    exit_code = 1
    place: str | None = None
    segment: str | None = None
    t: int | None = None

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def about(self, *, place: str | None = None, segment: str | None = None, t: int | None = None) -> Self:
        """Sets what it is about, as far as that is given; returns itself."""
        self.place = place or self.place
        self.segment = segment or self.segment
        self.t = self.t if t is None else t
        return self


class UsageError(AsyncRestoreError):
    """The request is wrong: an unknown scheme, an impossible option. Nothing was done."""

    exit_code = 2


class StoppedEarly(AsyncRestoreError):
    """A job was stopped on request before its end; the same command continues it."""

    exit_code = 3


class DamageError(AsyncRestoreError):
    """Stored data is not what was written, or not equal to what it should equal."""

    exit_code = 4


class SegmentDamaged(DamageError):
    """A segment cannot be read, or its content does not match its digest."""


class NewerFormat(SegmentDamaged):
    """A segment is whole, but has a format that only a newer version of this program reads."""


class SegmentMisplaced(SegmentDamaged):
    """A segment is whole, but lies under another segment's name."""


class SegmentGap(DamageError):
    """The segments of a backup do not follow each other."""


class HistoryDiffers(DamageError):
    """Two histories that should be equal are not."""


class NotFound(AsyncRestoreError):
    """The store, the backup in it, or the database does not exist."""

    exit_code = 10


class Overtaken(AsyncRestoreError):
    """Another restore committed the transaction that this one was about to commit."""

    exit_code = 11


class NotAuthorized(AsyncRestoreError):
    """Credentials are missing or insufficient."""

    exit_code = 12


class OtherKey(NotAuthorized):
    """An object of a store is encrypted or signed, and with another key than the one given, if one was."""


class Conflict(AsyncRestoreError):
    """The data found belongs to another database, or differs under the same name."""

    exit_code = 13


class Unprotected(Conflict):
    """An object of a store is not encrypted, or not signed, and a key was given."""


OTHERWISE_PROTECTED = OtherKey, Unprotected
"""Of one object: somebody else made it. Of all: the key is wrong, or missing."""

UNREADABLE = SegmentDamaged, *OTHERWISE_PROTECTED
"""Why one segment cannot be read while others can."""


class Unavailable(AsyncRestoreError):
    """There was no answer in time, or the service is not there."""

    exit_code = 14


class BridgeDied(Unavailable):
    """The JVM process that talks to Datomic ended before it answered."""


class OutcomeUnknown(Unavailable):
    """A transaction was sent and its answer never came: it may or may not have committed."""


class TransactionRejected(AsyncRestoreError):
    """The target refused a transaction for good, that of `t`; nothing after it was committed."""

    exit_code = 15
    t: int

    def __init__(self, message: str, *, t: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.t = t


class RewriteFailed(AsyncRestoreError):
    """A value cannot be rewritten: the function raised, or returned what is not a value of the attribute.

    Neither its transaction nor a later one reaches the target.

    Attributes:
        entity: source id of the entity.
        attribute: ident of the attribute, without the colon.
    """

    def __init__(self, message: str, *, t: int, entity: int, attribute: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.t = t
        self.entity = entity
        self.attribute = attribute


class SetupFailed(AsyncRestoreError):
    """Java, Datomic's jars or the compiled bridge cannot be made available on this machine."""


class StoreFailed(AsyncRestoreError):
    """Reading or writing a store failed for a local reason, such as a full disk or missing permission."""


class DatabaseFailed(AsyncRestoreError):
    """The files of a database cannot be written or read: a full disk, say, or an end that is torn.

    A transaction that was under way is not there, nor is one after it.
    """
