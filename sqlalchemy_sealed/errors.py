"""Every exception of the library.

All of them are :class:`sqlalchemy.exc.DontWrapMixin`: SQLAlchemy would otherwise wrap
an error raised while binding into a ``StatementError`` that prints the parameters,
which at that moment are plaintext. No message and no attribute holds a value or a key::

    SealedError
    ├── ConfigurationError          the application is set up wrongly
    │   ├── KeyringNotBoundError      no keyring for this engine
    │   ├── KeyFormatError            text or bytes that are not a key
    │   ├── KeyPermissionError        a key file that others can read
    │   ├── DuplicateKeyError         the same version or root twice
    │   ├── ActiveKeyError            no active version, or two
    │   ├── KeyStateError             a state change that is not allowed
    │   │   └── KeyInUseError           values are still sealed under the key
    │   ├── SecretsFileError          a secrets file that cannot be read or replaced
    │   ├── UnsupportedTypeError      an SQL type without a canonical encoding
    │   └── DeclarationError          options of a column that cannot work together
    ├── EncodingError               a Python value the column cannot hold
    ├── DecryptionError             a stored value that cannot be opened
    │   ├── NotSealedError            plaintext, or bytes of another kind
    │   ├── LegacyFormatError         a value of a legacy format that does not open
    │   ├── MalformedEnvelopeError    truncated, or a header that is not allowed
    │   ├── UnknownKeyError           sealed under a key this keyring does not hold
    │   ├── KeyNotReadableError       the key is there, its state forbids reading
    │   ├── MissingTenantError        nobody says which tenant the value belongs to
    │   ├── DeclarationMismatchError  suite, flags or codec differ from the column's
    │   └── AuthenticationError       altered bytes, or moved from another column
    ├── QueryError                  a statement that cannot work on sealed values
    │   ├── NotSearchableError        an operator or function without an answer
    │   ├── MixedFieldsError          two different fields treated as one
    │   └── SeparatedValueError       a value without its row, tenant or index terms
    ├── CiphertextOnlyError         a plaintext inside ``ciphertext_only()``
    ├── WouldBlockError             a key that would be fetched inside an event loop
    ├── SecretHandlingError         an attempt to pickle or print a secret
    └── ReencryptionError           a run that cannot start or go on
        ├── RunConflictError          a different run is open on this table
        ├── RunEndedError             the run was cancelled, stopped or superseded
        ├── RunInterruptedError       this worker was asked to stop; run again
        ├── TargetChangedError        another key became active meanwhile
        ├── LeaseLostError            another worker has taken over the range
        ├── TooManyDeadLettersError   more undecryptable rows than allowed
        ├── MismatchError             plaintext and sealed column hold two values
        ├── PreflightError            the table cannot be moved safely
        ├── WriteRefusedError         a constraint refuses what a job writes
        ├── SchemaChangedError        the table is not what it was when the run began
        ├── FenceError                a fence that cannot be put up, or excludes a key
        └── VerificationError         what was read back is not what was written
"""

from __future__ import annotations

from sqlalchemy.exc import DontWrapMixin

__all__ = [
    "ActiveKeyError",
    "AuthenticationError",
    "CiphertextOnlyError",
    "ConfigurationError",
    "DeclarationError",
    "DeclarationMismatchError",
    "DecryptionError",
    "DuplicateKeyError",
    "EncodingError",
    "FenceError",
    "KeyFormatError",
    "KeyInUseError",
    "KeyNotReadableError",
    "KeyPermissionError",
    "KeyPermissionWarning",
    "KeyStateError",
    "KeyringNotBoundError",
    "LeaseLostError",
    "LegacyFormatError",
    "MalformedEnvelopeError",
    "MismatchError",
    "MissingTenantError",
    "MixedFieldsError",
    "NotSealedError",
    "NotSearchableError",
    "PlaintextWarning",
    "PreflightError",
    "QueryError",
    "ReencryptionError",
    "RunConflictError",
    "RunEndedError",
    "RunInterruptedError",
    "SchemaChangedError",
    "SealedError",
    "SecretHandlingError",
    "SecretsFileError",
    "SeparatedValueError",
    "TargetChangedError",
    "TooManyDeadLettersError",
    "UnknownKeyError",
    "UnsupportedTypeError",
    "VerificationError",
    "WouldBlockError",
    "WriteRefusedError",
]


class SealedError(DontWrapMixin, Exception):
    """Superclass of all errors of this library. Never raised directly."""


