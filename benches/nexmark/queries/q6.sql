-- Query 6: the average selling price of the last ten auctions of each seller. Flink refuses it, too. (The benchmark has the condition
-- on `rownum` where no `rownum` is.)
CREATE TABLE q6 (
  seller BIGINT,
  avg_price DOUBLE
) WITH ({sink});

INSERT INTO q6
SELECT
  Q.seller,
  AVG(Q.price) OVER (PARTITION BY Q.seller ORDER BY Q.`dateTime` ROWS BETWEEN 10 PRECEDING AND CURRENT ROW)
FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY id, seller ORDER BY price DESC) AS rownum
  FROM (
    SELECT A.id, A.seller, B.price, B.`dateTime`
    FROM auction AS A, bid AS B
    WHERE A.id = B.auction AND B.`dateTime` BETWEEN A.`dateTime` AND A.expires
  )
) AS Q
WHERE Q.rownum <= 1;
