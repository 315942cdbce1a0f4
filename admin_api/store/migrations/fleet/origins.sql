-- SPDX-License-Identifier: GPL-3.0-or-later
-- Which process has made a change: a node's number and name are also those of the process before and after it.

ALTER TABLE fleet.log ADD COLUMN origin text NOT NULL DEFAULT '';  -- of the process, chosen at random at its start

-- As publish_v1, with the process that publishes.
CREATE FUNCTION fleet.publish_v2(p_node int, p_origin text, p_kinds text[], p_keys text[], p_bodies jsonb[])
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  n int := cardinality(p_kinds);
  r bigint;
  g uuid := gen_random_uuid();
BEGIN
  UPDATE fleet.head SET revision = revision + n, tag = g RETURNING revision INTO r;
  INSERT INTO fleet.log (revision, tag, kind, key, body, node, origin)
    SELECT r - n + c.at, g, c.kind, c.key, c.body, p_node, p_origin
    FROM unnest(p_kinds, p_keys, p_bodies) WITH ORDINALITY AS c (kind, key, body, at);
  PERFORM pg_notify('fleet', r::text);
  RETURN r;
END $$;

-- The head, and up to p_most changes from p_cursor on, all of one moment. Without a change there is one row, whose
-- columns of a change are null. A function, because its plan is kept without a statement that is prepared.
CREATE FUNCTION fleet.read_log_v1(p_cursor bigint, p_most int)
RETURNS TABLE (head bigint, floor bigint, head_tag uuid, revision bigint, tag uuid, kind text, key text, body jsonb,
               origin text, age double precision) LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN QUERY
    SELECT h.revision, h.floor, h.tag, c.revision, c.tag, c.kind, c.key, c.body, c.origin,
      extract(epoch FROM clock_timestamp() - c.at)::double precision
    FROM fleet.head h LEFT JOIN LATERAL (
      SELECT * FROM fleet.log l WHERE l.revision >= p_cursor ORDER BY l.revision LIMIT p_most) c ON true
    ORDER BY c.revision;
END $$;