class ConfigurationError(SealedError):
    """The application is set up in a way that cannot work."""


class KeyringNotBoundError(ConfigurationError):
    """A sealed column was used on an engine that has no keyring."""


class KeyFormatError(ConfigurationError):
    """Text or bytes that are not a root key."""


class KeyPermissionError(ConfigurationError):
    """A key file that other users of the machine can read."""


class DuplicateKeyError(ConfigurationError):
    """A keyring that would hold the same version, or the same root key, twice."""


class ActiveKeyError(ConfigurationError):
    """A keyring without exactly one active version."""


class KeyStateError(ConfigurationError):
    """A change of a key's state that the life cycle does not allow."""


class KeyInUseError(KeyStateError):
    """A key that is to be destroyed while values are still sealed under it."""


class SecretsFileError(ConfigurationError):
    """A file of secrets that cannot be read, or may not be replaced."""


class UnsupportedTypeError(ConfigurationError):
    """An SQL type that has no canonical encoding."""


class DeclarationError(ConfigurationError):
    """Options of a sealed column that exclude each other."""


class EncodingError(SealedError):
    """A Python value that the declared type cannot hold. Nothing was written."""


class DecryptionError(SealedError):
    """A stored value that cannot be opened. It is left as it is."""


class NotSealedError(DecryptionError):
    """A stored value that is no envelope: plaintext, or another library's bytes."""


class LegacyFormatError(DecryptionError):
    """A value of another library's format that does not open with its key."""


class MalformedEnvelopeError(DecryptionError):
    """An envelope that is truncated or has a header that is not allowed."""


class UnknownKeyError(DecryptionError):
    """An envelope sealed under a key that the keyring does not hold."""


class KeyNotReadableError(DecryptionError):
    """An envelope whose key is suspended or destroyed."""


class MissingTenantError(DecryptionError):
    """Neither the row nor ``tenant(...)`` names the tenant of a value."""


class DeclarationMismatchError(DecryptionError):
    """An envelope whose suite, flags or codec are not what the column declares."""


class AuthenticationError(DecryptionError):
    """The tag does not match: the bytes were altered, or belong to another column."""


class QueryError(SealedError):
    """A statement that cannot give a right answer on sealed values."""


class NotSearchableError(QueryError):
    """An operator, function or clause that has no meaning on ciphertext."""


class MixedFieldsError(QueryError):
    """Values of two different fields in one comparison, union or assignment."""


class SeparatedValueError(QueryError):
    """A statement that would part a value from its row, its tenant or its terms."""


class CiphertextOnlyError(SealedError):
    """A plaintext that would be sealed inside a ``ciphertext_only()`` block."""


class WouldBlockError(SealedError):
    """Keys would have to be fetched where waiting would block an event loop."""


class SecretHandlingError(SealedError):
    """An attempt to pickle an object that holds a secret."""


class ReencryptionError(SealedError):
    """A re-encryption run that cannot start or cannot go on."""


class RunConflictError(ReencryptionError):
    """A different run is open on the same table."""


class RunEndedError(ReencryptionError):
    """The run was cancelled, stopped or superseded while this worker was at it."""


class RunInterruptedError(ReencryptionError):
    """A worker was asked to stop, and has finished its batch. Run again to go on."""


class MismatchError(ReencryptionError):
    """A plaintext column and its sealed one hold two values; neither is changed."""


class PreflightError(ReencryptionError):
    """The table cannot be moved safely; nothing was begun."""


class TargetChangedError(ReencryptionError):
    """Another key became active in this process; the job begins a new run by itself."""


class WriteRefusedError(ReencryptionError):
    """The database refused a batch, by a constraint or a type; nothing was written."""


class SchemaChangedError(ReencryptionError):
    """The columns at work are not what they were when the run began."""


class FenceError(ReencryptionError):
    """A fence that cannot be put up, or that excludes the key to be activated."""


class LeaseLostError(ReencryptionError):
    """The range was taken over by another worker; this one wrote nothing."""


class TooManyDeadLettersError(ReencryptionError):
    """More values could not be decrypted than the run allows."""


class VerificationError(ReencryptionError):
    """What was read back is not what was written; the batch was rolled back."""


class KeyPermissionWarning(UserWarning):
    """A mounted secret that other users of the machine can read."""


class PlaintextWarning(DontWrapMixin, UserWarning):
    """A value that is stored as plaintext, because no keyring is bound."""
