-- SPDX-License-Identifier: GPL-3.0-or-later
-- Inner addresses, lent to nodes one by one in batches. A lent address belongs to its node until the node hands it back,
-- or a session takes it along to another node: silence alone never takes one away, its node may carry tunnels.
--
-- Rows are made when an address is lent for the first time, so a /64 costs nothing before.

CREATE TABLE fleet.pools (
  pool text PRIMARY KEY,
  next numeric NOT NULL,  -- first address never lent, as its distance from the network's
  short_at timestamptz  -- when the pool was last found empty: nodes hand back what they hold in reserve
);
ALTER TABLE fleet.address_blocks ADD COLUMN freed_at timestamptz NOT NULL DEFAULT clock_timestamp();
CREATE INDEX address_blocks_free ON fleet.address_blocks (pool, freed_at) WHERE node IS NULL;

-- Lends up to p_count addresses. Those never used come first, then those unused for longest. p_first and p_end: the
-- first address for clients and the one behind the last, as distances. Empty: none is left.
CREATE FUNCTION fleet.lend_v1(p_node int, p_epoch bigint, p_pool cidr, p_first numeric, p_end numeric, p_count int)
RETURNS TABLE (address inet) LANGUAGE plpgsql AS $$
DECLARE
  start numeric;
  found int := 0;
  n int;
  host_bits int := CASE family(p_pool) WHEN 4 THEN 32 ELSE 128 END;
BEGIN
  IF NOT fleet.is_current_v1(p_node, p_epoch) THEN RETURN; END IF;
  INSERT INTO fleet.pools (pool, next) VALUES (p_pool::text, p_first) ON CONFLICT DO NOTHING;
  SELECT p.next INTO start FROM fleet.pools p WHERE p.pool = p_pool::text FOR UPDATE;
  WHILE found < p_count AND start < p_end LOOP
    RETURN QUERY
      INSERT INTO fleet.address_blocks AS b (pool, block, node, epoch)
        SELECT p_pool::text, set_masklen(p_pool::inet + i::bigint, host_bits)::cidr, p_node, p_epoch
        FROM generate_series(start, least(start + (p_count - found), p_end) - 1) AS i
        ON CONFLICT DO NOTHING  -- one lent by name before
        RETURNING b.block::inet;
    GET DIAGNOSTICS n = ROW_COUNT;
    start := least(start + (p_count - found), p_end);
    found := found + n;
  END LOOP;
  UPDATE fleet.pools p SET next = start WHERE p.pool = p_pool::text AND p.next < start;
  IF found >= p_count THEN RETURN; END IF;
  RETURN QUERY
    UPDATE fleet.address_blocks b SET node = p_node, epoch = p_epoch
    FROM (SELECT f.block FROM fleet.address_blocks f WHERE f.pool = p_pool::text AND f.node IS NULL
          ORDER BY f.freed_at LIMIT p_count - found FOR UPDATE SKIP LOCKED) AS free
    WHERE b.pool = p_pool::text AND b.block = free.block RETURNING b.block::inet;
  GET DIAGNOSTICS n = ROW_COUNT;
  IF found + n = 0 THEN
    UPDATE fleet.pools p SET short_at = clock_timestamp() WHERE p.pool = p_pool::text;
  END IF;
END $$;

-- Lends one address by name. Returns whether the node has it now.
CREATE FUNCTION fleet.lend_one_v1(p_node int, p_epoch bigint, p_pool cidr, p_address inet) RETURNS boolean
LANGUAGE sql AS $$
  WITH got AS (
    INSERT INTO fleet.address_blocks AS b (pool, block, node, epoch)
      SELECT p_pool::text, p_address::cidr, p_node, p_epoch WHERE fleet.is_current_v1(p_node, p_epoch)
      ON CONFLICT (pool, block) DO UPDATE SET node = p_node, epoch = p_epoch WHERE b.node IS NULL OR b.node = p_node
      RETURNING 1)
  SELECT EXISTS (SELECT 1 FROM got) $$;

-- Hands addresses back that no session of the node has. Returns how many.
CREATE FUNCTION fleet.give_back_v1(p_node int, p_pool cidr, p_addresses inet[]) RETURNS bigint LANGUAGE sql AS $$
  WITH gone AS (
    UPDATE fleet.address_blocks b SET node = NULL, epoch = NULL, freed_at = clock_timestamp()
    WHERE b.pool = p_pool::text AND b.node = p_node AND b.block = ANY (p_addresses::cidr[])
      AND NOT EXISTS (SELECT 1 FROM fleet.sessions s WHERE s.ipv4 = b.block::inet OR s.ipv6 = b.block::inet)
    RETURNING 1)
  SELECT count(*) FROM gone $$;

-- Addresses that belong to the node: after a lost answer and after joining again.
CREATE FUNCTION fleet.lent_v1(p_node int, p_pool cidr) RETURNS TABLE (address inet) LANGUAGE sql AS $$
  SELECT b.block::inet FROM fleet.address_blocks b WHERE b.node = p_node AND b.pool = p_pool::text $$;

-- Pools that were found empty in the last p_seconds.
CREATE FUNCTION fleet.short_pools_v1(p_seconds double precision) RETURNS TABLE (pool text) LANGUAGE sql AS $$
  SELECT p.pool FROM fleet.pools p WHERE p.short_at > clock_timestamp() - make_interval(secs => p_seconds) $$;
