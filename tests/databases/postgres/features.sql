-- A database with everything that a dump has to bring back. Some megabytes; the same on every run.
CREATE EXTENSION hstore;
CREATE EXTENSION pg_trgm;
CREATE SCHEMA audit;
CREATE SCHEMA "Odd.Schema";
COMMENT ON SCHEMA audit IS 'who did what';

CREATE TYPE mood AS ENUM ('sad', 'ok', 'it''s "fine"');
CREATE TYPE point3 AS (x int, y int, z int);
CREATE DOMAIN email AS text CHECK (VALUE ~ '@') NOT NULL;
CREATE DOMAIN positive AS int CONSTRAINT above_zero CHECK (VALUE > 0);
CREATE TYPE span AS RANGE (subtype = float8);
CREATE COLLATION odd_order (provider = libc, locale = 'C');
CREATE SEQUENCE ticket START 1000 INCREMENT 7 CYCLE MAXVALUE 9999;
SELECT nextval('ticket'), nextval('ticket');
CREATE SEQUENCE untouched;

-- Bodies full of traps for whoever cuts scripts at the wrong place.
CREATE FUNCTION tricky(text) RETURNS text LANGUAGE plpgsql AS $body$
-- Name: tricky; Type: ACL; Schema: public; Owner: -
BEGIN
    /* COPY public.x FROM stdin; */
    RETURN $q$
\.
\! echo no
COPY public.x (a) FROM stdin;
--
-- PostgreSQL database dump complete
--
$q$ || $1 || E'\\.\n' || '"';
END
$body$;
CREATE PROCEDURE nothing() LANGUAGE sql AS 'SELECT 1';
CREATE AGGREGATE longest(text) (SFUNC = textcat, STYPE = text, INITCOND = '');
CREATE FUNCTION mood_as_int(mood) RETURNS int IMMUTABLE LANGUAGE sql AS $$ SELECT CASE $1 WHEN 'sad' THEN 0 ELSE 1 END $$;
CREATE CAST (mood AS int) WITH FUNCTION mood_as_int(mood);
CREATE OPERATOR ### (LEFTARG = int, RIGHTARG = int, FUNCTION = int4mul);

-- Circular references, with rows in the circle.
CREATE TABLE department (id int PRIMARY KEY, name text NOT NULL UNIQUE, head int);
CREATE TABLE employee (
    id int GENERATED ALWAYS AS IDENTITY (START 100) PRIMARY KEY,
    department int NOT NULL REFERENCES department DEFERRABLE INITIALLY DEFERRED,
    boss int REFERENCES employee,
    mail email, feeling mood DEFAULT 'ok', place point3, times span, age positive,
    wage numeric(12, 2), net numeric GENERATED ALWAYS AS (wage * 0.7) STORED,
    tags hstore, notes jsonb, list text[], raw bytea, doc xml, at timestamptz, how_long interval,
    real_number float8, bits bit varying(9), address inet
);
ALTER TABLE department ADD FOREIGN KEY (head) REFERENCES employee DEFERRABLE INITIALLY DEFERRED;
BEGIN;
INSERT INTO department SELECT g, 'department ' || g, 100 + g FROM generate_series(0, 9) g;
INSERT INTO employee (department, boss, mail, feeling, place, times, age, wage, tags, notes, list, raw, doc, at, how_long, real_number, bits, address)
SELECT g % 10, CASE WHEN g > 0 THEN 100 + g / 10 END, 'p' || g || '@example.org',
    (ARRAY['sad', 'ok', 'it''s "fine"', NULL])[1 + g % 4]::mood, (g, -g, NULL)::point3, span(g, g + 0.5), 1 + g % 90,
    g * 1.25, CASE WHEN g % 3 = 0 THEN hstore('k"' || g, E'v\\\t\n') END,
    jsonb_build_object('a', g, 'b', E'line\nend\ttab \\ "quote"'), ARRAY['x', NULL, E'a,"b"\\', ''],
    decode(md5(g::text), 'hex'), ('<a n="' || g || '">&amp;</a>')::xml, '2020-02-29 12:00+00'::timestamptz + g * interval '1 minute',
    g * interval '1 month 1 day 1 second', (ARRAY['NaN', 'Infinity', '-0', '1e-300'])[1 + g % 4]::float8, (g % 8)::bit(3), '10.0.0.1'
