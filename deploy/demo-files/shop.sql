-- A small order-fulfilment database, generated: every run gives the same rows. No person in it exists.

CREATE ROLE support NOLOGIN;
CREATE ROLE billing NOLOGIN;
CREATE ROLE analyst NOLOGIN;
CREATE ROLE sam LOGIN IN ROLE support;     -- support agent
CREATE ROLE bella LOGIN IN ROLE billing;   -- billing clerk
CREATE ROLE ana LOGIN IN ROLE analyst;     -- analyst
CREATE ROLE pgveil LOGIN;                  -- pgveil's own login: reads the catalog, has no right on any table

CREATE TABLE customer (
    id integer PRIMARY KEY,
    first_name text NOT NULL,
    last_name text NOT NULL,
    email text NOT NULL UNIQUE,
    phone text,
    birth_date date,
    street text,
    city text,
    postal_code text,
    country char(2) NOT NULL,
    notes text,
    iban text,
    created_at timestamptz NOT NULL
);

CREATE TABLE shipping_address (
    id integer PRIMARY KEY,
    customer_id integer NOT NULL REFERENCES customer,
    recipient text NOT NULL,
    street text NOT NULL,
    city text NOT NULL,
    postal_code text NOT NULL,
    country char(2) NOT NULL,
    phone text
);

CREATE TABLE product (
    id integer PRIMARY KEY,
    sku text NOT NULL UNIQUE,
    name text NOT NULL,
    price numeric(10,2) NOT NULL
);

CREATE TABLE orders (
    id integer PRIMARY KEY,
    customer_id integer NOT NULL REFERENCES customer,
    customer_email text NOT NULL,
    status text NOT NULL,
    total numeric(10,2) NOT NULL DEFAULT 0,
    placed_at timestamptz NOT NULL,
    shipped_at timestamptz
);

CREATE TABLE order_line (
    order_id integer NOT NULL REFERENCES orders,
    line_no integer NOT NULL,
    product_id integer NOT NULL REFERENCES product,
    quantity integer NOT NULL,
    unit_price numeric(10,2) NOT NULL,
    PRIMARY KEY (order_id, line_no)
);

CREATE TABLE payment (
    id integer PRIMARY KEY,
    order_id integer NOT NULL REFERENCES orders,
    method text NOT NULL,
    card_number text,
    iban text,
    amount numeric(10,2) NOT NULL,
    paid_at timestamptz NOT NULL
);

CREATE TABLE shipment (
    id integer PRIMARY KEY,
    order_id integer NOT NULL REFERENCES orders,
    carrier text NOT NULL,
    tracking_code text NOT NULL,
    recipient text NOT NULL,
    phone text,
    delivered_at timestamptz
);

CREATE TABLE support_ticket (
    id integer PRIMARY KEY,
    customer_id integer NOT NULL REFERENCES customer,
    order_id integer REFERENCES orders,
    subject text NOT NULL,
    body text NOT NULL,
    opened_at timestamptz NOT NULL
);

CREATE TABLE app_user (
    id integer PRIMARY KEY,
    login text NOT NULL UNIQUE,
    email text NOT NULL,
    last_login_ip inet,
    last_login_at timestamptz
);

-- 300 customers. Strides that are coprime to the lists' lengths deal the names out without a random number.
INSERT INTO customer
SELECT i,
       f.name, l.name,
       lower(f.ascii || '.' || l.ascii || i || '@' || (ARRAY['example.com', 'mail.example.org', 'example.net'])[1 + i % 3]),
       CASE WHEN i % 17 = 0 THEN NULL
            ELSE (ARRAY['+49 30 555', '+43 1 555', '+41 44 555', '+33 1 555'])[1 + i % 4] || lpad((i * 7919 % 100000)::text, 5, '0') END,
       date '1950-01-01' + (i * 2477 % 20000),
       s.name || ' ' || (1 + i * 13 % 180),
       c.city, lpad((10000 + i * 271 % 89999)::text, 5, '0'), c.country,
       CASE WHEN i % 5 = 0 THEN 'asked for delivery to the neighbour, ' || f.name || ' is out before noon' END,
       CASE WHEN i % 3 = 0 THEN
            -- check digits by ISO 13616: 98 minus the number modulo 97 ("DE" is 1314, then 00)
            'DE' || lpad((98 - mod((b.bban || '131400')::numeric, 97))::text, 2, '0') || b.bban END,
       timestamptz '2023-01-01 08:00:00+00' + i * interval '61 hours'
FROM generate_series(1, 300) AS i
CROSS JOIN LATERAL (SELECT '37040044' || lpad((i::bigint * 532013 % 10000000000)::text, 10, '0') AS bban) b
CROSS JOIN LATERAL (SELECT (ARRAY['Jane','Ömer','Lucía','Karl','Zoë','Mats','Anaïs','Piotr','Ines','Håkon','Marta','Ben'])[k] AS name,
                           (ARRAY['Jane','Oemer','Lucia','Karl','Zoe','Mats','Anais','Piotr','Ines','Hakon','Marta','Ben'])[k] AS ascii
                    FROM (SELECT 1 + i * 5 % 12 AS k) x) f
CROSS JOIN LATERAL (SELECT (ARRAY['Doe','Schmidt','García','Nowak','Dubois','Lindqvist','Rossi','Müller','O''Neill','Çelik','Kowalski'])[k] AS name,
                           (ARRAY['Doe','Schmidt','Garcia','Nowak','Dubois','Lindqvist','Rossi','Mueller','ONeill','Celik','Kowalski'])[k] AS ascii
                    FROM (SELECT 1 + i * 7 % 11 AS k) x) l
