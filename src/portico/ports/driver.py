"""What drivers of every kind share: how their settings are shown, and what a check of one says."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Meta:
    """How a settings field is shown: becomes the admin form, the API schema and the reference table."""

    title: str
    help: str = ""
    secret: bool = False
    unit: str = ""
    choices: tuple[str, ...] = ()
    advanced: bool = False
    multiline: bool = False  # a text of several lines, such as certificates
    own: bool = False  # a secret that is ours and sent nowhere; the driver's `make_own` makes it where nobody typed it


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a pre-flight: what was looked at, whether it is fine, and the remedy when it is not.

    `unknown`: it cannot be told before the first use. `fix` names what `Cloud.mend` can do about it at an administrator's word.
    """

    name: str
    state: str  # "granted" | "missing" | "unknown" | "warning"
    remedy: str = ""
    group: str = ""  # "rights" | "network" | "quota" | "flavors"; "" for the rest
    detail: str = ""  # what was seen: a number, a list of names
    fix: str = ""
