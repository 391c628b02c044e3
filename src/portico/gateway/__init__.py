"""The gateway carries bytes between a browser and a desktop; the front is the one listener where no load balancer stands.

**Invariants**

- The gateway has no database. A signed ticket says who may come in; what it needs besides arrives with the redeemed GRANT.
- It reads no cookie, and no secret (ticket, password, key, bearer) is ever logged or put into a URL.
- Every wait has a deadline and every buffer a bound; whoever does not read makes the other side wait.
- A session outlives every broker: reports are kept and sent again until they are answered.
- Protocol parsers (`entry`, `rfb`, `rfb_filter`, `rfb_server`, `front_headers`) do no input or output, and meet any bytes with a value or
  with their one exception.
"""
