-- The shape of Pagila, the film rental: keys in a circle, partitions, an enum, a domain, views, triggers, functions.
CREATE TYPE mpaa_rating AS ENUM ('G', 'PG', 'R');
CREATE DOMAIN year AS integer CHECK (VALUE >= 1901 AND VALUE <= 2155);
CREATE SCHEMA audit;
CREATE FUNCTION last_updated() RETURNS trigger LANGUAGE plpgsql AS $_$ BEGIN NEW.last_update = now(); RETURN NEW; END $_$;
CREATE FUNCTION rental_days(integer) RETURNS integer LANGUAGE sql IMMUTABLE AS $$ SELECT 3 + $1 $$;
CREATE TABLE actor(actor_id serial PRIMARY KEY, first_name text NOT NULL, last_name text NOT NULL, last_update timestamptz DEFAULT now());
CREATE TABLE category(category_id serial PRIMARY KEY, name text NOT NULL);
CREATE TABLE language(language_id serial PRIMARY KEY, name character(20) NOT NULL);
CREATE TABLE country(country_id serial PRIMARY KEY, country text NOT NULL);
CREATE TABLE city(city_id serial PRIMARY KEY, city text NOT NULL, country_id integer NOT NULL REFERENCES country);
CREATE TABLE address(address_id serial PRIMARY KEY, address text NOT NULL, city_id integer NOT NULL REFERENCES city, phone text);
CREATE TABLE film(film_id serial PRIMARY KEY, title text NOT NULL, description text, release_year year,
  language_id integer NOT NULL REFERENCES language, rating mpaa_rating DEFAULT 'G', special text[],
  rate numeric(4,2) DEFAULT 4.99, twice numeric GENERATED ALWAYS AS (rate * 2) STORED, days integer DEFAULT rental_days(1));
CREATE TABLE film_actor(actor_id integer REFERENCES actor, film_id integer REFERENCES film, PRIMARY KEY (actor_id, film_id));
CREATE TABLE film_category(film_id integer REFERENCES film, category_id integer REFERENCES category, PRIMARY KEY (film_id, category_id));
CREATE TABLE store(store_id serial PRIMARY KEY, manager_staff_id integer NOT NULL UNIQUE, address_id integer NOT NULL REFERENCES address);
CREATE TABLE staff(staff_id serial PRIMARY KEY, first_name text, store_id integer NOT NULL REFERENCES store DEFERRABLE INITIALLY DEFERRED,
  address_id integer REFERENCES address, picture bytea);
ALTER TABLE store ADD FOREIGN KEY (manager_staff_id) REFERENCES staff DEFERRABLE INITIALLY DEFERRED;
CREATE TABLE customer(customer_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, store_id integer REFERENCES store, "Nome" text,
  email text, active boolean DEFAULT true);
CREATE TABLE inventory(inventory_id serial PRIMARY KEY, film_id integer REFERENCES film, store_id integer REFERENCES store);
CREATE TABLE rental(rental_id serial PRIMARY KEY, inventory_id integer REFERENCES inventory, customer_id integer REFERENCES customer,
  staff_id integer REFERENCES staff, rental_date timestamptz NOT NULL);
CREATE TABLE payment(payment_id bigserial, customer_id integer, amount numeric(5,2) NOT NULL, payment_date date NOT NULL,
  PRIMARY KEY (payment_id, payment_date)) PARTITION BY RANGE (payment_date);
CREATE TABLE payment_p2024_01 PARTITION OF payment FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
CREATE TABLE payment_p2024_02 PARTITION OF payment FOR VALUES FROM ('2024-02-01') TO ('2024-03-01');
CREATE TABLE audit.log(id bigserial PRIMARY KEY, "when" timestamptz DEFAULT now(), what jsonb);
CREATE TABLE "Tabela com espaço/e barra"("a""b" text, "x\y" text);
CREATE TABLE vazia(x integer);
CREATE INDEX film_title ON film USING gin (to_tsvector('simple', title));
CREATE TRIGGER last_updated BEFORE UPDATE ON actor FOR EACH ROW EXECUTE FUNCTION last_updated();
CREATE VIEW film_list AS SELECT f.film_id, f.title, c.name FROM film f LEFT JOIN film_category fc USING (film_id) LEFT JOIN category c USING (category_id);
CREATE MATERIALIZED VIEW rental_by_category AS SELECT c.name, count(*) AS n FROM film_category fc JOIN category c USING (category_id) GROUP BY 1;
CREATE RULE no_delete AS ON DELETE TO language DO INSTEAD NOTHING;

INSERT INTO actor(first_name, last_name) SELECT 'a' || i, E'b\\\t' || i || E'\n\\.' FROM generate_series(1, 200) i;
INSERT INTO category(name) SELECT 'c' || i FROM generate_series(1, 16) i;
INSERT INTO language(name) VALUES ('English'), ('Português');
INSERT INTO country(country) SELECT 'k' || i FROM generate_series(1, 109) i;
INSERT INTO city(city, country_id) SELECT 's' || i, 1 + i % 109 FROM generate_series(1, 600) i;
INSERT INTO address(address, city_id) SELECT 'r' || i, 1 + i % 600 FROM generate_series(1, 603) i;
INSERT INTO film(title, description, release_year, language_id, rating, special, rate)
  SELECT 'f' || i, repeat('palavra ', 10), 2006, 1 + i % 2, 'PG', ARRAY['x', NULL, '\'], 0.99 + i % 5 FROM generate_series(1, 1000) i;
INSERT INTO film_actor SELECT 1 + i % 200, 1 + i % 1000 FROM generate_series(1, 1000) i;
INSERT INTO film_category SELECT i, 1 + i % 16 FROM generate_series(1, 1000) i;
BEGIN;
INSERT INTO store(manager_staff_id, address_id) VALUES (1, 1), (2, 2);
INSERT INTO staff(first_name, store_id, address_id, picture) VALUES ('Mike', 1, 3, '\x00ff5c2e'), ('Jon', 2, 4, NULL);
COMMIT;
INSERT INTO customer(store_id, "Nome", email) SELECT 1 + i % 2, 'n' || i, 'e' || i FROM generate_series(1, 599) i;
INSERT INTO inventory(film_id, store_id) SELECT 1 + i % 1000, 1 + i % 2 FROM generate_series(1, 4000) i;
INSERT INTO rental(inventory_id, customer_id, staff_id, rental_date) SELECT 1 + i % 4000, 1 + i % 599, 1 + i % 2, now() FROM generate_series(1, 5000) i;
INSERT INTO payment(customer_id, amount, payment_date) SELECT 1 + i % 599, 1.99, date '2024-01-01' + i % 59 FROM generate_series(1, 3000) i;
INSERT INTO audit.log(what) SELECT jsonb_build_object('i', i) FROM generate_series(1, 50) i;
INSERT INTO "Tabela com espaço/e barra" VALUES ('1', E'\\!'), (NULL, '');
SELECT lo_from_bytea(424242, decode(repeat('ab00', 20000), 'hex'));
REFRESH MATERIALIZED VIEW rental_by_category;
