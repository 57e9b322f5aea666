"""The exit codes, a contract, and which error ends in which; knows no command line and prints nothing."""

from __future__ import annotations

from provisioner.words import clean

DONE, FAILED, USAGE, REFUSED, HELD, INTERRUPTED = 0, 1, 2, 3, 4, 130
AGAIN = "run the same command again to go on"


class Stop(Exception):
    """The command ends here: an exit code and, for the user, what happened and what to do."""

    def __init__(self, exit_code: int, code: str, message: str, remedy: str, text: str = "") -> None:
        super().__init__(message)
        self.exit_code, self.code, self.message, self.remedy = exit_code, code, message, remedy
        self.text = text or f"error: {message}\n{remedy}".rstrip()
        """The whole of it for a person to read."""


def as_stop(error: BaseException) -> Stop:
    """Give an error its exit code; the modules that raise them are imported only when one was raised."""
    if isinstance(error, Stop):
        return error
    if isinstance(error, KeyboardInterrupt):
        return Stop(INTERRUPTED, "interrupted", "interrupted", AGAIN)
    from provisioner.errors import AwsError
    from provisioner.local.process import CloudError, Missing
    from provisioner.page import ConfigError
    from provisioner.plan_file import PlanFileError
    from state.store import Held, StateError

    match error:
        case ConfigError():
            remedies = "; ".join(dict.fromkeys(each.remedy for each in error.objections))
            return Stop(USAGE, "config", str(error), remedies, text=str(error))
        case Held():
            return Stop(HELD, error.code, clean(error.message), error.remedy)
        case StateError():
            exit_code = FAILED if error.code in ("unwritable", "unreadable") else REFUSED
            return Stop(exit_code, error.code, clean(error.message), error.remedy)
        case PlanFileError():
            return Stop(USAGE, "plan", clean(error.message), error.remedy)
        case Missing():
            return Stop(USAGE, "missing", error.message, error.remedy)
        case CloudError():
            return Stop(FAILED, "cloud", error.message, error.remedy)
        case AwsError():
            return Stop(FAILED, error.code, str(error), error.remedy)
        case OSError():
            told = f"{error.filename or 'system'}: {error.strerror or error}"
            return Stop(FAILED, "system", clean(told), "put that right, and run the same command again")
    told = f"{type(error).__name__}: {error}"
    return Stop(
        FAILED,
        "defect",
        clean(told),
        "this is a defect of provisioner: report it with what -vv adds, run again to go on",
    )
