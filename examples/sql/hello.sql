-- Orders that the process makes up, and how much of each drink was sold so far.
CREATE TABLE orders (
    drink INT, cups INT, name AS CASE drink WHEN 0 THEN 'tea' WHEN 1 THEN 'coffee' ELSE 'water' END
) WITH (
    'connector' = 'datagen', 'rows-per-second' = '5', 'fields.drink.min' = '0', 'fields.drink.max' = '2',
    'fields.cups.min' = '1', 'fields.cups.max' = '4');

CREATE TABLE sold (name STRING, orders BIGINT, cups BIGINT) WITH ('connector' = 'print');

INSERT INTO sold SELECT name, count(*), sum(cups) FROM orders GROUP BY name;
