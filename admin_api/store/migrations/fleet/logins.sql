-- SPDX-License-Identifier: GPL-3.0-or-later
-- Logins whose clients may open their tunnel at any node. A node writes each behind its answer to the client. The row stays
-- until the time of the cookie is over, also once the session has ended: then it refuses the cookie everywhere.

CREATE TABLE fleet.logins (
  id bytea PRIMARY KEY,  -- the session's
  user_key text NOT NULL,
  node int NOT NULL,  -- that has taken the login
  cookie_digest bytea NOT NULL,
  document text,  -- what another node needs to make the session of it; NULL: it has ended
  logged_in_at timestamptz NOT NULL,
  expires_at timestamptz NOT NULL,
  ended boolean NOT NULL DEFAULT false
) WITH (fillfactor = 80);
CREATE INDEX logins_expires_at ON fleet.logins (expires_at);

-- Safe to repeat, also after the end of the session. p_age: seconds since the login. Returns whether this call did it.
CREATE FUNCTION fleet.keep_login_v1(
  p_node int, p_id bytea, p_user text, p_digest bytea, p_document text, p_cookie_timeout int, p_age double precision)
RETURNS boolean LANGUAGE sql AS $$
  WITH kept AS (
    INSERT INTO fleet.logins (id, user_key, node, cookie_digest, document, logged_in_at, expires_at)
      SELECT p_id, p_user, p_node, p_digest, p_document, t - make_interval(secs => p_age),
             t - make_interval(secs => p_age) + make_interval(secs => p_cookie_timeout)
      FROM clock_timestamp() AS t WHERE p_age < p_cookie_timeout
      ON CONFLICT (id) DO NOTHING RETURNING 1)
  SELECT EXISTS (SELECT 1 FROM kept) $$;

-- The end of a session or of a login without a tunnel, by a node that has it: its cookie opens nothing any more. An older
-- generation ends nothing; generation 0: of a session that the fleet has not admitted.
CREATE FUNCTION fleet.end_v1(p_node int, p_id bytea, p_generation int) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  PERFORM 1 FROM fleet.logins WHERE id = p_id FOR NO KEY UPDATE;  -- admissions elsewhere come before this, or are refused
  DELETE FROM fleet.sessions WHERE id = p_id AND node = p_node AND generation = p_generation AND NOT void;
  IF FOUND OR NOT EXISTS (SELECT 1 FROM fleet.sessions WHERE id = p_id AND NOT void) THEN
    UPDATE fleet.logins SET ended = true, document = NULL WHERE id = p_id AND NOT ended;
    RETURN true;
  END IF;
  RETURN false;
END $$;

-- A client has logged out at a node that has not its session: the one that has it gets the order to end it.
CREATE FUNCTION fleet.log_out_v1(p_id bytea, p_digest bytea) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  UPDATE fleet.logins SET ended = true, document = NULL WHERE id = p_id AND cookie_digest = p_digest AND NOT ended;
  WITH over AS (
    UPDATE fleet.sessions SET hard_end = least(hard_end, clock_timestamp())
      WHERE id = p_id AND cookie_digest = p_digest AND NOT void AND NOT ghost RETURNING node, generation)
  INSERT INTO fleet.orders (node, kind, session, generation, reason)
    SELECT node, 'evict', p_id, generation, 'logout' FROM over;
END $$;

-- As admit_v1, with one status more: 'ended': the session of this login has ended at some node. Of a login that another
-- node has taken, that node gets the order to forget it.
CREATE FUNCTION fleet.admit_v2(
  p_node int, p_epoch bigint, p_id bytea, p_generation int, p_user text, p_device text, p_limit int, p_excess text,
  p_digest bytea, p_ipv4 inet, p_ipv6 inet, p_source inet, p_age double precision, p_remaining double precision,
  p_cookie_timeout int, p_dead_after interval, p_hold boolean)
RETURNS TABLE (status text, holders bytea[], nodes int[], generations int[]) LANGUAGE plpgsql AS $$
DECLARE
  answer record;
  login record;
BEGIN
  SELECT l.node, l.ended INTO login FROM fleet.logins l WHERE l.id = p_id FOR NO KEY UPDATE;  -- see end_v1
  IF login.ended THEN
    RETURN QUERY SELECT 'ended', '{}'::bytea[], '{}'::int[], '{}'::int[];
    RETURN;
  END IF;
  SELECT * INTO answer FROM fleet.admit_v1(
    p_node, p_epoch, p_id, p_generation, p_user, p_device, p_limit, p_excess, p_digest, p_ipv4, p_ipv6, p_source, p_age,
    p_remaining, p_cookie_timeout, p_dead_after, p_hold);
  IF answer.status = 'ok' AND login.node <> p_node THEN
    INSERT INTO fleet.orders (node, kind, session, generation, reason) VALUES (login.node, 'let_go', p_id, 0, 'moved');
  END IF;
  RETURN QUERY SELECT answer.status, answer.holders, answer.nodes, answer.generations;
END $$;

-- As claim_v1, with two statuses more: 'login': no node has opened the session; the document is that of the login, the
-- generation the latest that was taken back. 'ended': as of admit_v2. A login is not claimed by this, but admitted.
CREATE FUNCTION fleet.claim_v2(
  p_node int, p_epoch bigint, p_id bytea, p_digest bytea, p_source inet, p_dead_after interval)
RETURNS TABLE (status text, generation int, user_key text, ipv4 inet, ipv6 inet, age double precision,
               was_node int, was_generation int, alive boolean, document text) LANGUAGE plpgsql AS $$
DECLARE
  answer record;
  login record;
  taken_back int;
  s text;
BEGIN
  SELECT * INTO answer FROM fleet.claim_v1(p_node, p_epoch, p_id, p_digest, p_source, p_dead_after);
  IF answer.status = 'unknown' THEN
    SELECT l.*, u.not_before INTO login FROM fleet.logins l LEFT JOIN fleet.users u ON u.key = l.user_key
      WHERE l.id = p_id AND l.cookie_digest = p_digest;
    IF FOUND AND NOT EXISTS (SELECT 1 FROM fleet.sessions x WHERE x.id = p_id AND NOT x.void) THEN
      s := CASE WHEN login.ended THEN 'ended'
                WHEN login.expires_at < clock_timestamp() THEN 'over'
                WHEN login.not_before > login.logged_in_at THEN 'revoked'
                ELSE 'login' END;
      taken_back := (SELECT x.generation FROM fleet.sessions x WHERE x.id = p_id);
      RETURN QUERY SELECT s, coalesce(taken_back, 0), login.user_key, NULL::inet, NULL::inet,
        extract(epoch FROM clock_timestamp() - login.logged_in_at)::double precision, 0, 0, false,
        CASE s WHEN 'login' THEN login.document END;
      RETURN;
    END IF;
  END IF;
  RETURN QUERY SELECT answer.status, answer.generation, answer.user_key, answer.ipv4, answer.ipv6, answer.age,
    answer.was_node, answer.was_generation, answer.alive, NULL::text;
END $$;

-- Forgets logins once their cookies are over, and nothing that was sent before can arrive.
CREATE FUNCTION fleet.sweep_logins_v1(p_most int) RETURNS bigint LANGUAGE sql AS $$
  WITH gone AS (
    DELETE FROM fleet.logins x WHERE x.id IN (
      SELECT y.id FROM fleet.logins y WHERE y.expires_at < clock_timestamp() - interval '60 s'
      ORDER BY y.expires_at LIMIT p_most FOR UPDATE SKIP LOCKED)
    RETURNING 1)
  SELECT count(*) FROM gone $$;
