"""Which hosts are AWS's own, and where AWS takes OTLP.

Sources: AWS, "Service endpoints and quotas"; Amazon CloudWatch, "OTLP endpoints".
"""

_SUFFIXES = (".amazonaws.com.cn", ".amazonaws.com", ".api.aws")
_VPC_ENDPOINT = ".vpce"
_FIPS = "-fips"
# Each service, which is also the name in the signature, with the signal that it takes.
SIGNALS = {"xray": "traces", "monitoring": "metrics", "logs": "logs"}
SERVICES = {signal: service for service, signal in SIGNALS.items()}


def service_of(host: str) -> tuple[str, str]:
    """The service and the region of a host in lower case that is AWS's:
    ``xray.eu-west-1.amazonaws.com``, its FIPS, dual-stack and China's forms, and interface
    endpoints of a VPC. Both empty if it is none.
    """
    for suffix in _SUFFIXES:
        if host.endswith(suffix):
            parts = host.removesuffix(suffix).removesuffix(_VPC_ENDPOINT).split(".")
            # An interface endpoint has its own name before the service's.
            is_plain = len(parts) == 2
            is_of_vpc = len(parts) == 3 and parts[0].startswith("vpce-") and _VPC_ENDPOINT in host
            if (is_plain or is_of_vpc) and is_region(parts[-1]):
                return parts[-2].removesuffix(_FIPS), parts[-1]
    return "", ""


def otlp_service_of(host: str) -> tuple[str, str]:
    """As `service_of`, for the three services that take OTLP."""
    service, region = service_of(host)
    return (service, region) if service in SIGNALS else ("", "")


def service_host(service: str, region: str, *, is_fips: bool = False) -> str:
    """The host of a service in a region."""
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"{service}{_FIPS * is_fips}.{region}.{domain}"


def otlp_endpoint(signal: str, region: str, *, is_fips: bool = False) -> str:
    """The URL at which AWS takes a signal (``traces``, ``metrics`` or ``logs``)."""
    return f"https://{service_host(SERVICES[signal], region, is_fips=is_fips)}/v1/{signal}"


def is_region(text: str) -> bool:
    """Whether it looks like ``eu-west-1``."""
    return (
        "-" in text and text[-1:].isdigit() and text.isascii() and text.replace("-", "").isalnum()
    )
