-- Counts the words that come in through a socket, and shows all counts whenever one has changed, once a second:
--
--   nc -lk 9999
--   tidegate run examples/sql/socket_word_count.sql --state-dir state

SET 'batch-interval-ms' = '1000';
CREATE TABLE lines (value STRING) WITH ('connector' = 'socket', 'hostname' = 'localhost', 'port' = '9999', 'format' = 'text');
CREATE TABLE screen (word STRING, `count` BIGINT) WITH ('connector' = 'console', 'output_mode' = 'complete');
CREATE VIEW words AS SELECT unnest(string_to_array(value, ' ')) AS word FROM lines;
INSERT INTO screen SELECT word, count(*) FROM words GROUP BY word;
