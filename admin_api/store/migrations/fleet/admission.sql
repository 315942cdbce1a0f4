-- SPDX-License-Identifier: GPL-3.0-or-later
-- Sessions of all nodes: admitted under one limit per user, claimed by the node that their client comes to, released
-- once. One call is one round trip. Every function but the sweep is safe to repeat.
--
-- Correct under READ COMMITTED: the lock of the user's row is taken by one statement, the sessions are counted by a later
-- one, whose snapshot then has all that earlier admissions of the user have committed. Counting in the statement that
-- locks would count by a snapshot from before the lock.

-- void: an admission whose answer was lost was taken back; one that arrives late finds this row. ghost: another session
-- has the place of this one, whose node was cut off and may still carry it.
ALTER TABLE fleet.sessions
  ADD COLUMN void boolean NOT NULL DEFAULT false,
  ADD COLUMN ghost boolean NOT NULL DEFAULT false,
  ADD COLUMN logged_in_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  ADD COLUMN cookie_timeout int NOT NULL DEFAULT 300;  -- seconds that a lost session waits for its client

-- False for a node that was fenced, forgotten, or has left.
CREATE FUNCTION fleet.is_current_v1(p_node int, p_epoch bigint) RETURNS boolean LANGUAGE sql AS $$
  SELECT EXISTS (SELECT 1 FROM fleet.nodes WHERE id = p_node AND epoch = p_epoch AND state <> 'left') $$;

-- Status: 'ok'; 'same': it was admitted before; 'full': the limit is reached, the holders are those of the places;
-- 'address': another session has one of the addresses; 'fenced': the node has to join again; 'revoked': the login is older
-- than the account's last change that ends sessions; 'void': this admission was taken back; 'moved': another node has it.
-- With 'ok' the holders are sessions that had to give way and are still alive: their nodes have orders to end them.
CREATE FUNCTION fleet.admit_v1(
  p_node int, p_epoch bigint, p_id bytea, p_generation int, p_user text, p_device text, p_limit int, p_excess text,
  p_digest bytea, p_ipv4 inet, p_ipv6 inet, p_source inet, p_age double precision, p_remaining double precision,
  p_cookie_timeout int, p_dead_after interval, p_hold boolean)
RETURNS TABLE (status text, holders bytea[], nodes int[], generations int[]) LANGUAGE plpgsql AS $$
DECLARE
  t timestamptz := clock_timestamp();
  r record;
  s text := 'ok';
  held int := 0;
  ghosts int := 0;
  over int;
  live bytea[] := '{}';
  live_nodes int[] := '{}';
  live_generations int[] := '{}';
  yields bytea[] := '{}';  -- lost ones, the oldest first
  own_device int := 0;
