-- SPDX-License-Identifier: GPL-3.0-or-later
-- The return of a node with many sessions: told in parts, each within the time of a call, then that these were all.

-- As reassert_v1, of some sessions, and changes no other. A session whose generation is newer than its row's was claimed
-- after what the database was restored from: the node has it, and the row follows.
CREATE FUNCTION fleet.reassert_v2(p_node int, p_epoch bigint, p_ids bytea[], p_generations int[])
RETURNS TABLE (id bytea, status text) LANGUAGE plpgsql AS $$
DECLARE
  heard boolean := fleet.is_current_v1(p_node, p_epoch);
  m record;
  r record;
BEGIN
  FOR m IN SELECT * FROM unnest(p_ids, p_generations) AS v (id, generation) ORDER BY v.id LOOP
    SELECT x.* INTO r FROM fleet.sessions x WHERE x.id = m.id FOR UPDATE;
    id := m.id;
    status := CASE WHEN NOT heard THEN 'fenced' WHEN r.id IS NULL OR r.void THEN 'unknown' WHEN r.ghost THEN 'replaced'
                   WHEN r.generation < m.generation OR r.generation = m.generation AND r.node = p_node THEN 'ok'
                   ELSE 'moved' END;
    IF status = 'ok' AND (r.node <> p_node OR r.epoch <> p_epoch OR r.generation <> m.generation
                          OR r.lost_at IS NOT NULL) THEN
      UPDATE fleet.sessions x SET node = p_node, epoch = p_epoch, generation = m.generation, lost_at = NULL
        WHERE x.id = m.id;
    END IF;
    IF status = 'ok' AND r.node <> p_node THEN
      UPDATE fleet.address_blocks b SET node = p_node, epoch = p_epoch
        WHERE b.block IN (set_masklen(r.ipv4, 32)::cidr, set_masklen(r.ipv6, 128)::cidr) AND b.node = r.node;
    END IF;
    RETURN NEXT;
  END LOOP;
END $$;

-- The node has told all that it carries: its other rows are lost, and places given to others are free. Returns how many
-- rows this call has changed: less than p_most, and it was the last.
CREATE FUNCTION fleet.asserted_v1(p_node int, p_epoch bigint, p_most int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  freed bigint;
  lost bigint;
BEGIN
  IF NOT fleet.is_current_v1(p_node, p_epoch) THEN RETURN 0; END IF;
  DELETE FROM fleet.sessions x WHERE x.id IN (
    SELECT y.id FROM fleet.sessions y WHERE y.node = p_node AND y.ghost LIMIT p_most FOR UPDATE);
  GET DIAGNOSTICS freed = ROW_COUNT;
  UPDATE fleet.sessions x SET lost_at = clock_timestamp() WHERE x.id IN (
    SELECT y.id FROM fleet.sessions y
    WHERE y.node = p_node AND y.epoch < p_epoch AND y.lost_at IS NULL AND NOT y.void LIMIT p_most FOR UPDATE);
  GET DIAGNOSTICS lost = ROW_COUNT;
  RETURN greatest(freed, lost);
END $$;
