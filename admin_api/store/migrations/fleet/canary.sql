-- SPDX-License-Identifier: GPL-3.0-or-later
-- Policies that are tried on some nodes first. Each ends at ends_at by the database's clock, if by nothing else.

CREATE TABLE fleet.canaries (
  proposal bigint PRIMARY KEY,
  document jsonb NOT NULL,  -- what is tried; null once it has ended
  begun_by text NOT NULL,
  reason text NOT NULL,
  began_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  ends_at timestamptz NOT NULL,
  state text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'confirmed', 'withdrawn')),
  ended_by text NOT NULL DEFAULT '',
  why text NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX canaries_running ON fleet.canaries (state) WHERE state = 'running';

CREATE TABLE fleet.canary_nodes (
  proposal bigint NOT NULL REFERENCES fleet.canaries ON DELETE CASCADE,
  node int NOT NULL REFERENCES fleet.nodes ON DELETE CASCADE,
  in_force boolean NOT NULL DEFAULT false,
  sessions_cut int NOT NULL DEFAULT 0,
  PRIMARY KEY (proposal, node)
);
CREATE INDEX canary_nodes_node ON fleet.canary_nodes (node);

-- Writes a canary for the nodes of these names. One before it that has not been ended is over. Returns its end.
CREATE FUNCTION fleet.begin_canary_v1(p_proposal bigint, p_document jsonb, p_names text[], p_seconds interval,
                                      p_by text, p_reason text)
RETURNS timestamptz LANGUAGE plpgsql AS $$
DECLARE
  moment timestamptz := clock_timestamp() + p_seconds;
BEGIN
  PERFORM fleet.end_canary_v1(c.proposal, 'withdrawn', 'system', 'not confirmed in time')
    FROM fleet.canaries c WHERE c.state = 'running';
  INSERT INTO fleet.canaries (proposal, document, begun_by, reason, ends_at)
    VALUES (p_proposal, p_document, p_by, p_reason, moment);
  INSERT INTO fleet.canary_nodes (proposal, node)
    SELECT p_proposal, n.id FROM fleet.nodes n WHERE n.name = ANY (p_names);
  DELETE FROM fleet.canaries WHERE proposal < p_proposal - 1000;
  RETURN moment;
END $$;

-- False: it has ended before, or is to be confirmed after its end.
CREATE FUNCTION fleet.end_canary_v1(p_proposal bigint, p_state text, p_by text, p_why text) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
  UPDATE fleet.canaries SET state = p_state, ended_by = p_by, why = p_why, document = 'null'
    WHERE proposal = p_proposal AND state = 'running' AND (p_state = 'withdrawn' OR ends_at > clock_timestamp());
  RETURN FOUND;
END $$;

-- One whose time is over has ended, whether a node has said so or not.
CREATE FUNCTION fleet.canary_state_v1(p_canary fleet.canaries) RETURNS text LANGUAGE sql AS $$
  SELECT CASE WHEN p_canary.state = 'running' AND p_canary.ends_at <= clock_timestamp() THEN 'withdrawn'
              ELSE p_canary.state END $$;

-- The nodes of a canary by name. lost: it is not heard, and what it has in force is not known.
CREATE FUNCTION fleet.canary_nodes_v1(p_proposal bigint, p_dead_after interval)
RETURNS TABLE (name text, in_force boolean, sessions_cut int, lost boolean) LANGUAGE sql AS $$
  SELECT n.name, m.in_force, m.sessions_cut, fleet.is_lost_v1(n.id, n.epoch, p_dead_after)
  FROM fleet.canary_nodes m JOIN fleet.nodes n ON n.id = m.node WHERE m.proposal = p_proposal ORDER BY n.name $$;
