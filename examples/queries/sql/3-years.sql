SELECT CAST(yrs_married AS INTEGER) AS years, COUNT(*) AS marriages
FROM answer GROUP BY years ORDER BY years