BEGIN
  IF NOT fleet.is_current_v1(p_node, p_epoch) THEN
    RETURN QUERY SELECT 'fenced', live, live_nodes, live_generations;
    RETURN;
  END IF;
  IF p_limit > 0 THEN
    INSERT INTO fleet.users AS u (key) VALUES (p_user)
      ON CONFLICT (key) DO UPDATE SET admissions = u.admissions + 1;
  END IF;
  IF EXISTS (SELECT 1 FROM fleet.users u
             WHERE u.key = p_user AND u.not_before > t - make_interval(secs => p_age)) THEN
    RETURN QUERY SELECT 'revoked', live, live_nodes, live_generations;
    RETURN;
  END IF;
  FOR r IN
    SELECT x.id, x.node, x.epoch, x.generation, x.ghost, x.device, x.cookie_digest,
           (x.lost_at IS NOT NULL OR fleet.is_lost_v1(x.node, x.epoch, p_dead_after)) AS lost,
           coalesce(x.lost_at + make_interval(secs => x.cookie_timeout) < t, false) AS waited
    FROM fleet.sessions x WHERE x.user_key = p_user AND NOT x.void AND (p_limit > 0 OR x.id = p_id)
    ORDER BY (p_excess = 'replace_same_device' AND x.device = p_device AND p_device <> '') DESC, x.admitted_at
    FOR UPDATE OF x  -- a node that asserts one of them meanwhile comes before this, or finds its place taken
  LOOP
    IF r.id = p_id THEN
      s := CASE WHEN r.node = p_node AND r.epoch = p_epoch AND r.cookie_digest = p_digest AND r.generation = p_generation
                THEN 'same' ELSE 'moved' END;
      RETURN QUERY SELECT s, '{}'::bytea[], '{}'::int[], '{}'::int[];
      RETURN;
    ELSIF r.ghost THEN
      ghosts := ghosts + 1;
    ELSIF r.lost AND (NOT p_hold OR r.waited) THEN
      held := held + 1;
      yields := yields || r.id;
    ELSE
      held := held + 1;
      live := live || r.id;
      live_nodes := live_nodes || r.node;
      live_generations := live_generations || r.generation;
      IF r.device = p_device AND p_device <> '' THEN own_device := own_device + 1; END IF;
    END IF;
  END LOOP;
  over := CASE WHEN p_limit > 0 THEN greatest(held - p_limit + 1, 0) ELSE 0 END;
  IF over > 0 THEN
    yields := yields[1:over];
    -- A node that was cut off may still carry what gives way here: never more than the limit of such sessions.
    IF ghosts + cardinality(yields) > p_limit THEN yields := yields[1:greatest(p_limit - ghosts, 0)]; END IF;
    over := over - cardinality(yields);
    IF over > 0 AND (p_excess = 'kick_oldest' OR (p_excess = 'replace_same_device' AND over <= own_device)) THEN
      live := live[1:over];
      live_nodes := live_nodes[1:over];
      live_generations := live_generations[1:over];
      over := over - cardinality(live);
    ELSIF over = 0 THEN
      live := '{}';
      live_nodes := '{}';
      live_generations := '{}';
    END IF;
    IF over > 0 THEN
      RETURN QUERY SELECT 'full', live, live_nodes, live_generations;
      RETURN;
    END IF;
  ELSE
    yields := '{}';
    live := '{}';
    live_nodes := '{}';
    live_generations := '{}';
  END IF;
  INSERT INTO fleet.orders (node, kind, session, generation, reason)
    SELECT v.node, 'evict', v.id, v.generation, 'replaced'
    FROM unnest(live, live_nodes, live_generations) AS v (id, node, generation);
  DELETE FROM fleet.sessions x WHERE x.id = ANY (live)
    AND (x.ipv4 IS NULL OR x.ipv4 IS DISTINCT FROM p_ipv4) AND (x.ipv6 IS NULL OR x.ipv6 IS DISTINCT FROM p_ipv6);
  UPDATE fleet.sessions x SET ghost = true, lost_at = coalesce(x.lost_at, t) WHERE x.id = ANY (yields);
  IF EXISTS (SELECT 1 FROM fleet.sessions x WHERE x.id <> p_id AND (x.ipv4 = p_ipv4 OR x.ipv6 = p_ipv6)) THEN
    -- Nothing else is undone: those who give way do so now, and the node asks again once they have.
    RETURN QUERY SELECT 'address', live, live_nodes, live_generations;
    RETURN;
  END IF;
  INSERT INTO fleet.sessions AS x (id, user_key, node, epoch, generation, device, cookie_digest, ipv4, ipv6, source,
                                   logged_in_at, hard_end, cookie_timeout)
    VALUES (p_id, p_user, p_node, p_epoch, p_generation, p_device, p_digest, p_ipv4, p_ipv6, p_source,
            t - make_interval(secs => p_age), t + make_interval(secs => p_remaining), p_cookie_timeout)
    ON CONFLICT (id) DO UPDATE
      SET void = false, generation = p_generation, epoch = p_epoch, node = p_node, ipv4 = p_ipv4, ipv6 = p_ipv6,
          user_key = p_user, device = p_device, cookie_digest = p_digest, source = p_source, admitted_at = t,
          logged_in_at = t - make_interval(secs => p_age), hard_end = t + make_interval(secs => p_remaining),
          cookie_timeout = p_cookie_timeout
      WHERE x.void AND x.generation < p_generation
    RETURNING x.id INTO r;
  IF NOT FOUND THEN
    RETURN QUERY SELECT 'void', '{}'::bytea[], '{}'::int[], '{}'::int[];
    RETURN;
  END IF;
  RETURN QUERY SELECT 'ok', live, live_nodes, live_generations;
