"""What is known of a field that an administrator may fill in, beyond its type."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spec:
    """What is known of a field beyond its type. `least` and `most` bound numbers, `longest` bounds texts in characters."""

    title: str
    help: str = ""
    unit: str = ""
    least: int | None = None
    most: int | None = None
    longest: int = 200
    choices: tuple[str, ...] = ()
    secret: bool = False
    advanced: bool = False


NAME = Spec("Name", "Unique, up to 200 characters.")
