export AIRFLOW_HOME="$PWD/airflow"
export AIRFLOW__CORE__LOAD_EXAMPLES=False
export AIRFLOW__API__HOST=127.0.0.1
export AIRFLOW__API__BASE_URL=http://127.0.0.1:8080
export AIRFLOW_CONN_BKITSM_DEFAULT='{"conn_type": "bkitsm",
  "host": "http://127.0.0.1:8099/api/bk-itsm/prod/v2/itsm",
  "login": "sandbox", "password": "sandbox-secret"}'
export AIRFLOW_CONN_BKLOG_DEFAULT='{"conn_type": "bklog",
  "host": "http://127.0.0.1:8099/api/bk-log-search/prod",
  "login": "sandbox", "password": "sandbox-secret"}'
