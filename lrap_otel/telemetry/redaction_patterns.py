"""The patterns by which `redaction` finds secrets in texts that may contain URLs."""

import re

# A parameter of a URL within a text: in its query, its fragment, or its path (";jsessionid="),
# where a question mark ends the value.
PARAMETER = re.compile(r"([?&#]|(;))([^?&#;=\s\"'<>]+)=((?(2)[^?&#\s\"'<>]*|[^&#\s\"'<>]*))")
# Credentials before a host.
CREDENTIALS = re.compile(r"(?<=://)[^/?#\s\"'<>@]+@")
