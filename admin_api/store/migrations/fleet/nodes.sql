-- SPDX-License-Identifier: GPL-3.0-or-later
-- What operators do with nodes that are gone.

-- Removes a node that is lost, and gives back what it owned. Returns 'forgotten', 'unknown', or 'live': it is heard, or
-- the database was away and cannot tell.
CREATE FUNCTION fleet.forget_v1(p_name text, p_dead_after interval) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  r record;
BEGIN
  SELECT n.id, n.epoch, n.state INTO r FROM fleet.nodes n WHERE n.name = p_name FOR UPDATE;
  IF NOT FOUND THEN RETURN 'unknown'; END IF;
  IF NOT fleet.is_lost_v1(r.id, r.epoch, p_dead_after) THEN RETURN 'live'; END IF;
  DELETE FROM fleet.sessions WHERE node = r.id;
  DELETE FROM fleet.orders WHERE node = r.id;
  DELETE FROM fleet.address_loans WHERE node = r.id;
  UPDATE fleet.address_blocks SET node = NULL, epoch = NULL, freed_at = clock_timestamp() WHERE node = r.id;
  DELETE FROM fleet.policy_acks WHERE node = r.id;
  DELETE FROM fleet.heavy WHERE node = r.id;
  DELETE FROM fleet.nodes WHERE id = r.id;
  UPDATE sessions SET ended_at = seen_at, end_reason = 'crashed', resumption = NULL
    WHERE node = p_name AND ended_at IS NULL;
  DELETE FROM penalties WHERE node = p_name;
  DELETE FROM sources WHERE node = p_name;
  DELETE FROM whereabouts WHERE node = p_name;
  RETURN 'forgotten';
END $$;
