-- SPDX-License-Identifier: GPL-3.0-or-later
-- Sweeps that read what they change, and no other row: each node of a fleet makes one every ten seconds, and a call has
-- half a second. The sweeps before these asked of each session whether its node is lost, which took seconds of 100 000.

CREATE INDEX sessions_lost_at ON fleet.sessions (lost_at) WHERE lost_at IS NOT NULL;
CREATE INDEX sessions_void ON fleet.sessions (admitted_at) WHERE void;
CREATE INDEX orders_done_at ON fleet.orders (done_at) WHERE done_at IS NOT NULL;

-- Nodes that are lost and may carry what they had, since they are only silent: none has joined in their place, or left.
CREATE FUNCTION fleet.silent_nodes_v1(p_dead_after interval) RETURNS int[] LANGUAGE sql AS $$
  SELECT coalesce(array_agg(n.id), '{}') FROM fleet.nodes n
  WHERE n.state <> 'left' AND fleet.is_lost_v1(n.id, n.epoch, p_dead_after) $$;

-- As pull_back_v1. The clock is read first: an index is of no use for what changes from row to row.
CREATE FUNCTION fleet.pull_back_v2(p_most int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  t timestamptz := clock_timestamp();
  ahead timestamptz := t + interval '2 s';
BEGIN
  UPDATE fleet.beats SET seen_at = t WHERE seen_at > ahead;
  UPDATE fleet.sessions x SET lost_at = t
    WHERE x.id IN (SELECT y.id FROM fleet.sessions y WHERE y.lost_at > ahead LIMIT p_most);
  UPDATE fleet.sessions x SET admitted_at = t
    WHERE x.id IN (SELECT y.id FROM fleet.sessions y WHERE y.void AND y.admitted_at > ahead LIMIT p_most);
  UPDATE fleet.orders o SET done_at = t
    WHERE o.serial IN (SELECT p.serial FROM fleet.orders p WHERE p.done_at > ahead LIMIT p_most);
END $$;

-- As sweep_sessions_v2, for p_most rows of each kind. Rows of an earlier epoch of a node that lives are left to its
-- reassert_v1. Returns the sessions that have ended: if they are p_most, there may be more.
CREATE FUNCTION fleet.sweep_sessions_v3(p_dead_after interval, p_most int) RETURNS TABLE (id bytea) LANGUAGE plpgsql AS $$
DECLARE
  t timestamptz := clock_timestamp();
  silent int[] := fleet.silent_nodes_v1(p_dead_after);
  gone int[];  -- nodes that have sessions and are lost, for whatever reason
BEGIN
  PERFORM fleet.pull_back_v2(p_most);
  WITH RECURSIVE held (node) AS (
    (SELECT x.node FROM fleet.sessions x ORDER BY x.node LIMIT 1)
    UNION ALL
    SELECT (SELECT x.node FROM fleet.sessions x WHERE x.node > h.node ORDER BY x.node LIMIT 1)
    FROM held h WHERE h.node IS NOT NULL)
  SELECT coalesce(array_agg(h.node), '{}') INTO gone
    FROM held h LEFT JOIN fleet.nodes n ON n.id = h.node
    WHERE h.node IS NOT NULL AND (n.id IS NULL OR fleet.is_lost_v1(n.id, n.epoch, p_dead_after));
  IF cardinality(gone) > 0 THEN
    UPDATE fleet.sessions x SET lost_at = t
      WHERE x.id IN (SELECT y.id FROM fleet.sessions y
                     WHERE y.node = ANY (gone) AND y.lost_at IS NULL AND NOT y.void LIMIT p_most FOR UPDATE SKIP LOCKED);
  END IF;
  DELETE FROM fleet.sessions x
    WHERE x.id IN (SELECT y.id FROM fleet.sessions y
                   WHERE y.void AND y.admitted_at < t - interval '60 s' LIMIT p_most FOR UPDATE SKIP LOCKED);
  DELETE FROM fleet.orders o
    WHERE o.serial IN (SELECT p.serial FROM fleet.orders p
                       WHERE p.done_at < t - interval '1 h' LIMIT p_most FOR UPDATE SKIP LOCKED);
  RETURN QUERY
    DELETE FROM fleet.sessions x
    WHERE x.id IN (SELECT y.id FROM fleet.sessions y
                   WHERE y.lost_at < t AND y.lost_at + make_interval(secs => y.cookie_timeout) < t
                     AND (y.node <> ALL (silent) OR NOT fleet.is_current_v1(y.node, y.epoch))
                   LIMIT p_most FOR UPDATE SKIP LOCKED)
    RETURNING x.id;
END $$;

-- Ends p_most rows of the history whose node is silent, once no cookie of theirs opens them elsewhere. Returns how many.
CREATE FUNCTION fleet.end_unheard_v1(p_reason text, p_dead_after interval, p_most int) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  t timestamptz := clock_timestamp();
  silent int[] := fleet.silent_nodes_v1(p_dead_after);
  n bigint;
BEGIN
  IF cardinality(silent) = 0 THEN RETURN 0; END IF;
  UPDATE sessions r SET ended_at = r.seen_at, end_reason = p_reason
    WHERE r.id IN (SELECT o.id
                   FROM fleet.sessions s
                   JOIN fleet.nodes d ON d.id = s.node AND d.epoch = s.epoch
                   JOIN sessions o ON o.id = encode(s.id, 'hex') AND o.ended_at IS NULL
                   WHERE d.id = ANY (silent) AND NOT s.void
                     AND s.lost_at < t AND s.lost_at + make_interval(secs => s.cookie_timeout) < t
                   LIMIT p_most);
  GET DIAGNOSTICS n = ROW_COUNT;
  RETURN n;
END $$;