FROM generate_series(0, 1999) g;
COMMIT;

-- Texts that look like the end of the rows, like commands, like nothing.
CREATE TABLE texts (id int PRIMARY KEY, t text);
INSERT INTO texts VALUES (1, E'\\.'), (2, E'\n\\.\n'), (3, ''), (4, NULL), (5, E'\\N'), (6, 'COPY public.x FROM stdin;'),
    (7, E'\t\b\f\v\r\x01\x7f'), (8, U&'\+01F600 \FEFF \202E'), (9, '-- PostgreSQL database dump complete'), (10, E'\\! true'),
    (11, repeat(E'long \\ line ', 100000));
-- A few megabytes in many rows.
CREATE TABLE bulk (id bigint PRIMARY KEY, h text, n numeric) WITH (fillfactor = 70);
INSERT INTO bulk SELECT g, md5(g::text) || md5((g + 1)::text), g / 3.0 FROM generate_series(1, 30000) g;
UPDATE bulk SET n = -n WHERE id % 5 = 0;
DELETE FROM bulk WHERE id % 11 = 0;

-- Names.
CREATE TABLE "Pedidos" (id serial PRIMARY KEY, "Nome Completo" text);
CREATE TABLE pedidos (id serial PRIMARY KEY);
CREATE TABLE "PEDIDOS" (id int);
CREATE TABLE "a/../b" (x int);
CREATE TABLE "con" (x int);
CREATE TABLE "restore" (x int);
CREATE TABLE "pre-data" (x int);
CREATE TABLE "select" ("from" int, "a""b;
c) FROM stdin;" text);
CREATE TABLE "line
end ""quoted"" 'x'; \! -- " (id serial);
CREATE TABLE "ĀāĂăĄąĆćĈĉĊċČčĎďĐđĒēĔĕĖėĘęĚěĜĝĞx" (x int);
CREATE TABLE "audit.log" (x int);
CREATE TABLE audit.log (x int);
CREATE TABLE "Odd.Schema"."t.x" (x int);
INSERT INTO "Pedidos" ("Nome Completo") VALUES ('Ação'), ('日本');
INSERT INTO pedidos DEFAULT VALUES;
INSERT INTO "PEDIDOS" VALUES (3);
INSERT INTO "a/../b" VALUES (4);
INSERT INTO "con" VALUES (5);
INSERT INTO "restore" VALUES (6);
INSERT INTO "pre-data" VALUES (7);
INSERT INTO "select" VALUES (8, 'eight');
INSERT INTO "line
end ""quoted"" 'x'; \! -- " DEFAULT VALUES;
INSERT INTO "ĀāĂăĄąĆćĈĉĊċČčĎďĐđĒēĔĕĖėĘęĚěĜĝĞx" VALUES (63);
INSERT INTO "audit.log" VALUES (9);
INSERT INTO audit.log VALUES (10), (11);
INSERT INTO "Odd.Schema"."t.x" VALUES (12);

