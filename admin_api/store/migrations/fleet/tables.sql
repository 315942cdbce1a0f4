-- SPDX-License-Identifier: GPL-3.0-or-later
-- The tables of a fleet: several servers (nodes) on one PostgreSQL database.
--
-- Times are the database's own, by clock_timestamp(); no clock of a node is ever written here. A session row is owned by
-- (node, epoch): once the node has joined again, rows of its earlier epochs are lost to it.

CREATE SCHEMA fleet;

CREATE TABLE fleet.nodes (
  id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL UNIQUE,
  instance text NOT NULL,  -- tells two servers with the same name apart
  epoch bigint NOT NULL DEFAULT 1,  -- rises with every join: the fence
  state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'draining', 'left')),
  version text NOT NULL,
  peer_url text NOT NULL DEFAULT '',
  joined_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- What proves that a node has the fleet's secret: a digest that the first node has left here.
CREATE TABLE fleet.identity (
  one int PRIMARY KEY DEFAULT 1 CHECK (one = 1),
  secret_check bytea NOT NULL
);

-- One row per node, written twice a second: half of each page is free for the newer versions of its rows.
CREATE TABLE fleet.beats (
  node int PRIMARY KEY REFERENCES fleet.nodes ON DELETE CASCADE,
  seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  applied bigint NOT NULL DEFAULT 0,  -- revision up to which the node has applied the log
  prepared bigint NOT NULL DEFAULT 0,  -- newest policy version that the node has compiled
  sessions int NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

-- since: the first beat after a silence of all nodes. Nobody is judged by what happened before it.
CREATE TABLE fleet.uptime (
  one int PRIMARY KEY DEFAULT 1 CHECK (one = 1),
  last timestamptz NOT NULL DEFAULT clock_timestamp(),
  since timestamptz NOT NULL DEFAULT clock_timestamp()
);
INSERT INTO fleet.uptime DEFAULT VALUES;

-- The lock of one user's admissions. not_before: cookies made earlier open nothing.
CREATE TABLE fleet.users (
  key text PRIMARY KEY,
  admissions bigint NOT NULL DEFAULT 1,
  not_before timestamptz
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);

CREATE TABLE fleet.sessions (
  id bytea PRIMARY KEY,
  user_key text NOT NULL,
  node int NOT NULL,
  epoch bigint NOT NULL,
  generation int NOT NULL DEFAULT 1,  -- rises with every claim by another node: what an earlier owner says is void
  device text NOT NULL DEFAULT '',
  cookie_digest bytea NOT NULL,
  ipv4 inet UNIQUE,
  ipv6 inet UNIQUE,
  source inet NOT NULL,
  admitted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  hard_end timestamptz,
  lost_at timestamptz
) WITH (fillfactor = 80);
CREATE INDEX sessions_user_key ON fleet.sessions (user_key);
CREATE INDEX sessions_node ON fleet.sessions (node);

-- Absolute counters of the part of a session that one node carried: a repeated or late report changes nothing.
CREATE TABLE fleet.segments (
  session bytea NOT NULL,
  generation int NOT NULL,
  node int NOT NULL,
  counters jsonb NOT NULL DEFAULT '{}',
  PRIMARY KEY (session, generation)
) WITH (fillfactor = 70);

-- What a node must do, for instance let a session go. done_at: the node has answered.
CREATE TABLE fleet.orders (
  serial bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  node int NOT NULL,
  kind text NOT NULL,
  session bytea NOT NULL,
  generation int NOT NULL,
  reason text NOT NULL DEFAULT '',
  made_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  done_at timestamptz
);
CREATE INDEX orders_open ON fleet.orders (node, serial) WHERE done_at IS NULL;

CREATE TABLE fleet.address_blocks (
  pool text NOT NULL,
  block cidr NOT NULL,
  node int,
  epoch bigint,
  PRIMARY KEY (pool, block)
);
CREATE INDEX address_blocks_node ON fleet.address_blocks (node);

-- Addresses that a session took along to another node: the owner of the block must not give them out.
CREATE TABLE fleet.address_loans (
  address inet PRIMARY KEY,
  session bytea NOT NULL,
  node int NOT NULL
);

-- The one row that orders all changes: it is held until the commit, so the order of revisions is that of commits.
-- tag: of the newest change. A node that knows another tag for its revision sees that the store was restored.
CREATE TABLE fleet.head (
  one int PRIMARY KEY DEFAULT 1 CHECK (one = 1),
  revision bigint NOT NULL DEFAULT 0,
  floor bigint NOT NULL DEFAULT 0,  -- changes up to this revision are no longer in the log
  tag uuid NOT NULL DEFAULT gen_random_uuid()
) WITH (fillfactor = 10);
INSERT INTO fleet.head DEFAULT VALUES;

CREATE TABLE fleet.log (
  revision bigint PRIMARY KEY,
  tag uuid NOT NULL,
  kind text NOT NULL,
  key text NOT NULL,
  body jsonb NOT NULL,
  node int,  -- that published it
  at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE fleet.policy_versions (
  version bigint PRIMARY KEY,
  digest bytea NOT NULL,
  document jsonb NOT NULL,
  state text NOT NULL DEFAULT 'proposed' CHECK (state IN ('proposed', 'active', 'aborted')),
  proposed_by int NOT NULL,
  proposed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE fleet.policy_acks (
  version bigint NOT NULL REFERENCES fleet.policy_versions ON DELETE CASCADE,
  node int NOT NULL,
  ok boolean NOT NULL,
  error text NOT NULL DEFAULT '',
  PRIMARY KEY (version, node)
);

-- Keys of sealed cookies, each sealed itself by the fleet's secret, which is in no table.
CREATE TABLE fleet.keys (
  kid bigint PRIMARY KEY,
  sealed bytea NOT NULL,
  not_before timestamptz NOT NULL,
  retire_at timestamptz NOT NULL
);

CREATE TABLE fleet.otp_steps (
  "user" text PRIMARY KEY,
  step bigint NOT NULL
);

CREATE TABLE fleet.heavy (
  node int NOT NULL,
  "window" timestamptz NOT NULL,
  top jsonb NOT NULL,
  PRIMARY KEY (node, "window")
);
