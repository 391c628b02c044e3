"""The claim on a running job: what a handler shows before each write and each call to a cloud."""

from dataclasses import dataclass

from sqlalchemy import Connection

from portico.errors import Conflict
from portico.store import jobs


@dataclass(frozen=True, slots=True)
class Claim:
    """A job as one broker holds it; `fence` rises with each claim, so that an older holder is told to stop."""

    job_id: str
    fence: int
    attempt: int = 1

    def check(self, conn: Connection) -> None:
        """Make sure that the claim still stands; the write holds off whoever would take it meanwhile. Raises Conflict."""
        if not jobs.is_held(conn, self.job_id, self.fence):
            raise Conflict("This job was taken over by another broker.")
