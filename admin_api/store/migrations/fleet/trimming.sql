-- SPDX-License-Identifier: GPL-3.0-or-later
-- The log of changes is kept for a time. The row at the floor itself stays: a cursor there still finds its tag.

-- Raises the floor over changes that are older than p_age, except the newest p_keep; over p_most of them at a time.
-- Returns 0 if there is nothing to raise, or another transaction holds the head: the next call does it.
CREATE FUNCTION fleet.raise_floor_v1(p_age interval, p_keep bigint, p_most int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  h record;
  f bigint;
BEGIN
  SELECT revision, floor INTO h FROM fleet.head FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN RETURN 0; END IF;
  SELECT max(o.revision) INTO f FROM (
      SELECT l.revision, l.at FROM fleet.log l WHERE l.revision > h.floor ORDER BY l.revision LIMIT p_most) o
    WHERE o.at < clock_timestamp() - p_age AND o.revision <= h.revision - p_keep;
  IF f IS NULL THEN RETURN 0; END IF;
  UPDATE fleet.head SET floor = f;
  RETURN f;
END $$;

-- Removes p_most changes below the floor. It does not hold the head, so that publishing does not wait for it.
CREATE FUNCTION fleet.trim_log_v2(p_most int) RETURNS bigint LANGUAGE sql AS $$
  WITH old AS (
    SELECT l.revision FROM fleet.log l WHERE l.revision < (SELECT floor FROM fleet.head)
    ORDER BY l.revision LIMIT p_most FOR UPDATE SKIP LOCKED),
  gone AS (DELETE FROM fleet.log l USING old WHERE l.revision = old.revision RETURNING 1)
  SELECT count(*) FROM gone $$;
