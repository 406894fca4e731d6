-- Keeps the expensive ones among the events of a topic, and some of their fields: examples/filter_project.rs in SQL.
-- Records that are no such event go to the topic of dead letters.

CREATE TABLE events (id BIGINT, "user" STRING, price DOUBLE, ts BIGINT) WITH (
    'connector' = 'kafka', 'topic' = 'events', 'format' = 'json', 'on-bad-record' = 'dead-letter');

CREATE TABLE dear_events (id BIGINT, "user" STRING, price DOUBLE, ts BIGINT) WITH (
    'connector' = 'kafka', 'topic' = 'dear-events', 'format' = 'json');

INSERT INTO dear_events SELECT id, "user", price, ts FROM events WHERE price > 50.0;
