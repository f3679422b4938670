"""The page in a real browser: by keyboard alone, for a screen reader, hostile content, 10,000 rows, a narrow window."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser import CONTROL, Browser
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from lrap_otel.emulator import Config, Emulator
from lrap_otel.emulator.layers import ours

if TYPE_CHECKING:
    from collections.abc import Callable

OURS = ours(Path())
PRINTS = """
while True:
    event = client.next()
    print("working on it", flush=True)
    kind = "error" if b"fail" in event.body else "response"
    body = b'{"errorType":"Broken","errorMessage":"no pets","stackTrace":["at the shop"]}' if kind == "error" else event.body
    client.respond(event["Lambda-Runtime-Aws-Request-Id"], body, kind=kind)
"""
TRACED_EVENT = json.dumps(
    {
        "headers": {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
        "requestContext": {"elb": {}},
        "httpMethod": "GET",
        "path": "/pets",
    }
)
ROWS = "document.querySelectorAll('.row').length"
TEXT = "document.querySelector('#detail').innerText"
DIALOG = "document.querySelector('dialog[open]')?.innerText"


def page_of(emulator: Emulator) -> str:
    return emulator.invoke_url.partition("/2015")[0] + "/"


def test_send_look_search_edit_and_compare_by_keyboard_alone(config: Callable[..., Config]) -> None:
    made = config(PRINTS)
    traced = Config(
        command=made.command, cwd=made.cwd, extensions={"lrap-otel": OURS[0]}, wrapper=OURS[1], is_observed=True
    )

    async def main() -> None:
        async with Emulator(traced) as emulator, Browser() as browser:
            await browser.open(page_of(emulator))
            await browser.until("document.querySelector('#rows').innerText.includes('No event yet')")
            await send_an_event(browser)
            inserted = await browser.run("[...document.querySelectorAll('#detail ins')].map(e => e.textContent)")
            span = next(span for span in emulator.otlp.received if span.kind == "SERVER")
            assert any(f"00-{span.trace_id_hex}-{span.span_id_hex}-01" in line for line in inserted)
            await send_it_again_edited(browser)
            await filter_and_search(browser)
            await compare_two(browser)
            await look_at_metrics(browser)
            await open_a_bar(browser)
            # The event that was not JSON.
            assert [error for error in browser.errors if "400 (Bad Request)" not in error] == []

    asyncio.run(main())


async def send_an_event(browser: Browser) -> None:
    await write(browser, "s", TRACED_EVENT)
    await browser.until(f"{TEXT}.includes('after the result, billed') && {TEXT}.includes('load_balancer')")
    text = await browser.until(f"{TEXT}.includes('Event, as the function got it') && {TEXT}")
    assert "proxy, to the function" in text
    assert "working on it" in text
    assert "Its parent is 00f067aa0ba902b7." in text


async def send_it_again_edited(browser: Browser) -> None:
    await write(browser, "r", '{"fail": [1]')
    await browser.until("document.querySelector('[role=alert]').textContent.includes('not JSON')")
    await browser.type("}")
    await browser.press("Enter", CONTROL)
    await browser.until(f"{TEXT}.includes('Broken: no pets') && {TEXT}.includes('at the shop')")
    await browser.until(f"{ROWS} === 2")


async def filter_and_search(browser: Browser) -> None:
    await browser.press("e")
    await browser.until(f"{ROWS} === 1 && document.querySelector('.row').innerText.includes('Broken')")
    await browser.press("e")
    await browser.press("/")
    await browser.type("TRACEPARENT")
    await browser.until(f"{ROWS} === 1 && document.querySelector('.row').innerText.includes('load_balancer')")
    for _ in "TRACEPARENT":
        await browser.press("Backspace")
    await browser.until(f"{ROWS} === 2")
    await browser.press("Escape")


async def compare_two(browser: Browser) -> None:
    await browser.press("Home")
    await browser.press("c")
    await browser.until(f"{TEXT}.includes('Marked')")
    await browser.press("ArrowDown")
    await browser.until(f"{TEXT}.includes('load_balancer')")
    await browser.press("c")
    both = await browser.until(DIALOG)
    assert "Two invocations" in both
    assert "Broken" in both
    await browser.press("Escape")
    await browser.until("!document.querySelector('dialog').open")


async def look_at_metrics(browser: Browser) -> None:
    await browser.press("m")
    await browser.until(f"{DIALOG}?.includes('lrap.proxy.overhead')")
    await browser.press("Escape")
    await browser.until("!document.querySelector('dialog').open")


async def open_a_bar(browser: Browser) -> None:
    """Enter goes to the details, and Tab from there to the first bar, which a key opens."""
    await browser.run("list.focus()")
    await browser.press("Enter")
    for _ in range(12):
        if await browser.run("document.activeElement.dataset.key !== undefined"):
            break
        await browser.press("Tab")
    await browser.press(" ")
    assert await browser.run("document.activeElement.getAttribute('aria-expanded')") == "true"
    await browser.press("Escape")
    assert await browser.run("document.activeElement.id") == "list"


async def write(browser: Browser, key: str, event: str) -> None:
    """Open the editor with a key, replace what is in it, and send it."""
    await browser.press(key)
    await browser.until("document.activeElement.tagName === 'TEXTAREA'")
    await browser.run("document.activeElement.select()")
    await browser.type(event)
    await browser.press("Enter", CONTROL)


def test_a_screen_reader_finds_names_for_all_there_is(config: Callable[..., Config]) -> None:
    async def main() -> None:
        async with Emulator(config(PRINTS, is_observed=True)) as emulator, Browser() as browser:
            await emulator.invoke(b"{}")
            await browser.open(page_of(emulator))
            await browser.until(f"{TEXT}.includes('after the result, billed')")
            tree = await browser.tree()
            assert ("listbox", "Invocations, newest first") in tree
            assert ("searchbox", "Search names, ids, events, results, logs") in tree
            assert ("region", "Trace") in tree
            (option,) = [name for role, name in tree if role == "option" and "billed" in name]
            assert option.startswith("success")
            nameless = [
                role for role, name in tree if role in {"button", "option", "listbox", "link", "searchbox"} and not name
            ]
            assert nameless == []
            assert await browser.run("list.getAttribute('aria-activedescendant')") == "row-1"

    asyncio.run(main())


def test_nothing_in_an_event_a_result_or_a_span_becomes_part_of_the_page(config: Callable[..., Config]) -> None:
    hostile = "<img src=x onerror=window.hit=1><script>window.hit=1</script></pre>"

    async def main() -> None:
        async with Emulator(config(PRINTS, is_observed=True)) as emulator, Browser() as browser:
            outcome = await emulator.invoke(json.dumps({hostile: hostile}).encode())
            message = ExportTraceServiceRequest()
            span = (
                message.resource_spans.add()
                .scope_spans.add()
                .spans.add(trace_id=b"\1" * 16, span_id=b"\2" * 8, name=hostile)
            )
            span.attributes.add(key="faas.invocation_id").value.string_value = outcome.request_id
            span.attributes.add(key=hostile).value.string_value = hostile
            emulator.otlp.take(message)
            await browser.open(page_of(emulator))
            await browser.until(f"{TEXT}.includes('<img src=x')")
            await browser.run("[...document.querySelectorAll('[aria-expanded]')].forEach(b => b.click())")
            assert await browser.run("window.hit === undefined && document.images.length === 0")
            assert browser.errors == []

    asyncio.run(main())


def test_ten_thousand_rows_are_a_few_elements_and_all_of_them_can_be_reached() -> None:
    async def main() -> None:
        async with Emulator(Config(is_observed=True)) as emulator, Browser() as browser:
            for start in range(0, 10_000, 1000):
                message = ExportTraceServiceRequest()
                spans = message.resource_spans.add().scope_spans.add().spans
                for number in range(start, start + 1000):
                    span = spans.add(
                        trace_id=(number + 1).to_bytes(16, "big"), span_id=b"\1" * 8, name=f"span {number}"
                    )
                    span.start_time_unix_nano = 1_700_000_000_000_000_000 + number
                    span.end_time_unix_nano = span.start_time_unix_nano + 1_000_000
                    span.attributes.add(key="faas.invocation_id").value.string_value = f"id-{number}"
                emulator.otlp.take(message)
            await browser.open(page_of(emulator))
            await browser.until("document.querySelector('#said').textContent === '10000 invocations'")
            assert 0 < await browser.run(ROWS) < 60
            await browser.press("End")
            await browser.until(f"{TEXT}.includes('span 0')")
            oldest = "document.querySelector('[aria-selected=true]')"
            assert await browser.run(
                f"{oldest}.getAttribute('aria-posinset') + ' ' + {oldest}.getAttribute('aria-setsize')"
            ) == ("10000 10000")
            await browser.press("k")
            await browser.until(f"{TEXT}.includes('span 1')")
            await browser.press("/")
            await browser.type("id-7777")
            await browser.until(f"{ROWS} === 1 && document.querySelector('.row').innerText.includes('span 7777')")
            # What comes meanwhile is in the list without moving it.
            message = ExportTraceServiceRequest()
            late = message.resource_spans.add().scope_spans.add().spans.add(trace_id=b"\7" * 16, span_id=b"\1" * 8)
            late.attributes.add(key="faas.invocation_id").value.string_value = "id-77777"
            emulator.otlp.take(message)
            await browser.until(f"{ROWS} === 2")
            assert 0 < await browser.run(ROWS) < 60
            assert browser.errors == []

    asyncio.run(main())


@pytest.mark.parametrize("is_dark", [False, True])
def test_it_fits_a_narrow_window_in_light_and_dark(config: Callable[..., Config], is_dark: bool) -> None:
    async def main() -> None:
        async with Emulator(config(PRINTS, is_observed=True)) as emulator, Browser() as browser:
            await emulator.invoke(b"{}")
            await browser.open(page_of(emulator), 360, 700, is_dark=is_dark)
            await browser.until(f"{ROWS} === 1")
            assert await browser.run("getComputedStyle(detail).display") == "none"
            await browser.press("j")
            await browser.until(f"{TEXT}.includes('after the result, billed')")
            assert await browser.run("getComputedStyle(list).display") == "none"
            assert await browser.run("document.documentElement.scrollWidth <= 360")
            dark = await browser.run("getComputedStyle(document.body).backgroundColor")
            assert (dark == "rgb(20, 22, 27)") is is_dark
            assert (await browser.screenshot()).startswith(b"\x89PNG")

    asyncio.run(main())
