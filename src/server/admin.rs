//! `/metrics`, `/healthz` and `/readyz` over HTTP/1, on an address of their own.
