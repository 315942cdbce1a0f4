-- SPDX-License-Identifier: GPL-3.0-or-later
-- Nodes that read the whole state of the fleet, because the log does not tell them what has changed: a bounded number at
-- once. After a restore all nodes want to, and each reads all blocks.

-- One row for each that may read at once. Without a node: the turn is free.
CREATE TABLE fleet.snapshot_turns (
  turn int PRIMARY KEY,
  node int,
  epoch bigint,
  taken_at timestamptz
) WITH (fillfactor = 50);
INSERT INTO fleet.snapshot_turns (turn) SELECT generate_series(1, 50);

-- Returns the turn of a node; 0: it has to wait, since nodes that live have them all. Safe to repeat: a node has one at
-- most. A turn ends with give_back_snapshot_v1, with its node's epoch, or p_lasts after it was taken. Nobody waits for a
-- lock: what another call is about to take is skipped, and what it has taken meanwhile does not match any more.
CREATE FUNCTION fleet.take_snapshot_turn_v1(p_node int, p_epoch bigint, p_dead_after interval, p_lasts interval)
RETURNS int LANGUAGE plpgsql AS $$
DECLARE
  t timestamptz := clock_timestamp();
  mine int;
BEGIN
  IF NOT fleet.is_current_v1(p_node, p_epoch) THEN RETURN 0; END IF;
  UPDATE fleet.snapshot_turns s SET taken_at = t WHERE s.node = p_node AND s.epoch = p_epoch RETURNING s.turn INTO mine;
  IF NOT FOUND THEN
    UPDATE fleet.snapshot_turns s SET node = p_node, epoch = p_epoch, taken_at = t
      WHERE s.turn = (
        SELECT y.turn FROM fleet.snapshot_turns y
        WHERE y.node IS NULL OR y.taken_at NOT BETWEEN t - p_lasts AND t + interval '2 s'
          OR fleet.is_lost_v1(y.node, y.epoch, p_dead_after)
        LIMIT 1 FOR UPDATE SKIP LOCKED)
      RETURNING s.turn INTO mine;
  END IF;
  RETURN coalesce(mine, 0);
END $$;

CREATE FUNCTION fleet.give_back_snapshot_v1(p_node int, p_epoch bigint) RETURNS boolean LANGUAGE sql AS $$
  WITH free AS (UPDATE fleet.snapshot_turns SET node = NULL, epoch = NULL, taken_at = NULL
                WHERE node = p_node AND epoch = p_epoch RETURNING 1)
  SELECT EXISTS (SELECT 1 FROM free) $$;
