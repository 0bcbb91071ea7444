-- The small database of the golden matrix and of the tests about refusals: one tagged column of each sort of type.
CREATE ROLE support NOLOGIN;
CREATE ROLE billing NOLOGIN;
CREATE ROLE analyst NOLOGIN;
CREATE ROLE sam LOGIN IN ROLE support;
CREATE ROLE bella LOGIN IN ROLE billing;
CREATE ROLE ana LOGIN IN ROLE analyst;
CREATE ROLE pgveil LOGIN;

CREATE TABLE person (
    id integer PRIMARY KEY,
    full_name text NOT NULL,
    email text,
    phone varchar(24),
    born date,
    salary numeric(10,2),
    notes text,
    city text
);
INSERT INTO person VALUES
    (1, 'Jane Doe',     'jane@example.com', '+49 170 5550100', '1984-02-29', 48250.75, 'calls in the evening', 'Köln'),
    (2, 'Ömer Çelik',   'oc@example.org',   '030 5550 1234',   '1990-11-03', 39100.00, NULL,                   'Berlin'),
    (3, 'Li',           NULL,               '112',             NULL,         NULL,     '',                     'Wien'),
    (4, 'Ana-Maria Ruiz', 'not an address', NULL,              '1971-07-15', 120000.10, 'prefers post',        'Köln'),
    (5, 'Jane Doe',     'jane@example.com', '+49 170 5550100', '1984-02-29', 48250.75, 'twin of 1',            'Köln');

CREATE TABLE visit (
    id integer PRIMARY KEY,
    person_id integer NOT NULL REFERENCES person,
    email text,
    phone varchar(24),
    full_name text,
    born date,
    salary numeric(10,2),
    notes text,
    page text
);
INSERT INTO visit
    SELECT p.id * 10, p.id, p.email, p.phone, p.full_name, p.born, p.salary, p.notes, '/page/' || p.id FROM person p;

CREATE VIEW person_view AS
    SELECT id, full_name, email, phone, born, salary, notes, city FROM person;

CREATE TABLE note (id integer PRIMARY KEY, body text);
INSERT INTO note VALUES (1, 'nothing personal'), (2, 'nor here');

CREATE TABLE vault (id integer PRIMARY KEY, content text);
INSERT INTO vault VALUES (1, 'not for the roles');

GRANT SELECT, INSERT, UPDATE, DELETE ON person, visit, note, person_view TO support, billing, analyst;

-- What only the policy of the transparency test tags: nothing else names it.
CREATE TABLE elsewhere (id integer PRIMARY KEY, secret text);
INSERT INTO elsewhere VALUES (1, 'far away');

-- Statistics hold values.
ANALYZE;
