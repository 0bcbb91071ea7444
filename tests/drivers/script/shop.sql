-- What the checks find. `reader` is who runs them. It is made once, so that object ids are the same in all runs; reset.sql fills it.
CREATE SCHEMA shop AUTHORIZATION reader;
SET ROLE reader;
CREATE TYPE shop.mood AS ENUM ('happy', 'so so', 'sad');
CREATE TYPE shop.pair AS (n int, t text);
CREATE DOMAIN shop.posint AS int CHECK (VALUE > 0);
CREATE DOMAIN shop.word AS varchar(10);
CREATE TABLE shop.thing (id int PRIMARY KEY, label text NOT NULL, amount numeric(10,2) DEFAULT 1 CHECK (amount >= 0), code varchar(5), kind shop.mood DEFAULT 'happy', marks text[]);
CREATE TABLE shop.part (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, thing_id int NOT NULL REFERENCES shop.thing, made_by text DEFAULT current_user);
CREATE TABLE shop.late (thing_id int REFERENCES shop.thing DEFERRABLE);
CREATE TABLE shop.slip (id int PRIMARY KEY, word text);
CREATE TABLE shop."Odd Table" ("Odd ""Name""" int, "über" text, "select" text, "with space" text, "CamelCase" int);
CREATE TABLE shop.person (id int PRIMARY KEY, name text, email text, phone text, note text, city text, born date);
CREATE VIEW shop.people AS SELECT id, name AS who, city FROM shop.person;
CREATE PROCEDURE shop.note_it(said text) LANGUAGE sql AS $$ INSERT INTO shop.slip VALUES (500, said) $$;
RESET ROLE;
CREATE TABLE shop.locked (id int);
