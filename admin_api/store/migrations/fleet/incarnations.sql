-- SPDX-License-Identifier: GPL-3.0-or-later
-- Which start of a node speaks. A database that was restored from before some nodes had joined counts numbers and epochs
-- again: so a new node's number is random, a beat names its server, and an answer to a proposal its epoch.

-- As join_v1. The word of the node on proposals counts again once it has told what it has in force.
CREATE FUNCTION fleet.join_v2(
  p_name text, p_instance text, p_version text, p_peer_url text, p_secret_check bytea, p_dead_after interval)
RETURNS TABLE (status text, id int, epoch bigint) LANGUAGE plpgsql AS $$
DECLARE
  answer record;
BEGIN
  INSERT INTO fleet.identity (secret_check) VALUES (p_secret_check) ON CONFLICT DO NOTHING;
  IF EXISTS (SELECT 1 FROM fleet.identity i WHERE i.secret_check = p_secret_check) THEN
    INSERT INTO fleet.nodes (id, name, instance, epoch, version) OVERRIDING SYSTEM VALUE
      VALUES (1 + floor(random() * 2147483646)::int, p_name, p_instance, 0, p_version) ON CONFLICT (name) DO NOTHING;
  END IF;
  SELECT * INTO answer
    FROM fleet.join_v1(p_name, p_instance, p_version, p_peer_url, p_secret_check, p_dead_after);
  IF answer.status = 'joined' THEN UPDATE fleet.beats b SET prepared = 0 WHERE b.node = answer.id; END IF;
  RETURN QUERY SELECT answer.status, answer.id, answer.epoch;
END $$;

-- As beat_v1. Fenced, too, if another server has the number and the epoch.
CREATE FUNCTION fleet.beat_v2(
  p_node int, p_epoch bigint, p_instance text, p_applied bigint, p_prepared bigint, p_sessions int)
RETURNS TABLE (fenced boolean, state text, revision bigint, floor bigint, tag uuid, open_orders boolean)
LANGUAGE plpgsql AS $$
DECLARE
  t timestamptz := clock_timestamp();
  s text;
BEGIN
  SET LOCAL synchronous_commit = off;
  SELECT n.state INTO s FROM fleet.nodes n
    WHERE n.id = p_node AND n.epoch = p_epoch AND n.instance = p_instance;
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

ALTER TABLE fleet.policy_acks ADD COLUMN epoch bigint;  -- of the node; null: it has a release that tells none

-- As policy_answers_v1. The answer of a process before the present one does not count: it has compiled nothing.
CREATE FUNCTION fleet.policy_answers_v2(p_version bigint, p_dead_after interval)
RETURNS TABLE (name text, ok boolean, error text) LANGUAGE sql AS $$
  SELECT v.name, a.ok, coalesce(a.error, '') FROM fleet.voters_v1(p_dead_after) v JOIN fleet.nodes n ON n.id = v.node
  LEFT JOIN fleet.policy_acks a ON a.version = p_version AND a.node = v.node AND coalesce(a.epoch, n.epoch) = n.epoch
  ORDER BY v.name $$;

-- As seal_policy_v1, by the answers of the present processes.
CREATE FUNCTION fleet.seal_policy_v2(p_node int, p_epoch bigint, p_version bigint, p_revision int, p_dead_after interval)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT 1 FROM fleet.policy_answers_v2(p_version, p_dead_after) a WHERE a.ok IS NOT TRUE) THEN
    RETURN false;
  END IF;
  RETURN fleet.seal_policy_v1(p_node, p_epoch, p_version, p_revision, p_dead_after);
END $$;
