-- SPDX-License-Identifier: GPL-3.0-or-later
-- Sources with many events, seen by several nodes.

-- Writes what a node has, in the place of what it had. Returns the fresh rows of all nodes to the first of them: one
-- node adds them up, and two that do for a moment penalise a source twice at most.
CREATE FUNCTION fleet.share_heavy_v1(p_node int, p_top jsonb)
RETURNS TABLE (node int, age double precision, top jsonb) LANGUAGE plpgsql AS $$
DECLARE
  t timestamptz := clock_timestamp();
BEGIN
  SET LOCAL synchronous_commit = off;
  DELETE FROM fleet.heavy h WHERE h.node = p_node OR h."window" < t - interval '1 minute';
  IF jsonb_array_length(p_top) = 0 THEN RETURN; END IF;
  INSERT INTO fleet.heavy (node, "window", top) VALUES (p_node, t, p_top);
  IF (SELECT min(h.node) FROM fleet.heavy h WHERE h."window" > t - interval '5 s') <> p_node THEN RETURN; END IF;
  RETURN QUERY SELECT h.node, extract(epoch FROM t - h."window")::double precision, h.top
    FROM fleet.heavy h WHERE h."window" > t - interval '5 s';
END $$;
