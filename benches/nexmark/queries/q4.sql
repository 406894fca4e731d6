-- Query 4: the average winning bid of each category. An average of integers is DOUBLE here and BIGINT in Flink, hence the CAST.
CREATE TABLE q4 (
  id BIGINT,
  final BIGINT,
  PRIMARY KEY (id) NOT ENFORCED
) WITH ({sink});

INSERT INTO q4
SELECT Q.category, CAST(AVG(Q.final) AS BIGINT)
FROM (
  SELECT MAX(B.price) AS final, A.category
  FROM auction A, bid B
  WHERE A.id = B.auction AND B.`dateTime` BETWEEN A.`dateTime` AND A.expires
  GROUP BY A.id, A.category
) Q
GROUP BY Q.category;
