-- SPDX-License-Identifier: GPL-3.0-or-later
-- Changes of the policy: proposed by one node, compiled and acknowledged by each live node, active on all or on none.

CREATE SEQUENCE fleet.policy_proposals;
ALTER TABLE fleet.policy_versions ALTER COLUMN version SET DEFAULT nextval('fleet.policy_proposals');
ALTER TABLE fleet.policy_versions ALTER COLUMN digest SET DEFAULT '';
ALTER TABLE fleet.policy_versions ADD COLUMN revision int;  -- what it has become in the log of the policy
ALTER TABLE fleet.policy_versions ADD COLUMN reason text NOT NULL DEFAULT '';  -- why it was aborted
CREATE INDEX policy_versions_revision ON fleet.policy_versions (revision);

-- Whose turn it is to change the policy. One node at a time: each proposal builds on the one before.
CREATE TABLE fleet.policy_turn (
  one int PRIMARY KEY DEFAULT 1 CHECK (one = 1),
  node int,
  epoch bigint,
  taken_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
INSERT INTO fleet.policy_turn DEFAULT VALUES;

-- What each node has in force. digest: of its rule files; another one than that of the others shows files that differ.
CREATE TABLE fleet.node_policies (
  node int PRIMARY KEY REFERENCES fleet.nodes ON DELETE CASCADE,
  proposal bigint NOT NULL,
  revision int NOT NULL,
  digest text NOT NULL
);

-- The nodes whose word counts: alive, and of a release that answers proposals.
CREATE FUNCTION fleet.voters_v1(p_dead_after interval) RETURNS TABLE (node int, name text) LANGUAGE sql AS $$
  SELECT n.id, n.name FROM fleet.nodes n JOIN fleet.beats b ON b.node = n.id
  WHERE b.prepared > 0 AND NOT fleet.is_lost_v1(n.id, n.epoch, p_dead_after) $$;

-- Takes the turn. Returns '' if the caller has it now, or else the name of the node that has it. A turn of a node that is
-- lost, or older than p_longest, is taken away, and what it proposed is aborted. Old proposals are forgotten.
CREATE FUNCTION fleet.claim_policy_v1(p_node int, p_epoch bigint, p_dead_after interval, p_longest interval)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  t record;
BEGIN
  SELECT * INTO t FROM fleet.policy_turn FOR UPDATE;
  IF t.node IS NOT NULL AND (t.node, t.epoch) <> (p_node, p_epoch) AND t.taken_at > clock_timestamp() - p_longest
     AND NOT fleet.is_lost_v1(t.node, t.epoch, p_dead_after) THEN
    RETURN (SELECT n.name FROM fleet.nodes n WHERE n.id = t.node);
  END IF;
  UPDATE fleet.policy_versions SET state = 'aborted', reason = 'the node that proposed it has not finished'
    WHERE state = 'proposed';
  UPDATE fleet.policy_versions SET document = 'null' WHERE document <> 'null';
  DELETE FROM fleet.policy_versions WHERE version < (SELECT max(v.version) - 1000 FROM fleet.policy_versions v);
  UPDATE fleet.policy_turn SET node = p_node, epoch = p_epoch, taken_at = clock_timestamp();
  RETURN '';
END $$;

-- Whether the caller has the turn, as the process that has joined last under its name.
CREATE FUNCTION fleet.has_policy_turn_v1(p_node int, p_epoch bigint) RETURNS boolean LANGUAGE sql AS $$
  SELECT EXISTS (SELECT 1 FROM fleet.policy_turn t JOIN fleet.nodes n ON n.id = t.node AND n.epoch = t.epoch
    WHERE t.node = p_node AND t.epoch = p_epoch) $$;

-- Gives the turn back. What is still proposed is aborted. Returns how many proposals that are.
CREATE FUNCTION fleet.release_policy_v1(p_node int, p_epoch bigint, p_reason text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  n bigint;
BEGIN
  UPDATE fleet.policy_turn SET node = NULL, epoch = NULL WHERE node = p_node AND epoch = p_epoch;
  IF NOT FOUND THEN RETURN 0; END IF;
  WITH gone AS (UPDATE fleet.policy_versions SET state = 'aborted', reason = p_reason WHERE state = 'proposed' RETURNING 1)
    SELECT count(*) INTO n FROM gone;
  RETURN n;
END $$;

-- The answers to a proposal: one row for each node whose word counts. ok is null while it has not answered.
CREATE FUNCTION fleet.policy_answers_v1(p_version bigint, p_dead_after interval)
RETURNS TABLE (name text, ok boolean, error text) LANGUAGE sql AS $$
  SELECT v.name, a.ok, coalesce(a.error, '') FROM fleet.voters_v1(p_dead_after) v
  LEFT JOIN fleet.policy_acks a ON a.version = p_version AND a.node = v.node ORDER BY v.name $$;

-- Makes a proposal active, in the transaction that writes its rules. False: it was aborted, the caller no longer has the
-- turn, or a node that is alive has not agreed.
CREATE FUNCTION fleet.seal_policy_v1(p_node int, p_epoch bigint, p_version bigint, p_revision int, p_dead_after interval)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  IF NOT fleet.has_policy_turn_v1(p_node, p_epoch) OR EXISTS (SELECT 1 FROM fleet.policy_answers_v1(p_version, p_dead_after) a WHERE a.ok IS NOT TRUE) THEN
    RETURN false;
  END IF;
  UPDATE fleet.policy_versions SET state = 'active', revision = p_revision
    WHERE version = p_version AND state = 'proposed';
  RETURN FOUND;
END $$;
