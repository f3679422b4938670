"""What `redaction` looks for in texts that may hold URLs."""

import re

# A parameter of a URL within a text: of its query, its fragment or its path (";jsessionid="), where
# a question mark ends the value.
PARAMETER = re.compile(r"([?&#]|(;))([^?&#;=\s\"'<>]+)=((?(2)[^?&#\s\"'<>]*|[^&#\s\"'<>]*))")
# Before a host.
CREDENTIALS = re.compile(r"(?<=://)[^/?#\s\"'<>@]+@")
