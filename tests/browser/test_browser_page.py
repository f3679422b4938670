"""The page in a real browser: by keyboard alone, for a screen reader, hostile content, 10,000 rows,
a narrow window.
"""

from __future__ import annotations

import asyncio
import json
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from lrap_otel.emulator import Config, Emulator
from lrap_otel.emulator.layers import ours
from lrap_otel.emulator.otlp_json import to_line
from tests.browser.browser import CONTROL, Browser

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
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
        command=made.command,
        cwd=made.cwd,
        extensions={"lrap-otel": OURS[0]},
        wrapper=OURS[1],
        is_observed=True,
    )

    async def main() -> None:
        async with Emulator(traced) as emulator, Browser() as browser:
            await browser.open(page_of(emulator))
            await browser.until(
                "document.querySelector('#rows').innerText.includes('No event yet')"
            )
            await send_an_event(browser)
            inserted = await browser.run(
                "[...document.querySelectorAll('#detail ins')].map(e => e.textContent)"
            )
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
    await browser.until(
        f"{TEXT}.includes('after the result, billed') && {TEXT}.includes('load_balancer')"
    )
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
    await browser.until(
        f"{ROWS} === 1 && document.querySelector('.row').innerText.includes('Broken')"
    )
    await browser.press("e")
    await browser.press("/")
    await browser.type("TRACEPARENT")
    await browser.until(
        f"{ROWS} === 1 && document.querySelector('.row').innerText.includes('load_balancer')"
    )
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
                role
                for role, name in tree
                if role in {"button", "option", "listbox", "link", "searchbox"} and not name
            ]
            assert nameless == []
            assert await browser.run("list.getAttribute('aria-activedescendant')") == "row-1"

    asyncio.run(main())


def test_nothing_in_an_event_a_result_or_a_span_becomes_part_of_the_page(
    config: Callable[..., Config],
) -> None:
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
            await browser.run(
                "[...document.querySelectorAll('[aria-expanded]')].forEach(b => b.click())"
            )
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
                        trace_id=(number + 1).to_bytes(16, "big"),
                        span_id=b"\1" * 8,
                        name=f"span {number}",
                    )
                    span.start_time_unix_nano = 1_700_000_000_000_000_000 + number
                    span.end_time_unix_nano = span.start_time_unix_nano + 1_000_000
                    span.attributes.add(
                        key="faas.invocation_id"
                    ).value.string_value = f"id-{number}"
                emulator.otlp.take(message)
            await browser.open(page_of(emulator))
            await browser.until(
                "document.querySelector('#said').textContent === '10000 invocations'"
            )
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
            await browser.until(
                f"{ROWS} === 1 && document.querySelector('.row').innerText.includes('span 7777')"
            )
            # What comes meanwhile is in the list without moving it.
            message = ExportTraceServiceRequest()
            late = (
                message.resource_spans.add()
                .scope_spans.add()
                .spans.add(trace_id=b"\7" * 16, span_id=b"\1" * 8)
            )
            late.attributes.add(key="faas.invocation_id").value.string_value = "id-77777"
            emulator.otlp.take(message)
            await browser.until(f"{ROWS} === 2")
            assert 0 < await browser.run(ROWS) < 60
            assert browser.errors == []

    asyncio.run(main())


@pytest.mark.parametrize("is_dark", [False, True])
def test_it_fits_a_narrow_window_in_light_and_dark(
    config: Callable[..., Config], is_dark: bool
) -> None:
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


def test_a_functions_own_spans_links_and_logs_are_where_they_belong_and_lead_on(
    config: Callable[..., Config],
) -> None:
    async def main() -> None:
        async with Emulator(config(PRINTS, is_observed=True)) as emulator, Browser() as browser:
            producer = await emulator.invoke(b"1")
            consumer = await emulator.invoke(b"2")
            emulator.otlp.take(two_traces(producer.request_id, consumer.request_id))
            logs = ExportLogsServiceRequest()
            record = logs.resource_logs.add().scope_logs.add().log_records.add(severity_text="WARN")
            record.trace_id, record.span_id = b"\2" * 16, b"\4" * 8
            record.body.string_value = "the pets are out"
            emulator.otlp.take(logs)
            await browser.open(page_of(emulator) + "#" + consumer.request_id)
            await browser.until(f"{TEXT}.includes('consume')")
            bars = "[...document.querySelectorAll('.waterfall [data-key]')].map(b => b.firstChild.textContent.trim())"
            assert (await browser.run(bars))[-2:] == ["consume", "SELECT pets"]
            rows = await browser.run(
                "[...document.querySelectorAll('.waterfall tr:not(.more)')].map(r => r.innerText)"
            )
            assert "the pets are out" in rows[-1]
            await browser.run("document.querySelector(`[data-key='${'03'.repeat(8)}']`).click()")
            await browser.run("document.querySelector('.waterfall .link').click()")
            await browser.until(
                f"{TEXT}.includes('{producer.request_id}') && {TEXT}.includes('produce')"
            )
            assert browser.errors == []

    asyncio.run(main())


