-- Counts the clicks on each page. The last record of a page in clicks-by-page is its count so far.
CREATE TABLE clicks (n BIGINT, page STRING) WITH ('connector' = 'kafka', 'topic' = 'clicks', 'format' = 'json');
CREATE TABLE clicks_by_page (page STRING, n BIGINT, PRIMARY KEY (page) NOT ENFORCED)
  WITH ('connector' = 'upsert-kafka', 'topic' = 'clicks-by-page', 'format' = 'json');

INSERT INTO clicks_by_page SELECT page, count(*) FROM clicks GROUP BY page;
