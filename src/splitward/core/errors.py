"""Errors. Each message is one sentence that says what was wrong, with what, and what would be right.

::

    SplitwardError               anything that the user can put right; the command line exits with status 2
    ├── UsageError               an option or an argument that makes no sense
    ├── RegistryError            a name that no plugin carries
    ├── CutError                 a model that cannot be exported, an unknown cut, a cut that leaks the input
    ├── ModelError               an unknown model, weights that do not fit or are not finite, a refused file
    ├── DataError                a missing, truncated or hostile file, an empty folder, an unknown data set
    │   └── OverlapError         training, public and secret samples share an image
    ├── DefenceError             a level out of range, an unknown position
    ├── BoundError               a bound that cannot be given, or a target that no noise reaches
    ├── MetricError              images too small or of different shapes
    ├── RecordError              a run folder that is not one, or of a schema that we cannot read
    ├── BundleError              a bundle that is missing, damaged, stale or signed by another key; a key that is none
    ├── WireError                what crossed the wire is not what was due
    ├── LedgerError              a privacy ledger that cannot be read or kept
    │   └── LedgerRefusal        a release that the ledger does not allow
    ├── CloudError               no answer from the cloud
    │   └── CloudUnavailable     it cannot be reached now; asking later may help
    └── AttackError              an attack that cannot run as configured
        ├── NotApplicable        the attack has nothing to say here (the trial is *skipped*, with this reason)
        └── BudgetExceeded       the query budget of the oracle is used up
"""


class SplitwardError(Exception):
    """Anything that the user can put right: one sentence, exit status 2."""


class UsageError(SplitwardError):
    """An option or an argument that makes no sense."""


class RegistryError(SplitwardError):
    """A name that no plugin carries."""


class CutError(SplitwardError):
    """A model that cannot be exported, an unknown cut, or a cut that leaks the input."""


class ModelError(SplitwardError):
    """An unknown model, weights that do not fit or are not finite, or a file that was refused."""


class DataError(SplitwardError):
    """A missing, truncated or hostile file, an empty folder, or an unknown data set."""


class OverlapError(DataError):
    """Training, public and secret samples share an image."""


class DefenceError(SplitwardError):
    """A level out of range, or an unknown position."""


class BoundError(SplitwardError):
    """A bound that cannot be given, or a target that no noise reaches; the message is the reason."""


class MetricError(SplitwardError):
    """Images that are too small for a metric, or of different shapes."""


class RecordError(SplitwardError):
    """A run folder that is not one, or of a schema that cannot be read."""


class BundleError(SplitwardError):
    """A bundle that is missing, damaged, stale or signed by another key, or a key that is none."""


class WireError(SplitwardError):
    """What crossed the wire is not what was due."""


class LedgerError(SplitwardError):
    """A privacy ledger that cannot be read or kept."""


class LedgerRefusal(LedgerError):  # noqa: N818 - it is no failure: the ledger does its work
    """A release that the ledger does not allow."""


class CloudError(SplitwardError):
    """The cloud gave no answer, or one that is none."""


class CloudUnavailable(CloudError):  # noqa: N818 - named after what happened
    """The cloud cannot be reached now; asking later may help."""


class AttackError(SplitwardError):
    """An attack that cannot run as configured."""


class NotApplicable(AttackError):  # noqa: N818 - it is no failure: the trial is reported as skipped
    """The attack has nothing to say about this target; the message is the reason."""


class BudgetExceeded(AttackError):  # noqa: N818 - named after what happened
    """The query budget of the oracle is used up."""


def in_one_line(error: BaseException) -> str:
    """Somebody else's error as the reason of a record: its type and message, 300 characters of it at most.

    >>> in_one_line(ValueError("two\\n  lines"))
    'ValueError: two lines'
    """
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