-- Shapes.
CREATE TABLE no_columns ();
INSERT INTO no_columns DEFAULT VALUES;
INSERT INTO no_columns DEFAULT VALUES;
CREATE TABLE no_rows (id int, at date DEFAULT current_date);
CREATE UNLOGGED TABLE unlogged (x int);
INSERT INTO unlogged VALUES (1);
CREATE TABLE parent (a int, b text);
CREATE TABLE child (c int) INHERITS (parent);
INSERT INTO parent VALUES (1, 'p');
INSERT INTO child VALUES (2, 'c', 3);
CREATE TABLE dropped_column (a int, gone int, c int);
ALTER TABLE dropped_column DROP COLUMN gone;
INSERT INTO dropped_column VALUES (1, 3);
CREATE TABLE event (id bigint NOT NULL, at date NOT NULL, what text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE event_2024 PARTITION OF event FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE audit.event_2025 PARTITION OF event FOR VALUES FROM ('2025-01-01') TO ('2026-01-01') PARTITION BY HASH (id);
CREATE TABLE audit.event_2025_a PARTITION OF audit.event_2025 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE audit.event_2025_b PARTITION OF audit.event_2025 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE event_default PARTITION OF event DEFAULT;
INSERT INTO event SELECT g, '2024-01-01'::date + g, 'e' || g FROM generate_series(1, 1000) g;
CREATE INDEX event_what ON event (lower(what));
CREATE INDEX bulk_trgm ON bulk USING gin (h gin_trgm_ops) WHERE id < 100;
CREATE UNIQUE INDEX ON texts ((length(t)), id);
CREATE STATISTICS bulk_stats (dependencies) ON id, n FROM bulk;
ALTER TABLE bulk ALTER COLUMN h SET STORAGE EXTERNAL;
ALTER TABLE bulk ADD CONSTRAINT not_checked CHECK (n < 0) NOT VALID;

-- What is computed.
CREATE VIEW grumpy AS SELECT id, mail FROM employee WHERE feeling = 'sad';
CREATE VIEW checked AS SELECT * FROM department WHERE id < 5 WITH LOCAL CHECK OPTION;
CREATE MATERIALIZED VIEW by_department AS SELECT department, count(*) AS n, sum(net) FROM employee GROUP BY 1;
CREATE UNIQUE INDEX ON by_department (department);
CREATE MATERIALIZED VIEW a_total AS SELECT sum(n) FROM by_department;
CREATE MATERIALIZED VIEW never_filled AS SELECT 1 AS x WITH NO DATA;
CREATE RECURSIVE VIEW bosses(id, depth) AS SELECT id, 0 FROM employee WHERE boss IS NULL
    UNION ALL SELECT e.id, b.depth + 1 FROM employee e JOIN bosses b ON e.boss = b.id WHERE b.depth < 3;
CREATE TABLE changes (n serial, what text, at timestamptz);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.changes (what, at) VALUES (TG_OP || ' ' || TG_TABLE_NAME, '2020-01-01');
    RETURN NEW;
END $$;
CREATE TRIGGER texts_change AFTER INSERT OR UPDATE ON texts FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER texts_off AFTER DELETE ON texts FOR EACH ROW EXECUTE FUNCTION note();
ALTER TABLE texts DISABLE TRIGGER texts_off;
UPDATE texts SET t = t WHERE id = 1;
CREATE RULE protect AS ON DELETE TO department DO INSTEAD NOTHING;
CREATE FUNCTION watch_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO public.changes (what, at) VALUES (tg_tag, '2020-01-01'); END $$;

-- Who may do what.
ALTER TABLE employee ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON employee FOR SELECT TO reader USING (mail = current_user);
GRANT USAGE ON SCHEMA audit TO reader;
GRANT SELECT ON department, event, bulk TO reader;
GRANT SELECT (id, mail), UPDATE (notes) ON employee TO reader;
GRANT EXECUTE ON FUNCTION tricky(text) TO reader;
REVOKE EXECUTE ON FUNCTION note() FROM PUBLIC;
GRANT USAGE ON SEQUENCE ticket TO reader WITH GRANT OPTION;
ALTER DEFAULT PRIVILEGES IN SCHEMA audit GRANT SELECT ON TABLES TO reader;
COMMENT ON TABLE employee IS E'people\nand "what" they''re paid';
COMMENT ON COLUMN employee.mail IS 'private';
COMMENT ON FUNCTION tricky(text) IS '\.';

-- Large objects, one of them in several pieces.
SELECT lo_from_bytea(70001, '\x00ff270a5c2e0a');
SELECT lo_from_bytea(70002, (SELECT string_agg(decode(md5(g::text), 'hex'), '') FROM generate_series(1, 5000) g));
SELECT lo_create(70003);
COMMENT ON LARGE OBJECT 70001 IS E'a blob;\n-- with a comment';
GRANT SELECT ON LARGE OBJECT 70001 TO reader;

-- Last, so that it notes nothing of the above.
CREATE EVENT TRIGGER watch ON ddl_command_end EXECUTE FUNCTION watch_ddl();
COMMENT ON EVENT TRIGGER watch IS 'notes what is done';
