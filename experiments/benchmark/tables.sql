-- Tables of the width of MIMIC-III, filled by formula; $patients, $rows and the like
-- are replaced. `i` numbers the rows of a table; patient i % $patients owns row i.
CREATE MACRO u(i, k) AS (hash(i * 64 + k) % 1000003)::DOUBLE / 1000003;
CREATE MACRO who(i) AS i % $patients;
CREATE MACRO turn(i) AS i // $patients;
CREATE MACRO admitted(i) AS TIMESTAMP '2150-01-01' + INTERVAL 1 HOUR * who(i);
CREATE MACRO at_random(i) AS
  date_trunc('minute', admitted(i) + INTERVAL 1 MINUTE * (u(i, 1) * 11520));
CREATE MACRO pick(i, chosen) AS chosen[1 + floor(u(i, 2) * len(chosen))::INT];
CREATE MACRO amount(i, item) AS round(u(i, 3), 1) + CASE
  WHEN item IN (678, 223761) THEN 98.6
  WHEN item IN (184, 220739) THEN 3
  WHEN item IN (723, 223900) THEN 4
  WHEN item IN (454, 223901) THEN 5
  WHEN item = 198 THEN 14
  WHEN item IN (618, 220210) THEN 18
  WHEN item IN (51, 455, 220050, 220179) THEN 120
  WHEN item = 51275 THEN 60
  WHEN item IN (51237, 50912, 50885) THEN 1.2
  WHEN item IN (51222, 51274) THEN 12
  WHEN item = 50818 THEN 40
  ELSE 70 END;

CREATE VIEW PATIENTS AS SELECT
  i AS row_id, 10000 + i AS subject_id,
  CASE WHEN i % 2 = 0 THEN 'F' ELSE 'M' END AS gender,
  TIMESTAMP '2085-03-01' AS dob, NULL AS dod, NULL AS dod_hosp, NULL AS dod_ssn,
  0 AS expire_flag
FROM range($patients) t(i);

-- The other columns of ADMISSIONS are texts that nothing here reads.
CREATE VIEW ADMISSIONS AS SELECT
  i AS row_id, 10000 + i AS subject_id, 100000 + i AS hadm_id,
  admitted(i) AS admittime, NULL AS dischtime, NULL AS deathtime
FROM range($patients) t(i);

CREATE VIEW ICUSTAYS AS SELECT
  i AS row_id, 10000 + i AS subject_id, 100000 + i AS hadm_id,
  200000 + i AS icustay_id, 'metavision' AS dbsource, 'MICU' AS first_careunit,
  'MICU' AS last_careunit, 1 AS first_wardid, 1 AS last_wardid,
  admitted(i) AS intime, admitted(i) + INTERVAL 8 DAY AS outtime, 8.0 AS los
FROM range($patients) t(i);

CREATE VIEW INPUTEVENTS_CV AS SELECT
  i AS row_id, 10000 + who(i) AS subject_id, 100000 + who(i) AS hadm_id,
  200000 + who(i) AS icustay_id,
  admitted(i) + INTERVAL 1 HOUR * (6 + turn(i)) AS charttime,
  CASE WHEN who(i) % (2 * $every) = 0 AND turn(i) < 80 THEN 30025 ELSE 30018 END
    AS itemid,
  NULL AS amount, 'ml' AS amountuom, 800 + 50 * floor(u(i, 1) * 10) AS rate,
  'Uhr' AS rateuom, NULL AS storetime, 1 AS cgid, i AS orderid, who(i) AS linkorderid,
  NULL AS stopped, NULL AS newbottle, NULL AS originalamount,
  NULL AS originalamountuom, 'IV Drip' AS originalroute, NULL AS originalrate,
  NULL AS originalrateuom, NULL AS originalsite
FROM range($rows_cv) t(i);

CREATE VIEW INPUTEVENTS_MV AS SELECT
  i AS row_id, 10000 + who(i) AS subject_id, 100000 + who(i) AS hadm_id,
  200000 + who(i) AS icustay_id,
  admitted(i) + INTERVAL 4 HOUR * (2 + turn(i)) AS starttime,
  admitted(i) + INTERVAL 4 HOUR * (3 + turn(i)) AS endtime,
  CASE WHEN who(i) % (2 * $every) = $every AND turn(i) < 18 THEN 225152
    ELSE 225158 END AS itemid,
  4000.0 AS amount, 'units' AS amountuom, 1000.6 AS rate, 'units/hour' AS rateuom,
  NULL AS storetime, 1 AS cgid, i AS orderid, i AS linkorderid,
  '01-Drips' AS ordercategoryname, NULL AS secondaryordercategoryname,
  NULL AS ordercomponenttypedescription, 'Continuous Med' AS ordercategorydescription,
  80 AS patientweight, 25000 AS totalamount, 'ml' AS totalamountuom, 0 AS isopenbag,
  0 AS continueinnextdept, 0 AS cancelreason, 'Changed' AS statusdescription,
  NULL AS comments_editedby, NULL AS comments_canceledby, NULL AS comments_date,
  25000 AS originalamount, 1000 AS originalrate
FROM range($rows_mv) t(i);

-- 26 relevant items in 100, so about a quarter of the rows.
CREATE VIEW CHARTEVENTS AS SELECT
  i AS row_id, 10000 + who(i) AS subject_id, 100000 + who(i) AS hadm_id,
  200000 + who(i) AS icustay_id, item AS itemid, at_random(i) AS charttime,
  at_random(i) AS storetime, 17000 AS cgid, amount(i, item)::VARCHAR AS value,
  amount(i, item) AS valuenum, 'unit' AS valueuom, 0 AS warning, 0 AS error,
  NULL AS resultstatus, NULL AS stopped
FROM (SELECT i, pick(i, [211, 646, 128, 220045, 220277, 618, 51, 8368, 455, 8441, 678,
  198, 184, 723, 454, 220210, 220050, 220051, 220179, 220180, 223761, 220739, 223900,
  223901, 762, 226512] || range(227500, 227574)) AS item FROM range($rows) t(i));

CREATE VIEW LABEVENTS AS SELECT
  i AS row_id, 10000 + who(i) AS subject_id, 100000 + who(i) AS hadm_id,
  item AS itemid, date_trunc('hour', at_random(i)) AS charttime,
  CASE WHEN item = 50800 THEN 'ART' ELSE amount(i, item)::VARCHAR END AS value,
  CASE WHEN item = 50800 THEN NULL ELSE amount(i, item) END AS valuenum,
  'unit' AS valueuom, NULL AS flag
FROM (SELECT i, pick(i, [51275, 51274, 51237, 51222, 51301, 51265, 50912, 50885,
  50818, 50800] || range(51400, 51440)) AS item FROM range($rows_lab) t(i));