END $$;

-- The end of a session, by the node that has it. An older generation changes nothing. Returns whether this call did.
CREATE FUNCTION fleet.release_v1(p_node int, p_id bytea, p_generation int) RETURNS boolean LANGUAGE sql AS $$
  WITH gone AS (DELETE FROM fleet.sessions
                WHERE id = p_id AND node = p_node AND generation = p_generation AND NOT void RETURNING 1)
  SELECT EXISTS (SELECT 1 FROM gone) $$;

-- Takes an admission back whose answer was lost. It leaves a row, so that one that is still on its way changes nothing.
CREATE FUNCTION fleet.void_v1(p_node int, p_epoch bigint, p_id bytea, p_generation int, p_user text)
RETURNS boolean LANGUAGE sql AS $$
  WITH done AS (
    INSERT INTO fleet.sessions AS x (id, user_key, node, epoch, generation, cookie_digest, source, void)
      VALUES (p_id, p_user, p_node, p_epoch, p_generation, '', '0.0.0.0', true)
      ON CONFLICT (id) DO UPDATE
        SET void = true, ghost = false, lost_at = NULL, ipv4 = NULL, ipv6 = NULL,
            generation = p_generation, admitted_at = clock_timestamp()
        WHERE x.node = p_node AND x.generation <= p_generation
      RETURNING 1)
  SELECT EXISTS (SELECT 1 FROM done) $$;

-- A client has come to this node with the cookie of a session that another has, or had. Status: 'ok'; 'unknown': there
-- is none, or the cookie is another; 'over': its time is; 'replaced': another session has its place; 'fenced'; 'revoked'.
-- was_node and was_generation: who had it; alive: that node lives and has an order to let go.
CREATE FUNCTION fleet.claim_v1(
  p_node int, p_epoch bigint, p_id bytea, p_digest bytea, p_source inet, p_dead_after interval)
RETURNS TABLE (status text, generation int, user_key text, ipv4 inet, ipv6 inet, age double precision,
               was_node int, was_generation int, alive boolean) LANGUAGE plpgsql AS $$
DECLARE
  t timestamptz := clock_timestamp();
  r record;
  s text := 'ok';
  lives boolean;
BEGIN
  INSERT INTO fleet.users AS u (key) SELECT x.user_key FROM fleet.sessions x WHERE x.id = p_id AND NOT x.void
    ON CONFLICT (key) DO UPDATE SET admissions = u.admissions + 1;  -- the lock: see admit_v1
  SELECT x.* INTO r FROM fleet.sessions x WHERE x.id = p_id FOR UPDATE;
  lives := r.lost_at IS NULL AND NOT fleet.is_lost_v1(r.node, r.epoch, p_dead_after);
  s := CASE
    WHEN NOT fleet.is_current_v1(p_node, p_epoch) THEN 'fenced'
    WHEN r.id IS NULL OR r.void OR r.cookie_digest <> p_digest THEN 'unknown'
    WHEN r.ghost THEN 'replaced'
    WHEN r.hard_end < t OR r.lost_at + make_interval(secs => r.cookie_timeout) < t THEN 'over'
    WHEN EXISTS (SELECT 1 FROM fleet.users u WHERE u.key = r.user_key AND u.not_before > r.logged_in_at) THEN 'revoked'
    ELSE 'ok' END;
  IF s <> 'ok' THEN
    RETURN QUERY SELECT s, 0, '', NULL::inet, NULL::inet, 0::double precision, 0, 0, false;
    RETURN;
  END IF;
  UPDATE fleet.sessions x
    SET node = p_node, epoch = p_epoch, generation = r.generation + 1, source = p_source, lost_at = NULL
    WHERE x.id = p_id;
  UPDATE fleet.address_blocks b SET node = p_node, epoch = p_epoch
    WHERE b.block IN (set_masklen(r.ipv4, 32)::cidr, set_masklen(r.ipv6, 128)::cidr) AND b.node = r.node;
  IF r.node <> p_node THEN
    INSERT INTO fleet.orders (node, kind, session, generation, reason)
      VALUES (r.node, 'let_go', p_id, r.generation, 'moved');
  END IF;
  RETURN QUERY SELECT 'ok', r.generation + 1, r.user_key, r.ipv4, r.ipv6,
    extract(epoch FROM t - r.logged_in_at)::double precision, r.node, r.generation,
    lives AND r.node <> p_node;
