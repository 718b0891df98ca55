SELECT CAST(age / 10 AS INTEGER) * 10 AS decade, ROUND(AVG(affairs > 0), 3) AS share
FROM answer GROUP BY decade ORDER BY decade
