"""`python -m portico.agent --config FILE`."""

from portico.agent.main import main

raise SystemExit(main())
