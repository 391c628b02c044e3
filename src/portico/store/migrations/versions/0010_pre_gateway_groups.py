"""Groups of gateways, which until now were only a word at each gateway."""

from datetime import UTC, datetime
from uuid import uuid4

import sqlalchemy as sa
from alembic import op

from portico.store.types import Id, Json, Name, UTCDateTime

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply: each word but the one that everybody was given becomes a group."""
    groups = op.create_table(
        "gateway_groups",
        sa.Column("id", Id, primary_key=True),
        sa.Column("tenant_id", Id, nullable=True),
        sa.Column("name", Name, nullable=False),
        sa.Column("body", Json, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("created_at", UTCDateTime, nullable=False),
        sa.Column("updated_at", UTCDateTime, nullable=False),
        sa.UniqueConstraint("name", name="uq_gateway_groups_name"),
    )
    op.add_column("gateways", sa.Column("group_id", Id, nullable=True))
    gateways = sa.table("gateways", sa.column("group_name", Name), sa.column("group_id", Id))
    conn, now = op.get_bind(), datetime.now(UTC)
    for name in sorted(set(conn.scalars(sa.select(gateways.c.group_name))) - {"", "default"}):
        made = {"id": str(uuid4()), "name": name, "body": {}, "version": 1, "created_at": now, "updated_at": now}
        conn.execute(groups.insert().values(made))
        conn.execute(gateways.update().where(gateways.c.group_name == name).values(group_id=made["id"]))
    op.drop_column("gateways", "group_name")
