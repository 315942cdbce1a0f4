-- SPDX-License-Identifier: GPL-3.0-or-later
-- The log of changes. Publishing belongs to the transaction that makes the change: both are committed, or neither.

-- Appends p_kinds/p_keys/p_bodies in order and returns the revision of the last. The row fleet.head stays locked until
-- the commit: revisions are committed in their order, which a sequence would not give.
CREATE FUNCTION fleet.publish_v1(p_node int, p_kinds text[], p_keys text[], p_bodies jsonb[])
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  n int := cardinality(p_kinds);
  r bigint;
  g uuid := gen_random_uuid();
BEGIN
  UPDATE fleet.head SET revision = revision + n, tag = g RETURNING revision INTO r;
  INSERT INTO fleet.log (revision, tag, kind, key, body, node)
    SELECT r - n + c.at, g, c.kind, c.key, c.body, p_node
    FROM unnest(p_kinds, p_keys, p_bodies) WITH ORDINALITY AS c (kind, key, body, at);
  PERFORM pg_notify('fleet', r::text);
  RETURN r;
END $$;

-- Removes changes older than p_age, which every node that still needs them gets from the tables themselves.
CREATE FUNCTION fleet.trim_log_v1(p_age interval, p_keep bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  f bigint;
BEGIN
  SELECT max(l.revision) INTO f FROM fleet.log l, fleet.head h
    WHERE l.at < clock_timestamp() - p_age AND l.revision <= h.revision - p_keep;
  IF f IS NULL THEN RETURN 0; END IF;
  UPDATE fleet.head SET floor = f WHERE floor < f;
  WITH gone AS (DELETE FROM fleet.log WHERE revision <= f RETURNING 1) SELECT count(*) INTO f FROM gone;
  RETURN f;
END $$;
