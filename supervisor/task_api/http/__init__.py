"""HTTP to the task API, on libcurl. Imports `runtime` and `shared`; nothing else imports pycurl."""