CROSS JOIN LATERAL (SELECT (ARRAY['Hauptstraße','Bahnhofstraße','Rue de la Paix','Lindenweg','Am Markt','Ringstraße','Seeweg'])[1 + i * 3 % 7] AS name) s
CROSS JOIN LATERAL (SELECT (ARRAY['Berlin','Wien','Zürich','Paris','Köln'])[1 + i % 5] AS city,
                           (ARRAY['DE','AT','CH','FR','DE'])[1 + i % 5] AS country) c;

INSERT INTO shipping_address
SELECT c.id, c.id, c.first_name || ' ' || c.last_name, c.street, c.city, c.postal_code, c.country, c.phone FROM customer c;

INSERT INTO product
SELECT i, 'SKU-' || lpad(i::text, 4, '0'),
       (ARRAY['Lamp','Chair','Kettle','Backpack','Notebook','Bicycle bell','Rain coat','Tent'])[1 + i % 8] || ' No. ' || i,
       (5 + i * 37 % 400)::numeric + 0.95
FROM generate_series(1, 40) AS i;

INSERT INTO orders (id, customer_id, customer_email, status, placed_at, shipped_at)
SELECT o, c.id, c.email, (ARRAY['delivered','delivered','shipped','paid','open'])[1 + o % 5],
       timestamptz '2025-01-02 09:00:00+00' + o * interval '11 hours',
       CASE WHEN o % 5 < 3 THEN timestamptz '2025-01-04 15:00:00+00' + o * interval '11 hours' END
FROM generate_series(1, 600) AS o JOIN customer c ON c.id = 1 + o * 7 % 300;

INSERT INTO order_line
SELECT o.id, n, p.id, 1 + (o.id + n) % 3, p.price
FROM orders o CROSS JOIN generate_series(1, 3) AS n JOIN product p ON p.id = 1 + (o.id * 3 + n * 11) % 40
WHERE n <= 1 + o.id % 3;

UPDATE orders o SET total = (SELECT sum(quantity * unit_price) FROM order_line l WHERE l.order_id = o.id);

INSERT INTO payment
SELECT o.id, o.id, CASE WHEN o.id % 3 = 0 THEN 'transfer' ELSE 'card' END,
       -- a Luhn check digit follows from the fifteen digits before it
       CASE WHEN o.id % 3 <> 0 THEN d.digits || ((10 - d.luhn % 10) % 10)::text END,
       CASE WHEN o.id % 3 = 0 THEN coalesce(c.iban, 'DE89370400440532013000') END,
       o.total, o.placed_at + interval '5 minutes'
FROM orders o JOIN customer c ON c.id = o.customer_id
CROSS JOIN LATERAL (
    SELECT digits, (SELECT sum(CASE WHEN at % 2 = 1 THEN (2 * n) / 10 + (2 * n) % 10 ELSE n END)
                    FROM (SELECT at, substr(digits, at, 1)::int AS n FROM generate_series(1, 15) AS at) x) AS luhn
    FROM (SELECT '4111' || lpad((o.id::bigint * 48611 % 100000000000)::text, 11, '0') AS digits) y
) d
WHERE o.status <> 'open';

INSERT INTO shipment
SELECT o.id, o.id, (ARRAY['DHL','Post','DPD'])[1 + o.id % 3], 'TRK' || lpad((o.id * 104729 % 10000000)::text, 8, '0'),
       a.recipient, a.phone,
       CASE WHEN o.status = 'delivered' THEN o.shipped_at + interval '2 days' END
FROM orders o JOIN shipping_address a ON a.customer_id = o.customer_id
WHERE o.shipped_at IS NOT NULL;

INSERT INTO support_ticket
SELECT t, o.customer_id, o.id, (ARRAY['Where is my parcel?','Wrong item','Refund','Change of address'])[1 + t % 4],
       'Hello, this is ' || c.first_name || ' ' || c.last_name || '. Please call me at ' || coalesce(c.phone, 'my office') ||
       ' about order ' || o.id || '.',
       o.placed_at + interval '3 days'
FROM generate_series(1, 80) AS t JOIN orders o ON o.id = t * 7 JOIN customer c ON c.id = o.customer_id;

INSERT INTO app_user
SELECT i, lower((ARRAY['sam','bella','ana','tom','uma','rex'])[i]), (ARRAY['sam','bella','ana','tom','uma','rex'])[i] || '@shop.example',
       CASE WHEN i = 6 THEN inet '2001:db8:7::15' ELSE ('198.51.100.' || (i * 17))::inet END,
       timestamptz '2025-10-01 07:30:00+00' + i * interval '1 day'
FROM generate_series(1, 6) AS i;

CREATE VIEW customer_directory AS
    SELECT id, first_name || ' ' || last_name AS full_name, email, phone, city, country FROM customer;

CREATE VIEW order_overview AS
    SELECT o.id AS order_id, o.status, o.total, o.placed_at, c.id AS customer_id, c.last_name, c.email, c.phone,
           a.street, a.postal_code, a.city
    FROM orders o JOIN customer c ON c.id = o.customer_id JOIN shipping_address a ON a.customer_id = c.id;

CREATE VIEW revenue_by_city AS
    SELECT c.city, count(*) AS orders, sum(o.total) AS revenue FROM orders o JOIN customer c ON c.id = o.customer_id GROUP BY c.city;

GRANT SELECT ON ALL TABLES IN SCHEMA public TO support, billing, analyst;
GRANT INSERT, UPDATE ON support_ticket TO support;
GRANT UPDATE ON customer, orders TO support;
GRANT INSERT, UPDATE ON payment TO billing;
