"""How a client starts a session: a browser page, a file, a URI, or a command line. Python 3.6 language.

LAUNCH  {"kind": "browser", "url": "/connections/ID"}                       the viewer page, under the portal's origin
      | {"kind": "file", "name": str, "type": MIME type, "text": str}
      | {"kind": "uri", "uri": str}
      | {"kind": "command", "argv": [str], "stdin": str}
"""

KINDS = ("browser", "file", "uri", "command")
