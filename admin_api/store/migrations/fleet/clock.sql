-- SPDX-License-Identifier: GPL-3.0-or-later
-- A database whose clock has gone back, as after a failover to a machine with another time: moments that it wrote before
-- lie ahead, so a dead node would look alive and a lost session would hold its place until the clock is there again.

-- Moves such moments to now. The 2 s are more than what a row needs from the reading of the clock until it is seen here.
CREATE FUNCTION fleet.pull_back_v1() RETURNS void LANGUAGE sql AS $$
  UPDATE fleet.beats SET seen_at = clock_timestamp() WHERE seen_at > clock_timestamp() + interval '2 s';
  UPDATE fleet.sessions SET lost_at = CASE WHEN lost_at IS NOT NULL THEN least(lost_at, clock_timestamp()) END,
      admitted_at = least(admitted_at, clock_timestamp())
    WHERE lost_at > clock_timestamp() + interval '2 s' OR void AND admitted_at > clock_timestamp() + interval '2 s';
  UPDATE fleet.orders SET done_at = clock_timestamp() WHERE done_at > clock_timestamp() + interval '2 s' $$;

-- As sweep_sessions_v1, also after the clock has gone back.
CREATE FUNCTION fleet.sweep_sessions_v2(p_dead_after interval) RETURNS TABLE (id bytea) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM fleet.pull_back_v1();
  RETURN QUERY SELECT s.id FROM fleet.sweep_sessions_v1(p_dead_after) s;
END $$;