END $$;

-- A node that has joined again tells which sessions it carries. Per session: 'ok', 'moved', 'replaced' or 'unknown' (it
-- may be admitted again). The rows that it does not name are lost from now on, and places given to others are free.
CREATE FUNCTION fleet.reassert_v1(p_node int, p_epoch bigint, p_ids bytea[], p_generations int[])
RETURNS TABLE (id bytea, status text) LANGUAGE plpgsql AS $$
BEGIN
  IF NOT fleet.is_current_v1(p_node, p_epoch) THEN
    RETURN QUERY SELECT x, 'fenced' FROM unnest(p_ids) AS x;
    RETURN;
  END IF;
  PERFORM 1 FROM fleet.sessions x WHERE x.id = ANY (p_ids) ORDER BY x.id FOR UPDATE;
  RETURN QUERY
    WITH mine AS (SELECT * FROM unnest(p_ids, p_generations) AS m (id, generation)),
    kept AS (UPDATE fleet.sessions x SET epoch = p_epoch, lost_at = NULL
             FROM mine m WHERE x.id = m.id AND x.node = p_node AND x.generation = m.generation
               AND NOT x.void AND NOT x.ghost RETURNING x.id)
    SELECT m.id, CASE WHEN k.id IS NOT NULL THEN 'ok' WHEN x.id IS NULL OR x.void THEN 'unknown'
                      WHEN x.ghost THEN 'replaced' ELSE 'moved' END
    FROM mine m LEFT JOIN kept k ON k.id = m.id LEFT JOIN fleet.sessions x ON x.id = m.id;
  DELETE FROM fleet.sessions x WHERE x.node = p_node AND x.ghost;
  UPDATE fleet.sessions x SET lost_at = coalesce(x.lost_at, clock_timestamp())
    WHERE x.node = p_node AND x.epoch < p_epoch AND NOT x.void;
END $$;

-- A node lets a session go that no other has claimed: whose client may come to any node, for the time of its cookie.
CREATE FUNCTION fleet.lose_v1(p_node int, p_id bytea, p_generation int) RETURNS boolean LANGUAGE sql AS $$
  WITH lost AS (UPDATE fleet.sessions SET lost_at = coalesce(lost_at, clock_timestamp())
                WHERE id = p_id AND node = p_node AND generation = p_generation AND NOT void RETURNING 1)
  SELECT EXISTS (SELECT 1 FROM lost) $$;

