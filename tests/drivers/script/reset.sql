-- The state before each run.
DROP TABLE IF EXISTS shop.changing, shop.fresh;
DROP FUNCTION IF EXISTS shop.twice(int);
TRUNCATE shop.thing, shop.part, shop.late, shop.slip, shop."Odd Table", shop.person RESTART IDENTITY;
SET ROLE reader;
INSERT INTO shop.thing (id, label, code, marks) VALUES (1, 'first', 'a', '{x,y}'), (2, 'second', NULL, NULL), (3, 'third', 'c', '{}'), (4, 'fourth', 'd', '{"a, b"}');
INSERT INTO shop."Odd Table" VALUES (1, 'ü', 's', 'w', 2);
INSERT INTO shop.person VALUES (1, 'Canary Anna', 'anna@canaries.test', '+43 660 1234567', 'likes cuttlebone', 'Wien', '1980-01-31'),
  (2, 'Canary Karl', 'karl@canaries.test', '+43 660 7654321', NULL, 'Linz', '1990-02-28'), (3, 'Canary Übermut', 'ue@canaries.test', NULL, 'sings öfter', 'Wien', NULL);
