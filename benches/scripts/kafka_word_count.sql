-- examples/kafka_word_count.rs in SQL. {in} and {out} stand for the topics.
CREATE TABLE lines (line STRING) WITH ('connector' = 'kafka', 'topic' = '{in}', 'format' = 'raw');
CREATE TABLE counts (word STRING, n BIGINT, PRIMARY KEY (word) NOT ENFORCED) WITH (
  'connector' = 'upsert-kafka', 'topic' = '{out}', 'key.format' = 'raw', 'value.format' = 'json', 'value.fields-include' = 'EXCEPT_KEY');

CREATE VIEW words AS SELECT unnest(string_to_array(line, ' ')) AS word FROM lines;
INSERT INTO counts SELECT word, count(*) FROM words WHERE word <> '' GROUP BY word;
