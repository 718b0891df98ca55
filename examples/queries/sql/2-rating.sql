SELECT CAST(rate_marriage AS INTEGER) AS rating, ROUND(AVG(affairs > 0), 3) AS share
FROM answer GROUP BY rating ORDER BY rating
