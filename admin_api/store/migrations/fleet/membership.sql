-- SPDX-License-Identifier: GPL-3.0-or-later
-- Joining the fleet, beats, and who is dead. A function is never altered in place: a later one gets another number, so
-- that nodes of two releases can run beside each other.

-- Returns status 'joined'; 'taken': another instance of that name has beaten within p_dead_after; 'secret': the nodes
-- before have another secret.
CREATE FUNCTION fleet.join_v1(
  p_name text, p_instance text, p_version text, p_peer_url text, p_secret_check bytea, p_dead_after interval)
RETURNS TABLE (status text, id int, epoch bigint) LANGUAGE plpgsql AS $$
DECLARE
  r record;
  t timestamptz := clock_timestamp();
BEGIN
  INSERT INTO fleet.identity (secret_check) VALUES (p_secret_check) ON CONFLICT DO NOTHING;
  IF NOT EXISTS (SELECT 1 FROM fleet.identity i WHERE i.secret_check = p_secret_check) THEN
    RETURN QUERY SELECT 'secret', 0, 0::bigint;
    RETURN;
  END IF;
  INSERT INTO fleet.nodes AS n (name, instance, epoch, version) VALUES (p_name, p_instance, 0, p_version)
    ON CONFLICT (name) DO UPDATE SET version = n.version  -- takes the row's lock
    RETURNING n.id, n.instance, n.epoch INTO r;
  IF r.instance <> p_instance AND EXISTS
     (SELECT 1 FROM fleet.beats b WHERE b.node = r.id AND b.seen_at > clock_timestamp() - p_dead_after) THEN
    RETURN QUERY SELECT 'taken', r.id, r.epoch;
    RETURN;
  END IF;
  UPDATE fleet.nodes n
    SET instance = p_instance, epoch = n.epoch + 1, version = p_version, peer_url = p_peer_url, joined_at = t,
        state = CASE WHEN n.state = 'left' THEN 'active' ELSE n.state END
    WHERE n.id = r.id RETURNING n.epoch INTO r.epoch;
  INSERT INTO fleet.beats (node, seen_at) VALUES (r.id, t) ON CONFLICT (node) DO UPDATE SET seen_at = t;
  RETURN QUERY SELECT 'joined', r.id, r.epoch;
END $$;

-- fenced: the node has joined again elsewhere, was forgotten, or has left. open_orders: some wait for this node.
-- The guard: after 2 s without the beat of any node, or a jump of the clock, the store counts as up from now on.
CREATE FUNCTION fleet.beat_v1(p_node int, p_epoch bigint, p_applied bigint, p_prepared bigint, p_sessions int)
RETURNS TABLE (fenced boolean, state text, revision bigint, floor bigint, tag uuid, open_orders boolean)
LANGUAGE plpgsql AS $$
DECLARE
  t timestamptz := clock_timestamp();
  s text;
BEGIN
  SET LOCAL synchronous_commit = off;
  SELECT n.state INTO s FROM fleet.nodes n WHERE n.id = p_node AND n.epoch = p_epoch;
  IF s IS NULL OR s = 'left' THEN
    RETURN QUERY SELECT true, coalesce(s, ''), h.revision, h.floor, h.tag, false FROM fleet.head h;
    RETURN;
  END IF;
  UPDATE fleet.uptime u
    SET since = CASE WHEN t - u.last > interval '2 s' OR u.last > t + interval '2 s' THEN t ELSE u.since END, last = t
    WHERE u.last < t - interval '0.5 s' OR u.last > t + interval '2 s';
  UPDATE fleet.beats b SET seen_at = t, applied = p_applied, prepared = p_prepared, sessions = p_sessions
    WHERE b.node = p_node;
  RETURN QUERY SELECT false, s, h.revision, h.floor, h.tag,
    EXISTS (SELECT 1 FROM fleet.orders o WHERE o.node = p_node AND o.done_at IS NULL) FROM fleet.head h;
END $$;

-- The moment from which silence counts. Without a beat of anyone within 2 s the store cannot tell: nobody is dead.
CREATE FUNCTION fleet.up_since_v1() RETURNS timestamptz LANGUAGE sql AS $$
  SELECT CASE WHEN u.last > clock_timestamp() - interval '2 s' AND u.last < clock_timestamp() + interval '2 s'
    THEN u.since ELSE 'infinity' END FROM fleet.uptime u $$;

-- True if what (node, epoch) owned is lost: fenced, forgotten, left, or silent for longer than p_dead_after.
CREATE FUNCTION fleet.is_lost_v1(p_node int, p_epoch bigint, p_dead_after interval) RETURNS boolean LANGUAGE sql AS $$
  SELECT NOT EXISTS (
    SELECT 1 FROM fleet.nodes n JOIN fleet.beats b ON b.node = n.id
    WHERE n.id = p_node AND n.epoch = p_epoch AND n.state <> 'left'
      AND greatest(b.seen_at, fleet.up_since_v1()) >= clock_timestamp() - p_dead_after) $$;

-- A node says goodbye: nothing of it is alive any more, and nobody need wait for its lease to end.
CREATE FUNCTION fleet.leave_v1(p_node int, p_epoch bigint) RETURNS boolean LANGUAGE sql AS $$
  WITH gone AS (UPDATE fleet.nodes SET state = 'left' WHERE id = p_node AND epoch = p_epoch RETURNING 1)
  SELECT EXISTS (SELECT 1 FROM gone) $$;
