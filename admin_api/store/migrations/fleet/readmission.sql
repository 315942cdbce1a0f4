-- SPDX-License-Identifier: GPL-3.0-or-later
-- Sessions that a node carries and the database does not know, such as after a restore: admitted some at a time.

-- As admit_v2 for each of them, those of one user in the order of the arrays. Rows that it locks are locked before, by
-- their keys: nodes that do this beside each other, with sessions of the same users, wait for each other in one order.
CREATE FUNCTION fleet.admit_several_v1(
  p_node int, p_epoch bigint, p_ids bytea[], p_generations int[], p_users text[], p_devices text[], p_limits int[],
  p_excess text[], p_digests bytea[], p_ipv4 inet[], p_ipv6 inet[], p_sources inet[], p_ages double precision[],
  p_remaining double precision[], p_cookie_timeouts int[], p_dead_after interval, p_hold boolean)
RETURNS TABLE (id bytea, status text, holders bytea[], nodes int[], generations int[]) LANGUAGE plpgsql AS $$
DECLARE
  limited text[] := ARRAY (SELECT DISTINCT v.who FROM unnest(p_users, p_limits) AS v (who, most) WHERE v.most > 0);
  e record;
BEGIN
  PERFORM 1 FROM fleet.logins l WHERE l.id = ANY (p_ids) ORDER BY l.id FOR NO KEY UPDATE;
  PERFORM 1 FROM fleet.users u WHERE u.key = ANY (limited) ORDER BY u.key FOR NO KEY UPDATE;
  PERFORM 1 FROM fleet.sessions x WHERE x.user_key = ANY (limited) ORDER BY x.id FOR UPDATE;
  FOR e IN
    SELECT * FROM unnest(p_ids, p_generations, p_users, p_devices, p_limits, p_excess, p_digests, p_ipv4, p_ipv6,
                         p_sources, p_ages, p_remaining, p_cookie_timeouts) WITH ORDINALITY
      AS v (session, generation, who, device, most, excess, digest, ipv4, ipv6, source, age, remaining, cookie_timeout, at)
    ORDER BY v.who, v.at
  LOOP
    RETURN QUERY SELECT e.session, a.status, a.holders, a.nodes, a.generations FROM fleet.admit_v2(
      p_node, p_epoch, e.session, e.generation, e.who, e.device, e.most, e.excess, e.digest, e.ipv4, e.ipv6, e.source,
      e.age, e.remaining, e.cookie_timeout, p_dead_after, p_hold) a;
  END LOOP;
END $$;
