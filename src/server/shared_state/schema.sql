-- What several pgveil processes share. The user of setting state.dsn needs the rights at the end; to make this, more.
CREATE SCHEMA IF NOT EXISTS pgveil;

-- Accounts that are locked out, alerts that are to be sent, reveals that wait for somebody's approval or review.
CREATE TABLE IF NOT EXISTS pgveil.state_kept (
    kind text NOT NULL,
    id text NOT NULL,
    document text NOT NULL,
    ends bigint,
    gone boolean NOT NULL DEFAULT false,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (kind, id)
);
CREATE INDEX IF NOT EXISTS state_kept_changed ON pgveil.state_kept (changed_at);

-- What the guard has counted, in pieces of each limit's time.
CREATE TABLE IF NOT EXISTS pgveil.state_counts (
    limit_name text NOT NULL,
    subject text NOT NULL,
    bucket bigint NOT NULL,
    width bigint NOT NULL,
    count bigint NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (limit_name, subject, bucket, width)
);
CREATE INDEX IF NOT EXISTS state_counts_changed ON pgveil.state_counts (changed_at);

-- When inference budgets will be whole again, in nanoseconds since the Unix epoch.
CREATE TABLE IF NOT EXISTS pgveil.state_spent (
    payer text NOT NULL,
    column_name text NOT NULL,
    whole_at bigint NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (payer, column_name)
);
CREATE INDEX IF NOT EXISTS state_spent_changed ON pgveil.state_spent (changed_at);

-- For another user than the one who has made this:
-- GRANT USAGE ON SCHEMA pgveil TO pgveil_state;
-- GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA pgveil TO pgveil_state;
