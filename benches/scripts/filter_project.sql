-- examples/filter_project.rs in SQL. {in} and {out} stand for the topics.
CREATE TABLE events (id BIGINT, "user" STRING, price DOUBLE, ts BIGINT) WITH ('connector' = 'kafka', 'topic' = '{in}', 'format' = 'json');
CREATE TABLE dear_events (id BIGINT, "user" STRING, price DOUBLE, ts BIGINT) WITH ('connector' = 'kafka', 'topic' = '{out}', 'format' = 'json');

INSERT INTO dear_events SELECT id, "user", price, ts FROM events WHERE price > 50.0;