-- Ends what waits for nothing: withdrawn admissions once none can be under way, and lost sessions whose clients did not
-- return, if their nodes have let them go or joined since. Those of a node that is only silent stay: it may carry them.
CREATE FUNCTION fleet.sweep_sessions_v1(p_dead_after interval) RETURNS TABLE (id bytea) LANGUAGE plpgsql AS $$
BEGIN
  UPDATE fleet.sessions x SET lost_at = clock_timestamp()
    WHERE x.id IN (SELECT y.id FROM fleet.sessions y
                   WHERE y.lost_at IS NULL AND NOT y.void AND fleet.is_lost_v1(y.node, y.epoch, p_dead_after)
                   FOR UPDATE SKIP LOCKED);
  DELETE FROM fleet.sessions x WHERE x.void AND x.admitted_at < clock_timestamp() - interval '60 s';
  DELETE FROM fleet.orders o WHERE o.done_at < clock_timestamp() - interval '1 h';
  RETURN QUERY
    DELETE FROM fleet.sessions x
    WHERE x.id IN (SELECT y.id FROM fleet.sessions y
                   WHERE y.lost_at + make_interval(secs => y.cookie_timeout) < clock_timestamp()
                     AND (NOT fleet.is_current_v1(y.node, y.epoch)
                          OR NOT fleet.is_lost_v1(y.node, y.epoch, p_dead_after))
                   FOR UPDATE SKIP LOCKED)
    RETURNING x.id;
END $$;

CREATE FUNCTION fleet.open_orders_v1(p_node int, p_most int)
RETURNS TABLE (serial bigint, kind text, session bytea, generation int, reason text) LANGUAGE sql AS $$
  SELECT o.serial, o.kind, o.session, o.generation, o.reason FROM fleet.orders o
  WHERE o.node = p_node AND o.done_at IS NULL ORDER BY o.serial LIMIT p_most $$;

CREATE FUNCTION fleet.orders_done_v1(p_node int, p_serials bigint[]) RETURNS void LANGUAGE sql AS $$
  UPDATE fleet.orders SET done_at = clock_timestamp() WHERE node = p_node AND serial = ANY (p_serials) $$;

-- Whether the former node of a session has let it go, or cannot be expected to: it has left, or is silent for 1.5 s.
CREATE FUNCTION fleet.is_let_go_v1(p_node int, p_session bytea, p_generation int) RETURNS boolean LANGUAGE sql AS $$
  SELECT NOT EXISTS (
    SELECT 1 FROM fleet.orders o JOIN fleet.beats b ON b.node = o.node JOIN fleet.nodes n ON n.id = o.node
    WHERE o.node = p_node AND o.session = p_session AND o.generation = p_generation AND o.done_at IS NULL
      AND n.state <> 'left' AND b.seen_at > clock_timestamp() - interval '1.5 s') $$;

-- Has the nodes of these sessions find out whether their clients are there. Returns how many of them are to do so now.
CREATE FUNCTION fleet.contest_v1(p_node int, p_epoch bigint, p_sessions bytea[], p_nodes int[], p_generations int[])
RETURNS bigint LANGUAGE sql AS $$
  WITH made AS (
    INSERT INTO fleet.orders (node, kind, session, generation, reason)
      SELECT v.node, 'contest', v.session, v.generation, 'max_same_clients'
      FROM unnest(p_sessions, p_nodes, p_generations) AS v (session, node, generation)
      WHERE fleet.is_current_v1(p_node, p_epoch) AND NOT EXISTS (
        SELECT 1 FROM fleet.orders o WHERE o.session = v.session AND o.kind = 'contest' AND o.done_at IS NULL)
      RETURNING 1)
  SELECT count(*) FROM made $$;

-- True while some node has not looked yet. One that is silent is not waited for.
CREATE FUNCTION fleet.is_contested_v1(p_sessions bytea[]) RETURNS boolean LANGUAGE sql AS $$
  SELECT EXISTS (
    SELECT 1 FROM fleet.orders o JOIN fleet.beats b ON b.node = o.node JOIN fleet.nodes n ON n.id = o.node
    WHERE o.session = ANY (p_sessions) AND o.kind = 'contest' AND o.done_at IS NULL
      AND n.state <> 'left' AND b.seen_at > clock_timestamp() - interval '1.5 s') $$;
CREATE INDEX orders_session ON fleet.orders (session) WHERE done_at IS NULL;
