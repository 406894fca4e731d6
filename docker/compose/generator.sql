-- Makes up clicks: a hundred each second, on ten pages.
CREATE TABLE made_up (n BIGINT, page INT) WITH (
  'connector' = 'datagen', 'rows-per-second' = '100',
  'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.page.min' = '0', 'fields.page.max' = '9');
CREATE TABLE clicks (n BIGINT, page STRING) WITH ('connector' = 'kafka', 'topic' = 'clicks', 'format' = 'json');

INSERT INTO clicks SELECT n, '/page/' || CAST(page AS STRING) FROM made_up;
