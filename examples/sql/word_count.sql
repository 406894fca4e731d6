-- Counts the words of the topic `lines`, whatever their case, and writes each new count to the topic `counts`.
--
--   kafka-topics.sh --bootstrap-server localhost:9092 --create --topic lines
--   kafka-topics.sh --bootstrap-server localhost:9092 --create --topic counts --config cleanup.policy=compact
--   tidegate run examples/sql/word_count.sql --state-dir state

CREATE TABLE lines (line STRING) WITH ('connector' = 'kafka', 'topic' = 'lines', 'format' = 'raw');

CREATE TABLE counts (word STRING, n BIGINT, PRIMARY KEY (word) NOT ENFORCED) WITH (
    'connector' = 'upsert-kafka', 'topic' = 'counts', 'key.format' = 'json', 'value.format' = 'json');

CREATE VIEW words AS
SELECT unnest(string_to_array(lower(line), ' ')) AS word FROM lines;

INSERT INTO counts SELECT word, count(*) FROM words WHERE word <> '' GROUP BY word;