def two_traces(producer: str, consumer: str) -> ExportTraceServiceRequest:
    """One span of the producer; of the consumer one with a link to it, and one of its own SDK below
    that.
    """
    message = ExportTraceServiceRequest()
    spans = message.resource_spans.add().scope_spans.add().spans
    made = spans.add(trace_id=b"\1" * 16, span_id=b"\1" * 8, name="produce", kind=2)
    made.attributes.add(key="faas.invocation_id").value.string_value = producer
    got = spans.add(trace_id=b"\2" * 16, span_id=b"\3" * 8, name="consume", kind=2)
    got.attributes.add(key="faas.invocation_id").value.string_value = consumer
    got.links.add(trace_id=b"\1" * 16, span_id=b"\1" * 8)
    spans.add(
        trace_id=b"\2" * 16, span_id=b"\4" * 8, parent_span_id=b"\3" * 8, name="SELECT pets", kind=3
    )
    for number, span in enumerate(spans):
        span.start_time_unix_nano = time.time_ns() + number
        span.end_time_unix_nano = span.start_time_unix_nano + 1_000_000
    return message


def test_what_is_copied_repeats_the_invocation_in_a_shell(
    config: Callable[..., Config], tmp_path: Path
) -> None:
    event = '{"it\'s": "$HOME `id` \\\\n"}'

    async def main() -> None:
        async with Emulator(config(PRINTS, is_observed=True)) as emulator, Browser() as browser:
            await emulator.invoke(event.encode())
            await browser.open(page_of(emulator))
            await browser.until(f"{TEXT}.includes('Copy as curl')")
            # As in a page that may not write to the clipboard: what would be copied is shown.
            await browser.run(
                "navigator.clipboard.writeText = () => Promise.reject(new Error('denied'))"
            )
            invoke = f"{shlex.quote(sys.executable)} -m lrap_otel.emulator invoke"
            for button in ("Copy as curl", "Copy as lrap-otel invoke"):
                await browser.run(
                    f"[...document.querySelectorAll('button')].find(b => b.innerText === '{button}').click()"
                )
                command = await browser.until(
                    "document.querySelector('dialog[open] pre')?.textContent"
                )
                await browser.press("Escape")
                await browser.until("!document.querySelector('dialog').open")
                command = command.replace("lrap-otel invoke", invoke)
                ran = await asyncio.to_thread(
                    subprocess.run,
                    ["sh", "-c", command],
                    capture_output=True,
                    check=True,
                    cwd=ROOT,
                    timeout=30,
                )
                assert json.loads(ran.stdout) == json.loads(event)

    asyncio.run(main())


def test_a_file_of_telemetry_is_imported_and_a_bad_one_is_refused(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.jsonl", tmp_path / "bad.jsonl"
    good.write_text(to_line(two_traces("one", "two")) + "\n")
    bad.write_text("nonsense")

    async def main() -> None:
        async with Emulator(Config(is_observed=True)) as emulator, Browser() as browser:
            await browser.open(page_of(emulator))
            await browser.until(
                "document.querySelector('#rows').innerText.includes('No event yet')"
            )
            for file, said in (
                (bad, "Not imported: line 1: not JSON"),
                (good, "1 lines imported."),
            ):
                root = (await browser.call("DOM.getDocument"))["root"]["nodeId"]
                node = (await browser.call("DOM.querySelector", nodeId=root, selector="#file"))[
                    "nodeId"
                ]
                await browser.run("window.sayings = []; say = text => sayings.push(text)")
                await browser.call("DOM.setFileInputFiles", files=[str(file)], nodeId=node)
                await browser.until(f"sayings.some(text => text.includes({json.dumps(said)}))")
            await browser.until(f"{ROWS} === 2")

    asyncio.run(main())
