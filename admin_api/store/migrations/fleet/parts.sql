-- SPDX-License-Identifier: GPL-3.0-or-later
-- The sessions of a node in the order of their ids, so that it can look at some of them and read no others.

CREATE INDEX sessions_node_id ON fleet.sessions (node, id);
DROP INDEX fleet.sessions_node;  -- the new one does all that it did

-- The first p_most sessions of a node behind p_after that hold a place, in the order of their ids. The settings have it
-- read no others also before the first ANALYZE of a table that has grown, whose rows are taken for a few then.
CREATE FUNCTION fleet.own_part_v1(p_node int, p_after bytea, p_most int)
RETURNS TABLE (id bytea, generation int) LANGUAGE sql STABLE SET enable_bitmapscan = off SET enable_sort = off AS $$
  SELECT x.id, x.generation FROM fleet.sessions x
  WHERE x.node = p_node AND x.id > p_after AND NOT x.void AND NOT x.ghost AND x.lost_at IS NULL
  ORDER BY x.id LIMIT p_most $$;
