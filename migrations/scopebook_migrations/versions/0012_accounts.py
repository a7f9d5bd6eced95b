"""Accounts, their logins and tokens, the audit log and who sees a release."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_ROLES = "role IN ('viewer', 'annotator', 'editor', 'admin')"


def upgrade() -> None:
    _accounts()
    _secrets()
    _audit()
    _visibility()
    op.execute("INSERT INTO account (name, role) VALUES ('local', 'admin')")


def _moment(name: str, *, nullable: bool = True) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _created(name: str = "created_at") -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False)


def _account(table: str, *, nullable: bool = False) -> sa.Column[int]:
    key = sa.ForeignKey("account.id", name=f"fk_{table}_account_id_account")
    return sa.Column("account_id", sa.Integer(), key, nullable=nullable)


def _accounts() -> None:
    op.create_table(
        "account",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("password_hash", sa.String()),
        sa.Column("issuer", sa.String()),
        sa.Column("subject", sa.String()),
        _created(),
        _moment("disabled_at"),
        _moment("last_seen_at"),
        sa.CheckConstraint(_ROLES, name=op.f("ck_account_known_role")),
        sa.CheckConstraint(
            "(issuer IS NULL) = (subject IS NULL)", name=op.f("ck_account_issuer_with_subject")
        ),
        sa.UniqueConstraint("issuer", "subject", name="uq_account_issuer_subject"),
    )
    op.create_index("uq_account_name", "account", [sa.text("lower(name)")], unique=True)


def _secrets() -> None:
    for table in ("login_session", "one_time_link"):
        op.create_table(
            table,
            sa.Column("sha256", sa.LargeBinary(32), primary_key=True),
            _account(table),
            _created(),
            _moment("expires_at", nullable=False),
            *([_moment("used_at")] if table == "one_time_link" else []),
        )
        op.create_index(f"ix_{table}_account_id", table, ["account_id"])
    op.create_table(
        "api_token",
        sa.Column("id", sa.Integer(), primary_key=True),
        _account("api_token"),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("hint", sa.String(), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        _created(),
        _moment("expires_at"),
        _moment("last_used_at"),
        _moment("revoked_at"),
        sa.CheckConstraint(
            "scope IN ('read', 'annotate', 'edit', 'admin')",
            name=op.f("ck_api_token_known_scope"),
        ),
        sa.UniqueConstraint("sha256", name="uq_api_token_sha256"),
    )
    op.create_index("ix_api_token_account_id", "api_token", ["account_id"])


def _audit() -> None:
    op.create_table(
        "audit_entry",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), primary_key=True),
        _created("at"),
        _account("audit_entry", nullable=True),
        sa.Column("account_name", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("details", postgresql.JSONB(), nullable=False),
        sa.Column("address", sa.String()),
    )
    op.create_index("ix_audit_entry_at", "audit_entry", ["at"])
    op.create_index("ix_audit_entry_account_id", "audit_entry", ["account_id"])
    op.execute(
        """
        CREATE FUNCTION refuse_change_of_audit() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'the audit log only grows';
        END $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER audit_entry_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entry
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_audit()
        """
    )


def _visibility() -> None:
    op.create_table(
        "release_visibility",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column(
            "release_id",
            sa.Integer(),
            sa.ForeignKey(
                "release.id", ondelete="CASCADE", name="fk_release_visibility_release_id_release"
            ),
            nullable=False,
        ),
        sa.Column("role", sa.String()),
        _account("release_visibility", nullable=True),
        sa.CheckConstraint(_ROLES, name=op.f("ck_release_visibility_known_role")),
        sa.CheckConstraint(
            "(role IS NULL) <> (account_id IS NULL)",
            name=op.f("ck_release_visibility_role_or_account"),
        ),
        sa.UniqueConstraint(
            "release_id",
            "role",
            "account_id",
            name="uq_release_visibility_release_id_role_account_id",
            postgresql_nulls_not_distinct=True,
        ),
    )


def downgrade() -> None:
    op.drop_table("release_visibility")
    op.drop_table("audit_entry")
    op.execute("DROP FUNCTION refuse_change_of_audit()")
    op.drop_table("api_token")
    op.drop_table("one_time_link")
    op.drop_table("login_session")
    op.drop_table("account")
